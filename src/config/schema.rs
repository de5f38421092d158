//! Judging a value by a JSON Schema that `schemars` made of our own types: every departure at once,
//! in words for the person who wrote the value.
//!
//! It covers what `schemars` emits for serde types (draft 2020-12): `type`, `properties`,
//! `required`, `additionalProperties`, `unevaluatedProperties`, `propertyNames`, `enum`, `const`,
//! `oneOf`, `anyOf`, `allOf`, `items`, `prefixItems`, `$ref`, the limits of numbers, texts and
//! lists, and `format`. Of `pattern` it knows the one of decimals; the reading type judges others.
//!
//! What does not live here: places in files (`document`).

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::formats::format_check;
use super::place::KeyPath;
use super::suggest::{nearest, one_of};
use super::violation::{
    first_sentence, is_of_type, not_allowed, same_type, type_name, unknown_key, violation, wrong_type,
};

pub use super::violation::{About, Violation};

/// The JSON Schema of a type as it is read.
pub fn of<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Everything in which `value` departs from `schema`, in the order of the value.
pub fn check(schema: &Value, value: &Value) -> Vec<Violation> {
    let mut violations = Vec::new();
    Checker { root: schema }.check(schema, value, &KeyPath::root(), &mut violations);
    violations
}

/// Follows a schema's `$ref`, within `root`.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    // Definitions of our own types are never circular by references alone; the bound is a belt.
    for _ in 0..16 {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => match root.pointer(reference.trim_start_matches('#')) {
                Some(target) => schema = target,
                None => return schema,
            },
            None => return schema,
        }
    }
    schema
}

#[derive(Clone, Copy)]
struct Checker<'a> {
    root: &'a Value,
}

impl<'a> Checker<'a> {
    fn check(self, schema: &'a Value, value: &Value, path: &KeyPath, out: &mut Vec<Violation>) {
        let Value::Object(rules) = schema else {
            if schema == &Value::Bool(false) {
                out.push(violation(path, About::Key, "this must not be given"));
            }
            return;
        };
        if rules.contains_key("$ref") {
            self.check(resolve(self.root, schema), value, path, out);
        }
        for part in list(rules, "allOf") {
            self.check(part, value, path, out);
        }
        for keyword in ["oneOf", "anyOf"] {
            let branches: Vec<&Value> = list(rules, keyword).collect();
            if !branches.is_empty() {
                self.check_branches(&branches, value, path, out);
            }
        }
        let types = types(rules);
        if !types.is_empty() && !types.iter().any(|name| is_of_type(value, name)) {
            out.push(wrong_type(path, &types, value));
            return;
        }
        if let Some(allowed) = allowed_values(rules)
            && !allowed.contains(&value)
        {
            out.push(not_allowed(path, &allowed, value));
            return;
        }
        match value {
            Value::Object(members) => self.check_object(schema, rules, members, path, out),
            Value::Array(items) => self.check_list(rules, items, path, out),
            Value::String(text) => check_text(rules, text, path, out),
            Value::Number(number) => check_number(rules, number.as_str(), path, out),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn check_object(
        self,
        schema: &'a Value,
        rules: &'a Map<String, Value>,
        members: &Map<String, Value>,
        path: &KeyPath,
        out: &mut Vec<Violation>,
    ) {
        let properties = rules.get("properties").and_then(Value::as_object);
        // Keys that parts of the same object (`allOf`, the chosen branch) declare are known as well.
        let known: Option<Vec<&str>> = rules
            .get("unevaluatedProperties")
            .is_some_and(|rule| rule == &Value::Bool(false))
            .then(|| self.property_names(schema));
        for (key, member) in members {
            let path = path.key(key);
            if let Some(rule) = rules.get("propertyNames") {
                let before = out.len();
                self.check(rule, &Value::String(key.clone()), &path, out);
                out.iter_mut().skip(before).for_each(|violation| violation.about = About::Key);
            }
            if let Some(property) = properties.and_then(|properties| properties.get(key)) {
                self.check(property, member, &path, out);
                continue;
            }
            match (rules.get("additionalProperties"), &known) {
                (Some(Value::Bool(false)), _) => {
                    let names = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    out.push(unknown_key(&path, key, names, members));
                }
                (Some(rule), _) => self.check(rule, member, &path, out),
                (None, Some(known)) if !known.contains(&key.as_str()) => {
                    out.push(unknown_key(&path, key, known.iter().copied(), members));
                }
                (None, _) => {}
            }
        }
        for name in list(rules, "required").filter_map(Value::as_str) {
            if !members.contains_key(name) {
                let mut missing = violation(&path.key(name), About::Missing, "this key is required and missing");
                missing.hint = properties
                    .and_then(|properties| properties.get(name))
                    .and_then(|property| {
                        property.get("description").or_else(|| resolve(self.root, property).get("description"))
                    })
                    .and_then(Value::as_str)
                    .map(first_sentence);
                out.push(missing);
            }
        }
    }

    fn property_names(self, schema: &'a Value) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        let Value::Object(rules) = schema else { return names };
        names.extend(
            rules.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()),
        );
        if rules.contains_key("$ref") {
            names.extend(self.property_names(resolve(self.root, schema)));
        }
        for keyword in ["allOf", "oneOf", "anyOf"] {
            for part in list(rules, keyword) {
                names.extend(self.property_names(part));
            }
        }
        names
    }

    fn check_list(self, rules: &'a Map<String, Value>, items: &[Value], path: &KeyPath, out: &mut Vec<Violation>) {
        let prefix: Vec<&Value> = list(rules, "prefixItems").collect();
        for (index, item) in items.iter().enumerate() {
            let path = path.index(index);
            if let Some(rule) = prefix.get(index).copied().or_else(|| rules.get("items")) {
                self.check(rule, item, &path, out);
            }
        }
        let count = items.len() as u64;
        if let Some(least) = rules.get("minItems").and_then(Value::as_u64).filter(|least| count < *least) {
            out.push(violation(path, About::Value, format!("at least {least} entries are needed, here are {count}")));
        }
        if let Some(most) = rules.get("maxItems").and_then(Value::as_u64).filter(|most| count > *most) {
            out.push(violation(path, About::Value, format!("at most {most} entries are possible, here are {count}")));
        }
        if rules.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = std::collections::HashSet::new();
            for (index, item) in items.iter().enumerate() {
                if !seen.insert(item.to_string()) {
                    out.push(violation(&path.index(index), About::Value, format!("{item} stands here twice")));
                }
            }
        }
    }

    /// The value must satisfy one branch; if it satisfies none, the errors of the one that was most
    /// likely meant are reported.
    fn check_branches(self, branches: &[&'a Value], value: &Value, path: &KeyPath, out: &mut Vec<Violation>) {
        let mut attempts = Vec::with_capacity(branches.len());
        for branch in branches {
            let mut violations = Vec::new();
            self.check(branch, value, path, &mut violations);
            if violations.is_empty() {
                return;
            }
            attempts.push((self.flat(branch), violations));
        }

        // The alternatives of a plain enumeration are a list of words.
        let words_of = |attempts: &[(&'a Map<String, Value>, Vec<Violation>)]| -> Option<Vec<&'a Value>> {
            let branches = attempts.iter().map(|(branch, _)| *branch).filter(|branch| types(branch) != ["null"]);
            let words = branches.map(allowed_values).collect::<Option<Vec<_>>>()?;
            Some(words.into_iter().flatten().collect())
        };
        if let Some(words) = words_of(&attempts) {
            out.push(if words.iter().any(|word| same_type(word, value)) {
                not_allowed(path, &words, value)
            } else {
                wrong_type(path, &words.first().map(|word| type_name(word)).into_iter().collect::<Vec<_>>(), value)
            });
            return;
        }

        attempts.retain(|(branch, _)| {
            let types = types(branch);
            types.is_empty() || types.iter().any(|name| is_of_type(value, name))
        });
        if attempts.is_empty() {
            let mut expected: Vec<&str> = Vec::new();
            for name in branches.iter().flat_map(|branch| types(self.flat(branch))) {
                if !expected.contains(&name) {
                    expected.push(name);
                }
            }
            out.push(wrong_type(path, &expected, value));
            return;
        }
        // A word, where the others are tables: `create = "open"` or `create = { bounded = "10m" }`.
        if let Some(words) = words_of(&attempts) {
            out.push(not_allowed(path, &words, value));
            return;
        }
        if attempts.len() > 1
            && let Value::Object(members) = value
            && Self::check_tag(&mut attempts, members, path, out)
        {
            return;
        }
        if let Some((_, violations)) = attempts.into_iter().min_by_key(|(_, violations)| violations.len()) {
            out.extend(violations);
        }
    }

    /// Keeps of several tables the one the value's tag names. True where that was impossible and has
    /// been reported.
    fn check_tag(
        attempts: &mut Vec<(&'a Map<String, Value>, Vec<Violation>)>,
        members: &Map<String, Value>,
        path: &KeyPath,
        out: &mut Vec<Violation>,
    ) -> bool {
        // `kind = "…"` inside the table (serde's internal tag).
        let tag_of = |branch: &'a Map<String, Value>| -> Vec<(&'a str, Vec<&'a Value>)> {
            let properties = branch.get("properties").and_then(Value::as_object).into_iter().flatten();
            properties
                .filter_map(|(name, rule)| Some((name.as_str(), allowed_values(rule.as_object()?)?)))
                .filter(|(name, _)| list(branch, "required").any(|required| required.as_str() == Some(name)))
                .collect()
        };
        let first = attempts.first().map(|(branch, _)| tag_of(branch)).unwrap_or_default();
        for (tag, _) in first {
            let values: Option<Vec<Vec<&Value>>> = attempts
                .iter()
                .map(|(branch, _)| tag_of(branch).into_iter().find(|(name, _)| *name == tag).map(|(_, values)| values))
                .collect();
            let Some(values) = values else { continue };
            let all: Vec<&Value> = values.iter().flatten().copied().collect();
            match members.get(tag) {
                None => {
                    let mut missing = violation(&path.key(tag), About::Missing, "this key is required and missing");
                    missing.hint = Some(format!("it is {}", one_of(all.iter().filter_map(|value| value.as_str()))));
                    out.push(missing);
                    return true;
                }
                Some(given) if !all.contains(&given) => {
                    out.push(not_allowed(&path.key(tag), &all, given));
                    return true;
                }
                Some(given) => {
                    let mut matches = values.iter().map(|values| values.contains(&given));
                    attempts.retain(|_| matches.next().unwrap_or(false));
                    return false;
                }
            }
        }
        // `{ env = … }` or `{ file = … }`: the key names the alternative.
        let key_of = |branch: &'a Map<String, Value>| list(branch, "required").find_map(Value::as_str);
        let Some(keys) = attempts.iter().map(|(branch, _)| key_of(branch)).collect::<Option<Vec<&str>>>() else {
            return false;
        };
        let distinct = keys.iter().enumerate().all(|(index, key)| !keys.iter().take(index).any(|other| other == key));
        if !distinct {
            return false;
        }
        let given: Vec<&str> = keys.iter().copied().filter(|key| members.contains_key(*key)).collect();
        match given.as_slice() {
            [] => {
                let mut wrong =
                    violation(path, About::Value, format!("this table needs {}", one_of(keys.iter().copied())));
                let near = members.keys().find_map(|key| nearest(key, keys.iter().copied()));
                wrong.hint = near.map(|near| format!("did you mean `{near}`?"));
                out.push(wrong);
                true
            }
            [one] => {
                attempts.retain(|(branch, _)| key_of(branch) == Some(one));
                false
            }
            several => {
                let message = format!("only one of {} is possible here", one_of(several.iter().copied()));
                out.push(violation(path, About::Value, message));
                true
            }
        }
    }

    /// The rules of a branch, behind its `$ref`.
    fn flat(self, branch: &'a Value) -> &'a Map<String, Value> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        resolve(self.root, branch).as_object().unwrap_or(&EMPTY)
    }
}

fn check_text(rules: &Map<String, Value>, text: &str, path: &KeyPath, out: &mut Vec<Violation>) {
    let length = text.chars().count() as u64;
    if let Some(least) = rules.get("minLength").and_then(Value::as_u64).filter(|least| length < *least) {
        let message = match (least, length) {
            (_, 0) => "this text must not be empty".to_owned(),
            _ => format!("this text needs at least {least} characters and has {length}"),
        };
        out.push(violation(path, About::Value, message));
        return;
    }
    if let Some(most) = rules.get("maxLength").and_then(Value::as_u64).filter(|most| length > *most) {
        out.push(violation(path, About::Value, format!("this text may have {most} characters and has {length}")));
        return;
    }
    // The pattern `schemars` writes for decimals.
    let decimal =
        rules.get("pattern").and_then(Value::as_str).is_some_and(|pattern| pattern.starts_with(r"^-?\d+(\.\d+)?"));
    let format = rules.get("format").and_then(Value::as_str).or(decimal.then_some("decimal"));
    if let Some(Err(wrong)) = format.and_then(format_check).map(|check| check(text)) {
        out.push(violation(path, About::Value, wrong.to_string()));
    }
}

fn check_number(rules: &Map<String, Value>, digits: &str, path: &KeyPath, out: &mut Vec<Violation>) {
    let number = Decimal::from_str_exact(digits).or_else(|_| Decimal::from_scientific(digits)).ok();
    let limit = |name: &str| match rules.get(name) {
        Some(Value::Number(limit)) => {
            limit.as_str().parse::<Decimal>().or_else(|_| Decimal::from_scientific(limit.as_str())).ok()
        }
        _ => None,
    };
    let (bottom, top) = match rules.get("format").and_then(Value::as_str) {
        Some("uint" | "uint64") => (Some(Decimal::ZERO), Some(Decimal::from(u64::MAX))),
        Some("int" | "int64") => (Some(Decimal::from(i64::MIN)), Some(Decimal::from(i64::MAX))),
        Some("uint32") => (Some(Decimal::ZERO), Some(Decimal::from(u32::MAX))),
        Some("int32") => (Some(Decimal::from(i32::MIN)), Some(Decimal::from(i32::MAX))),
        _ => (None, None),
    };
    let least = limit("minimum").max(bottom);
    let most = match (limit("maximum"), top) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let Some(number) = number else {
        // Beyond 28 digits: too large for any limit, and for exact arithmetic.
        out.push(violation(path, About::Value, format!("{digits} has more digits than can be kept exactly (28)")));
        return;
    };
    if let Some(least) = least.filter(|least| number < *least) {
        out.push(violation(path, About::Value, format!("{digits} is too small; the least is {least}")));
    } else if let Some(most) = most.filter(|most| number > *most) {
        out.push(violation(path, About::Value, format!("{digits} is too large; the most is {most}")));
    } else if let Some(bound) = limit("exclusiveMinimum").filter(|bound| number <= *bound) {
        out.push(violation(path, About::Value, format!("{digits} is too small; it must be above {bound}")));
    } else if let Some(bound) = limit("exclusiveMaximum").filter(|bound| number >= *bound) {
        out.push(violation(path, About::Value, format!("{digits} is too large; it must be below {bound}")));
    }
}

fn list<'a>(rules: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'a Value> {
    rules.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn types(rules: &Map<String, Value>) -> Vec<&str> {
    match rules.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn allowed_values(rules: &Map<String, Value>) -> Option<Vec<&Value>> {
    match (rules.get("const"), rules.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Machine {
        /// What it is called. There is more to say.
        #[schemars(extend("format" = "name"))]
        name: String,
        transport: Transport,
        #[serde(default)]
        level: Option<Level>,
        #[serde(default)]
        secret: Option<Source>,
        #[serde(default)]
        either: Option<Either>,
        #[serde(default)]
        count: u16,
        #[serde(default)]
        price: Option<Decimal>,
        #[serde(default)]
        tables: std::collections::BTreeMap<String, Vec<u8>>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
    #[allow(dead_code)]
    enum Transport {
        /// Files.
        File { pattern: String, encoding: Option<String> },
        /// Requests.
        Http { base: String },
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Level {
        /// Less.
        Low,
        /// More.
        High,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    #[allow(dead_code)]
    enum Source {
        Env(String),
        File(String),
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(untagged)]
    #[allow(dead_code)]
    enum Either {
        Text(String),
        Many(Vec<String>),
    }

    fn says(value: &Value) -> Vec<String> {
        check(&of::<Machine>(), value)
            .into_iter()
            .map(|v| {
                format!("{}: {}{}", v.path, v.message, v.hint.map(|hint| format!(" ({hint})")).unwrap_or_default())
            })
            .collect()
    }

    fn with(extra: &Value) -> Value {
        let mut value = json!({"name": "a", "transport": {"kind": "file", "pattern": "*.csv"}});
        value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        value
    }

    #[test]
    fn what_serde_reads_passes() {
        let value = with(&json!({"level": "low", "secret": {"env": "X"}, "either": ["a"], "count": 3,
            "price": "1.50", "tables": {"any": [1, 2]}}));
        assert_eq!(says(&value), [""; 0]);
        serde_json::from_value::<Machine>(value).unwrap();
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        assert_eq!(
            says(&json!({"nmae": "x", "transport": {"kind": "file", "patern": "*", "pattern": 5}, "count": "7",
                "tables": {"any": [1, 300, -1]}})),
            [
                "nmae: unknown key `nmae` (did you mean `name`?)",
                "transport.patern: unknown key `patern` (the other keys possible here: encoding)",
                "transport.pattern: expected a text, found a number (put it in quotes: \"5\")",
                "count: expected a whole number, found a text (write it without quotes: 7)",
                "tables.any[1]: 300 is too large; the most is 255",
                "tables.any[2]: -1 is too small; the least is 0",
                "name: this key is required and missing (What it is called)",
            ]
        );
    }

    #[test]
    fn of_alternatives_the_one_meant_is_judged() {
        assert_eq!(
            says(&with(&json!({"transport": {"kind": "htp", "base": "x"}}))),
            ["transport.kind: `htp` is not possible here; use `file` or `http` (did you mean `http`?)"]
        );
        assert_eq!(
            says(&with(&json!({"transport": {"kind": "http"}}))),
            ["transport.base: this key is required and missing"]
        );
        assert_eq!(
            says(&with(&json!({"transport": {"base": "x"}}))),
            ["transport.kind: this key is required and missing (it is `file` or `http`)"]
        );
        assert_eq!(says(&with(&json!({"transport": 3}))), ["transport: expected a table, found a number"]);
        assert_eq!(
            says(&with(&json!({"level": "hihg"}))),
            ["level: `hihg` is not possible here; use `low` or `high` (did you mean `high`?)"]
        );
        assert_eq!(
            says(&with(&json!({"level": 1}))),
            ["level: expected a text, found a number (put it in quotes: \"1\")"]
        );
        assert_eq!(
            says(&with(&json!({"secret": {"evn": "X"}}))),
            ["secret: this table needs `env` or `file` (did you mean `env`?)"]
        );
        assert_eq!(
            says(&with(&json!({"secret": {"env": "X", "file": "y"}}))),
            ["secret: only one of `env` or `file` is possible here"]
        );
        assert_eq!(
            says(&with(&json!({"secret": {"env": 1}}))),
            ["secret.env: expected a text, found a number (put it in quotes: \"1\")"]
        );
        assert_eq!(
            says(&with(&json!({"either": true}))),
            ["either: expected a text or a list, found true or false (put it in quotes: \"true\")"]
        );
        assert_eq!(
            says(&with(&json!({"either": ["a", 1]}))),
            ["either[1]: expected a text, found a number (put it in quotes: \"1\")"]
        );
    }

    #[test]
    fn formats_are_judged() {
        assert_eq!(says(&with(&json!({"price": "1,50"}))).len(), 1);
        assert!(says(&with(&json!({"name": "A b"}))).concat().starts_with("name: `A b` is no name"));
    }
}
