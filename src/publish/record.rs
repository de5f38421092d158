//! An entity as a shop sees it: its main part's content with the lists of its parts, and where all that came from.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::{Entity, Key, PartKind};
use crate::store::Part;

/// An assembled entity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// What it is.
    #[serde(skip)]
    pub entity: Entity,
    /// Its key.
    #[serde(skip)]
    pub key: Key,
    /// The canonical content.
    #[serde(flatten)]
    pub content: Map<String, Value>,
    /// Where it came from.
    pub meta: RecordMeta,
}

/// What a record carries beside its content.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RecordMeta {
    /// The record's key, `COMPANY~NUMBER`: with it the record is read and recognised in the change feed.
    pub key: String,
    /// The company (legal entity) it belongs to.
    pub company: String,
    /// When its content last changed: the newest change of its parts.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub changed_at: Timestamp,
    /// Where its parts came from, the main part first.
    pub sources: Vec<PartSource>,
}

/// Where a part of a record came from.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PartSource {
    /// The kind of part.
    pub part: PartKind,
    /// Its identifier within the record; absent for the main part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The connection it came from.
    pub connection: String,
    /// The stream it came from.
    pub stream: String,
    /// Its key in the stream.
    pub source_key: String,
    /// The run that brought this content.
    pub run: String,
}

/// Assembles entities from their parts, which come by key and main part first.
pub fn assemble(parts: Vec<Part>) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for part in parts {
        match records.last_mut().filter(|record| record.key == part.key) {
            Some(record) => record.add(part),
            None if part.kind.is_main() => records.push(Record::of(part)),
            None => {}
        }
    }
    records
}

impl Record {
    fn of(part: Part) -> Self {
        let meta = RecordMeta {
            key: part.key.to_string(),
            company: part.key.company.clone(),
            changed_at: part.changed_at,
            sources: vec![PartSource::of(&part)],
        };
        let content = match part.content {
            Value::Object(content) => content,
            _ => Map::new(),
        };
        Self { entity: part.kind.entity(), key: part.key, content, meta }
    }

    fn add(&mut self, part: Part) {
        let Some(owner) = part.kind.owner() else { return };
        self.meta.changed_at = self.meta.changed_at.max(part.changed_at);
        self.meta.sources.push(PartSource::of(&part));
        let list = self.content.entry(owner.list).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            // What stands in a table of its own counts before what was nested under the same identifier.
            match list.iter_mut().find(|item| item.get("id").and_then(Value::as_str) == Some(&part.part)) {
                Some(nested) => *nested = part.content,
                None => list.push(part.content),
            }
        }
    }

    /// A text of the content.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.content.get(field).and_then(Value::as_str)
    }

    /// A list of texts of the content.
    pub(super) fn texts(&self, field: &str) -> impl Iterator<Item = &str> {
        self.content.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The customers whose article numbers are among the content.
    pub(super) fn article_customers(&self) -> impl Iterator<Item = Key> {
        let articles = self.content.get(ARTICLES).and_then(Value::as_array);
        articles.into_iter().flatten().filter_map(article_customer).map(|n| Key::new(&self.key.company, n))
    }

    /// Keeps the article numbers of some customers.
    pub(super) fn keep_articles(&mut self, keep: impl Fn(&Key) -> bool) {
        let company = &self.key.company;
        let Some(Value::Array(articles)) = self.content.get_mut(ARTICLES) else { return };
        articles.retain(|a| article_customer(a).is_some_and(|n| keep(&Key::new(company, n))));
        if articles.is_empty() {
            self.content.shift_remove(ARTICLES);
        }
    }
}

/// A product's list of customers' own numbers.
const ARTICLES: &str = "customer_articles";

fn article_customer(article: &Value) -> Option<&str> {
    article.get("customer").and_then(Value::as_str)
}

impl PartSource {
    fn of(part: &Part) -> Self {
        Self {
            part: part.kind,
            id: Some(part.part.clone()).filter(|id| !id.is_empty()),
            connection: part.connection.clone(),
            stream: part.stream.clone(),
            source_key: part.source_key.clone(),
            run: part.run.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn part(kind: PartKind, number: &str, id: &str, content: Value, second: i64) -> Part {
        Part {
            kind,
            key: Key::new("NL01", number),
            part: id.to_owned(),
            content,
            hash: [0; 16],
            connection: "erp".to_owned(),
            stream: kind.name().to_owned(),
            source_key: format!("{number}/{id}"),
            run: "r".to_owned(),
            mapping: "m".to_owned(),
            changed_at: Timestamp::from_second(second).unwrap(),
            sequence: None,
        }
    }

    #[test]
    fn parts_join_the_lists_of_their_entity_and_date_it() {
        let nested = json!({"number": "1", "contacts": [{"id": "7", "name": "old"}, {"id": "8", "name": "B"}]});
        let records = assemble(vec![
            part(PartKind::Customer, "1", "", nested, 10),
            part(PartKind::Address, "1", "a", json!({"id": "a", "city": "Ede"}), 30),
            part(PartKind::Contact, "1", "7", json!({"id": "7", "name": "new"}), 20),
            part(PartKind::Customer, "2", "", json!({"number": "2"}), 10),
        ]);
        assert_eq!(records.len(), 2);
        let first = serde_json::to_value(&records[0]).unwrap();
        assert_eq!(first["contacts"], json!([{"id": "7", "name": "new"}, {"id": "8", "name": "B"}]));
        assert_eq!(first["addresses"], json!([{"id": "a", "city": "Ede"}]));
        assert_eq!(first["meta"]["changed_at"], json!("1970-01-01T00:00:30Z"));
        assert_eq!(first["meta"]["sources"][1]["source_key"], json!("1/a"));
        assert_eq!(records[1].meta.key, "NL01~2");
    }
}
