//! Applying a compiled mapping to records: pure, one record at a time.

use serde_json::{Map as JsonMap, Value as Json};

use super::compile::{ListTarget, Mapping, Placed, Target};
use super::convert::{convert, not_text, short};
use super::write::Amiss;
use crate::expression::Context;
use crate::model::Content;
use crate::model::identity::{self, Identity};
use crate::model::shape;
use crate::record::{FieldsRef, Seen, Value};

/// What a mapping needs to know of the connection.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The connection's company.
    pub company: String,
    /// The connection's time zone.
    pub zone: jiff::tz::TimeZone,
    /// The connection's settings that are no secrets, as the variable `settings`.
    pub settings: Value,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is a part.
    Part(Box<Mapped>),
    /// It says that it is deleted.
    Deleted,
    /// The mapping does not take it.
    Skipped,
}

/// A record as a canonical part.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The company.
    pub company: String,
    /// Its place among the parts.
    pub identity: Identity,
    /// The canonical content with its hash.
    pub content: Content,
}

/// Why a record is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message} ({file}:{line})")]
pub struct Rejected {
    /// The field or key of the mapping that failed.
    pub field: String,
    /// Why.
    pub message: String,
    /// The mapping file.
    pub file: String,
    /// The line in it.
    pub line: usize,
}

impl Mapping {
    /// The key of a record in its stream.
    pub fn key<'a>(&self, record: impl Into<FieldsRef<'a>>, setting: &Setting) -> Result<String, Rejected> {
        let names = [("settings", &setting.settings)];
        let context = Context { record: record.into(), names: &names, zone: &setting.zone };
        self.named("key", &self.key, &context)
    }

    /// A text that a record must have.
    fn named(&self, field: &str, placed: &Placed, context: &Context) -> Result<String, Rejected> {
        match self.evaluate(field, placed, context)? {
            value if value.is_empty() => Err(self.rejected(field, placed, format!("the record has no {field}"))),
            Seen::Text(text) => Ok(text.into_owned()),
            Seen::Number(number) => Ok(number.to_string()),
            other => Err(self.rejected(field, placed, not_text(&other))),
        }
    }

    /// What becomes of a record.
    pub fn apply<'a>(&self, record: impl Into<FieldsRef<'a>>, setting: &Setting) -> Result<Outcome, Rejected> {
        self.outcome(record.into(), setting)
    }

    fn outcome(&self, record: FieldsRef, setting: &Setting) -> Result<Outcome, Rejected> {
        let names = [("settings", &setting.settings)];
        let context = Context { record, names: &names, zone: &setting.zone };
        if let Some(condition) = &self.condition
            && !self.holds("where", condition, &context)?
        {
            return Ok(Outcome::Skipped);
        }
        if let Some(deleted) = &self.deleted
            && self.holds("deleted", deleted, &context)?
        {
            return Ok(Outcome::Deleted);
        }
        let company = match &self.company {
            None => setting.company.clone(),
            Some(company) => self.named("company", company, &context)?,
        };
        let part = self.write(&context).or_else(|Amiss| self.carefully(&context));
        part.map(|(identity, content)| Outcome::Part(Box::new(Mapped { company, identity, content })))
    }

    /// A record's place and content, step by step: what is wrong is found in the order of the fields, and is said.
    fn carefully(&self, context: &Context) -> Result<(Identity, Content), Rejected> {
        let mut canonical = self.record(&self.fields, "", context)?;
        for list in &self.lists {
            let items = self.list(list, context, context.names)?;
            if !items.is_empty() {
                canonical.insert(list.name.clone(), Json::Array(items));
            }
        }
        let mut body = Json::Object(canonical);
        let identity = identity::of(self.kind, &mut body).map_err(|invalid| self.invalid(&invalid))?;
        shape::check(self.kind, &body).map_err(|findings| {
            let first = findings.first().map(|f| self.invalid(f));
            first.unwrap_or_else(|| self.rejected("fields", &self.key, "the record is not valid".to_owned()))
        })?;
        Ok((identity, Content::of(self.kind, &body)))
    }

    fn record(&self, targets: &[Target], within: &str, context: &Context) -> Result<JsonMap<String, Json>, Rejected> {
        let mut record = JsonMap::new();
        for target in targets {
            let name = || format!("{within}{}", target.name);
            let value = target.value.expression.evaluate(context);
            let value = value.map_err(|e| self.rejected(&name(), &target.value, e.to_string()))?;
            match convert(&target.kind, &value.into_value()) {
                Ok(Some(json)) => set(&mut record, &target.path, json),
                Ok(None) => {}
                Err(message) => return Err(self.rejected(&name(), &target.value, message)),
            }
        }
        Ok(record)
    }

    fn list(&self, list: &ListTarget, context: &Context, names: &[(&str, &Value)]) -> Result<Vec<Json>, Rejected> {
        let from = self.evaluate(&list.name, &list.from, context)?;
        let single;
        let items = match from {
            Seen::Null => return Ok(Vec::new()),
            Seen::List(ref items) => &**items,
            one => {
                single = one.into_value();
                std::slice::from_ref(&single)
            }
        };
        let mut mapped = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let within = format!("{}[{at}].", list.name);
            let Value::Map(fields) = item else {
                let message = format!("element {} is a {}, not a record", at + 1, item.kind());
                return Err(self.rejected(&list.name, &list.from, message));
            };
            let context = Context { record: fields.into(), names, zone: context.zone };
            if let Some(condition) = &list.condition
                && !self.holds(&format!("{within}where"), condition, &context)?
            {
                continue;
            }
            mapped.push(Json::Object(self.record(&list.fields, &within, &context)?));
        }
        Ok(mapped)
    }

    fn evaluate<'a>(&self, field: &str, placed: &'a Placed, context: &'a Context<'a>) -> Result<Seen<'a>, Rejected> {
        placed.evaluate(&self.file, field, context)
    }

    fn holds(&self, field: &str, placed: &Placed, context: &Context) -> Result<bool, Rejected> {
        placed.holds(&self.file, field, context)
    }

    fn rejected(&self, field: &str, placed: &Placed, message: String) -> Rejected {
        placed.rejected(&self.file, field, message)
    }

    /// A finding about the finished record, at the line that fills the field.
    fn invalid(&self, invalid: &crate::model::Invalid) -> Rejected {
        let head = invalid.field.split(['.', '[']).next().unwrap_or_default();
        let filled = self
            .fields
            .iter()
            .find(|t| t.name == invalid.field)
            .or_else(|| self.fields.iter().find(|t| t.path[0] == head));
        let list = self.lists.iter().find(|l| l.name == head).map(|l| &l.from);
        let placed = filled.map(|t| &t.value).or(list).unwrap_or(&self.key);
        self.rejected(&invalid.field, placed, short(&invalid.message))
    }
}

impl Placed {
    pub fn evaluate<'a>(&'a self, file: &str, field: &str, context: &'a Context<'a>) -> Result<Seen<'a>, Rejected> {
        self.expression.evaluate(context).map_err(|e| self.rejected(file, field, e.to_string()))
    }

    pub fn holds(&self, file: &str, field: &str, context: &Context) -> Result<bool, Rejected> {
        self.expression.condition(context).map_err(|e| self.rejected(file, field, e.to_string()))
    }

    pub fn rejected(&self, file: &str, field: &str, message: String) -> Rejected {
        Rejected { field: field.to_owned(), message, file: file.to_owned(), line: self.position.line }
    }
}

fn set(record: &mut JsonMap<String, Json>, path: &[String], value: Json) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        record.insert(first.clone(), value);
    } else {
        let inner = record.entry(first.clone()).or_insert_with(|| Json::Object(JsonMap::new()));
        if let Json::Object(inner) = inner {
            set(inner, rest, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Document;
    use crate::connector::format::Encoding;
    use crate::connector::format::Reader as _;
    use crate::connector::format::csv::{CsvReader, Format};
    use crate::record::Map;

    fn mapping(text: &str) -> Mapping {
        Mapping::compile(&Document::parse("m.toml", text)).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn setting() -> Setting {
        Setting { company: "NL01".to_owned(), zone: jiff::tz::TimeZone::UTC, settings: Value::Map(Map::default()) }
    }

    /// What both ways make of a record; nothing where the straight way leaves it to the careful one.
    #[allow(clippy::type_complexity)]
    fn both(
        mapping: &Mapping,
        record: FieldsRef,
    ) -> (Option<(Identity, Content)>, Result<(Identity, Content), Rejected>) {
        let setting = setting();
        let names = [("settings", &setting.settings)];
        let context = Context { record, names: &names, zone: &setting.zone };
        (mapping.write(&context).ok(), mapping.carefully(&context))
    }

    #[test]
    fn both_ways_make_the_same_of_the_demo() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let format = Format { encoding: Encoding::of("windows-1252").unwrap(), delimiter: b';', ..Format::default() };
        for (name, file) in [
            ("address", "adressen"),
            ("contact", "contacten"),
            ("credit", "kredieten"),
            ("customer", "klanten"),
            ("customer_article", "klantartikelen"),
            ("delivery_term", "leveringsvoorwaarden"),
            ("price_agreement", "prijsafspraken"),
            ("product", "artikelen"),
            ("stock", "voorraad"),
        ] {
            let document = Document::load(&here.join(format!("mappings/csv-export/{name}.toml"))).unwrap();
            let mapping = Mapping::compile(&document).unwrap();
            let bytes = std::fs::File::open(here.join(format!("config/demo/export/{file}.csv"))).unwrap();
            let mut reader = CsvReader::new(Box::new(bytes), file, &format).unwrap();
            let (mut straight, mut all) = (0, 0);
            while let Some(record) = reader.next() {
                let record = record.unwrap();
                let (quick, careful) = both(&mapping, (&record.fields).into());
                straight += usize::from(quick.is_some());
                all += 1;
                match quick {
                    Some(written) => assert_eq!(Ok(written), careful, "{name}, {}", record.place),
                    None => assert!(careful.is_err(), "{name}, {}", record.place),
                }
                let mut kept = Vec::new();
                record.fields.write_json(&mut kept);
                let kept = crate::record::Fields::from_json_text(&kept).unwrap();
                assert_eq!(both(&mapping, (&kept).into()).1, careful, "{name}, kept, {}", record.place);
            }
            assert!(straight * 10 > all * 9, "{name}: {straight} of {all} records go straight");
        }
    }

    #[test]
    fn the_straight_way_is_as_strict_as_the_careful_one() {
        let kinds = [
            (
                "price_agreement",
                "id = 'id'\nkind = 'kind'\nvalue = 'value'\ncurrency = 'currency'\nunit = 'unit'\nvalid_from = 'from'\n\
                 valid_to = 'to'\npriority = 'n'\ncombinable = 'flag'\nprice_per = 'per'\nminimum_quantity = 'least'",
                r#"{"id": "1", "kind": "net_price", "value": "12.50", "currency": "EUR", "unit": "C62", "from": "2026-01-01",
                    "to": "2026-12-31", "n": "10", "flag": true, "per": 100, "least": "1"}"#,
            ),
            (
                "product",
                "number = 'id'\n\"base_unit.code\" = 'unit'\n\"base_unit.erp\" = 'erp'\nnames = 'names'\nweight = 'w'\n\
                 groups = 'l'\nreplenishment_lead_time = 'n'\nunits = 'units'\nmade_to_order = 'flag'\nlength = 'length'\n\
                 order_multiple = 'value'",
                r#"{"id": "1", "unit": "C62", "erp": "ST", "names": {"nl": "a", "en": "b"}, "l": ["x", "y"], "n": 3,
                    "units": [{"unit": "BX", "factor": "10"}, {"unit": {"code": "MTR"}, "factor": 1}], "flag": false,
                    "length": {"value": 36, "unit": "MMT"}, "value": "5"}"#,
            ),
            (
                "customer",
                "number = 'id'\nname = 'erp'\ncurrency = 'currency'\nlanguage = 'language'\n\"payment_terms.code\" = 'code'\n\
                 \"payment_terms.days\" = 'n'\nblocked = 'blocked'\ngroups = 'l'\ncontacts = 'contacts'",
                r#"{"id": "1", "erp": "A", "currency": "EUR", "language": "nl-BE", "code": "30", "n": "30", "blocked": "no",
                    "l": "x", "contacts": [{"id": "c", "name": "C", "approval_limit": {"amount": "5", "currency": "EUR"}}]}"#,
            ),
            (
                "stock",
                "product = 'id'\nwarehouse = 'code'\navailable = 'value'\nincoming = 'incoming'",
                r#"{"id": "1", "code": "M", "value": "-5", "incoming": [{"date": "2026-01-01", "quantity": "5"}]}"#,
            ),
            (
                "contact",
                "customer = 'owner'\nid = 'id'\nname = 'erp'\nrole = 'role'\napproval_limit = 'money'",
                r#"{"owner": "10000", "id": "1", "erp": "A", "role": "buyer",
                    "money": {"currency": "EUR", "amount": "2500.00"}}"#,
            ),
        ];
        let odd = r#"[null, "", " ", "x", "0", "-1", "100.5", "2025-12-31", "2027-02-29", "-0001-01-01", "99999999999",
            0, -1, 0.50, 4294967296, true, false, "discount_percent", "MTR", "EUX", "nl", "no", [], ["", null], ["x"], {},
            {"code": "XX"}, {"erp": "x"}, {"code": "C62", "erp": ""}, {"code": " "}, [{"id": ""}], {"nl": ""},
            [{"unit": "BX", "factor": "0"}], [{"unit": "ZZZ", "factor": "1"}], [{"factor": "1"}], [1, 2],
            [{"id": "c", "name": " ", "approval_limit": {"amount": "-5", "currency": "EUR"}}], {"id": "c", "nmae": "x"},
            {"value": "1", "unit": {"code": "MMT", "erp": null}}, {"amount": "1"}, "1e400", 12345678901234567890123456789,
            [{"date": "2026-02-30", "quantity": "1"}], {"date": "2026-02-03", "quantity": 1}]"#;
        let odd: Vec<Json> = serde_json::from_str(odd).unwrap();
        for (kind, fields, record) in kinds {
            let fields = fields.replace("\nweight = 'w'", "");
            let mapping = mapping(
                &format!("entity = \"{kind}\"\nstream = \"s\"\nkey = \"id\"\n[fields]\n{fields}\n").replace('\'', "\""),
            );
            let whole: serde_json::Map<String, Json> = serde_json::from_str(record).unwrap();
            let names: Vec<&String> = whole.keys().collect();
            let mut straight = 0;
            let mut tried = |record: serde_json::Map<String, Json>| {
                let shown = Json::Object(record.clone()).to_string();
                let Value::Map(map) = Value::from_json(Json::Object(record)) else { panic!() };
                let (quick, careful) = both(&mapping, (&map).into());
                straight += usize::from(quick.is_some());
                if let Some(written) = quick {
                    assert_eq!(Ok(written), careful, "{kind}: {shown}");
                }
            };
            tried(whole.clone());
            for (at, name) in names.iter().enumerate() {
                for value in &odd {
                    let mut one = whole.clone();
                    one.insert((*name).clone(), value.clone());
                    tried(one.clone());
                    // Also with a field less, and with the next one odd.
                    one.insert(names[(at + 1) % names.len()].clone(), Json::Null);
                    tried(one.clone());
                    one.insert(names[(at + 1) % names.len()].clone(), odd[at % odd.len()].clone());
                    tried(one);
                }
            }
            assert!(straight > 20, "{kind}: {straight} records go straight");
        }
    }
}
