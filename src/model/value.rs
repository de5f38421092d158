//! Values that many entities share: money, measures, codes. Amounts and quantities are exact decimals and travel
//! as strings.

use std::borrow::Cow;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::{country, currency, unit_codes};

/// Why a value or an entity is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The field, as a dotted path.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Invalid {
    /// A finding about one field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident, $format:literal, $pattern:literal, $check:expr, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Accepts a code of the standard's list.
            pub fn new(code: &str) -> Result<Self, String> {
                if Self::accepts(code) { Ok(Self(code.to_owned())) } else { Err(format!(concat!("'{}' is not ", $what), code)) }
            }

            /// Whether a code is on the standard's list.
            pub fn accepts(code: &str) -> bool {
                let valid: fn(&str) -> bool = $check;
                valid(code)
            }

            /// The code.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let code = Cow::<str>::deserialize(deserializer)?;
                Self::new(&code).map_err(serde::de::Error::custom)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": $pattern })
            }
        }
    };
}

code!(
    /// A currency by its ISO 4217 code.
    Currency,
    "currency",
    "^[A-Z]{3}$",
    currency::exists,
    "an ISO 4217 currency code, such as EUR"
);
code!(
    /// A country by its ISO 3166-1 alpha-2 code.
    CountryCode,
    "country",
    "^[A-Z]{2}$",
    country::exists,
    "an ISO 3166-1 alpha-2 country code, such as NL"
);
code!(
    /// A language by its ISO 639-1 code, with a region where it matters (`nl`, `nl-BE`).
    Language,
    "language",
    "^[a-z]{2}(-[A-Z]{2})?$",
    is_language,
    "a language tag, such as nl or nl-BE"
);

fn is_language(tag: &str) -> bool {
    let (language, region) = tag.split_once('-').map_or((tag, None), |(l, r)| (l, Some(r)));
    language.len() == 2 && language.bytes().all(|b| b.is_ascii_lowercase()) && region.is_none_or(country::exists)
}

/// A unit of measure. From a bare text it is taken as a UN/ECE Recommendation 20 code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("format" = "unit"))]
pub struct Unit {
    /// The UN/ECE Recommendation 20 code, such as `C62` (one), `MTR`, `KGM`.
    pub code: String,
    /// The ERP's own code for the unit, such as `ST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erp: Option<String>,
}

impl Unit {
    /// A unit by its Recommendation 20 code and, where known, the ERP's own code.
    pub fn new(code: &str, erp: Option<String>) -> Result<Self, String> {
        if unit_codes::exists(code) {
            Ok(Self { code: code.to_owned(), erp })
        } else {
            Err(format!(
                "'{code}' is not a UN/ECE Recommendation 20 unit code, such as C62, MTR or KGM; map the ERP's units with a lookup"
            ))
        }
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Unit;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a unit code, or a table with code and erp")
            }

            fn visit_str<E: serde::de::Error>(self, code: &str) -> Result<Unit, E> {
                Unit::new(code, None).map_err(E::custom)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Unit, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Fields {
                    code: String,
                    #[serde(default)]
                    erp: Option<String>,
                }
                let fields = Fields::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Unit::new(&fields.code, fields.erp).map_err(serde::de::Error::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The amount in the currency's main unit, an exact decimal.
    #[schemars(extend("format" = "decimal"))]
    pub amount: Decimal,
    /// The currency.
    pub currency: Currency,
}

/// A measured value with its unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The value, an exact decimal.
    #[schemars(extend("format" = "decimal"))]
    pub value: Decimal,
    /// Its unit.
    pub unit: Unit,
}

/// Checks that a validity runs forward.
pub(super) fn check_validity(
    from: Option<jiff::civil::Date>,
    to: Option<jiff::civil::Date>,
    findings: &mut Vec<Invalid>,
) {
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        findings.push(Invalid::new("valid_to", format!("the validity ends on {to}, before it begins on {from}")));
    }
}

/// Checks that a number is not negative.
pub(super) fn check_not_negative(field: &str, value: Option<Decimal>, findings: &mut Vec<Invalid>) {
    if let Some(value) = value
        && value.is_sign_negative()
        && !value.is_zero()
    {
        findings.push(Invalid::new(field, format!("{value} is negative")));
    }
}

/// Checks that a text that must be there holds something.
pub(super) fn check_present(field: &str, value: &str, findings: &mut Vec<Invalid>) {
    if value.trim().is_empty() {
        findings.push(Invalid::new(field, "is empty"));
    }
}
