//! Records of an XML document: elements at given paths, read as a stream.
//!
//! How an element becomes a value: one with neither attributes nor children is its text, trimmed, or null where it
//! is empty. Any other is a map of its attributes (`@name`), its children and its text (`#text`). A child that is
//! there several times is a list. Namespace prefixes are dropped unless [`Format::prefixes`] keeps them.
//!
//! A document type declaration is passed over, an external one is never fetched, and declared entities are refused:
//! only the five that XML knows by itself and references to characters are resolved.

mod counted;
mod element;
mod names;
mod path;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use self::counted::Counted;
use self::element::{Building, MOST_NAMES, Open, attach};
use self::names::Names;
use self::path::{Met, Track};
use super::decode::decoded_as_declared;
use super::origin::{Origin, check, cut};
use super::{DEEPEST, Encoding, LONGEST_FIELD, ReadError, Reader, decoded};
use crate::record::{Map, Record, Value};

pub use self::path::Path;
pub(super) use self::path::is_name;

/// How an XML document holds its records.
#[derive(Debug, Clone, Default)]
pub struct Format {
    /// The encoding; absent: what the document declares.
    pub encoding: Option<Encoding>,
    /// Paths to the elements that are records.
    pub records: Vec<Path>,
    /// Values from outside a record that each record carries, by the names they get in it: what stood last at the
    /// path before the record ended. A value that is there several times is a list. An element that opens on the
    /// way to the path empties it, so that nothing of the element before is carried over.
    pub context: Vec<(String, Path)>,
    /// Other names for elements, by the name in the document. Everything else here speaks of the other names.
    pub rename: BTreeMap<String, String>,
    /// Elements that are a list even where there is only one.
    pub lists: Vec<String>,
    /// Elements of which only the text counts.
    pub texts: Vec<String>,
    /// Elements that are a map with `#text` even where they have neither attributes nor children.
    pub maps: Vec<String>,
    /// Whether names keep their namespace prefix.
    pub prefixes: bool,
    /// Texts that mean "no value", besides the empty one.
    pub null: Vec<String>,
}

impl Format {
    /// What is wrong with the format, if anything.
    pub fn check(&self) -> Result<(), String> {
        if self.records.is_empty() {
            return Err("the format names no element that is a record".to_owned());
        }
        if let Some(path) = self.records.iter().find(|path| path.attribute.is_some()) {
            return Err(format!("a record is an element, and '{path}' is an attribute"));
        }
        match self.texts.iter().find(|name| self.maps.contains(name)) {
            Some(name) => Err(format!("'{name}' cannot be among both texts and maps")),
            None => Ok(()),
        }
    }
}

/// Reads the records of an XML document.
pub struct XmlReader {
    reader: quick_xml::Reader<Counted>,
    buffer: Vec<u8>,
    origin: Origin,
    names: Names,
    null: Vec<String>,
    text_name: Arc<str>,
    open: Vec<Open>,
    records: Vec<Track>,
    context: Vec<Carried>,
    building: Option<Building>,
    number: u64,
    root: Root,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Awaited,
    Open,
    Closed,
}

/// A value from outside the records.
struct Carried {
    name: Arc<str>,
    track: Track,
    value: Value,
    /// Whether the element at the path's end is the innermost open one.
    open: bool,
}

impl XmlReader {
    /// Begins to read a document; `name` is what messages call it.
    ///
    /// # Errors
    /// [`ReadError::Fatal`] where the format makes no sense, the document's encoding is unknown, or the first bytes
    /// cannot be decoded.
    pub fn new(bytes: Box<dyn Read + Send>, name: &str, format: &Format) -> Result<Self, ReadError> {
        let origin = Origin::new(name);
        format.check().map_err(|message| origin.fatal(0, None, message, None))?;
        let text = match format.encoding {
            Some(encoding) => decoded(bytes, encoding),
            None => decoded_as_declared(bytes),
        };
        let text = text.map_err(|e| origin.fatal(0, Some(1), e.to_string(), None))?;
        let mut reader = quick_xml::Reader::from_reader(Counted::new(text));
        reader.config_mut().expand_empty_elements = true;
        Ok(Self {
            reader,
            buffer: Vec::new(),
            origin,
            names: Names::new(format),
            null: format.null.clone(),
            text_name: Arc::from("#text"),
            open: Vec::new(),
            records: format.records.iter().cloned().map(Track::new).collect(),
            context: format
                .context
                .iter()
                .map(|(name, path)| Carried {
                    name: Arc::from(name.as_str()),
                    track: Track::new(path.clone()),
                    value: Value::Null,
                    open: false,
                })
                .collect(),
            building: None,
            number: 0,
            root: Root::Awaited,
            ended: false,
        })
    }

    fn line(&self) -> u64 {
        self.reader.get_ref().line
    }

    fn fatal(&self, line: u64, message: impl Into<String>, hint: Option<&str>) -> ReadError {
        let record = self.number + u64::from(self.building.is_none());
        self.origin.fatal(record, Some(line), message, hint)
    }

    /// Reads up to the end of the next record; nothing at the end of the document.
    fn advance(&mut self) -> Result<Option<Result<Record, ReadError>>, ReadError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            buffer.clear();
            let line = self.line();
            self.reader.get_mut().since_event = 0;
            let event = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(error) => return Err(self.unreadable(&error)),
            };
            match event {
                Event::Start(start) => self.start(&start, line)?,
                Event::End(_) => {
                    if let Some(record) = self.end()? {
                        self.buffer = buffer;
                        return Ok(Some(record));
                    }
                }
                Event::Text(text) => self.text(&text.xml10_content(), line)?,
                Event::CData(text) => self.text(&text.xml10_content(), line)?,
                Event::GeneralRef(reference) => {
                    let mut utf8 = [0; 4];
                    let text: &str = match reference.resolve_char_ref() {
                        Ok(Some(character)) => character.encode_utf8(&mut utf8),
                        Ok(None) => resolve_predefined_entity(&reference).ok_or_else(|| {
                            let hint = "only &lt; &gt; &amp; &quot; &apos; and references to characters are read";
                            let message = format!("the entity '&{};' is not one of XML's own", cut(&reference));
                            self.fatal(line, message, Some(hint))
                        })?,
                        Err(error) => return Err(self.unreadable(&error)),
                    };
                    self.text(text, line)?;
                }
                Event::DocType(declaration) if declaration.contains("<!ENTITY") => {
                    let hint = "have it exported without a document type, or with a plain one";
                    return Err(self.fatal(line, "the document declares entities, which are refused", Some(hint)));
                }
                Event::Eof => return self.finished(line).map(|()| None),
                _ => {}
            }
        }
    }

    fn unreadable(&self, error: &quick_xml::Error) -> ReadError {
        let (message, hint) = match error {
            quick_xml::Error::Io(error) => (error.to_string(), None),
            quick_xml::Error::Syntax(error) => (error.to_string(), Some("the file may be cut off")),
            error => (error.to_string(), None),
        };
        self.fatal(self.line(), message, hint)
    }

    fn finished(&self, line: u64) -> Result<(), ReadError> {
        const CUT_OFF: Option<&str> = Some("the file may be cut off");
        match (self.root, self.open.last()) {
            (Root::Awaited, _) => Err(self.fatal(line, "the file is empty", CUT_OFF)),
            (_, Some(open)) => {
                let message =
                    format!("the file ends within the element {}, begun on line {}", open.name.name, open.line);
                Err(self.fatal(line, message, CUT_OFF))
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart, line: u64) -> Result<(), ReadError> {
        let depth = self.open.len() + 1;
        if depth > DEEPEST {
            return Err(self.fatal(line, format!("elements are nested more than {DEEPEST} levels deep"), None));
        }
        if self.root == Root::Closed {
            return Err(self.fatal(line, "a second document follows the first", None));
        }
        let name = self.names.of(start.name().as_ref());
        let attributes = self.attributes(start, line)?;
        let attribute = |wanted: &str| {
            let found = attributes.iter().find(|(name, _)| name.strip_prefix('@') == Some(wanted));
            found.map(|(_, value)| value.as_str())
        };

        let mut met = Met::Not;
        for track in &mut self.records {
            met = match track.open(depth, &name.name, attribute) {
                Met::Not => met,
                found => found,
            };
        }
        if self.root == Root::Awaited {
            self.root = Root::Open;
            if met == Met::Not {
                let message = format!("the document is {}, which has none of the records looked for", name.name);
                let wanted: Vec<String> = self.records.iter().map(|r| r.path.to_string()).collect();
                return Err(self.fatal(line, message, Some(&format!("records are {}", wanted.join(", ")))));
            }
        }
        let mut carried = false;
        for context in &mut self.context {
            context.open = false;
            match (context.track.open(depth, &name.name, attribute), &context.track.path.attribute) {
                (Met::Not, _) => {}
                (Met::OnTheWay, _) => context.value = Value::Null,
                (Met::End, Some(wanted)) => {
                    context.value = attribute(wanted).map_or(Value::Null, |v| Value::Text(v.to_owned()));
                }
                (Met::End, None) => (carried, context.open) = (true, true),
            }
        }
        if met == Met::End && self.building.is_none() {
            self.number += 1;
            self.building = Some(Building { depth, line, values: 0, bytes: 0, refused: None });
        }
        let mut open = Open { name, line, fields: Map::default(), text: String::new(), carried };
        if let Some(building) = &mut self.building
            && building.refused.is_none()
        {
            building.take(&mut open, attributes, &self.null);
        }
        self.open.push(open);
        Ok(())
    }

    fn attributes(&mut self, start: &BytesStart, line: u64) -> Result<Vec<(Arc<str>, String)>, ReadError> {
        let mut attributes: Vec<(Arc<str>, String)> = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| self.fatal(line, e.to_string(), None))?;
            let key = attribute.key.as_ref();
            if key == "xmlns" || key.starts_with("xmlns:") {
                continue;
            }
            if attributes.len() == MOST_NAMES {
                return Err(self.fatal(line, format!("an element has more than {MOST_NAMES} attributes"), None));
            }
            let name = self.names.of_attribute(key);
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|e| self.fatal(line, e.to_string(), None))?;
            attributes.push((name, value.into_owned()));
        }
        Ok(attributes)
    }

    fn text(&mut self, text: &str, line: u64) -> Result<(), ReadError> {
        let refused = self.building.as_ref().map(|b| b.refused.is_some());
        let Some(open) = self.open.last_mut() else {
            // Blanks may stand around the root, and nothing else.
            return if text.trim_ascii().is_empty() {
                Ok(())
            } else {
                Err(self.fatal(line, "there is text outside the root element", Some("is the file XML?")))
            };
        };
        if open.carried || refused == Some(false) {
            let mut taken = Ok(());
            if open.text.len() + text.len() > LONGEST_FIELD {
                taken = Err(format!("the field '{}' is longer than {LONGEST_FIELD} bytes", open.name.name));
            } else if let Some(building) = &mut self.building {
                taken = building.count(0, text.len());
            }
            match (taken, &mut self.building) {
                (Ok(()), _) => open.text.push_str(text),
                (Err(message), Some(building)) => {
                    open.text = String::new();
                    building.refused.get_or_insert(message);
                }
                (Err(message), None) => return Err(self.fatal(line, message, None)),
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Result<Record, ReadError>>, ReadError> {
        let depth = self.open.len();
        let Some(open) = self.open.pop() else { return Ok(None) };
        for track in &mut self.records {
            track.close(depth);
        }
        if open.carried
            && let Err(message) = self.carry(&open)
        {
            match &mut self.building {
                Some(building) => drop(building.refused.get_or_insert(message)),
                None => return Err(self.fatal(open.line, message, None)),
            }
        }
        for context in &mut self.context {
            context.track.close(depth);
        }
        if self.open.is_empty() {
            self.root = Root::Closed;
        }
        let Some(building) = &mut self.building else { return Ok(None) };
        if building.depth < depth {
            if building.refused.is_none()
                && let Some(parent) = self.open.last_mut()
            {
                let list = open.name.list;
                let name = Arc::clone(&open.name.name);
                let attached = open.value(&self.null, &self.text_name).and_then(|value| {
                    building.count(1, 0)?;
                    attach(&mut parent.fields, name, value, list)
                });
                building.refused = attached.err();
            }
            return Ok(None);
        }
        let Some(building) = self.building.take() else { return Ok(None) };
        let fields = match building.refused {
            Some(message) => Err(message),
            None => self.fields(open),
        };
        let line = Some(building.line);
        Ok(Some(match fields {
            Ok(fields) => Ok(Record { fields: fields.into(), place: self.origin.place(self.number, line) }),
            Err(message) => Err(self.origin.refused(self.number, line, message)),
        }))
    }

    /// Keeps the text of an element at the end of a carried value's path.
    fn carry(&mut self, open: &Open) -> Result<(), String> {
        let text = open.text.trim_ascii();
        check(&open.name.name, text)?;
        if text.is_empty() {
            return Ok(());
        }
        for context in self.context.iter_mut().filter(|c| c.open) {
            context.open = false;
            let text = Value::Text(text.to_owned());
            match &mut context.value {
                Value::Null => context.value = text,
                Value::List(values) if values.len() == MOST_NAMES => {
                    return Err(format!("'{}' is there more than {MOST_NAMES} times", open.name.name));
                }
                Value::List(values) => values.push(text),
                single => context.value = Value::List(vec![std::mem::take(single), text]),
            }
        }
        Ok(())
    }

    /// The fields of a record: what its element holds, and what it carries from outside.
    fn fields(&self, open: Open) -> Result<Map, String> {
        let mut fields = match open.value(&self.null, &self.text_name)? {
            Value::Map(fields) => fields,
            Value::Null => Map::default(),
            text => [("#text", text)].into_iter().collect(),
        };
        for context in &self.context {
            if fields.get(&context.name).is_some() {
                return Err(format!(
                    "carries '{}' from outside and has a child of that name; call what is carried something else",
                    context.name
                ));
            }
            fields.push(Arc::clone(&context.name), context.value.clone());
        }
        Ok(fields)
    }
}

impl Reader for XmlReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        if self.ended {
            return None;
        }
        match self.advance() {
            Ok(Some(record)) => Some(record),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl std::fmt::Debug for XmlReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XmlReader").field("origin", &self.origin).field("number", &self.number).finish_non_exhaustive()
    }
}
