//! Streams and actions of the file transport: what a manifest says of them, checked.
//!
//! What does not live here: what the settings of a connection make of them (`bind`).

use std::path::PathBuf;
use std::time::Duration;

use super::pattern::Pattern;
use crate::config::KeyPath;
use crate::connector::check::{Checker, FILE_NAMES, Merged, NAMES, REFERENCE};
use crate::connector::manifest::{ActionFile, Ready};
use crate::connector::options;
use crate::connector::reading::Reading;
use crate::connector::word::{self, AfterWord, Content, Plan, Word};
use crate::connector::writing::Writing;

/// A stream of files, before a connection fills in its settings.
#[derive(Debug)]
pub struct StreamPlan {
    pub directory: Word<PathBuf>,
    pub files: Word<Pattern>,
    pub content: Word<Content>,
    pub ready: ReadyPlan,
    pub after: Option<Word<AfterWord>>,
    pub archive: Option<Word<PathBuf>>,
    pub reading: Plan<Reading>,
}

/// What tells that a file is written to its end, before a connection fills in its settings.
#[derive(Debug)]
pub enum ReadyPlan {
    Marker(Word<String>),
    Stable(Word<Duration>),
}

/// An action that writes files, before a connection fills in its settings.
#[derive(Debug)]
pub struct ActionPlan {
    pub directory: Word<PathBuf>,
    pub file: Word<String>,
    pub archive: Option<Word<PathBuf>>,
    pub archives: bool,
    pub writing: Plan<Writing>,
}

/// Compiles a stream of files; nothing with a problem.
pub fn stream(checker: &mut Checker, merged: &Merged) -> Option<StreamPlan> {
    let stream = &merged.stream;
    for (key, missing) in [
        ("directory", stream.directory.is_none()),
        ("files", stream.files.is_none()),
        ("content", stream.content.is_none()),
        ("ready", stream.ready.is_none()),
        ("format", stream.format.is_none()),
    ] {
        if missing {
            checker.missing(&merged.at.key(key));
        }
    }
    let directory = checker.word(&merged.key("directory"), stream.directory.as_deref(), NAMES, word::directory);
    let files = checker.word(&merged.key("files"), stream.files.as_deref(), NAMES, word::pattern);
    let content = checker.word(&merged.key("content"), stream.content.as_deref(), NAMES, word::content);
    let after = checker.word(&merged.key("after"), stream.after.as_deref(), NAMES, word::after);
    let archive = checker.word(&merged.key("archive"), stream.archive.as_deref(), NAMES, word::directory);
    let reading = options::reading(checker, merged, stream.format?);
    let at = merged.key("ready");
    let ready = match &stream.ready {
        Some(Ready::Marker(text)) => {
            checker.word(&at.key("marker"), Some(text), NAMES, word::marker).map(ReadyPlan::Marker)
        }
        Some(Ready::Stable(text)) => {
            checker.word(&at.key("stable"), Some(text), NAMES, word::stable).map(ReadyPlan::Stable)
        }
        None => None,
    };
    match stream.after.as_deref() {
        Some("archive") if stream.archive.is_none() => checker.missing(&merged.at.key("archive")),
        None | Some("keep" | "delete") if merged.own("archive") => {
            let hint = "write after = \"archive\", or leave out the archive";
            checker.refuse(&merged.at.key("archive"), "nothing is moved to this archive", Some(hint));
        }
        _ => {}
    }
    Some(StreamPlan {
        directory: directory?,
        files: files?,
        content: content?,
        ready: ready?,
        after,
        archive,
        reading: reading?,
    })
}

/// Compiles an action that writes files; nothing with a problem.
pub fn action(checker: &mut Checker, at: &KeyPath, action: &ActionFile) -> Option<ActionPlan> {
    for (key, missing) in [
        ("directory", action.directory.is_none()),
        ("file", action.file.is_none()),
        ("format", action.format.is_none()),
    ] {
        if missing {
            checker.missing(&at.key(key));
        }
    }
    let directory = checker.word(&at.key("directory"), action.directory.as_deref(), NAMES, word::directory);
    let file = checker.word(&at.key("file"), action.file.as_deref(), FILE_NAMES, |text| Ok(text.to_owned()));
    let archive = checker.word(&at.key("archive"), action.archive.as_deref(), NAMES, word::directory);
    if file.as_ref().is_some_and(|file| !file.template.uses(REFERENCE)) {
        let hint = "make our reference part of the name: \"ORD-${reference}.csv\"";
        checker.refuse(&at.key("file"), "two requests would have the same file", Some(hint));
    }
    if action.archives && action.archive.is_none() {
        checker.missing(&at.key("archive"));
    }
    let writing = options::writing(checker, at, action, action.format?);
    Some(ActionPlan { directory: directory?, file: file?, archive, archives: action.archives, writing: writing? })
}
