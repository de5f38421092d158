//! Exact arithmetic: a result that cannot be represented is an error, never another number.

use rust_decimal::Decimal;

/// How to round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    HalfUp,
    HalfEven,
    Up,
    Down,
    Floor,
    Ceiling,
}

impl Rounding {
    pub const WORDS: [(&'static str, Self); 6] = [
        ("half_up", Self::HalfUp),
        ("half_even", Self::HalfEven),
        ("up", Self::Up),
        ("down", Self::Down),
        ("floor", Self::Floor),
        ("ceiling", Self::Ceiling),
    ];
}

const BEYOND: &str = "the result has more digits than an exact decimal holds; round it";

pub(super) fn add(a: Decimal, b: Decimal) -> Result<Decimal, String> {
    let (a, b) = (a.normalize(), b.normalize());
    // The crate rounds where the aligned digits do not fit; an exact sum keeps the larger scale.
    let sum = a.checked_add(b).ok_or(BEYOND)?;
    if sum.scale() == a.scale().max(b.scale()) || sum.checked_sub(b) == Some(a) && sum.checked_sub(a) == Some(b) {
        Ok(sum.normalize())
    } else {
        Err(BEYOND.to_owned())
    }
}

pub(super) fn multiply(a: Decimal, b: Decimal) -> Result<Decimal, String> {
    let (a, b) = (a.normalize(), b.normalize());
    let product = a.checked_mul(b).ok_or(BEYOND)?;
    if product.scale() == a.scale() + b.scale() || a.is_zero() || b.is_zero() {
        Ok(product.normalize())
    } else {
        Err(BEYOND.to_owned())
    }
}

/// `value / divisor`, rounded once: the remainder decides, not the digits that fit.
pub(super) fn divide(value: Decimal, divisor: Decimal, places: u32, mode: Rounding) -> Result<Decimal, String> {
    if divisor.is_zero() {
        return Err("division by zero".to_owned());
    }
    let step = Decimal::new(1, places);
    let negative = value.is_sign_negative() != divisor.is_sign_negative();
    let (value, divisor) = (value.abs(), divisor.abs());
    let mut quotient = value.checked_div(divisor).ok_or(BEYOND)?.trunc_with_scale(places);
    let mut rest = add(value, -multiply(quotient, divisor)?)?;
    if rest.is_sign_negative() && !rest.is_zero() {
        quotient = add(quotient, -step)?;
        rest = add(rest, multiply(step, divisor)?)?;
    }
    let half = multiply(step, divisor)?;
    let twice = add(rest, rest)?;
    let odd =
        !multiply(quotient, Decimal::from(10u64.pow(places)))?.checked_rem(Decimal::TWO).unwrap_or_default().is_zero();
    let away = match mode {
        Rounding::HalfUp => twice >= half,
        Rounding::HalfEven => twice > half || twice == half && odd,
        Rounding::Up => !rest.is_zero(),
        Rounding::Down => false,
        Rounding::Floor => negative && !rest.is_zero(),
        Rounding::Ceiling => !negative && !rest.is_zero(),
    };
    if away {
        quotient = add(quotient, step)?;
    }
    Ok(if negative { -quotient } else { quotient })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn results_that_do_not_fit_are_refused() {
        assert_eq!(add(d("1.10"), d("2.20")), Ok(d("3.3")));
        assert_eq!(multiply(d("0.1"), d("0.2")), Ok(d("0.02")));
        assert!(multiply(d("1.23456789012345678"), d("1.23456789012345678")).is_err());
        assert!(add(d("79228162514264337593543950335"), d("0.1")).is_err());
        assert!(multiply(d("79228162514264337593543950335"), d("10")).is_err());
    }

    #[test]
    fn rounding_looks_at_the_remainder() {
        for (mode, up, down) in [
            (Rounding::HalfUp, "0.13", "-0.13"),
            (Rounding::HalfEven, "0.12", "-0.12"),
            (Rounding::Up, "0.13", "-0.13"),
            (Rounding::Down, "0.12", "-0.12"),
            (Rounding::Floor, "0.12", "-0.13"),
            (Rounding::Ceiling, "0.13", "-0.12"),
        ] {
            assert_eq!(divide(d("1"), d("8"), 2, mode), Ok(d(up)), "{mode:?}");
            assert_eq!(divide(d("-1"), d("8"), 2, mode), Ok(d(down)), "{mode:?}");
        }
        assert_eq!(divide(d("2"), d("3"), 0, Rounding::HalfUp), Ok(d("1")));
        assert!(divide(d("1"), d("0"), 2, Rounding::HalfUp).is_err());
    }
}
