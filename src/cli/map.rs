//! `tradebridge map`: working with mapping files, without a daemon and without a store; comparing one with what is
//! stored lives in `map_diff`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value as Json;

use super::output::{Exit, Failure, counted};
use super::page::{Page, Tone};
use super::preview::without_nulls;
use super::{Answered, Context, files, map_diff};
use crate::config::{KeyPath, Problems};
use crate::connector::format::ReadError;
use crate::connector::{Catalog, Connector, ConnectorError, Wanted};
use crate::mapping::{AnyMapping, ExampleResult, Outcome, Rejected, Setting};
use crate::record::{Map, Record, Value};

#[derive(Debug, Subcommand)]
pub(super) enum MapCommand {
    /// Check mapping files and run their [[test]] examples.
    Test {
        /// Mapping files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Map records and show what becomes of each.
    Try(TryArguments),
    /// Say what a mapping would change in what is stored, from the source rows that are kept. Nothing is written.
    Diff(map_diff::DiffArguments),
}

#[derive(Debug, Args)]
pub(super) struct TryArguments {
    /// The mapping file.
    mapping: PathBuf,
    /// The records: a JSON object, a list of them, or one object a line. `-` reads standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "connection")]
    record: Option<PathBuf>,
    /// The connection whose company, time zone and settings the mapping sees. Without --record it also gives the
    /// records: those that its connector has ready.
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// The time zone of dates and times in the records, such as Europe/Amsterdam.
    #[arg(long, value_name = "ZONE", value_parser = TimeZone::get, default_value = "UTC", conflicts_with = "connection")]
    time_zone: TimeZone,
    /// At most so many records.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

pub(super) fn run(command: &MapCommand, context: &Context) -> Answered {
    match command {
        MapCommand::Test { files } => Ok(test(files, context)),
        MapCommand::Try(arguments) => super::wait(attempt(arguments, context)),
        MapCommand::Diff(arguments) => super::wait(map_diff::run(arguments, context)),
    }
}

/// How the examples of a file went.
#[derive(Debug, Serialize)]
struct Tested {
    file: String,
    examples: Vec<ExampleResult>,
}

fn test(files: &[PathBuf], context: &Context) -> Exit {
    let mut problems = Problems::default();
    let mut tested = Vec::new();
    for file in files {
        match files::compile_any(file) {
            Ok(mapping) => tested.push(Tested { file: mapping.file().to_owned(), examples: mapping.examples() }),
            Err(found) => problems.append(found),
        }
    }
    let fails = |example: &&ExampleResult| !example.differences.is_empty();
    let all = tested.iter().map(|file| file.examples.len()).sum::<usize>();
    let failed = tested.iter().flat_map(|file| &file.examples).filter(fails).count();
    let answer = serde_json::json!({
        "files": tested, "passed": all - failed, "failed": failed, "problems": problems,
    });
    context.output.say(&answer, |page| {
        for file in &tested {
            for example in file.examples.iter().filter(fails) {
                page.toned(Tone::Bad, "failed ").line(format!("{}:{}: {}", file.file, example.line, example.name));
                for difference in &example.differences {
                    page.line(format!("  {difference}"));
                }
            }
        }
        if !problems.is_empty() {
            page.problems(&problems);
        }
        page.line(format!("{}, {} passed, {failed} failed", counted(files.len(), "file"), all - failed));
    });
    match () {
        () if !problems.is_empty() => Exit::Usage,
        () if failed > 0 => Exit::Failed,
        () => Exit::Done,
    }
}

/// What became of a record.
#[derive(Debug, Serialize)]
struct Tried {
    /// Where it stands, or which it is.
    record: String,
    source: Json,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    /// The canonical record, or the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Reason>,
}

/// Why it was not taken.
#[derive(Debug, Serialize)]
struct Reason {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

impl From<Rejected> for Reason {
    fn from(Rejected { field, message, file, line }: Rejected) -> Self {
        Self { field: Some(field), message, file: Some(file), line: Some(line) }
    }
}

/// A record to be mapped, with what it is called; or why it cannot be read.
type Given = (String, Result<(Json, Map), String>);

async fn attempt(arguments: &TryArguments, context: &Context) -> Answered {
    let mapping = files::compile_any(&arguments.mapping)?;
    let link = match &arguments.connection {
        Some(name) => Some(link(name, context)?),
        None => None,
    };
    let setting = match &link {
        Some((_, setting)) => setting.clone(),
        None => Setting {
            company: "EXAMPLE".to_owned(),
            zone: arguments.time_zone.clone(),
            settings: Value::Map(Map::default()),
        },
    };
    let given = match (&arguments.record, link, &mapping) {
        (Some(file), _, _) => records(file)?.into_iter().take(arguments.limit).collect(),
        (None, Some((connector, _)), AnyMapping::Inbound(mapping)) => {
            ready(&connector, &mapping.stream, arguments.limit).await?
        }
        _ => return Err(Failure::Usage("this mapping makes requests of orders; give it one with --record".to_owned())),
    };
    let tried: Vec<Tried> = given.into_iter().map(|given| apply(&mapping, &setting, given)).collect();
    let rejected = tried.iter().filter(|one| one.rejected.is_some()).count();
    context.output.say(&tried, |page| {
        for one in &tried {
            show(one, page);
        }
        page.line(format!("{}, {rejected} rejected", counted(tried.len(), "record")));
    });
    Ok(if rejected > 0 { Exit::Partly } else { Exit::Done })
}

fn show(one: &Tried, page: &mut Page) {
    let tone = match one.outcome {
        "part" | "request" => Tone::Good,
        "rejected" => Tone::Bad,
        _ => Tone::Warn,
    };
    page.toned(Tone::Strong, format!("{}: ", one.record)).toned(tone, one.outcome);
    match (&one.company, &one.number) {
        (Some(company), Some(number)) => page.line(format!(" {company}~{number}")),
        _ => page.line(""),
    };
    page.toned_line(Tone::Dim, "  source").json(4, &without_nulls(&one.source));
    if let Some(mapped) = &one.mapped {
        page.toned_line(Tone::Dim, "  mapped").json(4, mapped);
    }
    if let Some(Reason { field, message, file, line }) = &one.rejected {
        let field = field.as_ref().map_or_else(String::new, |field| format!("{field}: "));
        page.toned(Tone::Bad, format!("  {field}{message}"));
        match (file, line) {
            (Some(file), Some(line)) => page.toned_line(Tone::Dim, format!(" ({file}:{line})")),
            _ => page.line(""),
        };
    }
    page.line("");
}

fn apply(mapping: &AnyMapping, setting: &Setting, (record, given): Given) -> Tried {
    let blank = |source| Tried {
        record: record.clone(),
        source,
        outcome: "rejected",
        company: None,
        number: None,
        mapped: None,
        rejected: None,
    };
    let (source, fields) = match given {
        Ok(given) => given,
        Err(message) => {
            let reason = Reason { field: None, message, file: None, line: None };
            return Tried { rejected: Some(reason), ..blank(Json::Null) };
        }
    };
    let tried = blank(source);
    let outcome = match mapping {
        AnyMapping::Inbound(mapping) => mapping.key(&fields, setting).and_then(|_| mapping.apply(&fields, setting)),
        AnyMapping::Outbound(mapping) => {
            return match mapping.apply(&fields, setting) {
                Ok(request) => Tried { outcome: "request", mapped: Some(Value::Map(request).to_json()), ..tried },
                Err(rejected) => Tried { rejected: Some(rejected.into()), ..tried },
            };
        }
    };
    match outcome {
        Ok(Outcome::Part(mapped)) => Tried {
            outcome: "part",
            company: Some(mapped.company),
            number: Some(mapped.identity.number),
            mapped: Some(mapped.content.value()),
            ..tried
        },
        Ok(Outcome::Deleted) => Tried { outcome: "deleted", ..tried },
        Ok(Outcome::Skipped) => Tried { outcome: "skipped", ..tried },
        Err(rejected) => Tried { rejected: Some(rejected.into()), ..tried },
    }
}

/// A connection of the configuration, with what mappings know of it.
fn link(name: &str, context: &Context) -> Result<(Connector, Setting), Failure> {
    let config = context.load()?;
    let Some(index) = config.connections.iter().position(|connection| connection.name == name) else {
        return Err(files::unknown("connection", name, config.connections.iter().map(|c| c.name.as_str())));
    };
    let connection = &config.connections[index];
    let catalog = Catalog::load(&config.connectors)?;
    let manifest = catalog.get(&connection.connector).ok_or_else(|| {
        let there = catalog.iter().map(|manifest| manifest.name.as_str());
        files::unknown("connector", &connection.connector, there)
    })?;
    let at = KeyPath::root().key("connection").index(index);
    let connector = Connector::bind(manifest, connection, &config.source.document, &at)?;
    let setting = Setting {
        company: connection.company.clone().unwrap_or_default(),
        zone: connection.time_zone.time_zone().clone(),
        settings: connector.settings().clone(),
    };
    Ok((connector, setting))
}

/// The records that a connection has ready to be read.
async fn ready(connector: &Connector, stream: &str, limit: usize) -> Result<Vec<Given>, Failure> {
    let failed = |error: ConnectorError| Failure::failed(error.to_string());
    let offers = connector.offers(stream, &Wanted::default()).await.map_err(failed)?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut given = Vec::new();
        for offer in offers {
            let (mut reader, _) = offer.open()?;
            while given.len() < limit
                && let Some(record) = reader.next()
            {
                given.push(match record {
                    Ok(Record { fields, place }) => (place.to_string(), Ok((fields.to_json(), fields.into_map()))),
                    Err(ReadError::Record { place, message } | ReadError::Fatal { place, message, .. }) => {
                        (place.to_string(), Err(message))
                    }
                });
            }
        }
        Ok(given)
    });
    let given = reading.await.map_err(|error| Failure::failed(format!("the reading broke off: {error}")))?;
    let given: Vec<Given> = given.map_err(failed)?;
    if given.is_empty() {
        return Err(Failure::failed(format!("the stream `{stream}` has nothing ready to be read")));
    }
    Ok(given)
}

/// The records as they were written, and as a mapping sees them.
fn records(file: &Path) -> Result<Vec<Given>, Failure> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let unreadable = |error: std::io::Error| Failure::Usage(format!("{name} cannot be read: {error}"));
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        bytes = std::fs::read(file).map_err(unreadable)?;
    }
    let mut records = Vec::new();
    for value in serde_json::Deserializer::from_slice(&bytes).into_iter::<Json>() {
        let value = value.map_err(|error| Failure::Usage(format!("{name} is no JSON: {error}")))?;
        match value {
            Json::Array(items) => records.extend(items),
            single => records.push(single),
        }
    }
    if records.is_empty() {
        return Err(Failure::Usage(format!("{name} holds no record; write a JSON object, or one a line")));
    }
    let given = (1..).zip(records).map(|(number, record): (u64, Json)| match Value::from_json(record.clone()) {
        Value::Map(fields) => Ok((format!("record {number}"), Ok((record, fields)))),
        other => Err(Failure::Usage(format!("{name}: a {} is no record; write a JSON object", other.kind()))),
    });
    given.collect()
}
