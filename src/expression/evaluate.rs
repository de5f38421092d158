//! Evaluating a checked expression on a record.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rust_decimal::Decimal;

use super::functions::{LONGEST, MOST, too_long};
use super::node::{Arithmetic, Comparison, Kind, Node};
use super::{Context, number};
use crate::record::{FieldsRef, Map, Seen, Value};

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

/// The error is boxed: values are handed on far more often than errors.
type Answer<'e> = Result<Seen<'e>, Box<EvaluationError>>;

pub(super) fn evaluate<'a>(
    root: &'a Node,
    source: &'a str,
    context: &'a Context<'a>,
) -> Result<Seen<'a>, EvaluationError> {
    value(root, Sight { context, source, local: None }).map_err(|error| *error)
}

pub(super) fn error(source: &str, node: &Node, message: impl Into<String>) -> EvaluationError {
    EvaluationError { message: message.into(), snippet: short(source.get(node.at.clone()).unwrap_or(source)) }
}

/// A text cut to what a message can carry.
pub(super) fn short(text: &str) -> String {
    const LENGTH: usize = 60;
    if text.chars().count() <= LENGTH { text.to_owned() } else { text.chars().take(LENGTH).chain(['…']).collect() }
}

pub(super) fn truth(value: &Seen) -> Result<bool, String> {
    match value {
        Seen::Bool(b) => Ok(*b),
        value if value.is_empty() => Ok(false),
        Seen::Text(text) => Err(format!("the text '{}' is no condition; compare it, as in x == 'J'", short(text))),
        other => Err(format!("a {} is no condition; compare it", other.kind())),
    }
}

fn condition(node: &Node, sight: Sight) -> Result<bool, Box<EvaluationError>> {
    let answer = value(node, sight)?;
    truth(&answer).map_err(|message| Box::new(error(sight.source, node, message)))
}

fn value<'e>(node: &'e Node, sight: Sight<'e>) -> Answer<'e> {
    let fail = |message: String| Box::new(error(sight.source, node, message));
    let boolean = |b: bool| Ok(Seen::Bool(b));
    match &node.kind {
        Kind::Literal(literal) => Ok(Seen::from(literal)),
        Kind::Field { name, hint } => {
            let near = hint.load(Relaxed);
            match sight.context.record.get_near(name, near) {
                Some((at, found)) => {
                    if at != near {
                        hint.store(at, Relaxed);
                    }
                    Ok(found)
                }
                None => Ok(Seen::Null),
            }
        }
        Kind::Record => Ok(match sight.context.record {
            FieldsRef::Map(map) => Seen::Map(Cow::Borrowed(map)),
            FieldsRef::Row(row) => Seen::Map(Cow::Owned(row.to_map())),
        }),
        Kind::Name(at) => Ok(sight.context.names.get(*at).map_or(Seen::Null, |(_, v)| Seen::from(*v))),
        Kind::Local(depth) => {
            let mut local = sight.local;
            for _ in 0..*depth {
                local = local.and_then(|l| l.outer);
            }
            Ok(local.map_or(Seen::Null, |l| Seen::from(l.value)))
        }
        Kind::Select(of, name) => select(value(of, sight)?, name).map_err(fail),
        Kind::Index(of, key) => {
            let key = value(key, sight)?;
            match &key {
                Seen::Text(name) => select(value(of, sight)?, name).map_err(fail),
                Seen::Number(at) => element(value(of, sight)?, *at).map_err(fail),
                Seen::Null => Ok(Seen::Null),
                other => Err(fail(format!("a {} is no key", other.kind()))),
            }
        }
        Kind::Not(inner) => boolean(!condition(inner, sight)?),
        Kind::And(a, b) => boolean(condition(a, sight)? && condition(b, sight)?),
        Kind::Or(a, b) => boolean(condition(a, sight)? || condition(b, sight)?),
        Kind::Conditional(test, yes, no) => value(if condition(test, sight)? { yes } else { no }, sight),
        Kind::Negate(inner) => match value(inner, sight)? {
            Seen::Number(n) => Ok(Seen::Number(-n)),
            v if v.is_empty() => Ok(Seen::Null),
            other => Err(fail(format!("a {} has no negative; convert it with decimal()", other.kind()))),
        },
        Kind::Arithmetic(operation, a, b) => arithmetic(*operation, &value(a, sight)?, &value(b, sight)?).map_err(fail),
        Kind::Compare(comparison, a, b) => {
            compare(*comparison, &value(a, sight)?, &value(b, sight)?).map_err(fail).and_then(boolean)
        }
        Kind::In(item, list) => {
            let item = value(item, sight)?;
            match &value(list, sight)? {
                Seen::List(items) => boolean(items.iter().any(|i| Seen::from(i) == item)),
                Seen::Map(map) => match &item {
                    Seen::Text(name) => boolean(map.get(name).is_some()),
                    _ => boolean(false),
                },
                v if v.is_empty() => boolean(false),
                other => Err(fail(format!("'in' needs a list, found {}", other.kind()))),
            }
        }
        Kind::List(items) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|i| value(i, sight).map(Seen::into_value)).collect();
            Ok(Seen::List(Cow::Owned(items?)))
        }
        Kind::Map(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for (name, entry) in entries {
                map.push(Arc::clone(name), value(entry, sight)?.into_value());
            }
            Ok(Seen::Map(Cow::Owned(map)))
        }
        Kind::Coalesce(first, second) => {
            let first = value(first, sight)?;
            if first.is_empty() { value(second, sight) } else { Ok(first) }
        }
        Kind::Present(inner) => boolean(!value(inner, sight)?.is_empty()),
        Kind::Lookup { name, table, key, default } => {
            let key = value(key, sight)?;
            let found = match &key {
                Seen::Text(key) => table.get(&**key),
                Seen::Number(key) => table.get(&key.to_string()),
                Seen::Bool(key) => table.get(if *key { "true" } else { "false" }),
                Seen::Null => None,
                other => return Err(fail(format!("a {} is no key of a lookup", other.kind()))),
            };
            match (found, default) {
                (Some(found), _) => Ok(Seen::from(found)),
                (None, Some(default)) => value(default, sight),
                (None, None) if key.is_empty() => Ok(Seen::Null),
                (None, None) => {
                    let key = key.into_value().to_json().to_string().replace('"', "'");
                    Err(fail(format!("the lookup '{name}' has no {}; add it, or give a default", short(&key))))
                }
            }
        }
        Kind::Matches { text, pattern } => match &value(text, sight)? {
            Seen::Text(text) => boolean(pattern.is_match(text)),
            v if v.is_empty() => boolean(false),
            other => Err(fail(format!("matches needs text, found {}", other.kind()))),
        },
        Kind::Round { value: amount, divisor, places, mode } => {
            let amount = value(amount, sight)?;
            let divisor = divisor.as_deref().map_or(Ok(Seen::Number(Decimal::ONE)), |d| value(d, sight))?;
            match (&amount, &divisor) {
                (Seen::Number(amount), Seen::Number(divisor)) => {
                    number::divide(*amount, *divisor, *places, *mode).map(Seen::Number).map_err(fail)
                }
                (a, b) if a.is_empty() || b.is_empty() => Ok(Seen::Null),
                (Seen::Number(_), other) | (other, _) => {
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
                    results.push(value(body, sight)?.into_value());
                }
                Ok(true)
            })?;
            Ok(Seen::List(Cow::Owned(results)))
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
            let mut values = [Seen::Null, Seen::Null, Seen::Null];
            for (argument, place) in arguments.iter().zip(&mut values) {
                *place = value(argument, sight)?;
            }
            let count = arguments.len().min(values.len());
            function.call(&mut values[..count], sight.context.zone).map_err(fail)
        }
    }
}

/// Calls `body` with each element of a list as the local variable, until it says no.
fn each<'e>(
    list: &'e Node,
    node: &Node,
    sight: Sight<'e>,
    mut body: impl for<'i> FnMut(Sight<'i>) -> Result<bool, Box<EvaluationError>>,
) -> Result<(), Box<EvaluationError>> {
    let list = value(list, sight)?;
    let single;
    let items = match list {
        Seen::List(ref items) => &**items,
        v if v.is_empty() => &[],
        // Many formats write a list of one as the one.
        one => {
            single = one.into_value();
            std::slice::from_ref(&single)
        }
    };
    if items.len() > MOST {
        return Err(Box::new(error(sight.source, node, format!("the list has more than {MOST} elements"))));
    }
    for item in items {
        let local = Local { value: item, outer: sight.local };
        if !body(Sight { local: Some(&local), ..sight })? {
            break;
        }
    }
    Ok(())
}

fn select<'e>(of: Seen<'e>, name: &str) -> Result<Seen<'e>, String> {
    match of {
        Seen::Map(Cow::Borrowed(map)) => Ok(map.get(name).map_or(Seen::Null, Seen::from)),
        Seen::Map(Cow::Owned(mut map)) => Ok(map.get_mut(name).map(std::mem::take).map_or(Seen::Null, Seen::from)),
        other if other.is_empty() => Ok(Seen::Null),
        other => Err(format!("a {} has no field '{name}'", other.kind())),
    }
}

fn element(of: Seen, at: Decimal) -> Result<Seen, String> {
    let at = usize::try_from(at).map_err(|_| format!("{at} is no position in a list"))?;
    match of {
        Seen::List(Cow::Borrowed(items)) => Ok(items.get(at).map_or(Seen::Null, Seen::from)),
        Seen::List(Cow::Owned(mut items)) => {
            Ok(if at < items.len() { Seen::from(items.swap_remove(at)) } else { Seen::Null })
        }
        other if other.is_empty() => Ok(Seen::Null),
        other => Err(format!("a {} has no elements", other.kind())),
    }
}

fn arithmetic(operation: Arithmetic, a: &Seen, b: &Seen) -> Result<Seen<'static>, String> {
    match (a, b) {
        (a, b) if a.is_empty() || b.is_empty() => Ok(Seen::Null),
        (Seen::Number(a), Seen::Number(b)) => match operation {
            Arithmetic::Add => number::add(*a, *b),
            Arithmetic::Subtract => number::add(*a, -*b),
            Arithmetic::Multiply => number::multiply(*a, *b),
        }
        .map(Seen::Number),
        (Seen::Text(a), Seen::Text(b)) if operation == Arithmetic::Add => {
            if a.len() + b.len() > LONGEST {
                Err(too_long())
            } else {
                Ok(Seen::Text(Cow::Owned([&**a, &**b].concat())))
            }
        }
        (Seen::List(a), Seen::List(b)) if operation == Arithmetic::Add => {
            if a.len() + b.len() > MOST {
                return Err(format!("the list has more than {MOST} elements"));
            }
            Ok(Seen::List(Cow::Owned(a.iter().chain(b.iter()).cloned().collect())))
        }
        (a, b) => Err(mixed(a, b)),
    }
}

fn compare(comparison: Comparison, a: &Seen, b: &Seen) -> Result<bool, String> {
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
        (Seen::Number(a), Seen::Number(b)) => a.cmp(b),
        (Seen::Text(a), Seen::Text(b)) => a.cmp(b),
        (Seen::Bool(a), Seen::Bool(b)) if equality => a.cmp(b),
        (Seen::List(_), Seen::List(_)) | (Seen::Map(_), Seen::Map(_)) if equality => {
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

fn mixed(a: &Seen, b: &Seen) -> String {
    let mend = match (a, b) {
        (Seen::Number(_), Seen::Text(_)) | (Seen::Text(_), Seen::Number(_)) => {
            "; convert the text with decimal(), or the number with string()"
        }
        _ => "",
    };
    format!("a {} and a {} do not go together{mend}", a.kind(), b.kind())
}
