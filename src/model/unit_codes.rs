//! The common codes of units of measure, UN/ECE Recommendation 20, revision 17 (2021), and the names of those in
//! daily use.
//!
//! `unit_codes.txt` holds every active code of the revision. Codes that UN/ECE has withdrawn and that ERP systems
//! and EDI partners still send (`PCE`, `ST`, `NPR`) stand in a table beside them.
//!
//! What does not live here: the packaging codes of Recommendation 21 with their prefix `X` (`XBX`), conversion
//! factors, and what an ERP's own unit means, which is a matter of its mapping. Some look alike: `ST` is "sheet" here
//! and "Stück" in SAP, `STK` is "stick, cigarette" here and "Stück" or "stuk" elsewhere.
//!
//! Codes are compared exactly: two or three capital letters and digits, without blanks.

use std::sync::LazyLock;

/// Every active code, in byte order.
static ACTIVE: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("unit_codes.txt").split_ascii_whitespace().collect());

/// Names of active codes in daily use, after the names of the Recommendation; by code, in byte order.
static NAMES: [(&str, &str); 94] = [
    ("4G", "microlitre"),
    ("4H", "micrometre (micron)"),
    ("AB", "bulk pack"),
    ("ACR", "acre"),
    ("AMP", "ampere"),
    ("ANN", "year"),
    ("AS", "assortment"),
    ("AY", "assembly"),
    ("BAR", "bar [unit of pressure]"),
    ("BLL", "barrel (US)"),
    ("C62", "one"),
    ("CEL", "degree Celsius"),
    ("CEN", "hundred"),
    ("CLT", "centilitre"),
    ("CMK", "square centimetre"),
    ("CMQ", "cubic centimetre"),
    ("CMT", "centimetre"),
    ("CTM", "metric carat"),
    ("DAY", "day"),
    ("DLT", "decilitre"),
    ("DMK", "square decimetre"),
    ("DMQ", "cubic decimetre"),
    ("DMT", "decimetre"),
    ("DPC", "dozen piece"),
    ("DPR", "dozen pair"),
    ("DTN", "decitonne"),
    ("DZN", "dozen"),
    ("DZP", "dozen pack"),
    ("E48", "service unit"),
    ("E49", "working day"),
    ("E51", "job"),
    ("EA", "each"),
    ("FOT", "foot"),
    ("FTK", "square foot"),
    ("FTQ", "cubic foot"),
    ("GLI", "gallon (UK)"),
    ("GLL", "gallon (US)"),
    ("GRM", "gram"),
    ("GRO", "gross"),
    ("H18", "square hectometre (hectare)"),
    ("H87", "piece"),
    ("HGM", "hectogram"),
    ("HLT", "hectolitre"),
    ("HTZ", "hertz"),
    ("HUR", "hour"),
    ("INH", "inch"),
    ("INK", "square inch"),
    ("INQ", "cubic inch"),
    ("KEL", "kelvin"),
    ("KGM", "kilogram"),
    ("KMT", "kilometre"),
    ("KT", "kit"),
    ("KWH", "kilowatt hour"),
    ("KWT", "kilowatt"),
    ("LBR", "pound"),
    ("LEF", "leaf"),
    ("LM", "linear metre"),
    ("LS", "lump sum"),
    ("LTN", "ton (UK) or long ton (US)"),
    ("LTR", "litre"),
    ("MC", "microgram"),
    ("MGM", "milligram"),
    ("MIL", "thousand"),
    ("MIN", "minute [unit of time]"),
    ("MLT", "millilitre"),
    ("MMK", "square millimetre"),
    ("MMQ", "cubic millimetre"),
    ("MMT", "millimetre"),
    ("MON", "month"),
    ("MTK", "square metre"),
    ("MTQ", "cubic metre"),
    ("MTR", "metre"),
    ("MWH", "megawatt hour"),
    ("NAR", "number of articles"),
    ("NMP", "number of packs"),
    ("ONZ", "ounce (avoirdupois)"),
    ("P1", "percent"),
    ("PAL", "pascal"),
    ("PR", "pair"),
    ("PTN", "portion"),
    ("RM", "ream"),
    ("SEC", "second [unit of time]"),
    ("SET", "set"),
    ("STN", "ton (US) or short ton (UK/US)"),
    ("SX", "shipment"),
    ("TNE", "tonne (metric ton)"),
    ("TPR", "ten pair"),
    ("VLT", "volt"),
    ("WEE", "week"),
    ("WHR", "watt hour"),
    ("WTT", "watt"),
    ("YDK", "square yard"),
    ("YDQ", "cubic yard"),
    ("YRD", "yard"),
];

/// Withdrawn codes still in wide use, with their names; by code, in byte order.
static WITHDRAWN: [(&str, &str); 36] = [
    ("ARE", "are"),
    ("BE", "bundle"),
    ("BG", "bag"),
    ("BK", "basket"),
    ("BL", "bale"),
    ("BO", "bottle"),
    ("BX", "box"),
    ("CA", "can"),
    ("CR", "crate"),
    ("CS", "case"),
    ("CT", "carton"),
    ("CY", "cylinder"),
    ("DR", "drum"),
    ("EV", "envelope"),
    ("HAR", "hectare"),
    ("JR", "jar"),
    ("NBB", "number of bobbins"),
    ("NPL", "number of parcels"),
    ("NPR", "number of pairs"),
    ("NRL", "number of rolls"),
    ("PA", "packet"),
    ("PCE", "piece"),
    ("PF", "pallet (lift)"),
    ("PG", "plate"),
    ("PK", "pack"),
    ("PL", "pail"),
    ("PT", "pint (US)"),
    ("QT", "quart (US)"),
    ("RL", "reel"),
    ("RO", "roll"),
    ("SA", "sack"),
    ("SO", "spool"),
    ("ST", "sheet"),
    ("TN", "tin"),
    ("TU", "tube"),
    ("VI", "vial"),
];

/// Whether `code` is a unit of Recommendation 20, active or withdrawn and still in wide use.
#[must_use]
pub fn exists(code: &str) -> bool {
    ACTIVE.binary_search(&code).is_ok() || find(&WITHDRAWN, code).is_some()
}

/// The English name of a unit in daily use, `None` for every other code: an existing code may have no name here.
#[must_use]
pub fn name(code: &str) -> Option<&'static str> {
    find(&NAMES, code).or_else(|| find(&WITHDRAWN, code))
}

/// The name that `table`, sorted by code, gives to `code`.
fn find(table: &[(&'static str, &'static str)], code: &str) -> Option<&'static str> {
    let index = table.binary_search_by(|(known, _)| (*known).cmp(code)).ok()?;
    table.get(index).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_well_formed() {
        assert_eq!(ACTIVE.len(), 1756);
        assert!(ACTIVE.is_sorted_by(|left, right| left < right));
        assert!(ACTIVE.iter().all(|code| {
            (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        }));
        for table in [&NAMES[..], &WITHDRAWN[..]] {
            assert!(table.is_sorted_by(|left, right| left.0 < right.0));
        }
    }

    #[test]
    fn a_named_code_is_active_and_a_withdrawn_one_is_not() {
        for (code, _) in NAMES {
            assert!(ACTIVE.binary_search(&code).is_ok(), "{code}");
        }
        for (code, _) in WITHDRAWN {
            assert!(ACTIVE.binary_search(&code).is_err(), "{code}");
        }
    }

    #[test]
    fn the_units_of_daily_trade_exist_and_have_names() {
        let expected = [
            ("C62", "one"),
            ("H87", "piece"),
            ("EA", "each"),
            ("MTR", "metre"),
            ("MTK", "square metre"),
            ("LTR", "litre"),
            ("KGM", "kilogram"),
            ("HUR", "hour"),
            ("PCE", "piece"),
            ("ST", "sheet"),
        ];
        for (code, expected) in expected {
            assert!(exists(code), "{code}");
            assert_eq!(name(code), Some(expected), "{code}");
        }
    }

    #[test]
    fn a_rare_unit_exists_without_a_name() {
        for code in ["10", "4W", "A11", "K97", "Q42", "X1", "ZP"] {
            assert!(exists(code), "{code}");
            assert_eq!(name(code), None, "{code}");
        }
    }

    #[test]
    fn an_erp_systems_own_unit_is_not_taken_for_a_common_code() {
        for code in ["", "kgm", "KGM ", "KG", "PCS", "STUKS", "M2", "DOOS", "XBX", "STÜ"] {
            assert!(!exists(code), "{code}");
            assert_eq!(name(code), None, "{code}");
        }
    }
}
