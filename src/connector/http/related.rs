//! Records that belong to others: streams that are asked for about the records of another stream, streams whose records
//! are joined to others, and records that are unfolded into several.
//!
//! What does not live here: asking for them (`walk`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::client::Client;
use super::manifest::{JoinFile, ParentsFile};
use crate::config::{KeyPath, suggest};
use crate::connector::check::{Checker, Merged, NAMES};
use crate::connector::format::ReadError;
use crate::expression::{Context, Expression, Fields};
use crate::record::{Map, Place, Record, Value};

/// Records of another stream that a stream is asked for about, when no number is given.
const PARENTS: u32 = 1;

/// Records that a joined stream is asked for about at once, when no number is given.
const JOINED: u32 = 50;

/// How a stream is asked for about the records of another one.
#[derive(Debug)]
pub struct ParentsPlan {
    /// The other stream.
    pub stream: String,
    /// About how many of its records at once.
    pub batch: usize,
    /// What is the same in all records of a batch.
    pub same: Option<Expression>,
    /// The field that takes the record that one was asked for about.
    pub into: Option<Arc<str>>,
    /// What tells it: over that record, and over the one that was asked for; none where a batch is one record.
    pub on: Option<(Expression, Expression)>,
}

/// How records of another stream are joined to those of a stream.
#[derive(Debug)]
pub struct JoinPlan {
    /// The other stream.
    pub stream: String,
    /// About how many records it is asked at once.
    pub batch: usize,
    /// What tells which belong together: over the record, and over the joined one.
    pub on: (Expression, Expression),
    /// The field that takes what is joined.
    pub into: Arc<str>,
    /// Whether that is a list.
    pub many: bool,
}

/// What a stream says of others.
#[derive(Debug)]
pub struct Relations<'a> {
    /// About the records of which other stream it is asked for.
    pub parents: Option<&'a ParentsPlan>,
    /// What is joined to its records.
    pub joins: &'a [Arc<JoinPlan>],
    /// Whether its request asks about records of another stream.
    pub asks_about: bool,
    /// Whether its records are folded.
    pub folds: bool,
}

impl ParentsPlan {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, written: &ParentsFile) -> Option<Self> {
        let batch = written.batch.unwrap_or(PARENTS) as usize;
        let over = |checker: &mut Checker, key: &str, source: Option<&String>| {
            source.map(|source| checker.expression(&at.key(key), source, Fields::Any, NAMES))
        };
        let same = over(checker, "same", written.same.as_ref());
        let key = over(checker, "key", written.key.as_ref());
        let by = over(checker, "by", written.by.as_ref().or(written.key.as_ref()));
        let into = written.into.as_deref().map(Arc::from);
        if into.is_some() && batch > 1 && written.key.is_none() {
            checker.missing(&at.key("key"));
            return None;
        }
        for (name, given) in [("key", written.key.is_some()), ("by", written.by.is_some())] {
            if given && into.is_none() {
                let hint = "name the field that takes the other stream's record with `into`, or leave it out";
                checker.refuse(&at.key(name), "nothing is put into the records", Some(hint));
                return None;
            }
        }
        let on = match (key, by) {
            (Some(key), Some(by)) => Some((key?, by?)),
            _ => None,
        };
        let same = match same {
            Some(same) => Some(same?),
            None => None,
        };
        Some(Self { stream: written.stream.clone(), batch, same, into, on })
    }
}

impl JoinPlan {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, written: &JoinFile) -> Option<Self> {
        let key = checker.expression(&at.key("key"), &written.key, Fields::Any, NAMES);
        let by = written.by.as_ref().unwrap_or(&written.key);
        let by = checker.expression(&at.key("by"), by, Fields::Any, NAMES);
        Some(Self {
            stream: written.stream.clone(),
            batch: written.batch.unwrap_or(JOINED) as usize,
            on: (key?, by?),
            into: Arc::from(written.into.as_str()),
            many: written.many,
        })
    }
}

/// Checks what streams say of each other: that they are there, ask about what they get, and form no circle. `faulty` are those
/// that have a problem of their own.
pub fn check(checker: &mut Checker, streams: &BTreeMap<&str, Relations>, faulty: &BTreeSet<&str>) {
    let root = KeyPath::root().key("stream");
    let mut joined: BTreeSet<&str> = BTreeSet::new();
    let mut others: BTreeMap<&str, Vec<(&str, KeyPath)>> = BTreeMap::new();
    for (name, relations) in streams {
        let at = root.key(name);
        let named = others.entry(name).or_default();
        named.extend(relations.parents.map(|parents| (parents.stream.as_str(), at.key("parents").key("stream"))));
        for (index, join) in relations.joins.iter().enumerate() {
            joined.insert(&join.stream);
            named.push((join.stream.as_str(), at.key("join").index(index).key("stream")));
        }
    }
    for (other, at) in others.values().flatten() {
        if !streams.contains_key(other) && !faulty.contains(other) {
            let hint = suggest::nearest(other, streams.keys().copied()).map(|near| format!("did you mean `{near}`?"));
            checker.refuse(at, format!("the manifest has no stream `{other}`"), hint.as_deref());
        }
    }
    for (name, relations) in streams {
        let at = root.key(name);
        if relations.parents.is_some() && joined.contains(name) {
            let hint = "a joined stream is asked about the records that it is joined to; leave out `parents`";
            checker.refuse(&at.key("parents"), "this stream is joined to another one", Some(hint));
        } else if relations.asks_about && relations.parents.is_none() && !joined.contains(name) {
            let hint = "say with `parents` about the records of which stream it asks, or join it to one";
            checker.refuse(&at.key("request"), "the request names `parents`, and there are none", Some(hint));
        }
        if relations.folds && others.values().flatten().any(|(other, _)| other == name) {
            let hint = "join them with `many`, or read the stream by itself";
            checker.refuse(&at.key("group"), "records that other streams need are not folded", Some(hint));
        }
        if let Some(at) = circle(name, &others) {
            checker.refuse(at, "streams ask about each other in a circle", None);
        }
    }
}

/// Where a stream names one through which it comes back to itself.
fn circle<'a>(name: &str, others: &'a BTreeMap<&str, Vec<(&str, KeyPath)>>) -> Option<&'a KeyPath> {
    let leads_back = |first: &str| {
        let (mut open, mut seen) = (vec![first.to_owned()], BTreeSet::new());
        while let Some(at) = open.pop() {
            if at == name {
                return true;
            }
            if seen.insert(at.clone()) {
                open.extend(others.get(at.as_str()).into_iter().flatten().map(|(other, _)| (*other).to_owned()));
            }
        }
        false
    };
    others.get(name)?.iter().find(|(other, _)| leads_back(other)).map(|(_, at)| at)
}

/// Compiles what a stream says of others; nothing with a problem.
#[allow(clippy::type_complexity)]
pub fn compile(checker: &mut Checker, merged: &Merged) -> Option<(Option<Arc<ParentsPlan>>, Vec<Arc<JoinPlan>>)> {
    let parents = match &merged.stream.parents {
        Some(written) => Some(Arc::new(ParentsPlan::compile(checker, &merged.key("parents"), written)?)),
        None => None,
    };
    let joins: Vec<Option<Arc<JoinPlan>>> = merged
        .stream
        .join
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, written)| JoinPlan::compile(checker, &merged.key("join").index(index), written).map(Arc::new))
        .collect();
    Some((parents, joins.into_iter().collect::<Option<_>>()?))
}

/// What an expression over a record gives, as a text that is compared: numbers and texts alike. Nothing where there is no
/// value.
///
/// # Errors
/// Where the expression fails.
pub fn told(expression: &Expression, record: &Map, client: &Client) -> Result<Option<String>, String> {
    let names = [("settings", client.settings())];
    let context = Context { record: record.into(), names: &names, zone: client.zone() };
    let value = expression.evaluate(&context).map_err(|error| error.to_string())?.into_value();
    Ok(match value {
        Value::Null => None,
        Value::Text(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.normalize().to_string()),
        other => Some(other.to_json().to_string()),
    })
}

/// The records of a batch, by what tells them.
///
/// # Errors
/// Where the expression fails for one of them.
pub fn by_key<'a>(
    expression: &Expression,
    records: impl Iterator<Item = &'a Map>,
    client: &Client,
) -> Result<HashMap<String, usize>, String> {
    let mut found = HashMap::new();
    for (at, record) in records.enumerate() {
        if let Some(key) = told(expression, record, client)? {
            found.entry(key).or_insert(at);
        }
    }
    Ok(found)
}

/// Records with the one of these parents that each was asked for about.
///
/// # Errors
/// Where it cannot be told of a parent what its key is.
pub fn with_parents(
    plan: &ParentsPlan,
    parents: &[Value],
    records: Vec<Result<Record, ReadError>>,
    client: &Client,
) -> Result<Vec<Result<Record, ReadError>>, String> {
    let Some(into) = &plan.into else { return Ok(records) };
    let maps = parents.iter().filter_map(|parent| match parent {
        Value::Map(map) => Some(map),
        _ => None,
    });
    let keys = match &plan.on {
        Some((key, _)) => by_key(key, maps, client)?,
        None => HashMap::new(),
    };
    let with_parent = |record: Record| {
        let Record { fields, place } = record;
        let mut map = fields.into_map();
        let parent = match &plan.on {
            None => parents.first(),
            Some((_, by)) => match told(by, &map, client) {
                Ok(told) => told.and_then(|told| parents.get(*keys.get(&told)?)),
                Err(message) => return Err(ReadError::Record { place, message }),
            },
        };
        map.set(into, parent.cloned().unwrap_or_default());
        Ok(Record { fields: map.into(), place })
    };
    Ok(records.into_iter().map(|record| record.and_then(with_parent)).collect())
}

/// The records that a stream's `where` does not leave out.
pub fn those_kept(
    condition: &Expression,
    records: Vec<Result<Record, ReadError>>,
    client: &Client,
) -> Vec<Result<Record, ReadError>> {
    let names = [("settings", client.settings())];
    let judged = records.into_iter().filter_map(|record| {
        let Record { fields, place } = match record {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let context = Context { record: fields.borrowed(), names: &names, zone: client.zone() };
        match condition.condition(&context) {
            Ok(true) => Some(Ok(Record { fields, place })),
            Ok(false) => None,
            Err(error) => {
                let message = format!("{error} (the stream's `where`)");
                Some(Err(ReadError::Record { place, message }))
            }
        }
    });
    judged.collect()
}

/// Unfolds records by a field: each element of a list there, and each entry of a map as `key` and `value`, makes a record of
/// its own, with the element in the field. A record without any stays one, without the field's value.
pub fn unfold(field: &str, records: Vec<Result<Record, ReadError>>) -> Vec<Result<Record, ReadError>> {
    let mut unfolded = Vec::with_capacity(records.len());
    for record in records {
        let Record { fields, place } = match record {
            Ok(record) => record,
            Err(error) => {
                unfolded.push(Err(error));
                continue;
            }
        };
        let mut map = fields.into_map();
        let elements = match map.get_mut(field).map(std::mem::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::List(elements)) => elements,
            Some(Value::Map(entries)) => entries.into_members().map(entry).collect(),
            Some(other) => {
                let message = format!("the field '{field}' is a {}, which cannot be unfolded", other.kind());
                unfolded.push(Err(ReadError::Record { place, message }));
                continue;
            }
        };
        let one = |map: Map, place: Place| Ok(Record { fields: map.into(), place });
        if elements.is_empty() {
            unfolded.push(one(map, place));
            continue;
        }
        for element in elements {
            let mut map = map.clone();
            map.set(field, element);
            unfolded.push(one(map, place.clone()));
        }
    }
    unfolded
}

fn entry((key, value): (Arc<str>, Value)) -> Value {
    Value::Map([("key", Value::Text(key.as_ref().to_owned())), ("value", value)].into_iter().collect())
}
