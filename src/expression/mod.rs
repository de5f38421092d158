//! The expression language of mapping files and manifests: the syntax of CEL, the Common Expression Language
//! (<https://github.com/google/cel-spec>), parsed by the crate `cel`, checked and evaluated here.
//!
//! Free of loops and side effects. It differs from CEL where ERP data needs it:
//! - numbers are exact decimals; `+ - *` fail where the result cannot be represented, `/` stands only inside `round`;
//! - an absent or empty field is null; methods on null give null until `or`; a null condition is false; an
//!   arithmetic operation with null gives null; a comparison with null is false but for `==` and `!=`;
//! - text and numbers are never compared with each other in silence;
//! - a field whose name is no identifier is `record['Klant nr.']`.
//!
//! What does not live here: which fields are filled (`mapping`).

mod convert;
mod evaluate;
mod functions;
mod node;
mod number;
mod references;
mod shapes;
mod syntax;
mod template;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::model::shape::{self, Shape};
use crate::record::{FieldsRef, Seen, Value};

pub use evaluate::EvaluationError;
pub use references::Member;
pub use template::Template;

/// A table for the function `lookup`.
pub type Lookup = BTreeMap<String, Value>;

/// What an expression may refer to; checked when it is compiled.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The record's fields.
    pub fields: Fields<'a>,
    /// Variables beside the record's fields.
    pub names: &'a [&'a str],
    /// Tables for `lookup`.
    pub lookups: &'a BTreeMap<String, Lookup>,
}

/// Which fields a record has.
#[derive(Debug, Clone, Copy)]
pub enum Fields<'a> {
    /// Any: what a record lacks is null.
    Any,
    /// These.
    Known(&'a [&'a str]),
    /// Those of canonical records, checked however deep an expression reaches.
    Shaped(Shapes<'a>),
}

/// The canonical shapes of what an expression refers to.
#[derive(Debug, Clone, Copy)]
pub struct Shapes<'a> {
    /// The record's; absent: any field is accepted.
    pub record: Option<&'a Shape>,
    /// Those of variables beside the record's fields; of the others any member is accepted.
    pub names: &'a [(&'a str, &'a Shape)],
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes of the source.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What an expression is evaluated on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The record.
    pub record: FieldsRef<'a>,
    /// Variables beside the record's fields.
    pub names: &'a [(&'a str, &'a Value)],
    /// The zone of times without one.
    pub zone: &'a jiff::tz::TimeZone,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    source: Arc<str>,
    root: node::Node,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// All faults at once: syntax, unknown functions, variables and tables, wrong numbers of arguments.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use tradebridge::expression::{Context, Expression, Fields, Scope};
    /// # use tradebridge::record::{Map, Seen, Value};
    /// let lookups = BTreeMap::new();
    /// let scope = Scope { fields: Fields::Any, names: &[], lookups: &lookups };
    /// let name = Expression::compile("Name.trim().or('unnamed')", &scope).unwrap();
    /// let record: Map = [("Name", Value::Text(" De Vries ".into()))].into_iter().collect();
    /// let context = Context { record: (&record).into(), names: &[], zone: &jiff::tz::TimeZone::UTC };
    /// assert_eq!(name.evaluate(&context).unwrap(), Seen::Text("De Vries".into()));
    /// ```
    pub fn compile(source: &str, scope: &Scope) -> Result<Self, Vec<Fault>> {
        Self::compile_typed(source, scope).map(|(expression, _)| expression)
    }

    /// Compiles an expression, and says what its value is as far as [`Fields::Shaped`] tells.
    ///
    /// # Errors
    /// As [`Expression::compile`].
    pub fn compile_typed(source: &str, scope: &Scope) -> Result<(Self, Option<shape::Kind>), Vec<Fault>> {
        let (root, kind) = syntax::compile(source, scope)?;
        Ok((Self { source: Arc::from(source), root }, kind))
    }

    /// The expression's value for a record.
    pub fn evaluate<'a>(&'a self, context: &'a Context<'a>) -> Result<Seen<'a>, EvaluationError> {
        evaluate::evaluate(&self.root, &self.source, context)
    }

    /// The expression as a condition: null is false.
    pub fn condition(&self, context: &Context) -> Result<bool, EvaluationError> {
        let value = self.evaluate(context)?;
        evaluate::truth(&value).map_err(|message| evaluate::error(&self.source, &self.root, message))
    }

    /// Every member of the variable at `index` of the scope's names that the expression names, with its place.
    pub fn members(&self, index: usize) -> Vec<Member> {
        references::members(&self.root, index).0
    }

    /// Whether the expression uses the variable at `index` of the scope's names.
    pub fn uses(&self, index: usize) -> bool {
        references::members(&self.root, index).1
    }

    /// The source.
    pub fn source(&self) -> &str {
        &self.source
    }
}
