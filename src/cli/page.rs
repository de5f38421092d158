//! Text for people: lines, pairs and tables that fit the terminal, in colours where it has some.
//!
//! What other systems wrote is shown so that it cannot command the terminal: control characters are written out.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use console::Style;
use serde_json::Value as Json;

use crate::config::Problems;
use crate::sync::FieldDifference;

/// The narrowest a column is cut to.
const NARROWEST: usize = 6;

/// The space between two columns.
const GAP: usize = 2;

/// What a text means, as its colour shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
}

impl Tone {
    fn paint(self, text: &str, colour: bool) -> String {
        let style = Style::new().force_styling(colour);
        let style = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => style.green(),
            Self::Warn => style.yellow(),
            Self::Bad => style.red(),
            Self::Dim => style.dim(),
            Self::Strong => style.bold(),
        };
        style.apply_to(text).to_string()
    }
}

/// A field of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A field with a meaning.
    pub(super) fn toned(tone: Tone, text: impl Display) -> Self {
        Self { text: visible(&text.to_string(), false).into_owned(), tone }
    }
}

impl<T: Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// Rows of fields below their names.
#[derive(Debug)]
pub(super) struct Table {
    names: Vec<&'static str>,
    numbers: Vec<usize>,
    whole: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(names: &[&'static str]) -> Self {
        Self { names: names.to_vec(), numbers: Vec::new(), whole: Vec::new(), rows: Vec::new() }
    }

    /// Says which columns, counted from 0, are numbers: they stand to the right.
    pub(super) fn numbers(mut self, columns: &[usize]) -> Self {
        self.numbers = columns.to_vec();
        self
    }

    /// Says which columns, counted from 0, are never cut: identifiers that are copied into the next command.
    pub(super) fn whole(mut self, columns: &[usize]) -> Self {
        self.whole = columns.to_vec();
        self
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns' widths; the widest give way until the row fits.
    fn widths(&self, fit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| length(name)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(&cell.text));
            }
        }
        let Some(fit) = fit else { return widths };
        let room = fit.saturating_sub(GAP * widths.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let cut = widths.iter_mut().enumerate().filter(|(column, width)| {
                **width > NARROWEST && !self.whole.contains(column) && !self.numbers.contains(column)
            });
            let Some((_, widest)) = cut.max_by_key(|(_, width)| **width) else { break };
            *widest -= 1;
        }
        widths
    }
}

/// What is to be shown, line by line.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    colour: bool,
    width: Option<usize>,
}

impl Page {
    /// An empty page, for a terminal of so many columns or for one without limit.
    pub(super) fn new(colour: bool, width: Option<usize>) -> Self {
        Self { text: String::new(), colour, width }
    }

    /// What stands on it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Adds text that a line goes on behind.
    pub(super) fn toned(&mut self, tone: Tone, text: impl Display) -> &mut Self {
        let text = text.to_string();
        self.text.push_str(&tone.paint(&visible(&text, true), self.colour));
        self
    }

    /// Adds text and ends the line.
    pub(super) fn line(&mut self, text: impl Display) -> &mut Self {
        self.toned(Tone::Plain, text);
        self.text.push('\n');
        self
    }

    /// Adds a line with a meaning.
    pub(super) fn toned_line(&mut self, tone: Tone, text: impl Display) -> &mut Self {
        self.toned(tone, text);
        self.text.push('\n');
        self
    }

    /// Begins a section.
    pub(super) fn heading(&mut self, text: impl Display) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.toned_line(Tone::Strong, text)
    }

    /// Names with their values, one a line; values that are not there are left out.
    pub(super) fn pairs(&mut self, pairs: &[(&str, Option<Cell>)]) -> &mut Self {
        let width = pairs.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| length(name)).max().unwrap_or(0);
        for (name, value) in pairs {
            let Some(value) = value else { continue };
            self.toned(Tone::Dim, format!("{name:width$}  ")).toned_line(value.tone, &value.text);
        }
        self
    }

    /// A table.
    pub(super) fn table(&mut self, table: &Table) -> &mut Self {
        let widths = table.widths(self.width);
        let heads: Vec<Cell> = table.names.iter().map(|name| Cell::toned(Tone::Dim, name)).collect();
        for row in std::iter::once(&heads).chain(&table.rows) {
            let mut line = String::new();
            let last = row.len().min(widths.len()).saturating_sub(1);
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let text = cut(&cell.text, *width);
                let padding = " ".repeat(width.saturating_sub(length(&text)));
                let painted = cell.tone.paint(&text, self.colour);
                if table.numbers.contains(&column) {
                    line.push_str(&padding);
                    line.push_str(&painted);
                } else {
                    line.push_str(&painted);
                    if column < last {
                        line.push_str(&padding);
                    }
                }
                if column < last {
                    line.push_str(&" ".repeat(GAP));
                }
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
        self
    }

    /// A JSON value: on one line where it fits, otherwise a line for each element, and so on within.
    pub(super) fn json(&mut self, indent: usize, value: &Json) -> &mut Self {
        let fit = self.width.unwrap_or(120);
        let mut text = " ".repeat(indent);
        lay_out(value, indent, indent, fit, &mut text);
        self.line(text)
    }

    /// A field, and the line goes on behind it.
    pub(super) fn cell(&mut self, cell: &Cell) -> &mut Self {
        self.toned(cell.tone, &cell.text)
    }

    /// What differs between two records, field by field: what was, and what is to be.
    pub(super) fn changes(&mut self, indent: usize, changes: &[FieldDifference]) -> &mut Self {
        for FieldDifference { field, before, after } in changes {
            self.toned(Tone::Plain, format!("{:indent$}{field}: ", ""));
            match before {
                Some(before) => self.toned(Tone::Bad, before).toned(Tone::Plain, " → "),
                None => self.toned(Tone::Dim, "nothing → "),
            };
            match after {
                Some(after) => self.toned_line(Tone::Good, after),
                None => self.toned_line(Tone::Dim, "nothing"),
            };
        }
        self
    }

    /// What is wrong in files, each with its place and what to do.
    pub(super) fn problems(&mut self, problems: &Problems) -> &mut Self {
        self.line(problems)
    }
}

/// Writes a value from column `at` on; what does not fit on the line is broken up, `indent` deep.
fn lay_out(value: &Json, indent: usize, at: usize, fit: usize, text: &mut String) {
    let short = value.to_string();
    let (open, close, items): (_, _, Vec<(String, &Json)>) = match value {
        _ if at + length(&short) < fit => return text.push_str(&short),
        Json::Array(items) => ('[', ']', items.iter().map(|item| (String::new(), item)).collect()),
        Json::Object(fields) => {
            ('{', '}', fields.iter().map(|(name, item)| (format!("{}: ", Json::from(name.as_str())), item)).collect())
        }
        _ => return text.push_str(&short),
    };
    let last = items.len().saturating_sub(1);
    text.push(open);
    text.push('\n');
    for (position, (name, item)) in items.into_iter().enumerate() {
        text.push_str(&" ".repeat(indent + 2));
        text.push_str(&name);
        lay_out(item, indent + 2, indent + 2 + length(&name), fit, text);
        text.push_str(if position == last { "\n" } else { ",\n" });
    }
    text.push_str(&" ".repeat(indent));
    text.push(close);
}

/// The text with whatever would command the terminal written out. Line ends are kept where `lines` allows them.
fn visible(text: &str, lines: bool) -> Cow<'_, str> {
    let commands = |c: char| {
        (c.is_control() && !(lines && c == '\n'))
            // Marks that turn the direction of the text around.
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' if !lines || c != '\n' => shown.push(' '),
            c if commands(c) => {
                // Writing into a String cannot fail.
                let _ = write!(shown, "{}", c.escape_unicode());
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if length(text) <= width {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(width.saturating_sub(1)).chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["name", "count", "reason"]).numbers(&[1]);
        table.row([Cell::from("klanten"), Cell::from(7), Cell::toned(Tone::Bad, "it deletes 230 of 240 records")]);
        table.row([Cell::from("voorraad"), Cell::from(1530), Cell::default()]);
        table
    }

    #[test]
    fn a_table_is_plain_where_it_is_piped_and_fits_where_it_is_shown() {
        let mut page = Page::new(false, None);
        page.table(&table());
        assert_eq!(
            page.text(),
            "name      count  reason\nklanten       7  it deletes 230 of 240 records\nvoorraad   1530\n"
        );
        let mut page = Page::new(false, Some(30));
        page.table(&table());
        assert!(page.text().lines().all(|line| length(line) <= 30), "{}", page.text());
        assert!(page.text().contains('…'));
        let mut page = Page::new(false, Some(20));
        page.table(&table().whole(&[0]));
        assert!(page.text().contains("voorraad") && page.text().contains("1530"), "{}", page.text());
        let mut page = Page::new(true, None);
        page.table(&table());
        assert!(page.text().contains("\u{1b}[31mit deletes"), "{:?}", page.text());
    }

    #[test]
    fn a_record_is_broken_up_only_where_it_must_be() {
        let record = serde_json::json!({ "number": "10000", "groups": ["B2B"], "terms": { "code": "30", "days": 30 } });
        let mut page = Page::new(false, Some(200));
        page.json(2, &record);
        assert_eq!(page.text().lines().count(), 1);
        let mut page = Page::new(false, Some(40));
        page.json(2, &record);
        let laid = "  {\n    \"number\": \"10000\",\n    \"groups\": [\"B2B\"],\n    \"terms\": {\"code\":\"30\",\"days\":30}\n  }\n";
        assert_eq!(page.text(), laid);
    }

    #[test]
    fn what_differs_is_said_field_by_field() {
        let mut page = Page::new(false, None);
        let before = serde_json::json!({ "name": "A", "terms": { "days": 30, "code": "30" }, "vat": "NL" });
        let after = serde_json::json!({ "name": "A", "terms": { "days": 14, "code": "30" }, "language": "nl" });
        page.changes(2, &crate::sync::differences(Some(&before), Some(&after)));
        assert_eq!(page.text(), "  terms.days: 30 → 14\n  vat: \"NL\" → nothing\n  language: nothing → \"nl\"\n");
    }

    #[test]
    fn what_others_wrote_cannot_command_the_terminal() {
        let mut page = Page::new(false, None);
        page.line("a\u{1b}[2Jb\u{202e}c\nd\te");
        assert_eq!(page.text(), "a\\u{1b}[2Jb\\u{202e}c\nd e\n");
        let cell = Cell::from("een\ntwee\u{7}");
        assert_eq!(cell.text, "een twee\\u{7}");
    }
}
