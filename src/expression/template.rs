//! Templates: text with expressions in it, `${settings.directory}/prices`, as connector manifests write paths and
//! names. `$${` is the text `${`.
//!
//! What does not live here: what a filled template may be (whoever uses it).

use std::ops::Range;

use super::evaluate::{EvaluationError, short};
use super::references::Member;
use super::{Context, Expression, Fault, Scope};
use crate::record::{Seen, Value};

/// A compiled template.
#[derive(Debug)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// An expression, and where its source begins in the template.
    Value(Expression, usize),
}

/// A piece of a template's source.
enum Piece {
    Text(String),
    Expression(Range<usize>),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// All faults of all its expressions at once, with places in the template.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use tradebridge::expression::{Context, Fields, Scope, Template};
    /// # use tradebridge::record::{Map, Value};
    /// let lookups = BTreeMap::new();
    /// let scope = Scope { fields: Fields::Known(&[]), names: &["reference"], lookups: &lookups };
    /// let name = Template::compile("ORD-${reference.lower()}.xml", &scope).unwrap();
    /// let reference = Value::Text("B2B-1".into());
    /// let (record, names) = (Map::default(), [("reference", &reference)]);
    /// let context = Context { record: (&record).into(), names: &names, zone: &jiff::tz::TimeZone::UTC };
    /// assert_eq!(name.fill(&context).unwrap().as_deref(), Some("ORD-b2b-1.xml"));
    /// ```
    pub fn compile(source: &str, scope: &Scope) -> Result<Self, Vec<Fault>> {
        let mut parts = Vec::new();
        let mut faults = Vec::new();
        for piece in pieces(source).map_err(|fault| vec![fault])? {
            match piece {
                Piece::Text(text) => parts.push(Part::Text(text)),
                Piece::Expression(at) => match Expression::compile(&source[at.clone()], scope) {
                    Ok(expression) => parts.push(Part::Value(expression, at.start)),
                    Err(found) => faults.extend(
                        found
                            .into_iter()
                            .map(|fault| Fault { at: fault.at.start + at.start..fault.at.end + at.start, ..fault }),
                    ),
                },
            }
        }
        if faults.is_empty() { Ok(Self { source: source.to_owned(), parts }) } else { Err(faults) }
    }

    /// The template's text, where there is no expression in it.
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The template with its values filled in. Nothing where it is one expression alone and that has no value.
    ///
    /// # Errors
    /// Where an expression fails, has no value beside other text, or gives no text, number or truth value.
    pub fn fill(&self, context: &Context) -> Result<Option<String>, EvaluationError> {
        self.fill_as(context, |text, filled| filled.push_str(text))
    }

    /// As [`Template::fill`], with each value written by `write`: a template of an address has what values bring in encoded.
    ///
    /// # Errors
    /// As of [`Template::fill`].
    pub fn fill_as(
        &self,
        context: &Context,
        write: impl Fn(&str, &mut String),
    ) -> Result<Option<String>, EvaluationError> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(expression, _) => {
                    let value = expression.evaluate(context)?;
                    let fail = |message: String| EvaluationError { message, snippet: short(expression.source()) };
                    match &value {
                        Seen::Text(text) if !text.is_empty() => write(text, &mut filled),
                        Seen::Number(number) => write(&number.to_string(), &mut filled),
                        Seen::Bool(truth) => filled.push_str(if *truth { "true" } else { "false" }),
                        value if value.is_empty() && self.parts.len() == 1 => return Ok(None),
                        value if value.is_empty() => {
                            return Err(fail(format!("there is no value for `{}`", self.source)));
                        }
                        other => return Err(fail(format!("a {} does not go into a text", other.kind()))),
                    }
                }
            }
        }
        Ok(Some(filled))
    }

    /// The template's value: that of its expression where it is one alone, otherwise the text.
    ///
    /// # Errors
    /// Where an expression fails, or has no value beside other text.
    pub fn value(&self, context: &Context) -> Result<Value, EvaluationError> {
        match self.parts.as_slice() {
            [Part::Value(expression, _)] => Ok(expression.evaluate(context)?.into_value()),
            _ => Ok(self.fill(context)?.map_or(Value::Null, Value::Text)),
        }
    }

    /// Every member of the variable at `index` of the scope's names that the template names, with its place.
    pub fn members(&self, index: usize) -> Vec<Member> {
        let mut found = Vec::new();
        for part in &self.parts {
            if let Part::Value(expression, start) = part {
                found.extend(
                    expression
                        .members(index)
                        .into_iter()
                        .map(|member| Member { at: member.at.start + start..member.at.end + start, ..member }),
                );
            }
        }
        found
    }

    /// Whether the template uses the variable at `index` of the scope's names.
    pub fn uses(&self, index: usize) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(expression, _) if expression.uses(index)))
    }

    /// The source.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn pieces(source: &str) -> Result<Vec<Piece>, Fault> {
    let mut found = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while let Some(dollar) = source[at..].find('$').map(|offset| at + offset) {
        text.push_str(&source[at..dollar]);
        let rest = &source[dollar..];
        if rest.starts_with("$${") {
            text.push_str("${");
            at = dollar + 3;
        } else if rest.starts_with("${") {
            let start = dollar + 2;
            let Some(length) = length(&source[start..]) else {
                let hint = Some("close it with `}`; the text `${` is written `$${`".to_owned());
                return Err(Fault { at: dollar..source.len(), message: "this `${` has no end".to_owned(), hint });
            };
            if source[start..start + length].trim().is_empty() {
                let hint = Some("write an expression such as ${settings.directory}".to_owned());
                return Err(Fault { at: dollar..start + length + 1, message: "this `${}` is empty".to_owned(), hint });
            }
            if !text.is_empty() {
                found.push(Piece::Text(std::mem::take(&mut text)));
            }
            found.push(Piece::Expression(start..start + length));
            at = start + length + 1;
        } else {
            text.push('$');
            at = dollar + 1;
        }
    }
    text.push_str(&source[at..]);
    if !text.is_empty() {
        found.push(Piece::Text(text));
    }
    Ok(found)
}

/// The length of the expression at the beginning of `text` that a `}` ends: braces of records and texts in quotes
/// are stepped over.
fn length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '\'' | '"' => quote = Some(c),
                '{' => depth += 1,
                '}' if depth == 0 => return Some(at),
                '}' => depth -= 1,
                _ => {}
            },
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::expression::Fields;
    use crate::record::{Map, Value};

    fn compile(source: &str) -> Result<Template, Vec<Fault>> {
        let scope = Scope { fields: Fields::Known(&[]), names: &["settings", "reference"], lookups: &BTreeMap::new() };
        Template::compile(source, &scope)
    }

    fn fill(source: &str) -> Result<Option<String>, String> {
        let settings: Map =
            [("directory", Value::Text("/srv/erp".into())), ("number", Value::Number("7".parse().unwrap()))]
                .into_iter()
                .collect();
        let (settings, reference, record) = (Value::Map(settings), Value::Text("A-1".into()), Map::default());
        let names = [("settings", &settings), ("reference", &reference)];
        let context = Context { record: (&record).into(), names: &names, zone: &jiff::tz::TimeZone::UTC };
        compile(source).unwrap().fill(&context).map_err(|e| e.to_string())
    }

    #[test]
    fn values_stand_in_the_text() {
        assert_eq!(fill("${settings.directory}/in-${settings.number}/x").unwrap().unwrap(), "/srv/erp/in-7/x");
        assert_eq!(fill("plain $5 $${x}").unwrap().unwrap(), "plain $5 ${x}");
        assert_eq!(fill("").unwrap().unwrap(), "");
        assert_eq!(fill("${{'}': reference}['}'] + '}\\'{'}!").unwrap().unwrap(), "A-1}'{!");
        assert_eq!(compile("klanten*.csv").unwrap().constant(), Some("klanten*.csv"));
        assert_eq!(compile("${reference}").unwrap().constant(), None);
    }

    #[test]
    fn an_absent_value_is_said_or_is_the_absence_of_the_whole() {
        assert_eq!(fill("${settings.archive}").unwrap(), None);
        assert!(fill("${settings.archive}/old").unwrap_err().contains("no value"));
        assert!(fill("${settings}/old").unwrap_err().contains("a map does not go into a text"));
    }

    #[test]
    fn faults_have_their_place_in_the_template() {
        let faults = compile("a/${settings.x.trm()}/ë/${refernce}").unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(faults[0].message.contains("'trm'") && faults[0].hint.as_deref() == Some("did you mean 'trim'?"));
        assert_eq!(faults[1].at.start, "a/${settings.x.trm()}/ë/${".len());
        assert_eq!(faults[1].hint.as_deref(), Some("did you mean 'reference'?"));
        assert_eq!(compile("a/${settings.x").unwrap_err()[0].at.start, 2);
        assert!(compile("${ }").unwrap_err()[0].message.contains("empty"));
        assert!(compile("${nowhere}").unwrap_err()[0].hint.as_deref().unwrap().contains("`settings` or `reference`"));
    }

    #[test]
    fn the_members_of_a_variable_are_known() {
        let template =
            compile("${settings.a.trim()}-${[1].map(x, settings['b'] + string(x)).join(reference)}").unwrap();
        let names: Vec<(String, usize)> = template.members(0).into_iter().map(|m| (m.name, m.at.start)).collect();
        assert_eq!(names, [("a".to_owned(), 2), ("b".to_owned(), 43)]);
        assert!(template.uses(1) && !compile("${settings.a}").unwrap().uses(1));
    }
}
