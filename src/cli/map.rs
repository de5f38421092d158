//! `tradebridge map`: working with mapping files, without a daemon and without a store.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value as Json;

use super::output::{Exit, Failure, counted};
use super::page::{Page, Tone};
use super::{Answered, Context, files};
use crate::config::Problems;
use crate::mapping::{ExampleResult, Mapping, Outcome, Rejected, Setting};
use crate::record::{Map, Value};

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
}

#[derive(Debug, Args)]
pub(super) struct TryArguments {
    /// The mapping file.
    mapping: PathBuf,
    /// The records: a JSON object, a list of them, or one object a line. `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    /// The time zone of dates and times in the records, such as Europe/Amsterdam.
    #[arg(long, value_name = "ZONE", value_parser = TimeZone::get, default_value = "UTC")]
    time_zone: TimeZone,
}

pub(super) fn run(command: &MapCommand, context: &Context) -> Answered {
    match command {
        MapCommand::Test { files } => test(files, context),
        MapCommand::Try(arguments) => attempt(arguments, context),
    }
}

/// How the examples of a file went.
#[derive(Debug, Serialize)]
struct Tested {
    file: String,
    examples: Vec<ExampleResult>,
}

fn test(files: &[PathBuf], context: &Context) -> Answered {
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
    Ok(match () {
        () if !problems.is_empty() => Exit::Usage,
        () if failed > 0 => Exit::Failed,
        () => Exit::Done,
    })
}

/// What became of a record.
#[derive(Debug, Serialize)]
struct Tried {
    record: u64,
    source: Json,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Reason>,
}

/// Why it was not taken.
#[derive(Debug, Serialize)]
struct Reason {
    field: String,
    message: String,
    file: String,
    line: usize,
}

impl From<Rejected> for Reason {
    fn from(Rejected { field, message, file, line }: Rejected) -> Self {
        Self { field, message, file, line }
    }
}

fn attempt(arguments: &TryArguments, context: &Context) -> Answered {
    let mapping = files::compile(&arguments.mapping)?;
    let setting = Setting {
        company: "EXAMPLE".to_owned(),
        zone: arguments.time_zone.clone(),
        settings: Value::Map(Map::default()),
    };
    let records = records(&arguments.record)?;
    let tried: Vec<Tried> = (1..)
        .zip(records)
        .map(|(number, (source, fields))| apply(&mapping, &setting, number, source, &fields))
        .collect();
    let rejected = tried.iter().filter(|one| one.rejected.is_some()).count();
    context.output.say(&tried, |page| {
        for one in &tried {
            show(one, &mapping, page);
        }
        page.line(format!("{}, {rejected} rejected", counted(tried.len(), "record")));
    });
    Ok(if rejected > 0 { Exit::Partly } else { Exit::Done })
}

fn show(one: &Tried, mapping: &Mapping, page: &mut Page) {
    let tone = match one.outcome {
        "part" => Tone::Good,
        "rejected" => Tone::Bad,
        _ => Tone::Warn,
    };
    page.toned(Tone::Strong, format!("record {}: ", one.record)).toned(tone, one.outcome);
    match (&one.company, &one.number) {
        (Some(company), Some(number)) => page.line(format!(" {} {company}~{number}", mapping.kind)),
        _ => page.line(""),
    };
    page.toned_line(Tone::Dim, "  source").json(4, &one.source);
    if let Some(mapped) = &one.mapped {
        page.toned_line(Tone::Dim, "  mapped").json(4, mapped);
    }
    if let Some(reason) = &one.rejected {
        page.toned(Tone::Bad, format!("  {}: {}", reason.field, reason.message));
        page.toned_line(Tone::Dim, format!(" ({}:{})", reason.file, reason.line));
    }
    page.line("");
}

fn apply(mapping: &Mapping, setting: &Setting, record: u64, source: Json, fields: &Map) -> Tried {
    let tried = Tried { record, source, outcome: "part", company: None, number: None, mapped: None, rejected: None };
    match mapping.key(fields, setting).and_then(|_| mapping.apply(fields, setting)) {
        Ok(Outcome::Part(mapped)) => Tried {
            company: Some(mapped.company),
            number: Some(mapped.identity.number),
            mapped: Some(mapped.content),
            ..tried
        },
        Ok(Outcome::Deleted) => Tried { outcome: "deleted", ..tried },
        Ok(Outcome::Skipped) => Tried { outcome: "skipped", ..tried },
        Err(rejected) => Tried { outcome: "rejected", rejected: Some(rejected.into()), ..tried },
    }
}

/// The records as they were written, and as a mapping sees them.
fn records(file: &Path) -> Result<Vec<(Json, Map)>, Failure> {
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
    let fields = |record: Json| match Value::from_json(record.clone()) {
        Value::Map(fields) => Ok((record, fields)),
        other => Err(Failure::Usage(format!("{name}: a {} is no record; write a JSON object", other.kind()))),
    };
    records.into_iter().map(fields).collect()
}
