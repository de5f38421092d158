//! Outbound mappings: a canonical order becomes the tree of an action's request.

use std::sync::{Arc, LazyLock};

use super::apply::{Rejected, Setting};
use super::compile::{Compiler, Placed, digest};
use super::outbound_file::{Filling, OutboundAction, OutboundExample, OutboundFile, OutboundList, Tree};
use crate::config::{Document, KeyPath, Position, Problem, Problems, suggest};
use crate::expression::{Context, Fields, Shapes};
use crate::model::PartKind;
use crate::model::shape::{self, Kind, Shape};
use crate::record::{Map, Value, number_from_text};

/// Variables beside the fields of the order.
const NAMES: &[&str] = &["settings"];

/// Variables beside the fields of an element of a list.
const ELEMENT_NAMES: &[&str] = &["settings", "order"];

/// How deep lists of a request may name lists.
const DEEPEST: usize = 10;

/// A compiled outbound mapping.
#[derive(Debug)]
pub struct Outbound {
    /// The action whose request it makes.
    pub action: OutboundAction,
    /// The file, as it was named.
    pub file: String,
    /// A digest of the file: the mapping with its lookups.
    pub digest: String,
    request: Vec<Branch>,
    pub(super) examples: Vec<(OutboundExample, Position)>,
}

/// What fills a path of the request.
#[derive(Debug)]
struct Branch {
    path: Vec<Arc<str>>,
    filling: Filled,
    required: bool,
}

#[derive(Debug)]
enum Filled {
    Value(Placed),
    List(Box<List>),
}

#[derive(Debug)]
struct List {
    from: Placed,
    condition: Option<Placed>,
    fields: Vec<Branch>,
}

/// The shape of the order that a mapping sees: what the shop posted, and what it got on its way.
pub(super) fn order_shape() -> &'static Shape {
    static SHAPE: LazyLock<Shape> = LazyLock::new(|| {
        let mut shape = shape::order().clone();
        let field = |name: &str, kind: Kind, help: &str| shape::Field {
            name: name.to_owned(),
            kind,
            required: false,
            help: help.to_owned(),
        };
        shape.fields.extend([
            field("id", Kind::Text, "Our own unique reference, at most 35 of A-Z, 0-9 and -."),
            field("accepted_at", Kind::Instant, "When the order was accepted."),
            field("shop", Kind::Text, "The shop that posted it."),
            field("customer_record", Kind::Record(shape::of(PartKind::Customer).clone()), "The customer, where known."),
        ]);
        shape
    });
    &SHAPE
}

/// Whether an order gets the field on its way, not from the shop.
pub(super) fn is_added(name: &str) -> bool {
    shape::order().field(name).is_none() && order_shape().field(name).is_some()
}

impl Outbound {
    /// Compiles an outbound mapping file.
    ///
    /// # Errors
    /// Every fault of the file: syntax, unknown keys, fields that an order does not have, faulty expressions, paths
    /// that exclude each other; each with line, column and advice.
    pub fn compile(document: &Document) -> Result<Self, Problems> {
        let file: OutboundFile = document.read()?;
        let mut compiler =
            OutboundCompiler { compiler: Compiler::new(document, &file.lookup), file: &file, named: Vec::new() };
        let root = KeyPath::root();
        let shapes = Shapes { record: Some(order_shape()), names: &[] };
        let request = compiler.tree(&root.key("request"), &file.request, (shapes, NAMES), 0);
        let request = compiler.required(&root.key("required"), &file.required, request);
        for name in file.list.keys().filter(|name| !compiler.named.contains(name)) {
            let at = root.key("list").key(name);
            let problem = document.problem_with_key(&at, format!("nothing in the request is the list '{name}'"));
            compiler.compiler.problems.push(problem.hint(format!("write \"path\" = {{ list = \"{name}\" }}")));
        }
        compiler.compiler.problems.into_result()?;
        let examples = file
            .test
            .iter()
            .enumerate()
            .map(|(at, example)| (example.clone(), document.position(&root.key("test").index(at))))
            .collect();
        Ok(Self { action: file.action, file: document.file.clone(), digest: digest(document), request, examples })
    }

    /// The request of an order: the canonical order with `id`, `accepted_at`, `shop`, `customer_record` and, in each
    /// line, `number`. What an expression gives no value for is null in the request.
    ///
    /// # Errors
    /// [`Rejected`] where an expression fails or a required value is missing.
    pub fn apply(&self, order: &Map, setting: &Setting) -> Result<Map, Rejected> {
        let order = exact_record(order_shape(), order);
        let names = [("settings", &setting.settings)];
        let context = Context { record: (&order).into(), names: &names, zone: &setting.zone };
        self.tree(&self.request, "", &context, &Value::Map(order.clone()))
    }

    fn tree(&self, branches: &[Branch], within: &str, context: &Context, order: &Value) -> Result<Map, Rejected> {
        let mut tree = Map::default();
        for branch in branches {
            let name = || format!("{within}{}", branch.path.join("/"));
            let (value, placed) = match &branch.filling {
                Filled::Value(placed) => (placed.evaluate(&self.file, &name(), context)?.into_value(), placed),
                Filled::List(list) => (self.list(list, &name(), context, order)?, &list.from),
            };
            if branch.required && is_missing(&value) {
                return Err(placed.rejected(&self.file, &name(), "the system needs a value here".to_owned()));
            }
            set(&mut tree, &branch.path, value);
        }
        Ok(tree)
    }

    fn list(&self, list: &List, name: &str, context: &Context, order: &Value) -> Result<Value, Rejected> {
        let from = list.from.evaluate(&self.file, name, context)?.into_value();
        let items = match &from {
            Value::Null => return Ok(Value::Null),
            Value::List(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        let settings = context.names.first().map_or(&Value::Null, |(_, settings)| *settings);
        let names = [("settings", settings), ("order", order)];
        let mut elements = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let within = format!("{name}[{}]", at + 1);
            let Value::Map(fields) = item else {
                let message = format!("element {} is a {}, not a record", at + 1, item.kind());
                return Err(list.from.rejected(&self.file, name, message));
            };
            let context = Context { record: fields.into(), names: &names, zone: context.zone };
            if let Some(condition) = &list.condition
                && !condition.holds(&self.file, &format!("{within}/where"), &context)?
            {
                continue;
            }
            elements.push(Value::Map(self.tree(&list.fields, &format!("{within}/"), &context, order)?));
        }
        Ok(if elements.is_empty() { Value::Null } else { Value::List(elements) })
    }
}

fn is_missing(value: &Value) -> bool {
    value.is_empty() || matches!(value, Value::List(items) if items.is_empty())
}

fn set(tree: &mut Map, path: &[Arc<str>], value: Value) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        tree.push(Arc::clone(first), value);
        return;
    }
    if tree.get(first).is_none() {
        tree.push(Arc::clone(first), Value::Map(Map::default()));
    }
    if let Some(Value::Map(inner)) = tree.get_mut(first) {
        set(inner, rest, value);
    }
}

/// A record whose decimals are numbers, where the wire has them as texts.
fn exact_record(shape: &Shape, record: &Map) -> Map {
    let exact = |(name, value): (&str, &Value)| {
        let value = match shape.field(name) {
            Some(field) => exact(&field.kind, value),
            None => value.clone(),
        };
        (Arc::from(name), value)
    };
    record.iter().map(exact).collect()
}

fn exact(kind: &Kind, value: &Value) -> Value {
    match (kind, value) {
        (Kind::Decimal, Value::Text(text)) => number_from_text(text).map_or_else(|| value.clone(), Value::Number),
        (Kind::Record(shape), Value::Map(map)) => Value::Map(exact_record(shape, map)),
        (Kind::List(element), Value::List(items)) => Value::List(items.iter().map(|i| exact(element, i)).collect()),
        _ => value.clone(),
    }
}

struct OutboundCompiler<'a> {
    compiler: Compiler<'a>,
    file: &'a OutboundFile,
    /// The lists that the request names.
    named: Vec<&'a String>,
}

impl<'a> OutboundCompiler<'a> {
    fn tree(&mut self, at: &KeyPath, tree: &'a Tree, sight: (Shapes, &[&str]), depth: usize) -> Vec<Branch> {
        let mut branches: Vec<Branch> = Vec::new();
        for (name, filling) in &tree.0 {
            let at = at.key(name);
            let path: Vec<Arc<str>> = name.split('/').map(Arc::from).collect();
            if path.iter().any(|step| step.is_empty()) {
                let problem = self.compiler.document.problem_with_key(&at, format!("'{name}' is no path"));
                self.compiler.problems.push(problem.hint("write names with / between them, as in A/B/@type"));
                continue;
            }
            let clash = branches.iter().find(|other| other.path.starts_with(&path) || path.starts_with(&other.path));
            if let Some(clash) = clash {
                let message = format!("'{}' cannot have both a value and what is below it", clash.path.join("/"));
                let problem = self.compiler.document.problem_with_key(&at, message);
                self.compiler.problems.push(problem.hint("the text beside attributes and children is #text"));
            }
            let filling = match filling {
                Filling::Expression(source) => {
                    let typed = self.compiler.typed(&at, source, Fields::Shaped(sight.0), sight.1);
                    typed.map(|(placed, _)| Filled::Value(placed))
                }
                Filling::List(list) => self.list(&at, &list.list, sight, depth),
            };
            if let Some(filling) = filling {
                branches.push(Branch { path, filling, required: false });
            }
        }
        branches
    }

    fn list(&mut self, at: &KeyPath, name: &'a String, sight: (Shapes, &[&str]), depth: usize) -> Option<Filled> {
        let Some(list) = self.file.list.get(name) else {
            let problem = self.problem_in_list(at, format!("there is no list '{name}'"));
            let problem = match suggest::nearest(name, self.file.list.keys().map(String::as_str)) {
                Some(near) => problem.hint(format!("did you mean '{near}'?")),
                None => problem.hint(format!("add a table [list.{name}] with from and fields")),
            };
            self.compiler.problems.push(problem);
            return None;
        };
        if depth == DEEPEST {
            let problem = self.problem_in_list(at, format!("lists name each other more than {DEEPEST} levels deep"));
            self.compiler.problems.push(problem);
            return None;
        }
        self.named.push(name);
        self.compiled_list(&KeyPath::root().key("list").key(name), list, sight, depth)
    }

    fn compiled_list(
        &mut self,
        at: &KeyPath,
        list: &'a OutboundList,
        sight: (Shapes, &[&str]),
        depth: usize,
    ) -> Option<Filled> {
        let from = self.compiler.typed(&at.key("from"), &list.from, Fields::Shaped(sight.0), sight.1);
        let element = match from.as_ref().and_then(|(_, kind)| kind.as_ref()) {
            Some(Kind::List(element)) => match &**element {
                Kind::Record(shape) => Some(shape),
                _ => None,
            },
            _ => None,
        };
        let names = [("order", order_shape())];
        let sight = (Shapes { record: element, names: &names }, ELEMENT_NAMES);
        let condition = list.condition.as_deref();
        let condition = condition.map(|c| self.compiler.typed(&at.key("where"), c, Fields::Shaped(sight.0), sight.1));
        let fields = self.tree(&at.key("fields"), &list.fields, sight, depth + 1);
        let fields = self.required(&at.key("required"), &list.required, fields);
        let condition = match condition {
            None => None,
            Some(condition) => Some(condition?.0),
        };
        Some(Filled::List(Box::new(List { from: from?.0, condition, fields })))
    }

    fn required(&mut self, at: &KeyPath, required: &[String], mut branches: Vec<Branch>) -> Vec<Branch> {
        for (index, name) in required.iter().enumerate() {
            let names: Vec<String> = branches.iter().map(|branch| branch.path.join("/")).collect();
            if let Some(found) = names.iter().position(|path| path == name) {
                branches[found].required = true;
                continue;
            }
            let problem = self.compiler.document.problem(&at.index(index), format!("nothing fills the path '{name}'"));
            let near = suggest::nearest(name, names.iter().map(String::as_str));
            self.compiler.problems.push(match near {
                Some(near) => problem.hint(format!("did you mean '{near}'?")),
                None => problem.hint("write the path as it is written where it is filled"),
            });
        }
        branches
    }

    fn problem_in_list(&self, at: &KeyPath, message: String) -> Problem {
        self.compiler.document.problem(&at.key("list"), message)
    }
}
