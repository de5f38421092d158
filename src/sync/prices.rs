//! The size of price changes, for the guard.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::config::values::Percent;

/// Whether a price agreement's value changes by more than a share of the old one, or becomes zero.
pub(super) fn jumps(before: &Value, after: &Value, most: Percent) -> bool {
    let (Some(old), Some(new)) = (price(before), price(after)) else { return false };
    if old == new {
        return false;
    }
    if new.is_zero() || old.is_zero() {
        return true;
    }
    // |new - old| / |old| > most / 100; where the arithmetic overflows the jump is beyond any share.
    let moved = new.checked_sub(old).and_then(|d| d.abs().checked_mul(Decimal::ONE_HUNDRED));
    let allowed = old.abs().checked_mul(most.percentage());
    match (moved, allowed) {
        (Some(moved), Some(allowed)) => moved > allowed,
        _ => true,
    }
}

/// The price of one unit, where the content has a value.
fn price(content: &Value) -> Option<Decimal> {
    let number = |field: &str| content.get(field).and_then(Value::as_str).and_then(|text| text.parse::<Decimal>().ok());
    let per = number("price_per").unwrap_or(Decimal::ONE);
    number("value")?.checked_div(per)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_jump_is_more_than_the_share_or_a_price_of_zero() {
        let half = Percent::from_percentage(50);
        let line = |value: &str| json!({"value": value});
        assert!(!jumps(&line("10"), &line("15"), half));
        assert!(jumps(&line("10"), &line("15.01"), half));
        assert!(jumps(&line("10"), &line("4.99"), half));
        assert!(jumps(&line("10"), &line("0"), half));
        assert!(!jumps(&line("10"), &line("10"), half));
        let per = json!({"value": "1000", "price_per": "100"});
        assert!(!jumps(&line("10"), &per, half), "the same price in another quantity is no jump");
    }
}
