//! The program `tradebridge`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tradebridge::cli::run()
}
