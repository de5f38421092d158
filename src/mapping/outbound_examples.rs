//! Running the examples of an outbound mapping file.

use serde_json::{Map, Value as Json};

use super::examples::{ExampleResult, compare, setting};
use super::outbound::{Outbound, is_added};
use super::outbound_file::OutboundExample;
use crate::model::Order;
use crate::record::Value;

impl Outbound {
    /// Runs the file's examples.
    pub fn examples(&self) -> Vec<ExampleResult> {
        self.examples
            .iter()
            .map(|(example, position)| ExampleResult {
                name: example.name.clone(),
                line: position.line,
                differences: self.differences(example).unwrap_or_else(|message| vec![message]),
            })
            .collect()
    }

    fn differences(&self, example: &OutboundExample) -> Result<Vec<String>, String> {
        let setting = setting(example.time_zone.as_deref(), &example.settings)?;
        let Value::Map(order) = Value::from_json(Json::Object(order(&example.order)?)) else {
            return Err("order: is no record".to_owned());
        };
        let request = match (self.apply(&order, &setting), &example.rejected) {
            (Ok(request), None) => request,
            (Ok(_), Some(reason)) => return Err(format!("taken, where \"{reason}\" should reject it")),
            (Err(rejected), None) => return Err(format!("rejected: {rejected}")),
            (Err(rejected), Some(reason)) if rejected.to_string().contains(reason.as_str()) => return Ok(Vec::new()),
            (Err(rejected), Some(reason)) => {
                return Err(format!("rejected with \"{rejected}\", not with \"{reason}\""));
            }
        };
        let request = without_nulls(Value::Map(request).to_json());
        let mut differences = Vec::new();
        let expected = Json::Object(example.expect.clone().unwrap_or_default());
        compare("", &nested(expected), &request, &mut differences);
        for path in &example.absent {
            if let Some(found) = request.pointer(&format!("/{path}")) {
                differences.push(format!("{path}: is {found}, should be absent"));
            }
        }
        Ok(differences)
    }
}

/// The order of an example as it would be handed over: a valid one as it is stored, with its lines numbered.
fn order(example: &Map<String, Json>) -> Result<Map<String, Json>, String> {
    let (added, mut posted): (Map<_, _>, Map<_, _>) = example.clone().into_iter().partition(|(name, _)| is_added(name));
    for (at, line) in posted.get_mut("lines").and_then(Json::as_array_mut).into_iter().flatten().enumerate() {
        if let Some(line) = line.as_object_mut() {
            line.entry("number").or_insert_with(|| Json::from(at + 1));
        }
    }
    let posted: Order = serde_json::from_value(Json::Object(posted)).map_err(|e| format!("order: {e}"))?;
    if let Some(invalid) = posted.check().first() {
        return Err(format!("order: {invalid}"));
    }
    match serde_json::to_value(posted) {
        Ok(Json::Object(order)) => Ok(order.into_iter().chain(added).collect()),
        Ok(_) => Err("order: is no record".to_owned()),
        Err(error) => Err(format!("order: {error}")),
    }
}

/// An expectation with its paths written out as nested records.
fn nested(expected: Json) -> Json {
    match expected {
        Json::Object(fields) => {
            let mut tree = Map::new();
            for (path, value) in fields {
                let mut inner = &mut tree;
                let mut steps = path.split('/').peekable();
                while let Some(step) = steps.next() {
                    if steps.peek().is_none() {
                        inner.insert(step.to_owned(), nested(value));
                        break;
                    }
                    let next = inner.entry(step.to_owned()).or_insert_with(|| Json::Object(Map::new()));
                    match next {
                        Json::Object(next) => inner = next,
                        _ => break,
                    }
                }
            }
            Json::Object(tree)
        }
        Json::Array(items) => Json::Array(items.into_iter().map(nested).collect()),
        other => other,
    }
}

fn without_nulls(json: Json) -> Json {
    match json {
        Json::Object(fields) => Json::Object(
            fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name, without_nulls(v))).collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
