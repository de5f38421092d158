//! What elements and attributes are called in records: without prefix, or by the other name that a format gives them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Format;

/// Most names that are remembered.
const MOST_KNOWN: usize = 10_000;

/// The names of elements and attributes as records show them, each made once.
pub(super) struct Names {
    known: HashMap<Box<str>, Called>,
    rename: BTreeMap<String, String>,
    lists: Vec<String>,
    texts: Vec<String>,
    maps: Vec<String>,
    prefixes: bool,
}

/// What an element is called, and what the format says of elements that are called so.
#[derive(Clone)]
pub(super) struct Called {
    pub name: Arc<str>,
    pub list: bool,
    pub text: bool,
    pub map: bool,
}

impl Names {
    pub fn new(format: &Format) -> Self {
        Self {
            known: HashMap::new(),
            rename: format.rename.clone(),
            lists: format.lists.clone(),
            texts: format.texts.clone(),
            maps: format.maps.clone(),
            prefixes: format.prefixes,
        }
    }

    fn without_prefix<'a>(&self, name: &'a str) -> &'a str {
        match name.split_once(':') {
            Some((_, local)) if !self.prefixes => local,
            _ => name,
        }
    }

    pub fn of(&mut self, raw: &str) -> Called {
        if let Some(name) = self.known.get(raw) {
            return name.clone();
        }
        let local = self.without_prefix(raw);
        let name = self.rename.get(local).map_or(local, String::as_str);
        let among = |names: &[String]| names.iter().any(|n| n == name);
        let name = Called {
            name: Arc::from(name),
            list: among(&self.lists),
            text: among(&self.texts),
            map: among(&self.maps),
        };
        self.remember(raw, name)
    }

    pub fn of_attribute(&mut self, raw: &str) -> Arc<str> {
        // No element's name begins with @, so both share one table.
        let raw = format!("@{raw}");
        if let Some(name) = self.known.get(raw.as_str()) {
            return Arc::clone(&name.name);
        }
        let name = Arc::from(format!("@{}", self.without_prefix(&raw[1..])));
        let name = Called { name, list: false, text: false, map: false };
        self.remember(&raw, name).name
    }

    fn remember(&mut self, raw: &str, name: Called) -> Called {
        if self.known.len() < MOST_KNOWN {
            self.known.insert(Box::from(raw), name.clone());
        }
        name
    }
}
