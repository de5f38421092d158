//! The command line: a file per command.

mod map;
mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Joins ERP systems and B2B webshops.
#[derive(Debug, Parser)]
#[command(name = "tradebridge", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work with mapping files.
    Map {
        #[command(subcommand)]
        command: map::MapCommand,
    },
    /// Print the JSON Schema of a kind of file or of a canonical record.
    Schema(schema::SchemaArguments),
}

/// How a command ended; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// All was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The usage or a file is faulty.
    Usage = 2,
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    // clap itself ends the process with 2 where the usage is faulty.
    let exit = match Cli::parse().command {
        Command::Map { command } => map::run(&command),
        Command::Schema(arguments) => schema::run(&arguments),
    };
    ExitCode::from(exit as u8)
}

/// Writes a line for people or programs. A reader that has gone is no error of the command.
fn print(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a line about what went wrong.
fn complain(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
