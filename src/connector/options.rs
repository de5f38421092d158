//! The options of formats as a manifest writes them, made into formats.

use super::check::{Checker, Merged, NAMES};
use super::format::{self, Path, group::Grouping, write};
use super::http::manifest::Paths;
use super::manifest::{ActionFile, Column, Decimal, LineEnd, ReadFormat, StreamFile, WriteFormat};
use super::reading::{Format, Reading};
use super::word::{self, Formatted, Plan};
use super::writing::Writing;
use crate::config::KeyPath;

/// Which keys of a stream belong to which formats.
pub const READ_OPTIONS: &[(&str, &[&str])] = &[
    ("encoding", &["csv", "fixed", "xml", "json", "ndjson", "odata"]),
    ("null", &["csv", "fixed", "xml", "json", "ndjson", "odata"]),
    ("delimiter", &["csv"]),
    ("quote", &["csv"]),
    ("columns", &["csv", "fixed"]),
    ("required", &["csv"]),
    ("trailer", &["csv"]),
    ("length", &["fixed"]),
    ("short_lines", &["fixed"]),
    ("skip", &["fixed"]),
    ("records", &["xml", "json"]),
    ("context", &["xml"]),
    ("rename", &["xml"]),
    ("lists", &["xml"]),
    ("texts", &["xml"]),
    ("maps", &["xml"]),
    ("prefixes", &["xml"]),
];

/// Which keys of an action belong to which formats.
const WRITE_OPTIONS: &[(&str, &[&str])] = &[
    ("encoding", &["csv", "xml"]),
    ("delimiter", &["csv"]),
    ("quote", &["csv"]),
    ("columns", &["csv"]),
    ("header", &["csv"]),
    ("decimal", &["csv"]),
    ("line_end", &["csv"]),
    ("root", &["xml"]),
    ("namespaces", &["xml"]),
    ("indent", &["xml"]),
];

/// The key that names the format.
const FORMAT: &str = "format";

/// Whether an option of a stream goes with a format; what is no option of formats goes with each.
pub fn goes_with(key: &str, format: &str) -> bool {
    READ_OPTIONS.iter().find(|(name, _)| *name == key).is_none_or(|(_, formats)| formats.contains(&format))
}

/// How the records of a stream are read.
pub fn reading(checker: &mut Checker, merged: &Merged, kind: ReadFormat) -> Option<Plan<Reading>> {
    let stream = &merged.stream;
    let encoding = checker.word(&merged.key("encoding"), stream.encoding.as_deref(), NAMES, word::encoding);
    let delimiter = checker.word(&merged.key("delimiter"), stream.delimiter.as_deref(), NAMES, word::ascii);
    let name = match kind {
        ReadFormat::Csv => "csv",
        ReadFormat::Fixed => "fixed",
        ReadFormat::Xml => "xml",
        ReadFormat::Json => "json",
        ReadFormat::Ndjson => "ndjson",
        ReadFormat::Odata => "odata",
    };
    checker.options(&merged.at, READ_OPTIONS, name);
    let null = stream.null.clone().unwrap_or_default();
    let format = match kind {
        ReadFormat::Csv => Format::Csv(csv(checker, merged, null)?),
        ReadFormat::Fixed => Format::Fixed(fixed(checker, merged, null)?),
        ReadFormat::Xml => Format::Xml(xml(checker, merged, null)?),
        ReadFormat::Json => Format::Json(json(checker, merged, null)?),
        ReadFormat::Ndjson => Format::Ndjson(format::ndjson::Format { null, ..Default::default() }),
        ReadFormat::Odata => Format::OData(format::odata::Format { null, ..Default::default() }),
    };
    let group = stream.group.as_ref().map(|group| Grouping { by: group.by.clone(), into: group.into.clone() });
    if let Some(group) = group.as_ref().filter(|group| group.by.contains(&group.into)) {
        let message = format!("`{}` is one of the fields that are the same", group.into);
        checker.refuse(&merged.key("group").key("into"), message, Some("give the list a name of its own"));
    }
    Some(planned(checker, &merged.key(FORMAT), Plan::new(Reading { format, group }, encoding, delimiter)))
}

fn csv(checker: &mut Checker, merged: &Merged, null: Vec<String>) -> Option<format::csv::Format> {
    let StreamFile { columns, required, quote, trailer, .. } = &merged.stream;
    let quote = character(checker, &merged.key("quote"), quote.as_deref())?;
    let mut names = Vec::new();
    for (at, column) in columns.iter().flatten().enumerate() {
        match column {
            Column::Name(name) => names.push(name.clone()),
            Column::Place(_) => {
                let path = merged.key("columns").index(at);
                checker.refuse(&path, "a column of `csv` is its name", Some("write columns = [\"Nr\", \"Naam\"]"));
            }
        }
    }
    if columns.is_some() && required.is_some() {
        let hint = "without a header every row must have all columns anyway; leave out `required`";
        checker.refuse(&merged.key("required"), "a file with `columns` has no header", Some(hint));
    }
    Some(format::csv::Format {
        quote,
        columns: columns.is_some().then_some(names),
        required: required.clone().unwrap_or_default(),
        null,
        trailer: trailer
            .as_ref()
            .map(|trailer| format::csv::Trailer { first: trailer.first.clone(), count: trailer.count }),
        ..Default::default()
    })
}

fn fixed(checker: &mut Checker, merged: &Merged, null: Vec<String>) -> Option<format::fixed::Format> {
    let StreamFile { columns, length, short_lines, skip, .. } = &merged.stream;
    let path = merged.key("columns");
    let Some(columns) = columns else {
        checker.missing(&path);
        return None;
    };
    let mut places = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        match column {
            Column::Place(place) => places.push(format::fixed::Column {
                name: place.name.clone(),
                start: place.start,
                length: place.length,
            }),
            Column::Name(name) => {
                let hint = format!("write {{ name = \"{name}\", start = 1, length = 10 }}");
                checker.refuse(&path.index(at), "a column of `fixed` has a place", Some(&hint));
            }
        }
    }
    if places.len() < columns.len() {
        return None;
    }
    Some(format::fixed::Format {
        columns: places,
        length: *length,
        short_lines: short_lines.unwrap_or(false),
        skip: skip.unwrap_or(0),
        null,
        ..Default::default()
    })
}

fn xml(checker: &mut Checker, merged: &Merged, null: Vec<String>) -> Option<format::xml::Format> {
    let StreamFile { records, context, rename, lists, texts, maps, prefixes, .. } = &merged.stream;
    let at = merged.key("records");
    let paths = match records {
        None => {
            checker.missing(&at);
            return None;
        }
        Some(Paths::One(path)) => vec![path_at(checker, &at, path)],
        Some(Paths::Several(paths)) => {
            paths.iter().enumerate().map(|(index, path)| path_at(checker, &at.index(index), path)).collect()
        }
    };
    let mut carried = Vec::new();
    for (name, path) in context.iter().flatten() {
        let path = path_at(checker, &merged.key("context").key(name), path);
        carried.extend(path.map(|path| (name.clone(), path)));
    }
    Some(format::xml::Format {
        encoding: None,
        records: paths.into_iter().collect::<Option<_>>()?,
        context: carried,
        rename: rename.clone().unwrap_or_default(),
        lists: lists.clone().unwrap_or_default(),
        texts: texts.clone().unwrap_or_default(),
        maps: maps.clone().unwrap_or_default(),
        prefixes: prefixes.unwrap_or(false),
        null,
    })
}

fn path_at(checker: &mut Checker, at: &KeyPath, path: &str) -> Option<Path> {
    path.parse().map_err(|message: String| checker.refuse(at, message, None)).ok()
}

fn json(checker: &mut Checker, merged: &Merged, null: Vec<String>) -> Option<format::json::Format> {
    let records = match &merged.stream.records {
        None => Vec::new(),
        Some(Paths::One(path)) if path.split('/').all(|name| !name.is_empty()) => {
            path.split('/').map(str::to_owned).collect()
        }
        Some(_) => {
            let hint = "write the names from the root on: \"data/items\"; leave it out where the root is the list";
            checker.refuse(&merged.key("records"), "this is no path to the list of records", Some(hint));
            return None;
        }
    };
    Some(format::json::Format { records, null, ..Default::default() })
}

/// How the request of an action is written.
pub fn writing(checker: &mut Checker, at: &KeyPath, action: &ActionFile, kind: WriteFormat) -> Option<Plan<Writing>> {
    let encoding = checker.word(&at.key("encoding"), action.encoding.as_deref(), NAMES, word::encoding);
    let delimiter = checker.word(&at.key("delimiter"), action.delimiter.as_deref(), NAMES, word::ascii);
    let format = match kind {
        WriteFormat::Csv => {
            checker.options(at, WRITE_OPTIONS, "csv");
            let defaults = write::csv::Format::default();
            Writing::Csv(write::csv::Format {
                quote: character(checker, &at.key("quote"), action.quote.as_deref())?,
                header: action.header.unwrap_or(defaults.header),
                columns: action.columns.clone(),
                carriage_return: action.line_end.map_or(defaults.carriage_return, |end| end == LineEnd::Crlf),
                decimal_comma: action.decimal.map_or(defaults.decimal_comma, |decimal| decimal == Decimal::Comma),
                ..defaults
            })
        }
        WriteFormat::Xml => {
            checker.options(at, WRITE_OPTIONS, "xml");
            let Some(root) = &action.root else {
                checker.missing(&at.key("root"));
                return None;
            };
            let defaults = write::xml::Format::new(root);
            let namespaces = action.namespaces.clone().unwrap_or_default();
            Writing::Xml(write::xml::Format {
                namespaces: namespaces.into_iter().collect(),
                indent: action.indent.unwrap_or(defaults.indent),
                ..defaults
            })
        }
    };
    Some(planned(checker, &at.key(FORMAT), Plan::new(format, encoding, delimiter)))
}

/// One character; by default a quotation mark.
fn character(checker: &mut Checker, path: &KeyPath, text: Option<&str>) -> Option<u8> {
    text.map_or(Ok(b'"'), word::ascii).map_err(|message| checker.refuse(path, message, None)).ok()
}

/// A plan whose format was checked as a whole.
fn planned<T: Formatted>(checker: &mut Checker, path: &KeyPath, plan: Plan<T>) -> Plan<T> {
    if let Err(message) = plan.format.check() {
        checker.refuse(path, message, None);
    }
    plan
}
