//! What a command says: one JSON document for programs, or text for people, and how it ended.
//!
//! What does not live here: the layout of text and tables (`page`).

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use console::Term;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::page::{Page, Tone};
use crate::config::{Problem, Problems};
use crate::store::StoreError;

/// In which form a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// How a command ended; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The usage or a file is faulty.
    Usage = 2,
    /// It was done, but some records were rejected.
    Partly = 3,
    /// A guard holds it for approval.
    Held = 4,
}

/// Why a command gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was asked for is not possible as it was written.
    Usage(String),
    /// Files are faulty.
    Problems(Problems),
    /// It failed.
    Failed {
        /// What happened, and what to do.
        message: String,
        /// What else the daemon says: its problem details.
        details: Option<Json>,
        /// Whether what was asked for is to blame.
        usage: bool,
    },
}

impl Failure {
    /// Something that failed, with what to do about it.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), details: None, usage: false }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Problems(_) | Self::Failed { usage: true, .. } => Exit::Usage,
            Self::Failed { .. } => Exit::Failed,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Problems(problems) => {
                json!({ "error": { "message": counted(problems.0.len(), "problem"), "problems": problems } })
            }
            Self::Usage(message) | Self::Failed { message, details: None, .. } => {
                json!({ "error": { "message": message } })
            }
            Self::Failed { message, details: Some(details), .. } => {
                json!({ "error": { "message": message, "details": details } })
            }
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problems(problem.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    format: Format,
    colour: bool,
    /// The columns of the terminal; none where the answer goes to a file or a program.
    width: Option<usize>,
}

impl Output {
    /// The process's standard output. Colours only on a terminal, and never with `NO_COLOR`
    /// (<https://no-color.org>).
    pub(super) fn new(format: Format) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal();
        let width = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns)).filter(|_| terminal);
        Self { format, colour: terminal && !plain, width }
    }

    /// Whether a program reads the answer.
    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Says the answer: `answer` as it is to programs, and what `human` makes of it to people.
    pub(super) fn say(self, answer: &impl Serialize, human: impl FnOnce(&mut Page)) {
        if self.is_json() {
            match serde_json::to_string_pretty(answer) {
                Ok(text) => print(&text),
                Err(error) => complain(&format!("the answer cannot be written as JSON: {error}")),
            }
            return;
        }
        let mut page = Page::new(self.colour, self.width);
        human(&mut page);
        print(page.text().trim_end_matches('\n'));
    }

    /// Says why there is no answer. Programs find it where they look for the answer.
    pub(super) fn fail(self, failure: &Failure) -> Exit {
        if self.is_json() {
            print(&format!("{:#}", failure.to_json()));
            return failure.exit();
        }
        let colour = self.colour && std::io::stderr().is_terminal();
        let mut page = Page::new(colour, None);
        match failure {
            Failure::Usage(message) => page.toned(Tone::Bad, "error: ").line(message),
            Failure::Problems(problems) => {
                page.problems(problems);
                page.line(format!("{} found", counted(problems.0.len(), "problem")))
            }
            Failure::Failed { message, details, .. } => {
                page.toned(Tone::Bad, "error: ").line(message);
                let errors = details.iter().filter_map(|d| d.get("errors")).filter_map(Json::as_array).flatten();
                for error in errors {
                    let word = |name| error.get(name).and_then(Json::as_str).filter(|word| !word.is_empty());
                    let detail = word("detail").unwrap_or_default();
                    match word("pointer").or_else(|| word("parameter")) {
                        Some(place) => page.line(format!("  {place}: {detail}")),
                        // Said already, as a part of the whole.
                        None if message.contains(detail) => &mut page,
                        None => page.line(format!("  {detail}")),
                    };
                }
                &mut page
            }
        };
        complain(page.text().trim_end_matches('\n'));
        failure.exit()
    }
}

/// `1 record`, `2 records`.
pub(super) fn counted(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// Writes a line for people or programs. A reader that has gone is no error of the command.
pub(super) fn print(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes what a program made.
pub(super) fn print_bytes(bytes: &[u8]) {
    let _ = std::io::stdout().lock().write_all(bytes);
}

/// Writes a line about what went wrong.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
