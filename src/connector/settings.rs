//! The settings of a connection, held against what the manifest asks for.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::manifest::{SettingFile, SettingType};
use crate::config::{Document, KeyPath, Problem, Problems, Secret, SettingValue, schema, suggest};
use crate::record::{Map, Value};

/// Checks the declaration of a setting in a manifest.
pub fn check_declaration(
    name: &str,
    setting: &SettingFile,
    document: &Document,
    at: &KeyPath,
    problems: &mut Problems,
) {
    let identifier = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !identifier {
        let message = format!("`{name}` cannot be the name of a setting");
        let hint = "use small letters, digits and `_`, as expressions write it: `settings.base_url`";
        problems.push(document.problem_with_key(at, message).hint(hint));
    }
    match (setting.kind, &setting.choices) {
        (SettingType::Choice, None) => {
            let problem = document.problem_with_key(&at.key("choices"), "a choice needs `choices`");
            problems.push(problem.hint("list the possible texts: choices = [\"keep\", \"archive\"]"));
        }
        (kind, Some(_)) if kind != SettingType::Choice => {
            problems
                .push(document.problem_with_key(&at.key("choices"), "only a setting of type `choice` has `choices`"));
        }
        _ => {}
    }
    let Some(default) = &setting.default else { return };
    let path = at.key("default");
    if setting.required {
        problems
            .push(document.problem_with_key(&path, "a required setting has no default").hint("leave one of them out"));
    }
    if setting.kind == SettingType::Secret {
        problems.push(document.problem(&path, "a secret must not stand in a manifest").hint("leave out the default"));
        return;
    }
    problems.append(departures(setting, default, document, &path));
}

/// Holds the settings of a connection against the manifest's. Gives those that are no secrets, by name.
///
/// # Errors
/// Every setting that is missing, unknown, of the wrong type or a secret written out, with its place.
pub fn check_settings(
    connector: &str,
    declared: &BTreeMap<String, SettingFile>,
    given: &BTreeMap<String, SettingValue>,
    document: &Document,
    at: &KeyPath,
) -> Result<Value, Problems> {
    let mut problems = Problems::default();
    for name in given.keys().filter(|name| !declared.contains_key(*name)) {
        let message = format!("the connector `{connector}` has no setting `{name}`");
        let problem = document.problem_with_key(&at.key(name), message);
        problems.push(match suggest::nearest(name, declared.keys().map(String::as_str)) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None if declared.is_empty() => problem.hint("it has none"),
            None => problem.hint(format!("its settings are {}", suggest::one_of(declared.keys().map(String::as_str)))),
        });
    }
    let mut plain = Map::default();
    for (name, setting) in declared {
        let path = at.key(name);
        match (given.get(name), &setting.default) {
            (None, Some(default)) => plain.push(name.as_str().into(), Value::from_json(default.clone())),
            (None, None) if setting.required => {
                let problem =
                    document.problem_with_key(&path, format!("the connector `{connector}` needs this setting"));
                problems.push(problem.hint(setting.help.clone()));
            }
            (None, None) => {}
            (Some(SettingValue::Secret(_)), _) if setting.kind == SettingType::Secret => {}
            (Some(SettingValue::Secret(_)), _) => {
                let problem = document.problem(&path, "this setting is no secret: it is written out");
                problems.push(problem.hint(setting.help.clone()));
            }
            (Some(_), _) if setting.kind == SettingType::Secret => {
                let problem = document.problem(&path, "a secret must not stand in the configuration");
                problems.push(problem.hint("use { env = \"…\" } or { file = \"…\" }"));
            }
            (Some(given), _) => {
                let written = document.value(&path).unwrap_or(&Json::Null);
                problems.append(departures(setting, written, document, &path));
                plain.push(name.as_str().into(), plain_value(given));
            }
        }
    }
    problems.into_result()?;
    Ok(Value::Map(plain))
}

/// The settings with the secrets among them, and the secrets by themselves: for what goes to the system and nowhere else.
pub fn secrets(plain: &Value, given: &BTreeMap<String, SettingValue>) -> (Value, Vec<Secret>) {
    let Value::Map(mut all) = plain.clone() else { return (plain.clone(), Vec::new()) };
    let mut secrets = Vec::new();
    for (name, value) in given {
        if let SettingValue::Secret(secret) = value {
            all.set(name, Value::Text(secret.reveal().to_owned()));
            secrets.push(secret.clone());
        }
    }
    (Value::Map(all), secrets)
}

/// Everything in which a value departs from what the setting asks for.
fn departures(setting: &SettingFile, value: &Json, document: &Document, path: &KeyPath) -> Vec<Problem> {
    let schema = match setting.kind {
        SettingType::Text | SettingType::Directory | SettingType::Secret => json!({ "type": "string", "minLength": 1 }),
        SettingType::Number => json!({ "type": "number" }),
        SettingType::Bool => json!({ "type": "boolean" }),
        SettingType::List => json!({ "type": "array" }),
        SettingType::Choice => json!({ "enum": setting.choices }),
    };
    let problem = |violation: schema::Violation| {
        let problem = document.problem(path, violation.message);
        Problem { hint: violation.hint, ..problem }
    };
    schema::check(&schema, value).into_iter().map(problem).collect()
}

/// The value of a setting that is no secret.
fn plain_value(value: &SettingValue) -> Value {
    match value {
        SettingValue::Text(text) => Value::Text(text.clone()),
        SettingValue::Number(number) => Value::Number(*number),
        SettingValue::Bool(truth) => Value::Bool(*truth),
        SettingValue::List(items) => Value::List(items.iter().map(plain_value).collect()),
        // Taken out before; shown to nobody.
        SettingValue::Secret(_) => Value::Null,
    }
}
