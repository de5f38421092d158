//! Compiling a mapping file: every name, type and expression is checked, and every fault is reported at once.

use std::collections::BTreeMap;

use super::file::{Example, ListMapping, MappingFile};
use super::plan::Plan;
use crate::config::{Document, KeyPath, Position, Problem, Problems, suggest};
use crate::expression::{Expression, Fields, Lookup, Scope};
use crate::model::PartKind;
use crate::model::shape::{self, Kind, Shape};
use crate::record::Value;

/// Variables that an expression may name beside the record's fields.
pub(super) const NAMES: &[&str] = &["settings"];

/// A compiled mapping.
#[derive(Debug)]
pub struct Mapping {
    /// The kind of part that the records become.
    pub kind: PartKind,
    /// The stream that the records come from.
    pub stream: String,
    /// The file, as it was named.
    pub file: String,
    /// A digest of the file: the mapping with its lookups.
    pub digest: String,
    pub(super) key: Placed,
    pub(super) condition: Option<Placed>,
    pub(super) deleted: Option<Placed>,
    pub(super) company: Option<Placed>,
    pub(super) fields: Vec<Target>,
    pub(super) lists: Vec<ListTarget>,
    /// The straight way through the mapping, where there is one.
    pub(super) plan: Option<Plan>,
    pub(super) examples: Vec<(Example, Position)>,
}

/// An expression with the place it stands at.
#[derive(Debug)]
pub(super) struct Placed {
    pub expression: Expression,
    pub position: Position,
}

/// A canonical field and the expression that fills it.
#[derive(Debug)]
pub(super) struct Target {
    /// The dotted path, for messages.
    pub name: String,
    /// The steps of the path.
    pub path: Vec<String>,
    pub kind: Kind,
    pub value: Placed,
}

/// A canonical list and what fills it.
#[derive(Debug)]
pub(super) struct ListTarget {
    pub name: String,
    pub from: Placed,
    pub condition: Option<Placed>,
    pub fields: Vec<Target>,
    /// The straight way through an element, where there is one.
    pub plan: Option<Plan>,
}

impl Mapping {
    /// Compiles a mapping file.
    ///
    /// # Errors
    /// Every fault of the file: syntax, unknown keys, unknown canonical fields, faulty expressions, missing required
    /// fields; each with line, column and advice.
    pub fn compile(document: &Document) -> Result<Self, Problems> {
        let file: MappingFile = document.read()?;
        let mut compiler = Compiler::new(document, &file.lookup);
        let shape = shape::of(file.entity);
        let root = KeyPath::root();

        let key = compiler.expression(&root.key("key"), &file.key);
        let condition = compiler.optional(&root.key("where"), file.condition.as_deref());
        let deleted = compiler.optional(&root.key("deleted"), file.deleted.as_deref());
        let company = compiler.optional(&root.key("company"), file.company.as_deref());
        let lists: Vec<_> = file
            .list
            .iter()
            .enumerate()
            .filter_map(|(at, list)| compiler.list(&root.key("list").index(at), list, file.entity, shape))
            .collect();
        let from_lists: Vec<&str> = lists.iter().map(|l| l.name.as_str()).collect();
        let fields = compiler.fields(&root.key("fields"), &file.fields, shape, &from_lists);
        compiler.problems.into_result()?;

        let (Some(key), Some(condition), Some(deleted), Some(company)) = (key, condition, deleted, company) else {
            // Each of them is missing only with a problem, which was returned above.
            return Err(Problems(vec![Problem::of_file(&file.stream, "the mapping cannot be compiled")]));
        };
        let examples = file
            .test
            .into_iter()
            .enumerate()
            .map(|(at, example)| (example, document.position(&root.key("test").index(at))))
            .collect();
        let plan = Plan::of(file.entity, shape, &fields, &lists);
        Ok(Self {
            kind: file.entity,
            stream: file.stream,
            file: document.file.clone(),
            digest: digest(document),
            key,
            condition,
            deleted,
            company,
            fields,
            lists,
            plan,
            examples,
        })
    }
}

/// Compiles the expressions of one file, and gathers what is wrong with it.
pub(super) struct Compiler<'a> {
    pub document: &'a Document,
    pub lookups: BTreeMap<String, Lookup>,
    pub problems: Problems,
}

impl<'a> Compiler<'a> {
    pub fn new(document: &'a Document, lookups: &BTreeMap<String, BTreeMap<String, serde_json::Value>>) -> Self {
        let lookups = lookups.iter().map(|(name, table)| (name.clone(), lookup(table))).collect();
        Self { document, lookups, problems: Problems::default() }
    }

    fn expression(&mut self, path: &KeyPath, source: &str) -> Option<Placed> {
        self.typed(path, source, Fields::Any, NAMES).map(|(placed, _)| placed)
    }

    /// Compiles an expression that sees these fields and variables, and says what is known of its value.
    pub fn typed(
        &mut self,
        path: &KeyPath,
        source: &str,
        fields: Fields,
        names: &[&str],
    ) -> Option<(Placed, Option<Kind>)> {
        let scope = Scope { fields, names, lookups: &self.lookups };
        match Expression::compile_typed(source, &scope) {
            Ok((expression, kind)) => Some((Placed { expression, position: self.document.position(path) }, kind)),
            Err(faults) => {
                for fault in faults {
                    let mut problem = self.document.problem_in(path, fault.at.start, fault.message);
                    problem.hint = fault.hint;
                    self.problems.push(problem);
                }
                None
            }
        }
    }

    /// The outer option is missing only with a problem, the inner one where the file leaves the expression out.
    #[allow(clippy::option_option)]
    fn optional(&mut self, path: &KeyPath, source: Option<&str>) -> Option<Option<Placed>> {
        match source {
            None => Some(None),
            Some(source) => self.expression(path, source).map(Some),
        }
    }

    fn list(&mut self, path: &KeyPath, list: &ListMapping, kind: PartKind, shape: &Shape) -> Option<ListTarget> {
        let part = PartKind::from_name(&list.into).filter(|part| part.entity() == kind.entity() && kind.is_main());
        let name = part.and_then(PartKind::owner).map_or(list.into.as_str(), |owner| owner.list);
        let element = match shape.at(name) {
            Some(Kind::List(element)) => match &**element {
                Kind::Record(element) => element,
                _ => return self.refuse_list(path, &list.into, kind, shape),
            },
            _ => return self.refuse_list(path, &list.into, kind, shape),
        };
        let from = self.expression(&path.key("from"), &list.from);
        let condition = self.optional(&path.key("where"), list.condition.as_deref());
        let fields = self.fields(&path.key("fields"), &list.fields, element, &[]);
        let plan = Plan::of_shape(element, &fields, &[]);
        Some(ListTarget { name: name.to_owned(), from: from?, condition: condition?, fields, plan })
    }

    fn refuse_list(&mut self, path: &KeyPath, into: &str, kind: PartKind, shape: &Shape) -> Option<ListTarget> {
        let is_list = |k: &Kind| matches!(k, Kind::List(element) if matches!(**element, Kind::Record(_)));
        let lists: Vec<&str> = shape.fields.iter().filter(|f| is_list(&f.kind)).map(|f| f.name.as_str()).collect();
        let message = format!("'{into}' is not a list of records of {kind}");
        let problem = self.document.problem(&path.key("into"), message);
        let problem = if lists.is_empty() {
            problem.hint(format!("{kind} has no lists of records"))
        } else {
            problem.hint(format!("the lists are {}", suggest::one_of(lists)))
        };
        self.problems.push(problem);
        None
    }

    fn fields(
        &mut self,
        path: &KeyPath,
        fields: &BTreeMap<String, String>,
        shape: &Shape,
        elsewhere: &[&str],
    ) -> Vec<Target> {
        let mut targets = Vec::new();
        for (name, source) in fields {
            let at = path.key(name);
            if elsewhere.contains(&name.as_str()) {
                self.problems
                    .push(self.document.problem_with_key(&at, format!("'{name}' is filled by a [[list]] too")));
            }
            let kind = shape.at(name).cloned();
            if kind.is_none() {
                let paths = shape.paths();
                let problem = self.document.problem_with_key(&at, format!("there is no canonical field '{name}'"));
                self.problems.push(match suggest::nearest(name, paths.iter().map(String::as_str)) {
                    Some(near) => problem.hint(format!("did you mean '{near}'?")),
                    None => problem.hint(format!(
                        "the fields are {}",
                        suggest::one_of(shape.fields.iter().map(|f| f.name.as_str()))
                    )),
                });
            }
            let value = self.expression(&at, source);
            if let (Some(kind), Some(value)) = (kind, value) {
                let path = name.split('.').map(str::to_owned).collect();
                targets.push(Target { name: name.clone(), path, kind, value });
            }
        }
        for field in shape.fields.iter().filter(|f| f.required) {
            let filled = fields.keys().any(|name| name.split('.').next() == Some(&field.name));
            if !filled && !elsewhere.contains(&field.name.as_str()) {
                let message = format!("the required field '{}' is missing", field.name);
                let problem = self.document.problem_with_key(path, message);
                self.problems.push(if field.help.is_empty() { problem } else { problem.hint(field.help.clone()) });
            }
        }
        let order = |target: &Target| shape.fields.iter().position(|f| f.name == target.path[0]);
        targets.sort_by_key(order);
        targets
    }
}

/// A digest of a mapping file with its lookups.
pub(super) fn digest(document: &Document) -> String {
    blake3::hash(document.text().as_bytes()).to_hex()[..32].to_owned()
}

fn lookup(table: &BTreeMap<String, serde_json::Value>) -> Lookup {
    table.iter().map(|(key, value)| (key.clone(), Value::from_json(value.clone()))).collect()
}
