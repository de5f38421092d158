//! Writing a request: from a tree of values to the bytes of a document.
//!
//! What is written is what was given: a text that looks like a formula stays that text, and what a format or an
//! encoding cannot hold is an error that names the field, never another character.

pub mod csv;
pub mod xml;

use std::fmt;

/// Why a request cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The encoding lacks a character.
    #[error("{field}: the character '{character}' (U+{:04X}) does not exist in {encoding}; \
             replace it in the mapping, or write in UTF-8 if the system reads it", u32::from(*character))]
    Encoding {
        /// The field.
        field: Field,
        /// The character.
        character: char,
        /// The encoding.
        encoding: &'static str,
    },
    /// The format has no way to write a character.
    #[error("{field}: the control character U+{:04X} cannot be written in {format}; \
             take it out in the mapping, or at the shop", u32::from(*character))]
    Character {
        /// The field.
        field: Field,
        /// The character.
        character: char,
        /// The format.
        format: &'static str,
    },
    /// A value does not fit the format's structure.
    #[error("{field}: {message}")]
    Structure {
        /// The field.
        field: Field,
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// A field of a request by its path, such as `ORDER_ITEM_LIST/ORDER_ITEM[2]/QUANTITY`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    /// Counted from 1.
    Element(usize),
}

impl Field {
    fn enter(&mut self, name: &str) {
        self.0.push(Step::Name(name.to_owned()));
    }

    fn element(&mut self, at: usize) {
        self.0.push(Step::Element(at + 1));
    }

    fn leave(&mut self) {
        self.0.pop();
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the request");
        }
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, "/{name}")?,
                Step::Element(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}
