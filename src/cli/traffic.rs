//! `--record` and `--replay`: a command whose exchanges with a system over HTTP are kept, or come from where they were kept.
//!
//! What does not live here: writing and reading recordings (`connector`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::client::Client;
use super::output::{Failure, complain, counted};
use super::{Answered, Context, files};
use crate::config::Config;
use crate::config::values::StoreUrl;
use crate::connector::{Catalog, HIDDEN, Recorder, Replay, Tap, TrafficError, Transport};

#[derive(Debug, Args)]
pub(super) struct TrafficArguments {
    /// Keep what is exchanged with the system, without secrets, in this new directory; no daemon may run.
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Take the system's answers from this recording: nothing is sent, and the store stays as it is.
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    /// With --replay: the SQLite file that is filled, and stays; otherwise a temporary one.
    #[arg(long, value_name = "FILE", requires = "replay")]
    into: Option<PathBuf>,
}

impl TrafficArguments {
    /// Has a command ask the daemon or the store, or, where it is recorded or replayed, what this process opens for that.
    /// `check` says whether the configuration has what is asked for.
    pub(super) async fn with(
        &self,
        context: &Context,
        connection: &str,
        check: impl FnOnce(&Config) -> Result<(), Failure>,
        command: impl AsyncFnOnce(&Client) -> Answered,
    ) -> Answered {
        match (&self.record, &self.replay) {
            (Some(directory), _) => {
                let config = context.load()?;
                check(&config)?;
                record(directory, &config, connection, command).await
            }
            (None, Some(directory)) => {
                let config = files::load_without_secrets(context.config.as_deref(), HIDDEN)?;
                check(&config)?;
                self.replay(directory, config, connection, command).await
            }
            (None, None) => {
                let config = context.load()?;
                check(&config)?;
                Client::with(&config, command).await
            }
        }
    }

    async fn replay(
        &self,
        directory: &Path,
        mut config: Config,
        connection: &str,
        command: impl AsyncFnOnce(&Client) -> Answered,
    ) -> Answered {
        over_http(&config, connection)?;
        let path = directory.to_owned();
        let replay = blocking(move || Replay::load(&path)).await?;
        let temporary = match &self.into {
            Some(file) if config.store.url.sqlite_path() == Some(file) => {
                let message = format!("{} is the store of the configuration; name another file", file.display());
                return Err(Failure::Usage(message));
            }
            Some(file) => {
                config.store.url = StoreUrl::sqlite(file);
                None
            }
            None => {
                let temporary = Temporary::new()?;
                config.store.url = StoreUrl::sqlite(temporary.0.join("replay.db"));
                Some(temporary)
            }
        };
        config.store.migrate = true;
        let answered = Client::over(&config, &Tap::replay(connection, replay), command).await;
        drop(temporary);
        answered
    }
}

async fn record(
    directory: &Path,
    config: &Config,
    connection: &str,
    command: impl AsyncFnOnce(&Client) -> Answered,
) -> Answered {
    over_http(config, connection)?;
    if Client::is_daemon_at(config)? {
        return Err(Failure::failed(
            "a daemon has the store open, and what it exchanges is not recorded: stop it meanwhile (`systemctl stop \
             tradebridge`), or record with a store of its own, which is filled from nothing: \
             TRADEBRIDGE__STORE__URL=sqlite:///tmp/record.db tradebridge …",
        ));
    }
    let path = directory.to_owned();
    let recorder = Arc::new(blocking(move || Recorder::begin(&path)).await?);
    let answered = Client::over(config, &Tap::record(connection, &recorder), command).await;
    let kept = Arc::clone(&recorder);
    blocking(move || kept.end()).await?;
    let count = usize::try_from(recorder.count()).unwrap_or(usize::MAX);
    complain(&format!(
        "{} recorded in {}, secrets hidden; it holds the system's data: look through it before you pass it on",
        counted(count, "exchange"),
        directory.display()
    ));
    answered
}

/// Only what is exchanged over HTTP is recorded.
fn over_http(config: &Config, connection: &str) -> Result<(), Failure> {
    let Some(of) = config.connection(connection) else { return Ok(()) };
    let catalog = Catalog::load(&config.connectors)?;
    if catalog.get(&of.connector).is_some_and(|manifest| manifest.transport == Transport::File) {
        let message = format!(
            "{connection} exchanges files, and recordings are of HTTP; keep the files themselves: the directory of a \
             stream can be that of a copy"
        );
        return Err(Failure::Usage(message));
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrafficError> + Send + 'static,
) -> Result<T, Failure> {
    let worked = tokio::task::spawn_blocking(work).await;
    let worked = worked.map_err(|_| Failure::failed("the work on the recording broke off"))?;
    worked.map_err(|error| match error {
        TrafficError::NotEmpty(_) | TrafficError::NoRecording(_) | TrafficError::Damaged { .. } => {
            Failure::Usage(error.to_string())
        }
        error => Failure::failed(error.to_string()),
    })
}

/// A directory that goes with whoever holds it.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("tradebridge-replay-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path)
            .map_err(|error| Failure::failed(format!("{} cannot be made: {error}; set TMPDIR", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            complain(&format!("{} cannot be removed: {error}", self.0.display()));
        }
    }
}
