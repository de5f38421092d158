//! Our own reference of an order, by which the ERP's answers and our searches find it.

use uuid::Uuid;

/// What every reference begins with.
pub(super) const PREFIX: &str = "TB-";

/// The alphabet of Crockford's base 32 (<https://www.crockford.com/base32.html>): in the order of the characters'
/// codes, and without letters that are taken for digits.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The reference that belongs to an order's identifier: 29 characters, as unique as the identifier, and sorting like
/// it.
pub(super) fn of(id: Uuid) -> String {
    let number = id.as_u128();
    let digits = (0..26).rev().map(|place| {
        let digit = (number >> (5 * place)) & 31;
        char::from(ALPHABET[usize::try_from(digit).unwrap_or_default()])
    });
    PREFIX.chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_short_plain_unique_and_sort_by_time() {
        let mut ids: Vec<Uuid> = (0..1000).map(|_| Uuid::now_v7()).collect();
        ids.sort_unstable();
        let references: Vec<String> = ids.into_iter().map(of).collect();
        assert!(references.is_sorted());
        assert!(references.windows(2).all(|pair| pair[0] != pair[1]));
        for reference in references {
            assert!(reference.len() <= 35, "{reference}");
            assert!(reference.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'));
        }
        assert_eq!(of(Uuid::max()), "TB-7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }
}
