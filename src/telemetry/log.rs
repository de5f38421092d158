//! The log: lines for people or JSON objects for collectors, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, LogSettings};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error("the filter of the log, '{filter}', is not understood: {message}")]
    Filter {
        /// As it was written.
        filter: String,
        /// Why not.
        message: String,
    },
    /// There is a log already.
    #[error("the log is set up already")]
    Again(#[from] TryInitError),
}

/// Begins to write the log as the settings say.
///
/// # Errors
/// [`LogError::Filter`] for a filter that cannot be read, [`LogError::Again`] the second time.
pub fn begin(settings: &LogSettings) -> Result<(), LogError> {
    let filter = settings.filter.to_string();
    // What the client of the broker says without context is told by `queue` with it.
    let filter = EnvFilter::try_new(format!("lapin=off,{filter}"))
        .map_err(|error| LogError::Filter { filter, message: error.to_string() })?;
    let registry = tracing_subscriber::registry().with(filter);
    match settings.format {
        LogFormat::Human => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(colours)
                .with_timer(Instant)
                .with_target(false);
            registry.with(lines).try_init()?;
        }
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(std::io::stderr)
                .with_timer(Instant);
            registry.with(lines).try_init()?;
        }
    }
    Ok(())
}

/// Instants of RFC 3339 in UTC, to the millisecond.
struct Instant;

impl FormatTime for Instant {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}
