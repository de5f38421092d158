//! Mappings of small tables, for tests that are about something else.

/// Products by number.
pub(crate) const PRODUCT: &str = r#"
entity = "product"
stream = "products"
key = "Nr"
[fields]
number = "Nr"
"names.en" = "Name"
"base_unit.code" = "'C62'"
"#;

/// Credit limits by customer.
pub(crate) const CREDIT: &str = r#"
entity = "credit"
stream = "credit"
key = "Nr"
[fields]
customer = "Nr"
currency = "'EUR'"
limit = "Limit.decimal()"
"#;
