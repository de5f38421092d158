//! A record of a table: one text with the places where its fields end. A field becomes a value when it is asked for,
//! so that a row that is recognised as it was costs next to nothing.

use std::borrow::Cow;
use std::sync::Arc;

use super::digest::names_digest;
use super::{Map, Seen, Value};

/// The columns of a table, shared by its rows.
#[derive(Debug)]
pub struct Columns {
    names: Vec<Arc<str>>,
    /// Where there are several columns without a name: that they are. Other names are there once.
    nameless: bool,
    digest: [u8; 16],
}

/// A record of a table. An empty field is null.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Arc<Columns>,
    text: Box<str>,
    /// Where each field ends in the text, in bytes.
    ends: Box<[u32]>,
}

impl Columns {
    /// The columns of these names, in order.
    pub fn new(names: Vec<Arc<str>>) -> Self {
        let nameless = names.iter().filter(|name| name.is_empty()).count() > 1;
        let digest = names_digest(names.iter().map(|name| &**name));
        Self { names, nameless, digest }
    }

    /// The names.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(super) fn digest(&self) -> &[u8; 16] {
        &self.digest
    }
}

impl Row {
    /// A row of fields that stand in `text` one behind the other, each up to its end, in bytes. There must be an end
    /// for each column; what lies outside the text is empty.
    pub fn new(columns: Arc<Columns>, text: Box<str>, ends: Box<[u32]>) -> Self {
        Self { columns, text, ends }
    }

    /// The text of a field; empty where there is none.
    #[inline]
    fn text_at(&self, at: usize) -> &str {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = if at == 0 { 0 } else { end(at - 1) };
        self.text.get(start..end(at)).unwrap_or_default()
    }

    /// The value of a field.
    #[inline]
    pub fn value_at(&self, at: usize) -> Seen<'_> {
        match self.text_at(at) {
            "" => Seen::Null,
            text => Seen::Text(Cow::Borrowed(text)),
        }
    }

    /// The value of a name, looked for at position `hint` first, with the position it was found at.
    #[inline]
    pub fn get_near(&self, name: &str, hint: usize) -> Option<(usize, Seen<'_>)> {
        let names = &self.columns.names;
        let at = match names.get(hint) {
            Some(there) if &**there == name => hint,
            _ => names.iter().position(|there| &**there == name)?,
        };
        Some((at, self.value_at(at)))
    }

    /// Names and texts in order. Of the columns without a name only the first is there: no name leads to the others.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        let mut seen = false;
        let texts = self.columns.names.iter().enumerate().map(|(at, name)| (name, self.text_at(at)));
        texts.filter(move |(name, _)| !self.columns.nameless || !name.is_empty() || !std::mem::replace(&mut seen, true))
    }

    /// The row as named values.
    pub fn to_map(&self) -> Map {
        let value = |text: &str| if text.is_empty() { Value::Null } else { Value::Text(text.to_owned()) };
        self.iter().map(|(name, text)| (Arc::clone(name), value(text))).collect()
    }

    pub(super) fn parts(&self) -> (&Columns, &str, &[u32]) {
        (&self.columns, &self.text, &self.ends)
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.columns.names == other.columns.names && self.text == other.text && self.ends == other.ends
    }
}
