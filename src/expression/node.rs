//! The checked form of an expression.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::Lookup;
use super::functions::Function;
use super::number::Rounding;
use crate::record::Value;

/// A part of an expression with its place in the source.
#[derive(Debug)]
pub(super) struct Node {
    pub at: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Literal(Value),
    /// A field of the record; the hint is the position it was found at last.
    Field {
        name: Arc<str>,
        hint: AtomicUsize,
    },
    /// The whole record.
    Record,
    /// A variable beside the record's fields.
    Name(usize),
    /// The variable of an enclosing list macro, counted outwards.
    Local(usize),
    Select(Box<Node>, Arc<str>),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Arc<str>, Node)>),
    /// `or`: the first that is not empty.
    Coalesce(Box<Node>, Box<Node>),
    Present(Box<Node>),
    Lookup {
        name: Arc<str>,
        table: Arc<Lookup>,
        key: Box<Node>,
        default: Option<Box<Node>>,
    },
    Matches {
        text: Box<Node>,
        pattern: regex_lite::Regex,
    },
    Round {
        value: Box<Node>,
        divisor: Option<Box<Node>>,
        places: u32,
        mode: Rounding,
    },
    /// `map` and `filter`: the body of each element that meets the condition.
    Each {
        list: Box<Node>,
        condition: Option<Box<Node>>,
        body: Box<Node>,
    },
    Exists {
        list: Box<Node>,
        condition: Box<Node>,
    },
    All {
        list: Box<Node>,
        condition: Box<Node>,
    },
    Call(Function, Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
