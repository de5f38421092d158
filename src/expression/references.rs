//! Which members of a variable an expression names: what whoever compiles it checks beyond the language itself.

use std::ops::Range;

use super::node::{Kind, Node};
use crate::record::Value;

/// A member of a variable, as in `settings.directory`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member's name.
    pub name: String,
    /// Where, in bytes of the source.
    pub at: Range<usize>,
}

/// Every member of the variable at `index` that the expression names, and whether the variable is used at all.
pub(super) fn members(root: &Node, index: usize) -> (Vec<Member>, bool) {
    let mut found = Vec::new();
    let mut used = false;
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        let is_variable = |of: &Node| matches!(of.kind, Kind::Name(at) if at == index);
        match &node.kind {
            Kind::Name(at) if *at == index => used = true,
            Kind::Select(of, name) if is_variable(of) => {
                found.push(Member { name: name.to_string(), at: of.at.clone() });
            }
            Kind::Index(of, key) if is_variable(of) => {
                if let Kind::Literal(Value::Text(name)) = &key.kind {
                    found.push(Member { name: name.clone(), at: key.at.clone() });
                }
            }
            _ => {}
        }
        open.extend(children(node));
    }
    found.sort_by_key(|member| member.at.start);
    (found, used)
}

fn children(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Literal(_) | Kind::Field { .. } | Kind::Record | Kind::Name(_) | Kind::Local(_) => Vec::new(),
        Kind::Select(a, _) | Kind::Not(a) | Kind::Negate(a) | Kind::Present(a) | Kind::Matches { text: a, .. } => {
            vec![a]
        }
        Kind::Index(a, b)
        | Kind::And(a, b)
        | Kind::Or(a, b)
        | Kind::Arithmetic(_, a, b)
        | Kind::Compare(_, a, b)
        | Kind::In(a, b)
        | Kind::Coalesce(a, b)
        | Kind::Exists { list: a, condition: b }
        | Kind::All { list: a, condition: b } => vec![a, b],
        Kind::Conditional(a, b, c) => vec![a, b, c],
        Kind::List(items) | Kind::Call(_, items) => items.iter().collect(),
        Kind::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        Kind::Lookup { key, default, .. } => std::iter::once(key).chain(default).map(|n| &**n).collect(),
        Kind::Round { value, divisor, .. } => std::iter::once(value).chain(divisor).map(|n| &**n).collect(),
        Kind::Each { list, condition, body } => {
            std::iter::once(list).chain(condition).chain(std::iter::once(body)).map(|n| &**n).collect()
        }
    }
}
