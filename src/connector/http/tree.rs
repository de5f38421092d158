//! Trees of values with templates in them, such as the body of a request: filled, never put together as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::config::KeyPath;
use crate::connector::check::{Checker, Secrecy};
use crate::expression::{Context, EvaluationError, Template};
use crate::record::{Map, Value};

/// The variable that says how far a stream was read.
pub const CURSOR: &str = "cursor";

/// A tree of values with templates in its texts.
#[derive(Debug)]
pub enum Tree {
    /// A value as it is.
    Value(Value),
    /// A text with expressions in it; a single expression gives its value.
    Template(Template),
    /// A list.
    List(Vec<Tree>),
    /// Named values.
    Map(Vec<(Arc<str>, Tree)>),
}

/// Templates by name, of which those without a value are left out: headers, a query, a form.
#[derive(Debug, Default)]
pub struct Named(Vec<(String, Template)>);

impl Tree {
    /// Compiles a tree; nothing with a problem.
    pub fn compile(
        checker: &mut Checker,
        path: &KeyPath,
        tree: &Json,
        names: &[&str],
        secrecy: Secrecy,
    ) -> Option<Self> {
        match tree {
            Json::String(text) => {
                let template = checker.template(path, text, names, secrecy)?;
                Some(match template.constant() {
                    Some(text) => Self::Value(Value::Text(text.to_owned())),
                    None => Self::Template(template),
                })
            }
            Json::Array(items) => {
                let compiled: Vec<Option<Self>> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| Self::compile(checker, &path.index(at), item, names, secrecy))
                    .collect();
                compiled.into_iter().collect::<Option<Vec<_>>>().map(Self::List)
            }
            Json::Object(members) => {
                let compiled: Vec<Option<(Arc<str>, Self)>> = members
                    .iter()
                    .map(|(name, member)| {
                        let tree = Self::compile(checker, &path.key(name), member, names, secrecy)?;
                        Some((Arc::from(name.as_str()), tree))
                    })
                    .collect();
                compiled.into_iter().collect::<Option<Vec<_>>>().map(Self::Map)
            }
            other => Some(Self::Value(Value::from_json(other.clone()))),
        }
    }

    /// Whether a template in it uses the variable at `index` of the names.
    pub fn uses(&self, index: usize) -> bool {
        match self {
            Self::Value(_) => false,
            Self::Template(template) => template.uses(index),
            Self::List(items) => items.iter().any(|item| item.uses(index)),
            Self::Map(members) => members.iter().any(|(_, tree)| tree.uses(index)),
        }
    }

    /// The tree with its values filled in.
    ///
    /// # Errors
    /// Where an expression fails, or has no value beside other text.
    pub fn fill(&self, context: &Context) -> Result<Value, EvaluationError> {
        Ok(match self {
            Self::Value(value) => value.clone(),
            Self::Template(template) => template.value(context)?,
            Self::List(items) => Value::List(items.iter().map(|item| item.fill(context)).collect::<Result<_, _>>()?),
            Self::Map(members) => {
                let filled = members.iter().map(|(name, tree)| Ok((Arc::clone(name), tree.fill(context)?)));
                Value::Map(filled.collect::<Result<Map, _>>()?)
            }
        })
    }
}

impl Named {
    /// Compiles templates; nothing with a problem.
    pub fn compile(
        checker: &mut Checker,
        path: &KeyPath,
        templates: &BTreeMap<String, String>,
        names: &[&str],
        secrecy: Secrecy,
    ) -> Option<Self> {
        let compiled: Vec<Option<(String, Template)>> = templates
            .iter()
            .map(|(name, text)| Some((name.clone(), checker.template(&path.key(name), text, names, secrecy)?)))
            .collect();
        compiled.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether one of them uses the variable at `index` of the names.
    pub fn uses(&self, index: usize) -> bool {
        self.0.iter().any(|(_, template)| template.uses(index))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Names and texts, without those that have no value.
    ///
    /// # Errors
    /// Where an expression fails, or has no value beside other text.
    pub fn fill(&self, context: &Context) -> Result<Vec<(String, String)>, EvaluationError> {
        // A complete pass has no cursor, and leaves out what compares with it: `modified gt ${cursor}`.
        let lacking = context.names.iter().position(|(name, value)| *name == CURSOR && value.is_empty());
        let mut filled = Vec::with_capacity(self.0.len());
        for (name, template) in &self.0 {
            let text = match template.fill(context) {
                Err(_) if lacking.is_some_and(|cursor| template.uses(cursor)) => None,
                filled => filled?,
            };
            filled.extend(text.map(|text| (name.clone(), text)));
        }
        Ok(filled)
    }
}
