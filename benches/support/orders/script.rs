//! A script for `pgbench` out of what was recorded of some orders: the same statements in the same transactions, for other
//! orders each time.
//!
//! What differs from order to order is made to differ from round to round: texts get the round's number behind them, numbers
//! grow by it. What is the same for all orders stays.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::Outcome;
use super::recorder::{Statement, Unit, Value};

/// The variable with the round's number.
const ROUND: &str = ":round";

/// A script, and what is in it.
#[derive(Debug, Clone)]
pub struct Script {
    pub text: String,
    /// Statements, with `BEGIN` and `COMMIT`.
    pub statements: usize,
    /// How many of its transactions write.
    pub commits: usize,
}

/// Makes a script of what was recorded, order by order. What does not belong to each of them is left out: it belongs to none.
pub fn of(orders: &[Vec<Unit>]) -> Outcome<Script> {
    let [first, others @ ..] = orders else { return Err("no order was recorded".into()) };
    if others.is_empty() {
        return Err("of a single order it cannot be told what differs".into());
    }
    let by_shape: Vec<BTreeMap<Vec<&str>, Vec<&Unit>>> = others.iter().map(|units| shapes(units)).collect();
    let mut seen: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    let mut script = Script {
        text: format!("\\set number :number + 1\n\\set {} :number * 64 + :client_id\n", &ROUND[1..]),
        statements: 0,
        commits: 0,
    };
    for unit in first {
        let at = seen.entry(shape(unit)).or_default();
        let same: Option<Vec<&Unit>> =
            by_shape.iter().map(|shapes| shapes.get(&shape(unit)).and_then(|units| units.get(*at)).copied()).collect();
        *at += 1;
        let Some(same) = same else { continue };
        for (number, statement) in unit.0.iter().enumerate() {
            let others: Vec<&Statement> = same.iter().filter_map(|unit| unit.0.get(number)).collect();
            writeln!(script.text, "{};", written(statement, &others))?;
            script.statements += 1;
        }
        script.commits += usize::from(unit.0.iter().any(|statement| writes(&statement.text)));
    }
    Ok(script)
}

/// What is committed of an intake: all until the order is stored.
pub fn intake(units: &[Unit]) -> Outcome<Vec<Unit>> {
    let stores = |unit: &Unit| unit.0.iter().any(|statement| statement.text.contains("INSERT INTO orders"));
    let end = units.iter().position(stores).ok_or("no order was stored")?;
    // What looks for work in the outbox is no part of it.
    let own = |unit: &&Unit| stores(unit) || !unit.0.iter().any(|statement| statement.text.contains("outbox"));
    Ok(units[..=end].iter().filter(own).cloned().collect())
}

fn shape(unit: &Unit) -> Vec<&str> {
    unit.0.iter().map(|statement| statement.text.as_str()).collect()
}

fn shapes(units: &[Unit]) -> BTreeMap<Vec<&str>, Vec<&Unit>> {
    let mut shapes: BTreeMap<_, Vec<&Unit>> = BTreeMap::new();
    for unit in units {
        shapes.entry(shape(unit)).or_default().push(unit);
    }
    shapes
}

fn writes(text: &str) -> bool {
    ["INSERT ", "UPDATE ", "DELETE "].iter().any(|word| text.contains(word))
}

/// A statement with its values written into it.
fn written(statement: &Statement, others: &[&Statement]) -> String {
    let mut text = String::new();
    let mut rest = statement.text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        text.push_str(before);
        match after[..digits].parse::<usize>() {
            Ok(number) => {
                let value = |statement: &Statement| statement.values.get(number - 1).cloned();
                let others: Vec<Value> = others.iter().filter_map(|other| value(other)).collect();
                text.push_str(&value(statement).map_or_else(String::new, |value| expression(&value, &others)));
            }
            Err(_) => text.push('$'),
        }
        rest = &after[digits..];
    }
    text + rest
}

fn expression(value: &Value, others: &[Value]) -> String {
    let differs = others.iter().any(|other| other != value);
    match value {
        Value::Null(of) => format!("NULL::{of}"),
        Value::Integer(value) if differs => format!("({value} + {ROUND}::bigint)"),
        Value::Integer(value) => format!("({value})::bigint"),
        Value::Truth(value) => value.to_string(),
        Value::Text(value) if differs => format!("({} || {ROUND}::text)", quoted(value)),
        Value::Text(value) => format!("{}::text", quoted(value)),
        Value::Bytes(bytes) => {
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            format!("decode('{hex}', 'hex')")
        }
        Value::List(of, values) => {
            let element = |at: usize, value: &Value| {
                let others: Vec<Value> = others
                    .iter()
                    .filter_map(|other| match other {
                        Value::List(_, values) => values.get(at).cloned(),
                        _ => None,
                    })
                    .collect();
                expression(value, &others)
            };
            let values: Vec<String> = values.iter().enumerate().map(|(at, value)| element(at, value)).collect();
            format!("ARRAY[{}]::{of}", values.join(", "))
        }
    }
}

/// A text as a literal. A colon would begin a variable of `pgbench`.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "''").replace(':', "\\x3a").replace('\n', "\\n");
    format!("E'{text}'")
}
