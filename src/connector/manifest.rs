//! The manifest file as it is written: `connectors/<system>.toml`. The comments here are the descriptions in the
//! published JSON Schema.
//!
//! What does not live here: checking it (`compile`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::manifest::{
    CursorFile, FindFile, HttpFile, JoinFile, PagingFile, ParentsFile, Paths, RequestFile, StepFile, TaggedFile,
};
use crate::config::values::Interval;

/// A connector manifest: how to talk to one kind of system.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tradebridge connector manifest")]
pub struct ManifestFile {
    /// The connector's name: that of the file, without `.toml`.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// What people call the system.
    #[schemars(length(min = 1))]
    pub title: String,
    /// What the connector is for, and what has to be set up on the system's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// How far it is verified; by default only by the system's documentation.
    #[serde(default)]
    pub proof: Proof,
    /// How the system is reached.
    pub transport: Transport,
    /// How it is reached over HTTP; of `transport = "http"` only, and required there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpFile>,
    /// What a connection has to say: `[settings.<name>]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, SettingFile>,
    /// What holds for every stream that does not say otherwise.
    #[serde(default)]
    pub defaults: StreamFile,
    /// What can be read: `[stream.<name>]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "name" }))]
    pub stream: BTreeMap<String, StreamFile>,
    /// What can be done: `[action.<name>]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "format": "name" }))]
    pub action: BTreeMap<String, ActionFile>,
}

/// How far a connector is verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It ran against the system itself.
    Real,
    /// Its protocol ran against a real server of that protocol.
    Protocol,
    /// It reads samples that the vendor published.
    Samples,
    /// It follows the system's documentation.
    #[default]
    Documented,
}

/// How a system is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// By files in directories.
    File,
    /// By requests over HTTP.
    Http,
}

/// Something a connection has to say.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingFile {
    /// What kind of value it is.
    #[serde(rename = "type")]
    pub kind: SettingType,
    /// What the value is, for the person who sets up a connection.
    #[schemars(length(min = 1))]
    pub help: String,
    /// Whether every connection must give it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The value of a connection that does not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "plain_value")]
    pub default: Option<Value>,
    /// The values of a `choice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub choices: Option<Vec<String>>,
}

fn plain_value(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": ["string", "number", "boolean", "array"],
        "items": { "type": ["string", "number", "boolean"] },
    })
}

/// What kind of value a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingType {
    /// A text.
    Text,
    /// An exact number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A list of texts, numbers and truth values.
    List,
    /// One of the texts in `choices`.
    Choice,
    /// The path of a directory.
    Directory,
    /// A password, token or key: `{ env = "…" }` or `{ file = "…" }` in a connection.
    Secret,
}

/// Something that can be read: files of one kind in a directory, or pages that requests bring.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamFile {
    /// What the records are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The directory with the files. A template; a connection whose settings give no value for it does not have the
    /// stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub directory: Option<String>,
    /// The names of the files, with `*` for any characters, `?` for one and `[0-9]` for one of a range. A file
    /// packed by gzip may have `.gz` behind such a name. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub files: Option<String>,
    /// Whether a file holds everything (`full`: the newest file is read, and what it lacks was deleted) or what changed
    /// (`delta`: every file is read, in the order of their names). A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub content: Option<String>,
    /// What tells that a file is written to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// What becomes of a file that was read: `keep` (the default), `archive` or `delete`. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub after: Option<String>,
    /// The directory to which files are moved with `after = "archive"`. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub archive: Option<String>,
    /// The request of a page. Its templates know `cursor`, how far the stream was read, or nothing in a complete pass,
    /// `page`, `parents`, the records that it asks about, and `now`, the instant at which it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestFile>,
    /// How the stream is divided into pages; by default it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paging: Option<PagingFile>,
    /// What tells how far the stream was read; by default every pull is a complete pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<CursorFile>,
    /// The stream about whose records this one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parents: Option<ParentsFile>,
    /// Streams whose records are joined to those of this one, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Vec<JoinFile>>,
    /// The field by which each record is unfolded, once it is there: each element of the list that it holds, or each entry
    /// of the map as `key` and `value`, makes a record of its own, with the element in the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub unfold: Option<String>,
    /// A condition on a record, with what it is asked for about, but before anything is joined to it: what it does not
    /// hold for is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub r#where: Option<String>,
    /// Objects in records that are values, tagged with their type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagged: Option<TaggedFile>,
    /// How the files or answers are written; answers by default as `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ReadFormat>,
    /// The encoding, such as `utf-8` (the default) or `windows-1252`; of `xml`, instead of the one that a document
    /// declares. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub encoding: Option<String>,
    /// Texts that mean "no value", besides the empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<Vec<String>>,
    /// Of `csv`: what separates the fields, one ASCII character; by default `,`. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub delimiter: Option<String>,
    /// Of `csv`: what quotes a field, one ASCII character; by default `"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub quote: Option<String>,
    /// Of `csv` without a header: the names of the columns in order. Of `fixed`: each column with its name, its first
    /// character, counted from 1, and its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minItems" = 1))]
    pub columns: Option<Vec<Column>>,
    /// Of `csv`: columns that the header must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<Vec<String>>,
    /// Of `csv`: the row that ends a file. A file without it was cut off, and nothing of it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailer: Option<TrailerFile>,
    /// Of `fixed`: the length of a line in characters; by default the end of the last column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub length: Option<usize>,
    /// Of `fixed`: whether a line may end early, where blanks at its end were cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_lines: Option<bool>,
    /// Of `fixed`: how many lines at the head of a file are no records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<u64>,
    /// Of `xml`: the path to the elements that are records, `BMECAT/T_NEW_CATALOG/ARTICLE`, or a list of such paths.
    /// Of `json`: the names that lead to the list of records, `data/items`; by default the document is the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Paths>,
    /// Of `xml`: values from outside a record that each record carries: the field, and the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<BTreeMap<String, String>>,
    /// Of `xml`: other names for elements, by the name in the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<BTreeMap<String, String>>,
    /// Of `xml`: elements that are a list even where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<Vec<String>>,
    /// Of `xml`: elements of which only the text counts, not the attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Vec<String>>,
    /// Of `xml`: elements that are a record, with their text as `#text`, even where they have no attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maps: Option<Vec<String>>,
    /// Of `xml`: whether names keep their namespace prefix, `bme:PARTY_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefixes: Option<bool>,
    /// Folds neighbouring records with the same values into one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupFile>,
}

/// What tells that a file is written to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ready {
    /// A file of the same name with this text behind it, such as `.done`. A template.
    Marker(#[schemars(length(min = 1))] String),
    /// Size and time of modification stayed the same so long, such as `5s`; at most `5m`. A template.
    Stable(#[schemars(length(min = 1))] String),
}

/// How files are written that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadFormat {
    /// Rows of fields with a delimiter between them.
    Csv,
    /// Lines whose fields stand at fixed places.
    Fixed,
    /// XML.
    Xml,
    /// A JSON document.
    Json,
    /// A JSON object in each line.
    Ndjson,
    /// `OData` JSON, version 2 or 4.
    Odata,
}

/// A column: its name, or its name with its place in the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    /// The name.
    Name(String),
    /// The name and the place.
    Place(ColumnPlace),
}

/// A column with its place in the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnPlace {
    /// The name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The first character, counted from 1.
    #[schemars(range(min = 1))]
    pub start: usize,
    /// How many characters.
    #[schemars(range(min = 1))]
    pub length: usize,
}

/// The row that ends a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrailerFile {
    /// The text of its first field.
    #[schemars(length(min = 1))]
    pub first: String,
    /// Which of its fields, counted from 1, holds the number of rows before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 10_000))]
    pub count: Option<usize>,
}

/// Folds neighbouring records with the same values into one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupFile {
    /// The fields whose values are the same.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub by: Vec<String>,
    /// The field of the one record that lists the records it was folded from.
    #[schemars(length(min = 1))]
    pub into: String,
}

/// Something that can be done: a file that is written for the system, or requests that are sent to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionFile {
    /// What the action does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The directory from which the system reads. A template; a connection whose settings give no value for it does
    /// not have the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub directory: Option<String>,
    /// The file's name. A template that also knows `reference`, which must be part of it, and `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub file: Option<String>,
    /// The directory to which the system moves files that it has read. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub archive: Option<String>,
    /// Whether the system moves every file it has read to `archive`, so that a file in neither place was never
    /// handed over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archives: bool,
    /// What the system does with the same request twice.
    pub create: CreateFile,
    /// The requests in their order: the first that does not only read makes the thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step: Vec<StepFile>,
    /// The search for what they made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<FindFile>,
    /// An expression over `made`: the number that the system gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub number: Option<String>,
    /// The requests that undo what was made where the system refuses a later step, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<RequestFile>,
    /// How the file is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<WriteFormat>,
    /// The encoding; by default `utf-8`. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub encoding: Option<String>,
    /// Of `csv`: what separates the fields, one ASCII character; by default `,`. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub delimiter: Option<String>,
    /// Of `csv`: what quotes a field that needs it, one ASCII character; by default `"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub quote: Option<String>,
    /// Of `csv`: the columns in order; by default the fields of the rows as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub columns: Option<Vec<String>>,
    /// Of `csv`: whether the first line names the columns; by default it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Of `csv`: what stands before the decimals of a number; by default a point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
    /// Of `csv`: how lines end; by default `crlf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_end: Option<LineEnd>,
    /// Of `xml`: the name of the root element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub root: Option<String>,
    /// Of `xml`: namespaces by prefix; the empty prefix is the default namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<BTreeMap<String, String>>,
    /// Of `xml`: whether each element gets a line of its own; by default it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indent: Option<bool>,
}

/// How a system treats the same create twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CreateFile {
    /// It refuses our reference twice.
    Unique,
    /// It may take effect at any time: not found means that a person decides.
    Open,
    /// Nothing takes effect later than this after the attempt.
    Bounded(Interval),
}

/// How files are written that are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteFormat {
    /// Rows of fields with a delimiter between them.
    Csv,
    /// XML.
    Xml,
}

/// What stands before the decimals of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decimal {
    /// A comma: `12,50`.
    Comma,
    /// A point: `12.50`.
    Point,
}

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// CR and LF, as on Windows.
    Crlf,
    /// LF alone.
    Lf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Document, schema};
    use crate::connector::Manifest;

    const PAGE: &str = include_str!("../../docs/connectors.md");

    /// What the fragments of the page leave out.
    const FRAME: &str = r#"
        name = "frame"
        title = "Frame"
        transport = "file"
        [settings]
        directory = { type = "directory", help = "Export." }
        inbox = { type = "directory", help = "Inbox." }
        company = { type = "text", help = "Company." }
        [stream.other]
        files = "other.csv"
    "#;

    /// The same for fragments that go with HTTP.
    const HTTP_FRAME: &str = r#"
        name = "frame"
        title = "Frame"
        transport = "http"
        [settings]
        user = { type = "text", help = "User." }
        password = { type = "secret", help = "Password." }
        token = { type = "secret", help = "Token." }
        company = { type = "text", help = "Company." }
        [stream.other]
        request = { path = "other" }
    "#;

    const DEFAULTS: &str = r#"
        [defaults]
        directory = "${settings.directory}"
        content = "full"
        ready = { stable = "5s" }
        format = "csv"
    "#;

    #[test]
    fn every_example_of_the_page_compiles() {
        let examples: Vec<&str> =
            PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(examples.len() > 12);
        for example in examples {
            if example.contains("[[connection]]") {
                let config = Config::of_document(Document::parse("docs/configuration.toml", example), []);
                config.unwrap_or_else(|problems| panic!("{problems}\n{example}"));
                continue;
            }
            let whole = if example.contains("transport = ") {
                example.to_owned()
            } else if example.contains("[http") || example.contains("request = ") || example.contains(".request]") {
                let http = if example.contains("[http]") { "" } else { "[http]\nbase_url = 'https://erp.example'\n" };
                format!("{HTTP_FRAME}{http}{example}")
            } else {
                let defaults = if example.contains("[defaults]") { "" } else { DEFAULTS };
                format!("{FRAME}{defaults}{example}")
            };
            let manifest = Manifest::compile(&Document::parse("docs/connectors.md", &whole));
            manifest.unwrap_or_else(|problems| panic!("{problems}\n{example}"));
        }
    }

    /// Every object of the schema with its property names.
    fn objects<'a>(schema: &'a Value, found: &mut Vec<&'a Value>) {
        match schema {
            Value::Object(rules) => {
                if rules.get("properties").is_some_and(Value::is_object) {
                    found.push(schema);
                }
                rules.values().for_each(|rule| objects(rule, found));
            }
            Value::Array(rules) => rules.iter().for_each(|rule| objects(rule, found)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_is_closed_described_and_documented_with_an_example() {
        let schema = schema::of::<ManifestFile>();
        let mut found = Vec::new();
        objects(&schema, &mut found);
        assert!(found.len() >= 10, "{}", found.len());
        let mut words = 0;
        for object in found {
            assert_eq!(object["additionalProperties"], false, "{object}");
            for (name, property) in object["properties"].as_object().unwrap() {
                words += 1;
                // The one key of an alternative is described by the alternative.
                let described = [property, object].iter().any(|at| at.get("description").is_some());
                assert!(described, "`{name}` has no description");
                assert!(PAGE.contains(&format!("| `{name}` |")), "`{name}` is missing in docs/connectors.md");
                let shown = ["{} = ", "[{}.", "[{}]", ".{}]"].map(|written| written.replace("{}", name));
                let shown = shown.iter().any(|written| PAGE.contains(written));
                assert!(shown, "`{name}` has no example in docs/connectors.md");
            }
        }
        assert!(words > 60, "{words}");
    }
}
