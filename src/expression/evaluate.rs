//! Evaluating a checked expression on a record.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rust_decimal::Decimal;

use super::functions::{LONGEST, MOST, too_long};
use super::node::{Arithmetic, Comparison, Kind, Node};
use super::{Context, number};
use crate::record::{Map, Value};

/// Why an expression has no value for a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, in `{snippet}`")]
pub struct EvaluationError {
    /// What is wrong and what to do.
    pub message: String,
    /// The part of the expression.
    pub snippet: String,
}

/// What a part of an expression sees.
#[derive(Clone, Copy)]
struct Sight<'e> {
    context: &'e Context<'e>,
    source: &'e str,
    /// The variables of the enclosing list macros, the innermost first.
    local: Option<&'e Local<'e>>,
}

struct Local<'e> {
    value: &'e Value,
    outer: Option<&'e Local<'e>>,
}

type Answer<'e> = Result<Cow<'e, Value>, EvaluationError>;

static NULL: Value = Value::Null;

pub(super) fn evaluate<'a>(root: &'a Node, source: &'a str, context: &'a Context<'a>) -> Answer<'a> {
    value(root, Sight { context, source, local: None })
}

pub(super) fn error(source: &str, node: &Node, message: impl Into<String>) -> EvaluationError {
    EvaluationError { message: message.into(), snippet: short(source.get(node.at.clone()).unwrap_or(source)) }
}

/// A text cut to what a message can carry.
pub(super) fn short(text: &str) -> String {
    const LENGTH: usize = 60;
    if text.chars().count() <= LENGTH { text.to_owned() } else { text.chars().take(LENGTH).chain(['…']).collect() }
}

pub(super) fn truth(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(b) => Ok(*b),
        value if value.is_empty() => Ok(false),
        Value::Text(text) => Err(format!("the text '{}' is no condition; compare it, as in x == 'J'", short(text))),
        other => Err(format!("a {} is no condition; compare it", other.kind())),
    }
}

fn condition(node: &Node, sight: Sight) -> Result<bool, EvaluationError> {
    let answer = value(node, sight)?;
    truth(&answer).map_err(|message| error(sight.source, node, message))
}

fn value<'e>(node: &'e Node, sight: Sight<'e>) -> Answer<'e> {
    let fail = |message: String| error(sight.source, node, message);
    let boolean = |b: bool| Ok(Cow::Owned(Value::Bool(b)));
    match &node.kind {
        Kind::Literal(literal) => Ok(Cow::Borrowed(literal)),
        Kind::Field { name, hint } => match sight.context.record.get_near(name, hint.load(Relaxed)) {
            Some((at, found)) => {
                hint.store(at, Relaxed);
                Ok(Cow::Borrowed(found))
            }
            None => Ok(Cow::Borrowed(&NULL)),
        },
        Kind::Record => Ok(Cow::Owned(Value::Map(sight.context.record.clone()))),
        Kind::Name(at) => Ok(Cow::Borrowed(sight.context.names.get(*at).map_or(&NULL, |(_, v)| *v))),
        Kind::Local(depth) => {
            let mut local = sight.local;
            for _ in 0..*depth {
                local = local.and_then(|l| l.outer);
            }
            Ok(Cow::Borrowed(local.map_or(&NULL, |l| l.value)))
        }
        Kind::Select(of, name) => select(value(of, sight)?, name).map_err(fail),
        Kind::Index(of, key) => {
            if let (Kind::Record, Kind::Literal(Value::Text(name))) = (&of.kind, &key.kind) {
                return Ok(Cow::Borrowed(sight.context.record.get(name).unwrap_or(&NULL)));
            }
            let key = value(key, sight)?;
            match &*key {
                Value::Text(name) => select(value(of, sight)?, name).map_err(fail),
                Value::Number(at) => element(value(of, sight)?, *at).map_err(fail),
                Value::Null => Ok(Cow::Borrowed(&NULL)),
                other => Err(fail(format!("a {} is no key", other.kind()))),
            }
        }
        Kind::Not(inner) => boolean(!condition(inner, sight)?),
        Kind::And(a, b) => boolean(condition(a, sight)? && condition(b, sight)?),
        Kind::Or(a, b) => boolean(condition(a, sight)? || condition(b, sight)?),
        Kind::Conditional(test, yes, no) => value(if condition(test, sight)? { yes } else { no }, sight),
        Kind::Negate(inner) => match &*value(inner, sight)? {
            Value::Number(n) => Ok(Cow::Owned(Value::Number(-*n))),
            v if v.is_empty() => Ok(Cow::Borrowed(&NULL)),
            other => Err(fail(format!("a {} has no negative; convert it with decimal()", other.kind()))),
        },
        Kind::Arithmetic(operation, a, b) => {
            arithmetic(*operation, &*value(a, sight)?, &*value(b, sight)?).map(Cow::Owned).map_err(fail)
        }
        Kind::Compare(comparison, a, b) => {
            compare(*comparison, &*value(a, sight)?, &*value(b, sight)?).map_err(fail).and_then(boolean)
        }
        Kind::In(item, list) => {
            let item = value(item, sight)?;
            match &*value(list, sight)? {
                Value::List(items) => boolean(items.iter().any(|i| i == &*item)),
                Value::Map(map) => match &*item {
                    Value::Text(name) => boolean(map.get(name).is_some()),
                    _ => boolean(false),
                },
                v if v.is_empty() => boolean(false),
                other => Err(fail(format!("'in' needs a list, found {}", other.kind()))),
            }
        }
        Kind::List(items) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|i| value(i, sight).map(Cow::into_owned)).collect();
            Ok(Cow::Owned(Value::List(items?)))
        }
        Kind::Map(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for (name, entry) in entries {
                map.push(Arc::clone(name), value(entry, sight)?.into_owned());
            }
            Ok(Cow::Owned(Value::Map(map)))
        }
        Kind::Coalesce(first, second) => {
            let first = value(first, sight)?;
            if first.is_empty() { value(second, sight) } else { Ok(first) }
        }
        Kind::Present(inner) => boolean(!value(inner, sight)?.is_empty()),
        Kind::Lookup { name, table, key, default } => {
            let key = value(key, sight)?;
            let found = match &*key {
                Value::Text(key) => table.get(key),
                Value::Number(key) => table.get(&key.to_string()),
                Value::Bool(key) => table.get(if *key { "true" } else { "false" }),
                Value::Null => None,
                other => return Err(fail(format!("a {} is no key of a lookup", other.kind()))),
            };
            match (found, default) {
                (Some(found), _) => Ok(Cow::Borrowed(found)),
                (None, Some(default)) => value(default, sight),
                (None, None) if key.is_empty() => Ok(Cow::Borrowed(&NULL)),
                (None, None) => {
                    let key = key.to_json().to_string().replace('"', "'");
                    Err(fail(format!("the lookup '{name}' has no {}; add it, or give a default", short(&key))))
                }
            }
        }
        Kind::Matches { text, pattern } => match &*value(text, sight)? {
            Value::Text(text) => boolean(pattern.is_match(text)),
            v if v.is_empty() => boolean(false),
            other => Err(fail(format!("matches needs text, found {}", other.kind()))),
        },
        Kind::Round { value: amount, divisor, places, mode } => {
            let amount = value(amount, sight)?;
            let divisor = divisor.as_deref().map(|d| value(d, sight)).transpose()?;
            let one = Value::Number(Decimal::ONE);
            match (&*amount, divisor.as_deref().unwrap_or(&one)) {
                (Value::Number(amount), Value::Number(divisor)) => number::divide(*amount, *divisor, *places, *mode)
                    .map(|n| Cow::Owned(Value::Number(n)))
                    .map_err(fail),
                (a, b) if a.is_empty() || b.is_empty() => Ok(Cow::Borrowed(&NULL)),
                (Value::Number(_), other) | (other, _) => {
                    Err(fail(format!("round needs a number, found {}; convert it with decimal()", other.kind())))
                }
            }
        }
        Kind::Each { list, condition: test, body } => {
            let mut results = Vec::new();
            each(list, node, sight, |sight| {
                let taken = match test {
                    Some(test) => condition(test, sight)?,
                    None => true,
                };
                if taken {
                    results.push(value(body, sight)?.into_owned());
                }
                Ok(true)
            })?;
            Ok(Cow::Owned(Value::List(results)))
        }
        Kind::Exists { list, condition: test } => {
            let mut found = false;
            each(list, node, sight, |sight| {
                found = condition(test, sight)?;
                Ok(!found)
            })?;
            boolean(found)
        }
        Kind::All { list, condition: test } => {
            let mut holds = true;
            each(list, node, sight, |sight| {
                holds = condition(test, sight)?;
                Ok(holds)
            })?;
            boolean(holds)
        }
        Kind::Call(function, arguments) => {
            let arguments: Result<Vec<_>, _> = arguments.iter().map(|a| value(a, sight)).collect();
            function.call(&arguments?, sight.context.zone).map(Cow::Owned).map_err(fail)
        }
    }
}

/// Calls `body` with each element of a list as the local variable, until it says no.
fn each<'e>(
    list: &'e Node,
    node: &Node,
    sight: Sight<'e>,
    mut body: impl for<'i> FnMut(Sight<'i>) -> Result<bool, EvaluationError>,
) -> Result<(), EvaluationError> {
    let list = value(list, sight)?;
    let items = match &*list {
        Value::List(items) => items.as_slice(),
        v if v.is_empty() => &[],
        // Many formats write a list of one as the one.
        single => std::slice::from_ref(single),
    };
    if items.len() > MOST {
        return Err(error(sight.source, node, format!("the list has more than {MOST} elements")));
    }
    for item in items {
        let local = Local { value: item, outer: sight.local };
        if !body(Sight { local: Some(&local), ..sight })? {
            break;
        }
    }
    Ok(())
}

fn select<'e>(of: Cow<'e, Value>, name: &str) -> Result<Cow<'e, Value>, String> {
    match of {
        Cow::Borrowed(Value::Map(map)) => Ok(Cow::Borrowed(map.get(name).unwrap_or(&NULL))),
        Cow::Owned(Value::Map(mut map)) => Ok(Cow::Owned(map.get_mut(name).map(std::mem::take).unwrap_or_default())),
        other if other.is_empty() => Ok(Cow::Borrowed(&NULL)),
        other => Err(format!("a {} has no field '{name}'", other.kind())),
    }
}

fn element(of: Cow<'_, Value>, at: Decimal) -> Result<Cow<'_, Value>, String> {
    let at = usize::try_from(at).map_err(|_| format!("{at} is no position in a list"))?;
    match of {
        Cow::Borrowed(Value::List(items)) => Ok(Cow::Borrowed(items.get(at).unwrap_or(&NULL))),
        Cow::Owned(Value::List(mut items)) => {
            Ok(Cow::Owned(if at < items.len() { items.swap_remove(at) } else { Value::Null }))
        }
        other if other.is_empty() => Ok(Cow::Borrowed(&NULL)),
        other => Err(format!("a {} has no elements", other.kind())),
    }
}

fn arithmetic(operation: Arithmetic, a: &Value, b: &Value) -> Result<Value, String> {
    match (a, b) {
        (a, b) if a.is_empty() || b.is_empty() => Ok(Value::Null),
        (Value::Number(a), Value::Number(b)) => match operation {
            Arithmetic::Add => number::add(*a, *b),
            Arithmetic::Subtract => number::add(*a, -*b),
            Arithmetic::Multiply => number::multiply(*a, *b),
        }
        .map(Value::Number),
        (Value::Text(a), Value::Text(b)) if operation == Arithmetic::Add => {
            if a.len() + b.len() > LONGEST {
                Err(too_long())
            } else {
                Ok(Value::Text(format!("{a}{b}")))
            }
        }
        (Value::List(a), Value::List(b)) if operation == Arithmetic::Add => {
            if a.len() + b.len() > MOST {
                return Err(format!("the list has more than {MOST} elements"));
            }
            Ok(Value::List(a.iter().chain(b).cloned().collect()))
        }
        (a, b) => Err(mixed(a, b)),
    }
}

fn compare(comparison: Comparison, a: &Value, b: &Value) -> Result<bool, String> {
    let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let order = match (a, b) {
        (a, b) if a.is_empty() || b.is_empty() => {
            let equal = a.is_empty() && b.is_empty();
            return Ok(match comparison {
                Comparison::Equal => equal,
                Comparison::NotEqual => !equal,
                _ => false,
            });
        }
        (Value::Number(a), Value::Number(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) if equality => a.cmp(b),
        (Value::List(_), Value::List(_)) | (Value::Map(_), Value::Map(_)) if equality => {
            if a == b {
                Ordering::Equal
            } else {
                Ordering::Less
            }
        }
        (a, b) => return Err(mixed(a, b)),
    };
    Ok(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

fn mixed(a: &Value, b: &Value) -> String {
    let mend = match (a, b) {
        (Value::Number(_), Value::Text(_)) | (Value::Text(_), Value::Number(_)) => {
            "; convert the text with decimal(), or the number with string()"
        }
        _ => "",
    };
    format!("a {} and a {} do not go together{mend}", a.kind(), b.kind())
}
