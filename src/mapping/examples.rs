//! Running the examples of a mapping file.

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::apply::{Outcome, Setting};
use super::compile::Mapping;
use super::file::{Example, ExampleOutcome};
use crate::record::{Value, number_from_text};

/// How an example went.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExampleResult {
    /// The example's name.
    pub name: String,
    /// Its line in the mapping file.
    pub line: usize,
    /// What was otherwise; empty where all was as expected.
    pub differences: Vec<String>,
}

impl Mapping {
    /// Runs the file's examples.
    pub fn examples(&self) -> Vec<ExampleResult> {
        self.examples
            .iter()
            .map(|(example, position)| ExampleResult {
                name: example.name.clone(),
                line: position.line,
                differences: self.differences(example),
            })
            .collect()
    }

    fn differences(&self, example: &Example) -> Vec<String> {
        let setting = match setting(example.time_zone.as_deref(), &example.settings) {
            Ok(setting) => setting,
            Err(message) => return vec![message],
        };
        let record = match Value::from_json(Json::Object(example.record.clone())) {
            Value::Map(record) => record,
            other => return vec![format!("record: a {} is no record", other.kind())],
        };
        let outcome = self.key(&record, &setting).and_then(|_| self.apply(&record, &setting));
        match (outcome, &example.rejected, example.outcome) {
            (Err(rejected), Some(reason), _) if rejected.to_string().contains(reason.as_str()) => Vec::new(),
            (Err(rejected), Some(reason), _) => vec![format!("rejected with \"{rejected}\", not with \"{reason}\"")],
            (Err(rejected), None, _) => vec![format!("rejected: {rejected}")],
            (Ok(_), Some(reason), _) => vec![format!("taken, where \"{reason}\" should reject it")],
            (Ok(Outcome::Skipped), None, Some(ExampleOutcome::Skipped))
            | (Ok(Outcome::Deleted), None, Some(ExampleOutcome::Deleted)) => Vec::new(),
            (Ok(Outcome::Skipped), None, _) => vec!["the record is skipped".to_owned()],
            (Ok(Outcome::Deleted), None, _) => vec!["the record is deleted".to_owned()],
            (Ok(Outcome::Part(_)), None, Some(wanted)) => {
                vec![format!("the record is taken, not {wanted:?}").to_lowercase()]
            }
            (Ok(Outcome::Part(mapped)), None, None) => {
                let mut content = mapped.content.value();
                if let (Some(owner), Json::Object(fields)) = (self.kind.owner(), &mut content) {
                    fields.insert(owner.field.to_owned(), Json::String(mapped.identity.number));
                }
                let mut differences = Vec::new();
                compare("", &Json::Object(example.expect.clone().unwrap_or_default()), &content, &mut differences);
                for field in &example.absent {
                    let pointer = format!("/{}", field.replace('.', "/"));
                    if let Some(found) = content.pointer(&pointer) {
                        differences.push(format!("{field}: is {found}, should be absent"));
                    }
                }
                differences
            }
        }
    }
}

/// What an example knows of a connection.
pub(super) fn setting(time_zone: Option<&str>, settings: &serde_json::Map<String, Json>) -> Result<Setting, String> {
    let zone = time_zone.map_or(Ok(TimeZone::UTC), TimeZone::get).map_err(|e| format!("time_zone: {e}"))?;
    let settings = Value::from_json(Json::Object(settings.clone()));
    Ok(Setting { company: "EXAMPLE".to_owned(), zone, settings })
}

/// Compares what is expected with what came out: fields that are not named do not matter, numbers by their value.
pub(super) fn compare(at: &str, expected: &Json, found: &Json, differences: &mut Vec<String>) {
    match (expected, found) {
        (Json::Object(wanted), Json::Object(fields)) => {
            for (name, value) in wanted {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                match fields.get(name) {
                    Some(field) => compare(&at, value, field, differences),
                    None => differences.push(format!("{at}: is absent, should be {value}")),
                }
            }
        }
        (Json::Array(wanted), Json::Array(items)) if wanted.len() == items.len() => {
            for (n, (value, item)) in wanted.iter().zip(items).enumerate() {
                compare(&format!("{at}[{n}]"), value, item, differences);
            }
        }
        (wanted, found) if same(wanted, found) => {}
        (wanted, found) => differences.push(format!("{at}: is {found}, should be {wanted}")),
    }
}

fn same(wanted: &Json, found: &Json) -> bool {
    if wanted == found {
        return true;
    }
    let number = |json: &Json| match json {
        Json::Number(n) => number_from_text(n.as_str()),
        Json::String(s) => number_from_text(s),
        _ => None,
    };
    matches!((wanted, found), (Json::Number(_), _)) && number(wanted).is_some() && number(wanted) == number(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    const ACCOUNTS: &str = r#"
entity = "customer"
stream = "accounts"
key = "ID"
where = "Status != 'P'"
deleted = "Status == 'X'"

[fields]
number = "Code.trim()"
name = "Name.trim()"
"payment_terms.code" = "PaymentConditionSales"
blocked = "Blocked ? 'all' : 'no'"
currency = "SalesCurrency.or('EUR')"

[[list]]
into = "contact"
from = "Contacts"
where = "Email != null"
fields = { id = "ID", name = "FullName", email = "Email.trim().lower()", role = "lookup('role', JobTitle, 'other')" }

[lookup.role]
"Inkoper" = "buyer"
"Financiën" = "finance"

[[test]]
name = "blocked account"
record = { ID = "a1", Code = " 1000 ", Name = "De Vries BV", Blocked = true, Contacts = [
    { ID = "c1", FullName = "A. Çelik", Email = " A.Celik@Example.NL ", JobTitle = "Inkoper" }, { ID = "c2", FullName = "B" } ] }
expect = { number = "1000", blocked = "all", currency = "EUR", contacts = [{ id = "c1", email = "a.celik@example.nl", role = "buyer" }] }
absent = ["payment_terms"]

[[test]]
name = "prospect"
record = { ID = "a2", Code = "1", Name = "P", Status = "P" }
outcome = "skipped"

[[test]]
name = "gone"
record = { ID = "a3", Code = "1", Name = "P", Status = "X" }
outcome = "deleted"

[[test]]
name = "a currency nobody knows"
record = { ID = "a4", Code = "1", Name = "P", SalesCurrency = "EUX" }
rejected = "ISO 4217"

[[test]]
name = "an expectation that does not hold"
record = { ID = "a5", Code = "1", Name = "P" }
expect = { name = "Q" }
"#;

    fn compile(text: &str) -> Result<Mapping, crate::config::Problems> {
        Mapping::compile(&Document::parse("mappings/erp/customer.toml", text))
    }

    #[test]
    fn examples_say_what_is_otherwise() {
        let mapping = compile(ACCOUNTS).unwrap_or_else(|problems| panic!("{problems}"));
        let results = mapping.examples();
        for result in &results[..4] {
            assert_eq!(result.differences, Vec::<String>::new(), "{}", result.name);
        }
        assert_eq!(results[4].differences, ["name: is \"P\", should be \"Q\""]);
    }

    #[test]
    fn every_fault_is_reported_at_once_with_its_place() {
        let faulty = ACCOUNTS
            .replace("blocked = ", "blokced = ")
            .replace("Name.trim()", "Name.trimm()")
            .replace("number = \"Code.trim()\"\n", "")
            .replace("lookup('role'", "lookup('rol'");
        let problems = compile(&faulty).unwrap_err();
        let text = problems.to_string();
        for wanted in ["blokced", "did you mean 'blocked'", "trimm", "required field 'number'", "rol"] {
            assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
        }
        assert!(text.contains("mappings/erp/customer.toml:9:"), "{text}");
    }

    #[test]
    fn a_rejection_names_field_and_line() {
        let mapping = compile(ACCOUNTS).unwrap();
        let setting = Setting {
            company: "NL01".to_owned(),
            zone: TimeZone::UTC,
            settings: Value::Map(crate::record::Map::default()),
        };
        let Value::Map(record) = Value::from_json(serde_json::json!({"ID": "1", "Code": "1", "Blocked": "J"})) else {
            panic!()
        };
        let rejected = mapping.apply(&record, &setting).unwrap_err();
        assert_eq!(rejected.file, "mappings/erp/customer.toml");
        assert!(rejected.line > 8, "{rejected}");
    }
}
