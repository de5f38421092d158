//! The command line: a file per command.
//!
//! A command reads its arguments, asks (files, or the admin API through `client`) and says the answer through
//! `output`. What does not live here: what the answers rest on (`daemon` and everything below it).

mod broker;
mod calls;
mod check;
mod client;
mod completions;
mod connection;
mod connector;
mod dead;
mod files;
mod init;
mod key;
mod map;
mod map_diff;
mod migrate;
mod openapi;
mod orders;
mod output;
mod page;
mod preview;
mod progress;
mod recover;
mod run;
mod runs;
mod schema;
mod several;
mod status;
mod store;
mod sync;
mod trace;
mod traffic;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::{Exit, Failure, Format, Output};

use crate::config::Config;

/// Joins ERP systems and B2B webshops.
#[derive(Debug, Parser)]
#[command(name = "tradebridge", version, about, after_help = EXIT_CODES)]
struct Cli {
    /// The configuration [default: config/tradebridge.toml, then /etc/tradebridge/tradebridge.toml]
    #[arg(long, global = true, env = "TRADEBRIDGE_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The form of the answer.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partly done (some records rejected), \
4 held by a guard.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented starting point: configuration, connector, mapping and an example export.
    Init(init::InitArguments),
    /// Check configuration, connectors and mappings, then the connections.
    Check(check::CheckArguments),
    /// What connectors there are, what one can do and needs, and how far it is verified.
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// What a person does for a connection: give consent once, have its orders wait and go on.
    #[command(subcommand)]
    Connection(connection::ConnectionCommand),
    /// Run the daemon until it is told to stop.
    Run(run::RunArguments),
    /// Pull now, and wait for the end.
    Sync(sync::SyncArguments),
    /// Show what the mapping makes of the records that are there to be read; nothing is stored.
    Preview(preview::PreviewArguments),
    /// What was pulled, what is held, and the decision about it.
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// Where a record came from, and what was known on a day: versions, runs, source rows.
    Trace(trace::TraceArguments),
    /// Where the shops' orders are, and what a person does about them.
    #[command(subcommand)]
    Orders(orders::OrdersCommand),
    /// The RabbitMQ broker that carries the orders: check it, declare what it lacks.
    #[command(subcommand)]
    Broker(broker::BrokerCommand),
    /// What was given up: orders, and messages that could not be read.
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// What runs, how it is, and first of all what needs a person.
    Status,
    /// Look after the store: its size, pruning, erasing a person.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// The keys that shops and operators show.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Work with mapping files.
    #[command(subcommand)]
    Map(map::MapCommand),
    /// Bring the store to this program's version; no daemon may run.
    Migrate,
    /// After a restore from a backup: look for open orders in the ERP, end the shops' cursors; no daemon may run.
    Recover,
    /// Print the JSON Schema of a kind of file or of a canonical record.
    Schema(schema::SchemaArguments),
    /// Print the description of the HTTP API, `openapi.json`.
    Openapi,
    /// Print the completions of a shell.
    Completions(completions::CompletionsArguments),
}

/// What every command is given.
#[derive(Debug)]
struct Context {
    /// The configuration's file, where one was named.
    config: Option<PathBuf>,
    output: Output,
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    // clap itself ends the process with 2 where the usage is faulty.
    let Cli { config, output, command } = Cli::parse();
    let context = Context { config, output: Output::new(output) };
    let answered = match command {
        Command::Init(arguments) => init::run(&arguments, &context),
        Command::Check(arguments) => wait(check::run(&arguments, &context)),
        Command::Connector(command) => connector::run(&command, &context),
        Command::Connection(command) => wait(connection::run(command, &context)),
        Command::Run(arguments) => wait(run::run(&arguments, &context)),
        Command::Sync(arguments) => wait(sync::run(arguments, &context)),
        Command::Preview(arguments) => wait(preview::run(arguments, &context)),
        Command::Runs(command) => wait(runs::run(command, &context)),
        Command::Trace(arguments) => wait(trace::run(arguments, &context)),
        Command::Orders(command) => wait(orders::run(command, &context)),
        Command::Broker(command) => wait(broker::run(&command, &context)),
        Command::Dead(command) => wait(dead::run(command, &context)),
        Command::Status => wait(status::run(&context)),
        Command::Store(command) => wait(store::run(command, &context)),
        Command::Key(command) => wait(key::run(command, &context)),
        Command::Map(command) => map::run(&command, &context),
        Command::Migrate => wait(migrate::run(&context)),
        Command::Recover => wait(recover::run(&context)),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Openapi => Ok(openapi::run()),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
    };
    let exit = answered.unwrap_or_else(|failure| context.output.fail(&failure));
    ExitCode::from(exit as u8)
}

impl Context {
    /// The configuration that is meant.
    fn load(&self) -> Result<Config, Failure> {
        files::load(self.config.as_deref())
    }
}

/// Waits for a command that asks others.
fn wait(command: impl Future<Output = Answered>) -> Answered {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no threads can be started: {error}")))?;
    runtime.block_on(command)
}

/// What a command comes to.
type Answered = Result<Exit, Failure>;
