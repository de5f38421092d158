//! Applying a compiled mapping to records: pure, one record at a time.

use serde_json::{Map as JsonMap, Value as Json};

use super::compile::{ListTarget, Mapping, Placed, Target};
use super::convert::{convert, not_text, short};
use crate::expression::Context;
use crate::model::hash::{ContentHash, content_hash};
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
    /// The canonical content.
    pub content: Json,
    /// The content's hash.
    pub hash: ContentHash,
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
        let mut canonical = self.record(&self.fields, "", &context)?;
        for list in &self.lists {
            let items = self.list(list, &context, &names)?;
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
        let hash = content_hash(&body);
        Ok(Outcome::Part(Box::new(Mapped { company, identity, content: body, hash })))
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
