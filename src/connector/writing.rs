//! How the request of an action is written.

use super::format::Encoding;
use super::format::write::{self, WriteError};
use super::word::Formatted;
use crate::record::Map;

/// How the request of an action is written.
#[derive(Debug, Clone)]
pub enum Writing {
    /// Rows of fields with a delimiter between them.
    Csv(write::csv::Format),
    /// XML.
    Xml(write::xml::Format),
}

impl Formatted for Writing {
    fn set_encoding(&mut self, encoding: Encoding) {
        match self {
            Self::Csv(format) => format.encoding = encoding,
            Self::Xml(format) => format.encoding = encoding,
        }
    }

    fn set_delimiter(&mut self, delimiter: u8) {
        if let Self::Csv(format) = self {
            format.delimiter = delimiter;
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Csv(format) => format.check(),
            Self::Xml(format) => format.check(),
        }
    }
}

impl Writing {
    /// The file of a request.
    ///
    /// # Errors
    /// What cannot be written, with its field.
    pub fn write(&self, request: &Map) -> Result<Vec<u8>, WriteError> {
        match self {
            Self::Csv(format) => write::csv::write(request, format),
            Self::Xml(format) => write::xml::write(request, format),
        }
    }
}
