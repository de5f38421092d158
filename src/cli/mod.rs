//! The command line: a file per command.
//!
//! A command reads its arguments, asks (files, or the admin API through `client`) and says the answer through
//! `output`. What does not live here: what the answers rest on (`daemon` and everything below it).

mod check;
mod completions;
mod files;
mod init;
mod map;
mod output;
mod page;
mod schema;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::{Exit, Failure, Format, Output};

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
    /// Work with mapping files.
    #[command(subcommand)]
    Map(map::MapCommand),
    /// Print the JSON Schema of a kind of file or of a canonical record.
    Schema(schema::SchemaArguments),
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
        Command::Check(arguments) => check::run(&arguments, &context),
        Command::Map(command) => map::run(&command, &context),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
    };
    let exit = answered.unwrap_or_else(|failure| context.output.fail(&failure));
    ExitCode::from(exit as u8)
}

/// What a command comes to.
type Answered = Result<Exit, Failure>;
