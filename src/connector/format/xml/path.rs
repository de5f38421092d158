//! Paths to elements and attributes of an XML document.

use std::fmt;
use std::str::FromStr;

/// A path from the root, such as `BMECAT/*/PRODUCT/@mode` or `ORDER/DATETIME[@type=start]/DATE`: names of elements,
/// `*` for any, with the value that an attribute must have; at the end an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub(super) steps: Vec<Step>,
    /// The attribute that the path ends at; otherwise it ends at an element.
    pub(super) attribute: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The element; nothing for any.
    name: Option<String>,
    condition: Option<(String, String)>,
}

impl Step {
    /// Whether an element meets the step.
    pub fn meets<'a>(&self, name: &str, attribute: impl FnOnce(&str) -> Option<&'a str>) -> bool {
        self.name.as_deref().is_none_or(|wanted| wanted == name)
            && self.condition.as_ref().is_none_or(|(key, value)| attribute(key) == Some(value))
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut attribute = None;
        for part in text.split('/') {
            if attribute.is_some() {
                return Err(format!("'{text}' goes on behind an attribute"));
            }
            match part.strip_prefix('@') {
                Some(name) if is_name(name) && !steps.is_empty() => attribute = Some(name.to_owned()),
                Some(_) => return Err(format!("'{part}' in '{text}' is no attribute of an element")),
                None => steps.push(step(part).ok_or_else(|| {
                    format!("'{part}' in '{text}' is no step; write NAME, *, NAME[@attribute=value] or, at the end, @attribute")
                })?),
            }
        }
        Ok(Self { steps, attribute })
    }
}

fn step(part: &str) -> Option<Step> {
    let (name, condition) = match part.split_once('[') {
        None => (part, None),
        Some((name, rest)) => {
            let (key, value) = rest.strip_suffix(']')?.strip_prefix('@')?.split_once('=')?;
            (name, Some((is_name(key).then(|| key.to_owned())?, value.trim_matches(['\'', '"']).to_owned())))
        }
    };
    let name = if name == "*" { None } else { Some(is_name(name).then(|| name.to_owned())?) };
    Some(Step { name, condition })
}

/// Whether a text can name an element: close to XML's rule, and never a path's own signs.
pub(in crate::connector::format) fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_alphabetic() || c == '_';
    text.chars().next().is_some_and(first)
        && text.chars().all(|c| first(c) || c.is_ascii_digit() || matches!(c, '-' | '.' | ':' | '\u{b7}'))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "/" }, step.name.as_deref().unwrap_or("*"))?;
            if let Some((key, value)) = &step.condition {
                write!(f, "[@{key}={value}]")?;
            }
        }
        match &self.attribute {
            Some(attribute) => write!(f, "/@{attribute}"),
            None => Ok(()),
        }
    }
}

/// A path followed through a document: how many of its steps the open elements meet.
#[derive(Debug)]
pub(super) struct Track {
    pub path: Path,
    met: usize,
}

/// What an element that opens means to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Nothing.
    Not,
    /// It is on the way to what the path names.
    OnTheWay,
    /// It is the element that the path, but for an attribute, ends at.
    End,
}

impl Track {
    pub fn new(path: Path) -> Self {
        Self { path, met: 0 }
    }

    /// An element opens at a depth, counted from 1.
    pub fn open<'a>(&mut self, depth: usize, name: &str, attribute: impl FnOnce(&str) -> Option<&'a str>) -> Met {
        if self.met + 1 != depth || !self.path.steps.get(self.met).is_some_and(|step| step.meets(name, attribute)) {
            return Met::Not;
        }
        self.met = depth;
        if depth == self.path.steps.len() { Met::End } else { Met::OnTheWay }
    }

    /// The element at a depth closes.
    pub fn close(&mut self, depth: usize) {
        if self.met == depth {
            self.met = depth - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        for text in ["A", "A/*/B", "bme:A/B.C/@type", "A/DATETIME[@type=valid_start_date]/DATE"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        for text in ["", "/A", "A/", "@type", "A/@type/B", "A[type=x]", "A[@type]", "A//B", "A/b c", "A/1"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
