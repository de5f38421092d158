//! The active currency and fund codes of ISO 4217, list one as published on 2026-01-01.
//!
//! What does not live here: withdrawn currencies (ISO 4217 list three), rates and symbols.
//!
//! Codes are compared exactly: three capital letters, without blanks.

/// Every active code, in byte order, as the binary search needs it.
static CODES: [&str; 178] = [
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BHD", "BIF", "BMD", "BND",
    "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CLF", "CLP", "CNY",
    "COP", "COU", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP",
    "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IQD",
    "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP",
    "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN",
    "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN",
    "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD",
    "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX",
    "USD", "USN", "UYI", "UYU", "UYW", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAD", "XAF", "XAG", "XAU", "XBA",
    "XBB", "XBC", "XBD", "XCD", "XCG", "XDR", "XOF", "XPD", "XPF", "XPT", "XSU", "XTS", "XUA", "XXX", "YER", "ZAR",
    "ZMW", "ZWG",
];

/// Whether `code` is an active currency or fund code.
///
/// The list holds the precious metals and the codes for testing (`XTS`) and for "no currency" (`XXX`) too;
/// they have no minor unit, see [`minor_digits`].
#[must_use]
pub fn exists(code: &str) -> bool {
    CODES.binary_search(&code).is_ok()
}

/// The number of decimal places of the currency's minor unit: 2 for `EUR`, 0 for `JPY`, 3 for `KWD`.
///
/// `None` for a code that is not active and for one to which ISO 4217 gives no minor unit ("N.A.": precious
/// metals, units of account such as `XDR`, `XTS`, `XXX`).
#[must_use]
pub fn minor_digits(code: &str) -> Option<u32> {
    if !exists(code) {
        return None;
    }
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => Some(0),
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => Some(3),
        "CLF" | "UYW" => Some(4),
        "XAG" | "XAU" | "XBA" | "XBB" | "XBC" | "XBD" | "XDR" | "XPD" | "XPT" | "XSU" | "XTS" | "XUA" | "XXX" => None,
        _ => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_well_formed() {
        assert!(CODES.is_sorted_by(|left, right| left < right));
        assert!(CODES.iter().all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())));
    }

    #[test]
    fn digits_follow_the_standard_and_not_a_rule_of_thumb() {
        let expected = [
            ("EUR", 2),
            ("USD", 2),
            ("CHF", 2),
            ("HUF", 2),
            ("JPY", 0),
            ("KRW", 0),
            ("ISK", 0),
            ("XOF", 0),
            ("KWD", 3),
            ("BHD", 3),
            ("TND", 3),
            ("CLF", 4),
            ("UYW", 4),
        ];
        for (code, digits) in expected {
            assert_eq!(minor_digits(code), Some(digits), "{code}");
        }
    }

    #[test]
    fn a_code_without_a_minor_unit_exists_and_has_no_digits() {
        for code in ["XAU", "XDR", "XTS", "XXX"] {
            assert!(exists(code), "{code}");
            assert_eq!(minor_digits(code), None, "{code}");
        }
    }

    #[test]
    fn what_is_not_an_active_code_is_refused() {
        for code in ["", "eur", "EUR ", "EU", "EURO", "NLG", "HRK", "BGN", "ZZZ", "€"] {
            assert!(!exists(code), "{code}");
            assert_eq!(minor_digits(code), None, "{code}");
        }
    }
}
