//! From source to the checked form: the crate `cel` parses, this walks its tree and finds every fault.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;
use rust_decimal::Decimal;

use super::convert::{NumberFormat, bad_time_format, is_date_format, time_format};
use super::functions::{FUNCTIONS, SPECIAL, bad_number_format};
use super::node::{Arithmetic, Comparison, Kind, Node};
use super::number::Rounding;
use super::shapes::Known;
use super::{Fault, Fields, Scope, Shapes};
use crate::config::suggest;
use crate::model::shape;
use crate::record::{Value, number_from_text};

/// The variable that the parser's list macros gather their result in.
const RESULT: &str = "@result";

/// The longest expression, in bytes.
const LONGEST_SOURCE: usize = 10_000;

/// How deep an expression may be nested: its evaluation needs stack for each level.
const DEEPEST: usize = 100;

/// The stack that parsing gets. The parser recurses some ten frames for each level that it allows.
const STACK: usize = 64 << 20;

pub(super) fn compile(source: &str, scope: &Scope) -> Result<(Node, Option<shape::Kind>), Vec<Fault>> {
    let refuse = |message: String| vec![Fault { at: 0..source.len(), message, hint: None }];
    if source.len() > LONGEST_SOURCE {
        return Err(refuse(format!("the expression is longer than {LONGEST_SOURCE} bytes")));
    }
    std::thread::scope(|threads| {
        let builder = std::thread::Builder::new().name("expression".to_owned()).stack_size(STACK);
        let worker = builder
            .spawn_scoped(threads, || compile_here(source, scope))
            .map_err(|e| refuse(format!("there is no thread to compile it on: {e}")))?;
        worker.join().unwrap_or_else(|_| Err(refuse("the expression cannot be read".to_owned())))
    })
}

fn compile_here(source: &str, scope: &Scope) -> Result<(Node, Option<shape::Kind>), Vec<Fault>> {
    let (tree, info) = Parser::new()
        .parse_with_source_info(source)
        .map_err(|errors| errors.errors.iter().map(|e| syntax_fault(source, e.pos, &e.msg)).collect::<Vec<_>>())?;
    let mut compiler = Compiler { source, info: &info, scope, locals: Vec::new(), depth: 0, faults: Vec::new() };
    let root = compiler.node(&tree);
    match root {
        Some(root) if compiler.faults.is_empty() => {
            let kind = compiler.kind(&root).and_then(Known::kind).cloned();
            Ok((root, kind))
        }
        _ => Err(compiler.faults),
    }
}

/// A parser's message in plain words, at a byte of the source.
fn syntax_fault(source: &str, (line, column): (isize, isize), message: &str) -> Fault {
    let line_start: usize =
        source.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(str::len).sum();
    let column = usize::try_from(column - 1).unwrap_or(0);
    let rest = source.get(line_start..).unwrap_or_default();
    let at = line_start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    let message = message.split(" expecting").next().unwrap_or(message).trim().replace("<EOF>", "the end");
    Fault { at: at..at, message: format!("the expression cannot be read: {message}"), hint: None }
}

pub(super) struct Compiler<'a> {
    source: &'a str,
    info: &'a SourceInfo,
    pub(super) scope: &'a Scope<'a>,
    /// Variables of the enclosing list macros, the innermost last, with what is known of their values.
    pub(super) locals: Vec<(String, Option<&'a shape::Kind>)>,
    /// How deep the node at hand is nested.
    depth: usize,
    faults: Vec<Fault>,
}

impl Compiler<'_> {
    fn at(&self, expr: &IdedExpr) -> Range<usize> {
        // The parser counts bytes and includes the last one.
        let (start, stop) = self.info.offset_for(expr.id).unwrap_or((0, 0));
        let byte = |offset: u32| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.source.len());
            (offset..=self.source.len()).find(|at| self.source.is_char_boundary(*at)).unwrap_or(offset)
        };
        let start = byte(start);
        start..byte(stop.saturating_add(1)).max(start)
    }

    pub(super) fn fault<T>(&mut self, at: Range<usize>, message: impl Into<String>, hint: Option<String>) -> Option<T> {
        self.faults.push(Fault { at, message: message.into(), hint });
        None
    }

    fn node(&mut self, expr: &IdedExpr) -> Option<Node> {
        let at = self.at(expr);
        if self.depth == DEEPEST {
            return self.fault(at, format!("the expression is nested more than {DEEPEST} levels deep"), None);
        }
        self.depth += 1;
        let node = self.node_at(expr, at);
        self.depth -= 1;
        node
    }

    fn node_at(&mut self, expr: &IdedExpr, at: Range<usize>) -> Option<Node> {
        let kind = match &expr.expr {
            Expr::Literal(literal) => Kind::Literal(self.literal(literal, &at)?),
            Expr::Ident(name) => self.name(name, &at)?,
            Expr::Select(select) => {
                let of = self.node(&select.operand)?;
                self.check_member(&of, &select.field, &at)?;
                let selected = Kind::Select(Box::new(of), Arc::from(select.field.as_str()));
                if select.test { Kind::Present(Box::new(Node { at: at.clone(), kind: selected })) } else { selected }
            }
            Expr::List(list) => Kind::List(self.nodes(&list.elements)?),
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    let key = self.node(&entry.key);
                    let value = self.node(&entry.value);
                    match key?.kind {
                        Kind::Literal(Value::Text(name)) => entries.push((Arc::from(name), value?)),
                        _ => {
                            return self.fault(
                                at,
                                "a record's names are texts in quotes",
                                Some("write {'name': value}".to_owned()),
                            );
                        }
                    }
                }
                Kind::Map(entries)
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, &at)?,
            Expr::Call(call) => self.call(call, &at)?,
            Expr::Struct(_) => {
                return self.fault(
                    at,
                    "messages with a type name are not part of the language",
                    Some("write {'name': value}".to_owned()),
                );
            }
            Expr::Unspecified => return self.fault(at, "the expression cannot be read", None),
        };
        Some(Node { at, kind })
    }

    fn nodes(&mut self, exprs: &[IdedExpr]) -> Option<Vec<Node>> {
        // Every element is compiled, so that all faults are found.
        let nodes: Vec<Option<Node>> = exprs.iter().map(|e| self.node(e)).collect();
        nodes.into_iter().collect()
    }

    fn boxed(&mut self, expr: &IdedExpr) -> Option<Box<Node>> {
        self.node(expr).map(Box::new)
    }

    fn pair(&mut self, args: &[IdedExpr]) -> Option<(Box<Node>, Box<Node>)> {
        let (a, b) = (args.first().and_then(|a| self.boxed(a)), args.get(1).and_then(|b| self.boxed(b)));
        Some((a?, b?))
    }

    fn literal(&mut self, literal: &LiteralValue, at: &Range<usize>) -> Option<Value> {
        Some(match literal {
            LiteralValue::Null => Value::Null,
            LiteralValue::Boolean(b) => Value::Bool(*b.inner()),
            LiteralValue::String(s) => Value::Text(s.inner().to_owned()),
            LiteralValue::Int(n) => Value::Number(Decimal::from(*n.inner())),
            // The digits are taken from the source: the parser's number is a binary one.
            LiteralValue::Double(_) => {
                let text = self.source.get(at.clone()).unwrap_or_default();
                match number_from_text(text.trim()) {
                    Some(number) => Value::Number(number),
                    None => {
                        return self.fault(
                            at.clone(),
                            format!("'{text}' has more digits than an exact decimal holds"),
                            None,
                        );
                    }
                }
            }
            LiteralValue::UInt(_) => {
                return self.fault(at.clone(), "there are no unsigned numbers", Some("leave out the u".to_owned()));
            }
            LiteralValue::Bytes(_) => {
                return self.fault(at.clone(), "there are no byte strings", Some("leave out the b".to_owned()));
            }
        })
    }

    fn name(&mut self, name: &str, at: &Range<usize>) -> Option<Kind> {
        if let Some(depth) = self.locals.iter().rev().position(|(local, _)| local == name) {
            return Some(Kind::Local(depth));
        }
        if name == "record" {
            return Some(Kind::Record);
        }
        if let Some(index) = self.scope.names.iter().position(|n| *n == name) {
            return Some(Kind::Name(index));
        }
        if let Fields::Shaped(Shapes { record: Some(shape), .. }) = self.scope.fields
            && shape.field(name).is_none()
        {
            let candidates = shape.fields.iter().map(|f| f.name.as_str()).chain(self.scope.names.iter().copied());
            return self.no_field(name, candidates, at);
        }
        if let Fields::Known(fields) = self.scope.fields
            && !fields.contains(&name)
        {
            let candidates = fields.iter().chain(self.scope.names).copied();
            let hint = match suggest::nearest(name, candidates) {
                Some(near) => format!("did you mean '{near}'?"),
                None if fields.is_empty() => format!("there is {}", suggest::one_of(self.scope.names.iter().copied())),
                None => format!("the fields are {}", suggest::one_of(fields.iter().copied())),
            };
            return self.fault(at.clone(), format!("there is no field '{name}'"), Some(hint));
        }
        Some(Kind::Field { name: Arc::from(name), hint: AtomicUsize::new(0) })
    }

    pub(super) fn no_field<'n, T>(
        &mut self,
        name: &str,
        fields: impl Iterator<Item = &'n str> + Clone,
        at: &Range<usize>,
    ) -> Option<T> {
        let hint = match suggest::nearest(name, fields.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("the fields are {}", suggest::one_of(fields)),
        };
        self.fault(at.clone(), format!("there is no field '{name}'"), Some(hint))
    }

    /// The parser writes the list macros out as folds over `@result`; their shape tells which it was.
    fn comprehension(&mut self, fold: &ComprehensionExpr, at: &Range<usize>) -> Option<Kind> {
        let list = self.boxed(&fold.iter_range);
        let element = match list.as_deref().and_then(|list| self.kind(list)) {
            Some(Known::Kind(shape::Kind::List(element))) => Some(&**element),
            _ => None,
        };
        self.locals.push((fold.iter_var.clone(), element));
        let kind = self.fold(fold, at);
        self.locals.pop();
        let (list, fold) = (list?, kind?);
        Some(match fold {
            Fold::Exists(condition) => Kind::Exists { list, condition },
            Fold::All(condition) => Kind::All { list, condition },
            Fold::Each(condition, body) => Kind::Each { list, condition, body },
        })
    }

    fn fold(&mut self, fold: &ComprehensionExpr, at: &Range<usize>) -> Option<Fold> {
        let Expr::Call(step) = &fold.loop_step.expr else { return self.unknown_macro(at) };
        match (step.func_name.as_str(), step.args.as_slice()) {
            (operators::LOGICAL_OR, [_, condition]) => Some(Fold::Exists(self.boxed(condition)?)),
            (operators::LOGICAL_AND, [_, condition]) => Some(Fold::All(self.boxed(condition)?)),
            (operators::ADD, [_, added]) => self.added(added, None, at),
            (operators::CONDITIONAL, [condition, then, _]) => match &then.expr {
                Expr::Call(inner)
                    if inner.func_name == operators::ADD && inner.args.len() == 2 && is_result(&inner.args[0]) =>
                {
                    let condition = self.boxed(condition);
                    self.added(&inner.args[1], condition, at)
                }
                _ => self.unknown_macro(at),
            },
            _ => self.unknown_macro(at),
        }
    }

    fn added(&mut self, added: &IdedExpr, condition: Option<Box<Node>>, at: &Range<usize>) -> Option<Fold> {
        match &added.expr {
            Expr::List(list) if list.elements.len() == 1 => Some(Fold::Each(condition, self.boxed(&list.elements[0])?)),
            _ => self.unknown_macro(at),
        }
    }

    fn unknown_macro(&mut self, at: &Range<usize>) -> Option<Fold> {
        self.fault(
            at.clone(),
            "this list macro is not part of the language",
            Some("there are map, filter, exists and all".to_owned()),
        )
    }

    fn call(&mut self, call: &CallExpr, at: &Range<usize>) -> Option<Kind> {
        let args = call.args.as_slice();
        let compared = match call.func_name.as_str() {
            operators::EQUALS => Some(Comparison::Equal),
            operators::NOT_EQUALS => Some(Comparison::NotEqual),
            operators::LESS => Some(Comparison::Less),
            operators::LESS_EQUALS => Some(Comparison::LessOrEqual),
            operators::GREATER => Some(Comparison::Greater),
            operators::GREATER_EQUALS => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(compared) = compared {
            let (a, b) = self.pair(args)?;
            return Some(Kind::Compare(compared, a, b));
        }
        let arithmetic = match call.func_name.as_str() {
            operators::ADD => Some(Arithmetic::Add),
            operators::SUBSTRACT => Some(Arithmetic::Subtract),
            operators::MULTIPLY => Some(Arithmetic::Multiply),
            _ => None,
        };
        if let Some(arithmetic) = arithmetic {
            let (a, b) = self.pair(args)?;
            return Some(Kind::Arithmetic(arithmetic, a, b));
        }
        match call.func_name.as_str() {
            operators::CONDITIONAL => {
                let nodes = self.nodes(args)?;
                let [test, yes, no] = <[Node; 3]>::try_from(nodes).ok()?;
                Some(Kind::Conditional(Box::new(test), Box::new(yes), Box::new(no)))
            }
            operators::LOGICAL_AND => self.chain(args, Kind::And),
            operators::LOGICAL_OR => self.chain(args, Kind::Or),
            operators::LOGICAL_NOT => Some(Kind::Not(self.boxed(args.first()?)?)),
            operators::NEGATE => Some(Kind::Negate(self.boxed(args.first()?)?)),
            operators::INDEX => {
                let (of, key) = self.pair(args)?;
                if let Kind::Literal(Value::Text(name)) = &key.kind {
                    self.check_member(&of, name, at)?;
                    if let Kind::Record = of.kind {
                        return Some(Kind::Field { name: Arc::from(name.as_str()), hint: AtomicUsize::new(0) });
                    }
                }
                Some(Kind::Index(of, key))
            }
            operators::IN => self.pair(args).map(|(item, list)| Kind::In(item, list)),
            operators::DIVIDE => self.fault(
                at.clone(),
                "a quotient has no exact value",
                Some("divide inside round, as in round(a / b, 2, 'half_up')".to_owned()),
            ),
            operators::MODULO => self.fault(at.clone(), "there is no remainder operator", None),
            name => self.function(name, call, at),
        }
    }

    fn chain(&mut self, args: &[IdedExpr], join: fn(Box<Node>, Box<Node>) -> Kind) -> Option<Kind> {
        self.pair(args).map(|(a, b)| join(a, b))
    }

    fn function(&mut self, name: &str, call: &CallExpr, at: &Range<usize>) -> Option<Kind> {
        // A method's value is its first argument: trim(x) is x.trim().
        let exprs: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let count = |least: usize, most: usize| {
            if (least..=most).contains(&exprs.len()) { Ok(()) } else { Err(arguments(name, least, most, exprs.len())) }
        };
        let checked = match name {
            "or" | "matches" => count(2, 2),
            "lookup" => count(2, 3),
            "round" => count(3, 3),
            _ => Ok(()),
        };
        if let Err(message) = checked {
            return self.fault(at.clone(), message, None);
        }
        match name {
            "or" => {
                let (first, second) = (self.boxed(exprs[0]), self.boxed(exprs[1]));
                return Some(Kind::Coalesce(first?, second?));
            }
            "lookup" => return self.lookup(&exprs, call.target.is_some(), at),
            "matches" => return self.matches(&exprs),
            "round" => return self.round(&exprs),
            _ => {}
        }
        let Some(function) = FUNCTIONS.iter().find(|f| f.name == name) else {
            let names = FUNCTIONS.iter().map(|f| f.name).chain(SPECIAL.iter().copied());
            let hint = suggest::nearest(name, names).map_or_else(
                || "docs/expressions.md lists the functions".to_owned(),
                |near| format!("did you mean '{near}'?"),
            );
            return self.fault(at.clone(), format!("there is no function '{name}'"), Some(hint));
        };
        if let Err(message) = count(function.least, function.most) {
            return self.fault(at.clone(), message, None);
        }
        let nodes: Vec<Option<Node>> = exprs.iter().map(|e| self.node(e)).collect();
        let nodes: Vec<Node> = nodes.into_iter().collect::<Option<_>>()?;
        if let Some(Node { at, kind: Kind::Literal(Value::Text(format)) }) = nodes.get(1) {
            let refused = match name {
                "decimal" if NumberFormat::of(format).is_none() => Some(bad_number_format(format)),
                "format" if time_format(format).is_none() => Some(bad_time_format(format)),
                "date" if !is_date_format(format) => {
                    Some(format!("'{format}' is no date format; write one such as 'dd-MM-yyyy' or 'yyyyMMdd'"))
                }
                _ => None,
            };
            if let Some(message) = refused {
                return self.fault(at.clone(), message, None);
            }
        }
        Some(Kind::Call(*function, nodes))
    }

    /// `lookup('table', key)` and `key.lookup('table')` are the same.
    fn lookup(&mut self, exprs: &[&IdedExpr], method: bool, at: &Range<usize>) -> Option<Kind> {
        let (table, key) = if method { (exprs[1], exprs[0]) } else { (exprs[0], exprs[1]) };
        let key = self.boxed(key);
        let default = exprs.get(2).map(|d| self.boxed(d));
        let Expr::Literal(LiteralValue::String(name)) = &table.expr else {
            return self.fault(
                at.clone(),
                "a lookup names its table in quotes",
                Some("write lookup('table', key)".to_owned()),
            );
        };
        let name = name.inner();
        let Some(found) = self.scope.lookups.get(name) else {
            let hint = match suggest::nearest(name, self.scope.lookups.keys().map(String::as_str)) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("add a table [lookup.{name}]"),
            };
            let at = self.at(table);
            return self.fault(at, format!("there is no lookup table '{name}'"), Some(hint));
        };
        let default = match default {
            None => None,
            Some(default) => Some(default?),
        };
        Some(Kind::Lookup { name: Arc::from(name), table: Arc::new(found.clone()), key: key?, default })
    }

    fn matches(&mut self, exprs: &[&IdedExpr]) -> Option<Kind> {
        let text = self.boxed(exprs[0]);
        let at = self.at(exprs[1]);
        let Expr::Literal(LiteralValue::String(pattern)) = &exprs[1].expr else {
            return self.fault(at, "a pattern is a text in quotes", None);
        };
        match regex_lite::Regex::new(pattern.inner()) {
            Ok(pattern) => Some(Kind::Matches { text: text?, pattern }),
            Err(error) => self.fault(at, format!("the pattern cannot be read: {error}"), None),
        }
    }

    fn round(&mut self, exprs: &[&IdedExpr]) -> Option<Kind> {
        let (value, divisor) = match &exprs[0].expr {
            Expr::Call(inner) if inner.func_name == operators::DIVIDE && inner.args.len() == 2 => {
                (self.boxed(&inner.args[0]), Some(self.boxed(&inner.args[1])))
            }
            _ => (self.boxed(exprs[0]), None),
        };
        let places = match &exprs[1].expr {
            Expr::Literal(LiteralValue::Int(n)) => u32::try_from(*n.inner()).ok().filter(|p| *p <= 18),
            _ => None,
        };
        let mode = match &exprs[2].expr {
            Expr::Literal(LiteralValue::String(word)) => {
                Rounding::WORDS.iter().find(|(name, _)| *name == word.inner()).map(|(_, mode)| *mode)
            }
            _ => None,
        };
        if places.is_none() {
            let at = self.at(exprs[1]);
            self.fault::<()>(at, "the places to round to are a number from 0 to 18", None);
        }
        if mode.is_none() {
            let at = self.at(exprs[2]);
            let words = suggest::one_of(Rounding::WORDS.iter().map(|(word, _)| *word));
            self.fault::<()>(at, format!("the way to round is one of {words}"), None);
        }
        let divisor = match divisor {
            None => None,
            Some(divisor) => Some(divisor?),
        };
        Some(Kind::Round { value: value?, divisor, places: places?, mode: mode? })
    }
}

enum Fold {
    Exists(Box<Node>),
    All(Box<Node>),
    Each(Option<Box<Node>>, Box<Node>),
}

fn is_result(expr: &IdedExpr) -> bool {
    matches!(&expr.expr, Expr::Ident(name) if name == RESULT)
}

fn arguments(name: &str, least: usize, most: usize, found: usize) -> String {
    let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
    format!("{name} takes {wanted} arguments (the value it is called on counts), found {found}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::{Context, Expression, Lookup};
    use super::*;

    fn record() -> crate::record::Map {
        let Value::Map(mut map) = Value::from_json(json!({
            "Code": " 1000 ", "Name": "  De   Vries ", "Empty": "", "Price": 12.50, "Amount": "1.234,56-", "Klant nr.": "7",
            "Groups": ["A", "B2B"], "Kinds": "F,A", "Blocked": true, "Nested": {"Deep": {"Er": "x"}},
            "Rows": [{"n": 1, "t": "a"}, {"n": 2, "t": "b"}], "Küche": "é"
        })) else {
            panic!()
        };
        map.set("Price", Value::Number("12.50".parse().unwrap()));
        map
    }

    fn lookups() -> BTreeMap<String, Lookup> {
        BTreeMap::from([("role".to_owned(), BTreeMap::from([("Inkoper".to_owned(), Value::Text("buyer".into()))]))])
    }

    fn run(source: &str) -> Result<String, String> {
        let lookups = lookups();
        let scope = Scope { fields: Fields::Any, names: &["settings"], lookups: &lookups };
        let expression = Expression::compile(source, &scope).map_err(|f| format!("{f:?}"))?;
        let settings = Value::from_json(json!({"company": "NL01"}));
        let zone = jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap();
        let record = record();
        let context = Context { record: (&record).into(), names: &[("settings", &settings)], zone: &zone };
        expression.evaluate(&context).map(|v| v.into_value().to_json().to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn expressions_have_the_documented_values() {
        for (source, value) in [
            ("Code.trim()", r#""1000""#),
            ("trim(Code)", r#""1000""#),
            ("Name.compact()", r#""De Vries""#),
            ("1.10 + 2.20", r#""3.3""#),
            ("Price * 2", r#""25""#),
            ("Price + Absent", "null"),
            ("Absent.trim().upper()", "null"),
            ("Absent.trim().or('x')", r#""x""#),
            ("Empty.or('x')", r#""x""#),
            ("Empty == null", "true"),
            ("Absent != ''", "false"),
            ("Absent ? 'yes' : 'no'", r#""no""#),
            ("Blocked ? 'all' : 'no'", r#""all""#),
            ("Absent > 3", "false"),
            ("record['Klant nr.']", r#""7""#),
            ("Nested.Deep.Er", r#""x""#),
            ("Nested.Not.There", "null"),
            ("Groups[1]", r#""B2B""#),
            ("Groups[9]", "null"),
            ("'B2B' in Groups", "true"),
            ("'B2B' in Absent", "false"),
            ("Amount.decimal('1.234,56')", r#""-1234.56""#),
            ("Price.decimal()", r#""12.50""#),
            ("'24-11-2026'.date('dd-MM-yyyy')", r#""2026-11-24""#),
            ("'2026-11-24 03:00:00'.instant()", r#""2026-11-24T02:00:00Z""#),
            ("round(Price / 3, 2, 'half_up')", r#""4.17""#),
            ("(Price / 3).round(2, 'down')", r#""4.16""#),
            ("Price.round(0, 'half_even')", r#""12""#),
            ("lookup('role', 'Inkoper')", r#""buyer""#),
            ("'Inkoper'.lookup('role')", r#""buyer""#),
            ("lookup('role', 'Kok', 'other')", r#""other""#),
            ("lookup('role', Absent)", "null"),
            ("Kinds.split(',').map(k, k + '!')", r#"["F!","A!"]"#),
            ("Groups.filter(g, g != 'A').join('+')", r#""B2B""#),
            ("Rows.map(r, r.n > 1, r.t)", r#"["b"]"#),
            ("Rows.exists(r, r.t == 'b')", "true"),
            ("Rows.all(r, r.n > 1)", "false"),
            ("Rows.map(r, Groups.map(g, g + r.t))", r#"[["Aa","B2Ba"],["Ab","B2Bb"]]"#),
            ("{'amount': Price, 'n': [1, 2]}", r#"{"amount":"12.50","n":["1","2"]}"#),
            ("'0012'.strip_zeros()", r#""12""#),
            ("'A012'.strip_zeros()", r#""A012""#),
            ("'12'.pad(5)", r#""00012""#),
            ("'A1'.pad(5)", r#""A1""#),
            ("'NL 12.34'.digits()", r#""1234""#),
            ("'a-b'.replace('-', '')", r#""ab""#),
            ("'ab12'.matches('^[a-z]+[0-9]+$')", "true"),
            ("Price.money('EUR')", r#"{"amount":"12.50","currency":"EUR"}"#),
            ("convert_unit(36, 'mm', 'cm')", r#""3.6""#),
            ("settings.company", r#""NL01""#),
            ("has(Nested.Deep) && !has(Nested.Nope)", "true"),
            ("size(Groups)", r#""2""#),
            ("-Price", r#""-12.50""#),
        ] {
            assert_eq!(run(source).as_deref(), Ok(value), "{source}");
        }
    }

    #[test]
    fn evaluation_errors_say_what_and_where() {
        for (source, wanted) in [
            ("Price > '3'", "decimal()"),
            ("Amount.decimal()", "1.234,56-"),
            ("lookup('role', 'Kok')", "'role' has no 'Kok'"),
            ("Price.money('EUX')", "ISO 4217"),
            ("Code ? 1 : 2", "no condition"),
            ("9999999999999999999.0 * 9999999999999999999.0", "more digits"),
            ("round(1 / (Price - 12.50), 2, 'up')", "division by zero"),
            ("Price.trim()", "in `"),
        ] {
            let error = run(source).unwrap_err();
            assert!(error.contains(wanted), "{source}: {error}");
        }
    }

    fn faults(source: &str) -> Vec<Fault> {
        let lookups = lookups();
        Expression::compile(source, &Scope { fields: Fields::Known(&["Name", "Code"]), names: &[], lookups: &lookups })
            .unwrap_err()
    }

    #[test]
    fn faults_are_found_when_an_expression_is_compiled() {
        for (source, message, hint) in [
            ("Nmae", "no field 'Nmae'", "did you mean 'Name'"),
            ("Name.trimm()", "no function 'trimm'", "did you mean 'trim'"),
            ("Name.trim(1)", "takes 1 arguments", ""),
            ("lookup('rol', Name)", "no lookup table 'rol'", "did you mean 'role'"),
            ("1 / 2", "no exact value", "round"),
            ("round(1, 2, 'halfup')", "one of", ""),
            ("Name.date('DD-MM-YYYY')", "no date format", ""),
            ("Name.decimal('x')", "no number format", ""),
            ("Name.matches('[')", "pattern", ""),
            ("Name +", "cannot be read", ""),
            ("b'x'", "byte strings", ""),
            ("[1].exists_one(x, x == 1)", "not part of the language", "exists"),
        ] {
            let found = faults(source);
            assert!(found[0].message.contains(message), "{source}: {found:?}");
            assert!(found[0].hint.clone().unwrap_or_default().contains(hint), "{source}: {found:?}");
        }
        assert_eq!(faults("Nmae + Cod.trimm()").len(), 2, "all faults at once");
    }

    #[test]
    fn a_fault_stands_where_it_is_also_behind_accents() {
        let source = "'é' + Nmae";
        let at = faults(source)[0].at.clone();
        assert_eq!(&source[at], "Nmae");
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_crash() {
        for deep in [
            format!("{}1{}", "(".repeat(4000), ")".repeat(4000)),
            format!("1{}", "+1".repeat(4000)),
            "!".repeat(9000) + "true",
            "[".repeat(4000) + &"]".repeat(4000),
            "a.".repeat(4000) + "b",
            "x".repeat(20_000),
        ] {
            let deep_negation = deep.starts_with('!');
            let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || run(&deep).err()).unwrap();
            let refused = thread.join().unwrap();
            // The parser itself takes away pairs of negations.
            assert!(refused.is_some() || deep_negation);
        }
        let long = format!("1{}", "+1".repeat(90));
        assert_eq!(run(&long).as_deref(), Ok("\"91\""));
    }
}
