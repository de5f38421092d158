//! How the records of a file are read: its format, and what is folded together.

use std::io::Read;

use super::format::group::{GroupReader, Grouping};
use super::format::{self, Encoding, ReadError, Reader};
use super::word::Formatted;

/// How the records of a file are read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The format.
    pub format: Format,
    /// Which neighbours are folded into one record.
    pub group: Option<Grouping>,
}

/// The format of a file.
#[derive(Debug, Clone)]
pub enum Format {
    /// Rows of fields with a delimiter between them.
    Csv(format::csv::Format),
    /// Lines whose fields stand at fixed places.
    Fixed(format::fixed::Format),
    /// XML.
    Xml(format::xml::Format),
    /// A JSON document.
    Json(format::json::Format),
    /// A JSON object in each line.
    Ndjson(format::ndjson::Format),
    /// `OData` JSON.
    OData(format::odata::Format),
}

impl Formatted for Reading {
    fn set_encoding(&mut self, encoding: Encoding) {
        match &mut self.format {
            Format::Csv(format) => format.encoding = encoding,
            Format::Fixed(format) => format.encoding = encoding,
            Format::Xml(format) => format.encoding = Some(encoding),
            Format::Json(format) => format.encoding = encoding,
            Format::Ndjson(format) | Format::OData(format) => format.encoding = encoding,
        }
    }

    fn set_delimiter(&mut self, delimiter: u8) {
        if let Format::Csv(format) = &mut self.format {
            format.delimiter = delimiter;
        }
    }

    fn check(&self) -> Result<(), String> {
        match &self.format {
            Format::Csv(format) if format.delimiter == format.quote => {
                Err("delimiter and quote are two different characters".to_owned())
            }
            Format::Fixed(format) => format.check(),
            Format::Xml(format) => format.check(),
            _ => Ok(()),
        }
    }
}

impl Reading {
    /// Begins to read; `name` is what messages call the file.
    ///
    /// # Errors
    /// Where the beginning cannot be read.
    pub fn open(&self, bytes: Box<dyn Read + Send>, name: &str) -> Result<Box<dyn Reader>, ReadError> {
        let records: Box<dyn Reader> = match &self.format {
            Format::Csv(format) => Box::new(format::csv::CsvReader::new(bytes, name, format)?),
            Format::Fixed(format) => Box::new(format::fixed::FixedReader::new(bytes, name, format)?),
            Format::Xml(format) => Box::new(format::xml::XmlReader::new(bytes, name, format)?),
            Format::Json(format) => Box::new(format::json::JsonReader::new(bytes, name, format)?),
            Format::Ndjson(format) => Box::new(format::ndjson::NdjsonReader::new(bytes, name, format)?),
            Format::OData(format) => Box::new(format::odata::ODataReader::new(bytes, name, format)?),
        };
        Ok(match &self.group {
            Some(group) => Box::new(GroupReader::new(records, group.clone())),
            None => records,
        })
    }
}
