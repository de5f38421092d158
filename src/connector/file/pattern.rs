//! The names of files: patterns that pick them, their order, and what a name that we give may hold.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

use regex_lite::Regex;

/// What is behind the name of a file that gzip packed.
const PACKED: &str = ".gz";

/// The longest name, in bytes: common file systems allow 255, and a temporary name needs some of them.
const LONGEST_NAME: usize = 200;

/// A pattern of file names: `*` stands for any characters, `?` for one, `[0-9]` for one of a range.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    compiled: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(source: &str) -> Result<Self, String> {
        if source.contains(['/', '\\']) {
            return Err(format!("`{source}` is a path; name files here, their directory is `directory`"));
        }
        if let Some(control) = source.chars().find(|c| c.is_control()) {
            return Err(format!("a file name has no control character U+{:04X}", u32::from(control)));
        }
        let mut regex = String::from("^");
        let mut chars = source.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '[' => regex.push_str(&class(&mut chars).ok_or_else(|| format!("the `[` in `{source}` has no `]`"))?),
                c => regex.push_str(&regex_lite::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        regex.push('$');
        let compiled = Regex::new(&regex).map_err(|error| format!("`{source}` is no pattern: {error}"))?;
        Ok(Self { source: source.to_owned(), compiled })
    }

    /// Whether a file of this name is meant, or one that gzip packed under it. A hidden file, whose name begins with
    /// a dot, is meant only by a pattern that begins so.
    pub fn matches(&self, name: &str) -> bool {
        let hidden = name.starts_with('.') && !self.source.starts_with('.');
        let unpacked = name.strip_suffix(PACKED);
        !hidden && (self.compiled.is_match(name) || unpacked.is_some_and(|name| self.compiled.is_match(name)))
    }
}

/// The rest of a class behind its `[`, as a regular expression.
fn class(chars: &mut Peekable<Chars>) -> Option<String> {
    let mut regex = String::from("[");
    if chars.next_if_eq(&'!').is_some() {
        regex.push('^');
    }
    let mut empty = true;
    for c in chars {
        match c {
            ']' if !empty => {
                regex.push(']');
                return Some(regex);
            }
            // A minus between two characters is a range in both languages.
            '-' => regex.push('-'),
            c => regex.push_str(&regex_lite::escape(c.encode_utf8(&mut [0; 4]))),
        }
        empty = false;
    }
    None
}

/// The order of names as people read them: runs of digits are compared by their numbers, so `prices-9` comes before
/// `prices-10`.
pub fn by_name(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let (Some(x), Some(y)) = (left.peek().copied(), right.peek().copied()) else {
            // Names that differ in leading zeros alone still have an order.
            return left.peek().is_some().cmp(&right.peek().is_some()).then_with(|| a.cmp(b));
        };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (x, y) = (digits(&mut left), digits(&mut right));
            x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
        } else {
            left.next();
            right.next();
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A run of digits without leading zeros.
fn digits(chars: &mut Peekable<Chars>) -> String {
    let run: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
    run.trim_start_matches('0').to_owned()
}

/// Refuses a name under which no file of ours is written: one that leaves its directory, hides itself, or that
/// some file system or share cannot hold.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_name(name: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("`{}` cannot be the name of a file: {why}", name.escape_debug()));
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.contains(['/', '\\']) {
        return refuse("it would lead out of the directory");
    }
    if name.starts_with('.') {
        return refuse("it begins with a dot");
    }
    if name.chars().any(char::is_control) {
        return refuse("it has a control character");
    }
    // What Windows and its shares refuse; a colon would even name a hidden stream of another file there.
    if let Some(c) = name.chars().find(|c| matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|')) {
        return refuse(&format!("it has the character `{c}`, which not every file system holds"));
    }
    if name.ends_with([' ', '.']) || name.starts_with(' ') {
        return refuse("it begins or ends with a blank, or ends with a dot");
    }
    if name.len() > LONGEST_NAME {
        return refuse(&format!("it has {} bytes, and {LONGEST_NAME} are possible", name.len()));
    }
    Ok(())
}

/// A name with a text before its extension: `klanten.csv.gz` with `-2` is `klanten-2.csv.gz`.
pub fn with_suffix(name: &str, suffix: &str) -> String {
    let plain = name.strip_suffix(PACKED).unwrap_or(name);
    let at = plain.rfind('.').filter(|at| *at > 0).unwrap_or(plain.len());
    format!("{}{suffix}{}", &name[..at], &name[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn patterns_pick_names() {
        for name in ["klanten.csv", "klanten-2026.csv", "klanten.csv.gz"] {
            assert!(matches("klanten*.csv", name), "{name}");
        }
        for name in ["xklanten.csv", "klanten.csv.bak", "KLANTEN.CSV", "klanten-csv", ".klanten.csv"] {
            assert!(!matches("klanten*.csv", name), "{name}");
        }
        assert!(matches("p?[0-9][!a-c].txt", "p17x.txt") && !matches("p?[0-9][!a-c].txt", "p17b.txt"));
        assert!(matches("a+(b).csv", "a+(b).csv") && !matches("a+(b).csv", "aab.csv"));
        assert!(!matches("*", ".tradebridge-a.part") && matches(".*", ".x"));
        assert!(matches("*.gz", "a.gz") && matches("[]x]", "]"));
    }

    #[test]
    fn a_pattern_stays_in_its_directory() {
        for wrong in ["../*.csv", "a/b.csv", "a\\b", "a[b", "a\u{0}"] {
            Pattern::new(wrong).unwrap_err();
        }
    }

    #[test]
    fn names_are_in_the_order_people_read_them() {
        let mut names =
            ["p-10.csv", "p-9.csv", "p-09.csv", "p.csv", "p-9a.csv", "q", "p-20261124.csv", "p-20260101.csv"];
        names.sort_by(|a, b| by_name(a, b));
        let expected =
            ["p-09.csv", "p-9.csv", "p-9a.csv", "p-10.csv", "p-20260101.csv", "p-20261124.csv", "p.csv", "q"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_name_of_ours_stays_in_its_directory() {
        check_name("ORD-NL01~B2B-1.xml").unwrap();
        check_name(&"x".repeat(200)).unwrap();
        for wrong in ["", "..", ".", ".x", "../x", "a/b", "a\\b", "a\u{0}b", "a\nb", "a:b", "a ", "a."] {
            check_name(wrong).unwrap_err();
        }
        check_name(&"é".repeat(101)).unwrap_err();
    }

    #[test]
    fn a_suffix_stands_before_the_extension() {
        assert_eq!(with_suffix("klanten.csv", "-2"), "klanten-2.csv");
        assert_eq!(with_suffix("klanten.csv.gz", "-2"), "klanten-2.csv.gz");
        assert_eq!(with_suffix("v1.2.csv", "-2"), "v1.2-2.csv");
        assert_eq!(with_suffix("KLANTEN", "-2"), "KLANTEN-2");
    }
}
