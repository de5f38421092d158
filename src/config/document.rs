//! A TOML document whose every key and value remembers its place, so that whoever finds something
//! wrong with it, syntax, schema, expression or cross-check, can say file, line and column.
//!
//! What does not live here: what the keys mean (`settings`, and the rooms of manifest and mapping).

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::{KeyPath, Position, Problem, Problems};
use super::schema::{self, About};

/// A parsed TOML file: its content as JSON values with exact numbers, and where each of them stands.
#[derive(Clone, Default)]
pub struct Document {
    /// The file as it was named.
    pub file: String,
    /// The content. Numbers keep their digits, dates and times are texts. Where the syntax is
    /// broken it holds what could be understood.
    pub content: Value,
    /// What is wrong with the syntax.
    pub problems: Vec<Problem>,
    text: String,
    lines: Vec<usize>,
    places: HashMap<KeyPath, Place>,
    variables: HashMap<KeyPath, String>,
}

impl fmt::Debug for Document {
    /// Names the file and shows none of it: it may hold what must not be printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("file", &self.file).field("problems", &self.problems).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Place {
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl Document {
    /// Reads and parses a file. A file that cannot be read or is not UTF-8 is one problem.
    pub fn load(path: &Path) -> Result<Self, Problem> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| Problem::of_file(&file, format!("this file cannot be read: {error}")))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::parse(&file, &text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default());
                let position = position_of(&before, &line_starts(&before), before.len());
                Err(Problem {
                    position: Some(position),
                    ..Problem::of_file(file, "this byte is not UTF-8, the encoding of every TOML file")
                }
                .hint("save the file as UTF-8"))
            }
        }
    }

    /// Parses `text`; syntax errors are in [`Document::problems`], all of them.
    pub fn parse(file: &str, text: &str) -> Self {
        let mut document = Self {
            file: file.to_owned(),
            content: Value::Null,
            problems: Vec::new(),
            text: text.to_owned(),
            lines: line_starts(text),
            places: HashMap::new(),
            variables: HashMap::new(),
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let named = match text.get(span.clone()) {
                Some(word) if error.message() == "duplicate key" => format!("duplicate key `{}`", word.trim()),
                _ => error.message().to_owned(),
            };
            let problem = Problem { position: Some(document.at(span.start)), ..Problem::of_file(file, named) };
            document.problems.push(problem);
        }
        let root_path = KeyPath::root();
        document.places.insert(root_path.clone(), Place { key: None, value: 0..0 });
        document.content = document.take_table(&root_path, root.get_ref());
        document
    }

    fn take_table(&mut self, path: &KeyPath, table: &DeTable<'_>) -> Value {
        // The parser sorts by name; the author's order is the order of the keys' places.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut content = Map::new();
        for (key, value) in entries {
            let path = path.key(key.get_ref());
            self.places.insert(path.clone(), Place { key: Some(key.span()), value: value.span() });
            let value = self.take_value(&path, value);
            content.insert(key.get_ref().to_string(), value);
        }
        Value::Object(content)
    }

    fn take_value(&mut self, path: &KeyPath, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Datetime(moment) => Value::String(moment.to_string()),
            DeValue::Integer(integer) => {
                let number = if integer.radix() == 10 {
                    exact_number(integer.as_str())
                } else {
                    u128::from_str_radix(integer.as_str(), integer.radix())
                        .ok()
                        .and_then(|number| exact_number(&number.to_string()))
                };
                self.number_or_problem(path, value.span(), number)
            }
            DeValue::Float(float) => self.number_or_problem(path, value.span(), exact_number(float.as_str())),
            DeValue::Array(items) => {
                let mut content = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let path = path.index(index);
                    self.places.insert(path.clone(), Place { key: None, value: item.span() });
                    content.push(self.take_value(&path, item));
                }
                Value::Array(content)
            }
            DeValue::Table(table) => self.take_table(path, table),
        }
    }

    fn number_or_problem(&mut self, path: &KeyPath, span: Range<usize>, number: Option<Number>) -> Value {
        if let Some(number) = number {
            return Value::Number(number);
        }
        // What the parser could not read at all it has reported itself, with an empty place.
        let written = self.text.get(span.clone()).unwrap_or_default().to_owned();
        let position = self.at(span.start);
        if !written.is_empty() && !self.problems.iter().any(|p| p.position.is_some_and(|p| p.line == position.line)) {
            self.problems.push(Problem {
                position: Some(position),
                path: path.to_string(),
                ..Problem::of_file(&self.file, format!("`{written}` is not a number that can be used here"))
            });
        }
        Value::Null
    }

    /// Where the value at `path` begins; for a path that does not exist, its nearest ancestor.
    pub fn position(&self, path: &KeyPath) -> Position {
        self.at(self.place(path).value.start)
    }

    /// Where the key at `path` stands; for an element of a list, the element.
    pub fn position_of_key(&self, path: &KeyPath) -> Position {
        let place = self.place(path);
        self.at(place.key.as_ref().unwrap_or(&place.value).start)
    }

    /// Where byte `offset` of the text value at `path` stands, for an error inside an expression.
    ///
    /// Exact where the text stands in the file as it is; the beginning of the value where escapes
    /// or folded line ends make the two differ.
    pub fn position_in(&self, path: &KeyPath, offset: usize) -> Position {
        let place = self.place(path);
        let start = place.value.start;
        let raw = self.text.get(place.value.clone()).unwrap_or_default();
        let inner = ["\"\"\"", "'''", "\"", "'"].into_iter().find_map(|quote| {
            let inner = raw.strip_prefix(quote)?.strip_suffix(quote)?;
            Some((quote.len(), inner))
        });
        let Some((quote, inner)) = inner else { return self.at(start) };
        // A line end right after the opening quotes of a multi-line text is not part of it.
        let skipped = match inner {
            _ if quote == 1 => 0,
            _ if inner.starts_with("\r\n") => 2,
            _ if inner.starts_with('\n') => 1,
            _ => 0,
        };
        match (self.value(path), inner.get(skipped..)) {
            (Some(Value::String(text)), Some(inner)) if text == inner => {
                self.at(start + quote + skipped + offset.min(text.len()))
            }
            _ => self.at(start),
        }
    }

    /// The value at `path`.
    pub fn value(&self, path: &KeyPath) -> Option<&Value> {
        path.steps().iter().try_fold(&self.content, |value, step| match step {
            super::place::Step::Key(key) => value.get(key),
            super::place::Step::Index(index) => value.get(index),
        })
    }

    /// A problem with the value at `path`.
    pub fn problem(&self, path: &KeyPath, message: impl Into<String>) -> Problem {
        self.problem_at(path, self.position(path), message)
    }

    /// A problem with the key at `path`, or with a table as a whole.
    pub fn problem_with_key(&self, path: &KeyPath, message: impl Into<String>) -> Problem {
        self.problem_at(path, self.position_of_key(path), message)
    }

    /// A problem at byte `offset` of the text value at `path`.
    pub fn problem_in(&self, path: &KeyPath, offset: usize, message: impl Into<String>) -> Problem {
        self.problem_at(path, self.position_in(path, offset), message)
    }

    fn problem_at(&self, path: &KeyPath, position: Position, message: impl Into<String>) -> Problem {
        let mut problem = Problem { path: path.to_string(), ..Problem::of_file(&self.file, message) };
        match self.variable(path) {
            Some(variable) => problem.file = format!("environment variable {variable}"),
            None => problem.position = Some(position),
        }
        problem
    }

    /// The environment variable that set the value at `path` or the table around it.
    fn variable(&self, path: &KeyPath) -> Option<&str> {
        if self.variables.is_empty() {
            return None;
        }
        let mut path = path.clone();
        loop {
            if let Some(variable) = self.variables.get(&path) {
                return Some(variable);
            }
            path = path.parent()?;
        }
    }

    /// Remembers that the value at `path` came from an environment variable, for its messages.
    pub(super) fn set_by(&mut self, path: KeyPath, variable: &str) {
        self.variables.insert(path, variable.to_owned());
    }

    /// Everything in which the document departs from `schema`. Syntax problems are not repeated,
    /// and what only follows from them is left out.
    pub fn check(&self, schema: &Value) -> Vec<Problem> {
        let broken: Vec<usize> = self.problems.iter().filter_map(|p| p.position).map(|p| p.line).collect();
        schema::check(schema, &self.content)
            .into_iter()
            .filter_map(|violation| {
                let mut problem = match violation.about {
                    About::Key | About::Missing => self.problem_with_key(&violation.path, violation.message),
                    About::Value => self.problem(&violation.path, violation.message),
                };
                problem.hint = violation.hint;
                let follows = !broken.is_empty()
                    && (violation.about == About::Missing
                        || problem.position.is_some_and(|position| broken.contains(&position.line))
                        || self.value(&violation.path) == Some(&Value::Null));
                (!follows).then_some(problem)
            })
            .collect()
    }

    /// Checks the document against the schema of `T` and reads it: every problem at once, or the value.
    pub fn read<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Problems> {
        let mut problems = Problems(self.problems.clone());
        problems.append(self.check(&schema::of::<T>()));
        problems.into_result()?;
        T::deserialize(&self.content).map_err(|error| Problems::from(self.problem(&KeyPath::root(), error.to_string())))
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn place(&self, path: &KeyPath) -> &Place {
        static NOWHERE: Place = Place { key: None, value: 0..0 };
        let mut path = path.clone();
        loop {
            if let Some(place) = self.places.get(&path) {
                return place;
            }
            match path.parent() {
                Some(parent) => path = parent,
                None => return &NOWHERE,
            }
        }
    }

    fn at(&self, offset: usize) -> Position {
        position_of(&self.text, &self.lines, offset)
    }
}

/// A number with exactly the digits TOML writes; `None` for `nan` and `inf`.
fn exact_number(digits: &str) -> Option<Number> {
    serde_json::from_str(digits.strip_prefix('+').unwrap_or(digits)).ok()
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect()
}

fn position_of(text: &str, lines: &[usize], offset: usize) -> Position {
    let line = lines.partition_point(|start| *start <= offset).max(1);
    let start = lines.get(line - 1).copied().unwrap_or_default();
    let before = text.get(start..offset.min(text.len())).unwrap_or_default();
    // A byte order mark is no column.
    let column = before.chars().filter(|c| *c != '\u{feff}').count() + 1;
    Position { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let document = Document::parse(
            "a.toml",
            "\u{feff}top = 1\n[[sync]]\nentity = 'stock'\n[[sync]]\nunit = 1\n\"ë é\" = { a.b = [1, 2], c = 'x' }\n",
        );
        assert_eq!(document.problems, []);
        let root = KeyPath::root();
        let second = root.key("sync").index(1);
        assert_eq!(document.position(&root.key("top")), at(1, 7));
        assert_eq!(document.position(&root.key("sync").index(0).key("entity")), at(3, 10));
        assert_eq!(document.position(&second), at(4, 1));
        assert_eq!(document.position_of_key(&second.key("ë é")), at(6, 1));
        assert_eq!(document.position(&second.key("ë é").key("a").key("b").index(1)), at(6, 21));
        assert_eq!(document.position(&second.key("ë é").key("c").key("nowhere")), at(6, 29));
        assert_eq!(document.content["sync"][1]["ë é"]["c"], "x");
    }

    #[test]
    fn all_syntax_errors_are_found_and_nothing_follows_from_them() {
        let text = "a = 1\na = 2\nb = \nc = 'x\nd = yes\n";
        let document = Document::parse("a.toml", text);
        let lines: Vec<usize> = document.problems.iter().filter_map(|p| p.position).map(|p| p.line).collect();
        for line in [2, 3, 4, 5] {
            assert!(lines.contains(&line), "no error on line {line}: {:#?}", document.problems);
        }
        assert!(document.problems[0].message.contains("duplicate key `a`"));
        let schema = serde_json::json!({"type": "object", "required": ["z"],
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}, "d": {}}});
        let follow = document.check(&schema);
        assert_eq!(follow.len(), 1, "{follow:#?}");
        assert_eq!(follow[0].to_string().lines().next(), Some("a.toml:1:5: a: expected a text, found a number"));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let document = Document::parse(
            "a.toml",
            "a = 0.10\nb = +1_000.50\nc = 0xff\nd = 123456789012345678901234567890\ne = 2024-02-29\nf = -0.1000000000000000055511151231257827\n",
        );
        assert_eq!(document.problems, []);
        assert_eq!(
            document.content.to_string(),
            r#"{"a":0.10,"b":1000.50,"c":255,"d":123456789012345678901234567890,"e":"2024-02-29","f":-0.1000000000000000055511151231257827}"#
        );
        let document = Document::parse("a.toml", "[x]\ny = nan\nz = -inf\n");
        let problems: Vec<String> = document.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "a.toml:2:5: x.y: `nan` is not a number that can be used here",
                "a.toml:3:5: x.z: `-inf` is not a number that can be used here"
            ]
        );
    }

    #[test]
    fn an_error_inside_a_text_is_placed_exactly_where_the_text_is_literal() {
        let document =
            Document::parse("a.toml", "a = \"é + x\"\nb = 'x y'\nc = \"\\u0041bc\"\nd = '''\nline one\nline two'''\n");
        let root = KeyPath::root();
        assert_eq!(document.position_in(&root.key("a"), "é + ".len()), at(1, 10));
        assert_eq!(document.position_in(&root.key("b"), 2), at(2, 8));
        assert_eq!(document.position_in(&root.key("c"), 2), at(3, 5));
        assert_eq!(document.position_in(&root.key("d"), "line one\nli".len()), at(6, 3));
    }

    #[test]
    fn a_file_in_another_encoding_is_a_problem_with_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("latin.toml");
        std::fs::write(&path, b"a = 1\nb = 'caf\xe9'\n").unwrap();
        let problem = Document::load(&path).unwrap_err();
        assert_eq!(problem.position, Some(at(2, 9)));
        let problem = Document::load(&directory.path().join("missing.toml")).unwrap_err();
        assert!(problem.message.contains("cannot be read"), "{problem}");
    }
}
