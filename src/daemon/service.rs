//! The daemon as a service: starts, says when it is ready, reloads, and ends in order and in time.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::admin_file::AdminFile;
use super::bridge::{Bridge, OpenError};
use super::roles::Roles;
use super::{demo, health, others, pulls, turns, upkeep};
use crate::api::server::{self, Bounds};
use crate::config::Config;
use crate::connector::Tap;
use crate::queue::SystemClock;

/// Why the daemon did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The roles cannot be shared out.
    #[error("{0}")]
    Roles(String),
    /// The rooms cannot be wired.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The files of the demonstration cannot be copied.
    #[error(transparent)]
    Demo(#[from] demo::CopyError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; another process may have it, set `listen` in [api] to a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The file that lets the command line in cannot be written.
    #[error("cannot write the admin token beside the store: {0}; check that its directory is writable")]
    AdminFile(std::io::Error),
    /// Signals cannot be received.
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
    /// A part of the daemon ended though nothing stopped it.
    #[error("{0} ended unexpectedly; the log says why")]
    Broken(&'static str),
    /// Not everything ended in time.
    #[error("not everything ended within {0:?}; what was under way goes on at the next start")]
    Slow(Duration),
}

/// Runs the daemon with these roles until it is told to stop by SIGTERM or SIGINT. SIGHUP reloads the files.
///
/// # Errors
/// [`RunError`]: why it did not start, or what broke.
pub async fn run(config: Config, roles: Roles) -> Result<(), RunError> {
    roles.check(&config).map_err(RunError::Roles)?;
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    if let (true, Some(copy)) = (config.demo, config.demo_copy.clone()) {
        let copied = tokio::task::spawn_blocking(move || demo::copy(&copy))
            .await
            .map_err(|_| RunError::Broken("the copying of the demonstration's files"))??;
        if copied > 0 {
            tracing::info!(files = copied, "the files of the demonstration are copied");
        }
    }
    let address = config.api.listen.socket();
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    let store = config.store.url.clone();
    let run_path = config.store.run_path(&config.daemon.run_directory);
    let limit = config.daemon.shutdown_timeout.duration();
    for warning in &config.source.warnings {
        tracing::warn!("{warning}");
    }
    let (stop, stopping) = watch::channel(false);
    let bridge = Bridge::open_as(roles, config, stopping.clone(), &Tap::default()).await?;
    let admin_file = AdminFile::write(&run_path, store.sqlite_path().is_none(), address, bridge.operator())
        .map_err(RunError::AdminFile)?;

    let mut parts = Parts::default();
    let served = server::serve(listener, bridge.router(), stopping.clone(), Bounds::default());
    parts.spawn("the HTTP server", served);
    if roles.sync {
        parts.spawn("the scheduling of pulls", pulls::run(Arc::clone(&bridge), stopping.clone()));
        let days = turns::run(Arc::clone(&bridge), Arc::new(SystemClock), stopping.clone());
        parts.spawn("the turn of days", days);
    }
    if roles.ask_systems() {
        parts.spawn("the watch over connections", health::run(Arc::clone(&bridge), stopping.clone()));
    }
    parts.spawn("the upkeep of the store", upkeep::run(Arc::clone(&bridge), stopping.clone()));
    parts.spawn("the look at other processes", others::run(Arc::clone(&bridge), stopping.clone()));
    if roles.orders {
        let (orders, until) = (Arc::clone(&bridge), stopping.clone());
        parts.spawn("the order path", async move {
            if let Err(error) = orders.orders.run(until).await {
                tracing::error!(%error, "the order path cannot start");
            }
        });
        parts.spawn("the orders from the broker", bridge.inbox().run(stopping.clone()));
        parts.spawn("the events of changes", bridge.broadcast().run(stopping.clone()));
    }
    parts.spawn("the watchdog", watchdog(Arc::clone(&bridge), stopping.clone()));
    tracing::info!(%address, %store, %roles, version = env!("CARGO_PKG_VERSION"), "tradebridge is ready");
    notify(&[NotifyState::Ready]);

    let broken = loop {
        tokio::select! {
            told = signals.told() => match told {
                Told::Stop => break None,
                Told::Reload => reload(&bridge).await,
            },
            part = parts.ended() => break Some(part),
        }
    };
    notify(&[NotifyState::Stopping]);
    tracing::info!("tradebridge stops: the page, the order and the requests in hand are finished first");
    stop.send_replace(true);
    let ended = tokio::select! {
        ended = tokio::time::timeout(limit, parts.all_ended()) => ended.is_ok(),
        () = signals.told_to_stop() => {
            tracing::warn!("told to stop again: nothing more is waited for");
            false
        }
    };
    parts.abort().await;
    drop(admin_file);
    bridge.close().await;
    match (broken, ended) {
        (Some(part), _) => Err(RunError::Broken(part)),
        (None, false) => Err(RunError::Slow(limit)),
        (None, true) => {
            tracing::info!("tradebridge has stopped");
            Ok(())
        }
    }
}

async fn reload(bridge: &Arc<Bridge>) {
    let mut state = vec![NotifyState::Reloading];
    state.extend(NotifyState::monotonic_usec_now().ok());
    notify(&state);
    match bridge.reload().await {
        Ok(report) => {
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            for key in &report.needs_restart {
                tracing::warn!(key, "this takes a restart of the daemon");
            }
            tracing::info!(changed = report.changed.join(", "), "the files are read again and in force");
        }
        Err(error) => tracing::error!("the files stay as they were in force: {error}"),
    }
    notify(&[NotifyState::Ready]);
}

/// Tells the service manager that the daemon lives, as often as it asks for, as long as the store answers.
async fn watchdog(bridge: Arc<Bridge>, mut stop: watch::Receiver<bool>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        // Nothing is asked for; an error is one of reading the result, which is that the daemon stops.
        let _ = stop.wait_for(|stop| *stop).await;
        return;
    };
    loop {
        if let Ok(Ok(_)) = tokio::time::timeout(limit / 2, bridge.store.head()).await {
            notify(&[NotifyState::Watchdog]);
        }
        tokio::select! {
            () = tokio::time::sleep(limit / 3) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Says something to the service manager, where there is one.
fn notify(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn told(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    async fn told_to_stop(&mut self) {
        while self.told().await != Told::Stop {}
    }
}

/// What a signal means.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

/// The tasks that the daemon consists of.
#[derive(Default)]
struct Parts {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Parts {
    fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(part);
        self.names.insert(handle.id(), name);
    }

    /// Waits until a part ends, and names it.
    async fn ended(&mut self) -> &'static str {
        let id = match self.tasks.join_next_with_id().await {
            None => return "the daemon",
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                let part = self.names.get(&error.id()).copied().unwrap_or_default();
                tracing::error!(%error, part, "a part of the daemon broke off; please report it");
                error.id()
            }
        };
        self.names.get(&id).copied().unwrap_or("a part of the daemon")
    }

    async fn all_ended(&mut self) {
        while !self.tasks.is_empty() {
            self.ended().await;
        }
    }

    async fn abort(&mut self) {
        self.tasks.shutdown().await;
    }
}
