//! "Did you mean": the nearest of the known words.

/// The candidate a person most likely meant by `word`, if one is near enough.
///
/// Case, `-`, `_` and spaces do not count; otherwise about one wrong letter in three is forgiven.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(word);
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The words as a person lists them: `a`, `a or b`, `a, b or c`, each in quotes.
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgives_a_letter_but_not_a_word() {
        assert_eq!(nearest("conection", ["company", "connection"]), Some("connection"));
        assert_eq!(nearest("TimeZone", ["time_zone", "name"]), Some("time_zone"));
        assert_eq!(nearest("evrey", ["every", "full"]), Some("every"));
        assert_eq!(nearest("colour", ["every", "full"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
