//! What the canonical shapes tell about an expression's parts, so that a field that a record does not have is found
//! when the expression is compiled, however deep it stands.

use std::ops::Range;

use super::Fields;
use super::node::{Kind, Node};
use super::syntax::Compiler;
use crate::model::shape::{self, Shape};
use crate::record::Value;

/// What is known of a value.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    Shape(&'a Shape),
    Kind(&'a shape::Kind),
}

impl<'a> Known<'a> {
    pub fn kind(self) -> Option<&'a shape::Kind> {
        match self {
            Self::Kind(kind) => Some(kind),
            Self::Shape(_) => None,
        }
    }
}

impl<'a> Compiler<'a> {
    /// Refuses a member that a value of a canonical shape does not have.
    pub(super) fn check_member(&mut self, of: &Node, name: &str, at: &Range<usize>) -> Option<()> {
        match self.kind(of) {
            Some(Known::Shape(shape) | Known::Kind(shape::Kind::Record(shape) | shape::Kind::Unit(shape))) => {
                if shape.field(name).is_none() {
                    return self.no_field(name, shape.fields.iter().map(|f| f.name.as_str()), at);
                }
            }
            None | Some(Known::Kind(shape::Kind::Table(_))) => {}
            Some(Known::Kind(shape::Kind::List(_))) => {
                let hint = Some("take one with [0], or all with map".to_owned());
                return self.fault(at.clone(), format!("a list has no field '{name}'"), hint);
            }
            Some(Known::Kind(_)) => {
                return self.fault(at.clone(), format!("a single value has no field '{name}'"), None);
            }
        }
        Some(())
    }

    /// What is known of a node's value from the shapes of the scope.
    pub(super) fn kind(&self, node: &Node) -> Option<Known<'a>> {
        let Fields::Shaped(shapes) = self.scope.fields else { return None };
        let member = |of: Option<Known<'a>>, name: &str| match of? {
            Known::Shape(shape) | Known::Kind(shape::Kind::Record(shape) | shape::Kind::Unit(shape)) => {
                shape.field(name).map(|field| Known::Kind(&field.kind))
            }
            Known::Kind(shape::Kind::Table(value)) => Some(Known::Kind(value)),
            Known::Kind(_) => None,
        };
        match &node.kind {
            Kind::Record => shapes.record.map(Known::Shape),
            Kind::Field { name, .. } => member(shapes.record.map(Known::Shape), name),
            Kind::Name(index) => {
                let name = self.scope.names.get(*index)?;
                shapes.names.iter().find(|(known, _)| known == name).map(|(_, shape)| Known::Shape(shape))
            }
            Kind::Local(depth) => self.locals.iter().rev().nth(*depth)?.1.map(Known::Kind),
            Kind::Select(of, name) => member(self.kind(of), name),
            Kind::Index(of, key) => match (&key.kind, self.kind(of)) {
                (Kind::Literal(Value::Text(name)), of) => member(of, name),
                (_, Some(Known::Kind(shape::Kind::List(element)))) => Some(Known::Kind(element)),
                _ => None,
            },
            // `filter` keeps the elements as they are; the list macro with another body makes others.
            Kind::Each { list, body, .. } if matches!(body.kind, Kind::Local(0)) => self.kind(list),
            _ => None,
        }
    }
}
