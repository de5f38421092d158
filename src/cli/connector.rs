//! `tradebridge connector`: what connectors there are, what one can do, needs and is verified against, and trying out a
//! connection.
//!
//! What does not live here: whether all connections work (`check`).

use clap::{Args, Subcommand};
use serde::Serialize;

use super::client::{Call, Client};
use super::output::Exit;
use super::page::{Cell, Page, Table, Tone};
use super::progress::Progress;
use super::traffic::TrafficArguments;
use super::{Answered, Context, files};
use crate::api::control::ProbeRequest;
use crate::config::Config;
use crate::connector::{
    Catalog, CreateClass, Manifest, Proof, SettingFile, SettingType, Survey, SurveyResult, Transport,
};

#[derive(Debug, Subcommand)]
pub(super) enum ConnectorCommand {
    /// List the connectors, each with how far it is verified.
    List,
    /// Show what a connector can do and what a connection has to say.
    Show {
        /// The connector's name.
        name: String,
    },
    /// Try a connection out: log in, read a page of each stream, and say what the system refuses.
    Probe(ProbeArguments),
}

#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    /// The connection.
    connection: String,
    #[command(flatten)]
    traffic: TrafficArguments,
}

/// A connector in a list.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    title: &'a str,
    transport: Transport,
    proof: Proof,
    streams: Vec<&'a str>,
    actions: Vec<&'a str>,
}

/// A connector by itself.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    name: &'a str,
    title: &'a str,
    help: Option<&'a str>,
    transport: Transport,
    proof: Proof,
    file: &'a str,
    settings: Vec<Setting<'a>>,
    streams: Vec<Stream<'a>>,
    actions: Vec<Action<'a>>,
}

#[derive(Debug, Serialize)]
struct Setting<'a> {
    name: &'a str,
    #[serde(flatten)]
    file: &'a SettingFile,
}

#[derive(Debug, Serialize)]
struct Stream<'a> {
    name: &'a str,
    help: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Action<'a> {
    name: &'a str,
    help: Option<&'a str>,
    create: &'static str,
}

pub(super) fn run(command: &ConnectorCommand, context: &Context) -> Answered {
    if let ConnectorCommand::Probe(arguments) = command {
        return super::wait(probe(arguments, context));
    }
    let config = context.load()?;
    let catalog = Catalog::load(&config.connectors)?;
    match command {
        ConnectorCommand::List => {
            let listed: Vec<Listed> = catalog.iter().map(|manifest| listed(manifest)).collect();
            context.output.say(&listed, |page| {
                let mut table = Table::new(&["connector", "system", "transport", "verified", "streams", "actions"]);
                for one in &listed {
                    let cells = [one.name, one.title, word(one.transport), verified(one.proof)];
                    let lists = [one.streams.join(", "), one.actions.join(", ")];
                    table.row(cells.into_iter().map(Cell::from).chain(lists.into_iter().map(Cell::from)));
                }
                page.table(&table);
            });
        }
        ConnectorCommand::Show { name } => {
            let Some(manifest) = catalog.get(name) else {
                return Err(files::unknown("connector", name, catalog.names().into_iter()));
            };
            let shown = shown(manifest);
            context.output.say(&shown, |page| show(&shown, page));
        }
        ConnectorCommand::Probe(_) => {}
    }
    Ok(Exit::Done)
}

async fn probe(arguments: &ProbeArguments, context: &Context) -> Answered {
    let connection = &arguments.connection;
    let known = |config: &Config| files::known_sync(config, connection, None);
    let command = async |client: &Client| {
        let progress = Progress::begin(format!("trying {connection}"));
        let request = ProbeRequest { connection: connection.clone() };
        let survey: Survey = client.ask(Call::post(&["probe"], &request)?.long()).await?;
        drop(progress);
        context.output.say(&survey, |page| surveyed(connection, &survey, page));
        Ok(if survey.is_well() { Exit::Done } else { Exit::Failed })
    };
    arguments.traffic.with(context, connection, known, command).await
}

fn surveyed(connection: &str, survey: &Survey, page: &mut Page) {
    let at = survey.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
    page.heading(format!("{connection}{at}"));
    let what = if survey.address.is_some() { "rows" } else { "files" };
    let mut table = Table::new(&["stream", "result", "ms", what, "cursor"]).numbers(&[2, 3]).whole(&[0, 4]);
    for stream in &survey.streams {
        let (tone, word) = match stream.result {
            SurveyResult::Read => (Tone::Good, "can be read"),
            SurveyResult::Joined => (Tone::Dim, stream.message.as_deref().unwrap_or("only joined to others")),
            SurveyResult::Denied => (Tone::Bad, "permission missing"),
            SurveyResult::Unreachable => (Tone::Bad, "not reachable"),
            SurveyResult::Failed => (Tone::Bad, "failed"),
            SurveyResult::NotTried => (Tone::Warn, "not tried"),
        };
        let cursor = match (&stream.cursor, stream.tells_changes) {
            (Some(cursor), _) => cursor.as_str().map_or_else(|| cursor.to_string(), str::to_owned),
            (None, true) if stream.result == SurveyResult::Read => "none in this page".to_owned(),
            (None, false) if stream.rows.is_some() => "has none".to_owned(),
            _ => String::new(),
        };
        let count = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        table.row([
            Cell::from(&stream.stream),
            Cell::toned(tone, word),
            Cell::from(count(stream.milliseconds)),
            Cell::from(count(stream.rows.or(stream.files))),
            Cell::from(cursor),
        ]);
    }
    page.table(&table);
    let told = |result| !matches!(result, SurveyResult::Joined | SurveyResult::NotTried);
    let known = survey.streams.iter().filter(|stream| told(stream.result));
    let known = known.filter_map(|stream| Some((&stream.stream, stream.message.as_ref()?)));
    for (stream, message) in known {
        page.toned(Tone::Strong, format!("{stream}: ")).line(message);
    }
    for problem in &survey.problems {
        page.toned_line(Tone::Bad, problem);
    }
    if survey.address.is_none() {
        return;
    }
    page.toned(Tone::Strong, "limit: ");
    if survey.limits.is_empty() {
        page.line("none is known: neither the manifest nor the answers tell one");
    }
    let left = survey.limits.iter().map(|limit| match limit.of {
        Some(of) => format!("{} of {of} requests left in {} s", limit.left, limit.seconds),
        None => format!("{} requests left for {} s, by the system's own words", limit.left, limit.seconds),
    });
    let left: Vec<String> = left.collect();
    if !left.is_empty() {
        page.line(left.join("; "));
    }
}

fn listed(manifest: &Manifest) -> Listed<'_> {
    Listed {
        name: &manifest.name,
        title: &manifest.title,
        transport: manifest.transport,
        proof: manifest.proof,
        streams: manifest.streams().map(|(name, _)| name).collect(),
        actions: manifest.actions().map(|(name, _, _)| name).collect(),
    }
}

fn shown(manifest: &Manifest) -> Shown<'_> {
    Shown {
        name: &manifest.name,
        title: &manifest.title,
        help: manifest.help.as_deref(),
        transport: manifest.transport,
        proof: manifest.proof,
        file: &manifest.file,
        settings: manifest.settings.iter().map(|(name, file)| Setting { name, file }).collect(),
        streams: manifest.streams().map(|(name, help)| Stream { name, help }).collect(),
        actions: manifest
            .actions()
            .map(|(name, help, class)| Action { name, help, create: class_word(class) })
            .collect(),
    }
}

fn show(shown: &Shown, page: &mut Page) {
    page.heading(format!("{} ({})", shown.title, shown.name));
    if let Some(help) = shown.help {
        page.line(help.trim());
    }
    page.line("");
    page.line(format!("reached by {}; verified: {}; {}", word(shown.transport), verified(shown.proof), shown.file));
    page.line("");
    let mut settings = Table::new(&["setting", "type", "needed", "what it is"]).whole(&[3]);
    for Setting { name, file } in &shown.settings {
        let needed = match (&file.default, file.required) {
            (Some(default), _) => format!("default {default}"),
            (None, true) => "yes".to_owned(),
            (None, false) => "no".to_owned(),
        };
        let help = file.help.split_whitespace().collect::<Vec<_>>().join(" ");
        settings.row([Cell::from(*name), Cell::from(type_word(file.kind)), Cell::from(needed), Cell::from(help)]);
    }
    page.table(&settings);
    page.line("");
    let mut what = Table::new(&["", "name", "what it is"]).whole(&[2]);
    for Stream { name, help } in &shown.streams {
        what.row([Cell::from("stream"), Cell::from(*name), Cell::from(help.unwrap_or_default())]);
    }
    for Action { name, help, create } in &shown.actions {
        let help = format!("{} The same twice: {create}.", help.unwrap_or_default());
        what.row([Cell::from("action"), Cell::from(*name), Cell::from(help.trim().to_owned())]);
    }
    page.table(&what);
}

fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::File => "files",
        Transport::Http => "HTTP",
    }
}

fn verified(proof: Proof) -> &'static str {
    match proof {
        Proof::Real => "against the system itself",
        Proof::Protocol => "against a server of its protocol",
        Proof::Samples => "with the vendor's samples",
        Proof::Documented => "by its documentation",
    }
}

fn class_word(class: CreateClass) -> &'static str {
    match class {
        CreateClass::Unique => "refused by the system",
        CreateClass::Bounded { .. } => "told apart by waiting",
        CreateClass::Open => "for a person to decide",
    }
}

fn type_word(kind: SettingType) -> &'static str {
    match kind {
        SettingType::Text => "text",
        SettingType::Number => "number",
        SettingType::Bool => "bool",
        SettingType::List => "list",
        SettingType::Choice => "choice",
        SettingType::Directory => "directory",
        SettingType::Secret => "secret",
    }
}
