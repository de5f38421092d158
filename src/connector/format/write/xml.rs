//! A request as an XML document: a map is an element, `@name` an attribute, `#text` the text, a list the element
//! several times. What is null is left out, and so is an element that has nothing but nulls.

use std::borrow::Cow;

use super::{Field, WriteError};
use crate::connector::format::xml::is_name;
use crate::connector::format::{DEEPEST, Encoding};
use crate::record::{Map, Value};

/// How a request is written as XML.
#[derive(Debug, Clone)]
pub struct Format {
    /// The name of the root element.
    pub root: String,
    /// Namespaces by prefix; the empty prefix is the default one.
    pub namespaces: Vec<(String, String)>,
    /// The encoding, which the declaration names. Characters it lacks are written as references.
    pub encoding: Encoding,
    /// Whether each element gets a line of its own.
    pub indent: bool,
}

impl Format {
    /// A document with this root, in UTF-8 and with a line for each element.
    pub fn new(root: &str) -> Self {
        Self { root: root.to_owned(), namespaces: Vec::new(), encoding: Encoding::utf8(), indent: true }
    }

    /// What is wrong with the format, if anything.
    pub fn check(&self) -> Result<(), String> {
        if !is_name(&self.root) {
            return Err(format!("'{}' is no name of an element", self.root));
        }
        if let Some((prefix, _)) =
            self.namespaces.iter().find(|(p, _)| !p.is_empty() && (!is_name(p) || p.contains(':')))
        {
            return Err(format!("'{prefix}' is no prefix of a namespace"));
        }
        if !self.encoding.writes() {
            return Err(format!("nothing is written in {}; UTF-8 serves every reader of XML", self.encoding.name()));
        }
        Ok(())
    }
}

/// The document of a request.
///
/// # Errors
/// [`WriteError`] where a name is none that XML allows, a character cannot stand in XML 1.0, or a value does not fit
/// its place; it names the field.
pub fn write(request: &Map, format: &Format) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer { text: String::new(), field: Field::default(), format, depth: 0 };
    format.check().map_err(|message| WriteError::Structure { field: Field::default(), message })?;
    writer.text.push_str("<?xml version=\"1.0\" encoding=\"");
    writer.text.push_str(format.encoding.name());
    writer.text.push_str("\"?>\n");
    writer.element(&format.root, Content::Root(request))?;
    if !writer.text.ends_with('\n') {
        writer.text.push('\n');
    }
    Ok(format.encoding.bytes_with_references(&writer.text))
}

struct Writer<'a> {
    text: String,
    field: Field,
    format: &'a Format,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Content<'a> {
    Root(&'a Map),
    Map(&'a Map),
    Text(&'a Value),
}

impl Writer<'_> {
    fn fails<T>(&self, message: impl Into<String>) -> Result<T, WriteError> {
        Err(WriteError::Structure { field: self.field.clone(), message: message.into() })
    }

    /// Writes a child: an element, or several for a list.
    fn child(&mut self, name: &str, value: &Value) -> Result<(), WriteError> {
        self.field.enter(name);
        match value {
            value if is_absent(value) => {}
            Value::List(values) => {
                for (at, value) in values.iter().enumerate() {
                    self.field.element(at);
                    match value {
                        value if is_absent(value) => {}
                        Value::List(_) => return self.fails("a list in a list is no element; give a list of records"),
                        Value::Map(map) => self.element(name, Content::Map(map))?,
                        value => self.element(name, Content::Text(value))?,
                    }
                    self.field.leave();
                }
            }
            Value::Map(map) => self.element(name, Content::Map(map))?,
            value => self.element(name, Content::Text(value))?,
        }
        self.field.leave();
        Ok(())
    }

    fn element(&mut self, name: &str, content: Content) -> Result<(), WriteError> {
        if !is_name(name) {
            return self.fails(format!("'{name}' is no name of an element"));
        }
        if let Some((prefix, _)) = name.split_once(':')
            && !self.format.namespaces.iter().any(|(known, _)| known == prefix)
        {
            return self.fails(format!("the prefix '{prefix}' has no namespace; declare it beside the root"));
        }
        if self.depth == DEEPEST {
            return self.fails(format!("elements are nested more than {DEEPEST} levels deep"));
        }
        // Names are written as they are: a reference cannot stand for a part of one.
        if let Err(character) = self.format.encoding.bytes(name) {
            let encoding = self.format.encoding.name();
            return Err(WriteError::Encoding { field: self.field.clone(), character, encoding });
        }
        self.indent();
        self.text.push('<');
        self.text.push_str(name);
        let fields = match content {
            Content::Root(map) => {
                for (prefix, address) in &self.format.namespaces {
                    let name = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
                    self.attribute(&name, address)?;
                }
                map
            }
            Content::Map(map) => map,
            Content::Text(value) => {
                self.text.push('>');
                let text = self.scalar(value)?;
                self.escaped(&text, false)?;
                self.close(name);
                return Ok(());
            }
        };
        for (key, value) in fields.iter() {
            if let Some(key) = key.strip_prefix('@')
                && !is_absent(value)
            {
                self.field.enter(&format!("@{key}"));
                if !is_name(key) {
                    return self.fails(format!("'{key}' is no name of an attribute"));
                }
                let text = self.scalar(value)?;
                self.attribute(key, &text)?;
                self.field.leave();
            }
        }
        self.text.push('>');
        self.depth += 1;
        let mut children = false;
        for (key, value) in fields.iter().filter(|(key, value)| !key.starts_with('@') && !is_absent(value)) {
            if key == "#text" {
                self.field.enter(key);
                let text = self.scalar(value)?;
                self.escaped(&text, false)?;
                self.field.leave();
            } else {
                children = true;
                self.child(key, value)?;
            }
        }
        self.depth -= 1;
        if children {
            self.indent();
        }
        self.close(name);
        Ok(())
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }

    fn indent(&mut self) {
        if self.format.indent && self.text.ends_with('>') {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n("  ", self.depth));
        }
    }

    fn attribute(&mut self, name: &str, value: &str) -> Result<(), WriteError> {
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push_str("=\"");
        self.escaped(value, true)?;
        self.text.push('"');
        Ok(())
    }

    fn scalar<'v>(&self, value: &'v Value) -> Result<Cow<'v, str>, WriteError> {
        match value {
            Value::Text(text) => Ok(Cow::Borrowed(text)),
            Value::Number(number) => Ok(Cow::Owned(number.to_string())),
            Value::Bool(true) => Ok(Cow::Borrowed("true")),
            Value::Bool(false) => Ok(Cow::Borrowed("false")),
            other => self.fails(format!("a {} is no text; give one value", other.kind())),
        }
    }

    /// Writes a text so that a reader of XML 1.0 gets it back as it is, blanks at its ends and line ends included.
    fn escaped(&mut self, text: &str, attribute: bool) -> Result<(), WriteError> {
        for character in text.chars() {
            match character {
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '&' => self.text.push_str("&amp;"),
                '"' if attribute => self.text.push_str("&quot;"),
                '\r' => self.text.push_str("&#13;"),
                '\n' if attribute => self.text.push_str("&#10;"),
                '\t' if attribute => self.text.push_str("&#9;"),
                // XML 1.0, section 2.2.
                '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                    return Err(WriteError::Character { field: self.field.clone(), character, format: "XML 1.0" });
                }
                other => self.text.push(other),
            }
        }
        Ok(())
    }
}

/// Whether a value is null, or holds nothing but nulls.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::List(values) => values.iter().all(is_absent),
        Value::Map(map) => map.iter().all(|(_, value)| is_absent(value)),
        _ => false,
    }
}
