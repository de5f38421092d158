//! Everything over one store, wired: what the daemon runs, and what a command uses where no daemon runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use base64::Engine as _;
use jiff::Timestamp;
use tokio::sync::watch;

use super::control::Operated;
use super::roles::Roles;
use super::{scopes, targets};
use crate::api::{self, ApiState, Inbox};
use crate::config::{Config, Problems, Secret};
use crate::connector::{Asking, Tap};
use crate::orders::{Desk, Intake, Orders};
use crate::publish::{Broadcast, Notifier};
use crate::queue::{self, Clock, Queue, QueueError, SystemClock, Wake};
use crate::store::{OpenOptions, SqlStore, Store, StoreError};
use crate::sync::{Extent, Plan, Pull, Pulled, Puller, SyncError};
use crate::telemetry;
use crate::telemetry::event::{RunEnded, RunFailed};

/// Why the rooms cannot be wired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Manifests or mappings are faulty.
    #[error("{0}")]
    Files(Problems),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The operating system gives no random numbers.
    #[error("no key for the command line can be made: {0}")]
    Random(getrandom::Error),
}

/// A pull's name: connection, stream, kind of part.
pub(super) type PullName = (String, String, &'static str);

/// The rooms, wired.
pub struct Bridge {
    pub(super) store: Arc<dyn Store>,
    opened: Arc<SqlStore>,
    pub(super) config: watch::Sender<Arc<Config>>,
    plan: watch::Sender<Arc<Plan>>,
    pub(super) puller: Puller,
    halt: watch::Sender<bool>,
    pub(super) roles: Roles,
    /// Whoever reloads has its turn.
    pub(super) reloading: tokio::sync::Mutex<()>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) orders: Orders,
    pub(super) desk: Arc<Desk>,
    intake: Arc<Intake>,
    pub(super) wake: Arc<Wake>,
    notifier: Notifier,
    operator: Secret,
    stop: watch::Receiver<bool>,
    pub(super) started_at: Timestamp,
    /// What is known of pulls and connections in this process.
    known: Mutex<Known>,
    /// By connection, the consent that is asked for.
    pub(super) asking: Mutex<BTreeMap<String, Arc<Asking>>>,
}

/// What is known of pulls and connections in this process.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When scheduled pulls are due.
    pub next_runs: BTreeMap<PullName, Timestamp>,
    /// Pulls under way.
    pub running: BTreeSet<PullName>,
    /// Why pulls failed that failed last.
    pub failures: BTreeMap<PullName, String>,
    /// Whether connections can be used; otherwise why not.
    pub connections: BTreeMap<String, Result<(), String>>,
}

impl Bridge {
    /// Compiles the files, opens the store and wires the rooms. Nothing runs yet. `stop` is true once the daemon stops.
    ///
    /// # Errors
    /// [`OpenError`]: every fault of every file, or what is wrong with the store.
    pub async fn open(config: Config, stop: watch::Receiver<bool>) -> Result<Arc<Self>, OpenError> {
        Self::open_over(config, stop, &Tap::default()).await
    }

    /// The same, where the exchanges of a connection may be recorded or replayed.
    ///
    /// # Errors
    /// The same, and what is wrong with the recording.
    pub async fn open_over(config: Config, stop: watch::Receiver<bool>, tap: &Tap) -> Result<Arc<Self>, OpenError> {
        Self::open_as(Roles::ALL, config, stop, tap).await
    }

    /// The same, for a daemon with these roles.
    pub(super) async fn open_as(
        roles: Roles,
        config: Config,
        stop: watch::Receiver<bool>,
        tap: &Tap,
    ) -> Result<Arc<Self>, OpenError> {
        let plan = Plan::load_over(&config, tap).map_err(OpenError::Files)?;
        let opened = Arc::new(SqlStore::open(&config.store.url, &OpenOptions::from(&config.store)).await?);
        let store: Arc<dyn Store> = Arc::<SqlStore>::clone(&opened);
        plan.keep_in(&store);
        scopes::bring_up(&store, &plan.scopes).await?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let wake = Arc::new(Wake::default());
        let queue = queue::open(&config.queue, Arc::clone(&wake))?;
        let targets = targets::of(&plan, &store);
        let orders =
            Orders::new(Arc::clone(&store), Arc::clone(&queue), Arc::clone(&wake), Arc::clone(&clock), targets);
        let in_scope = Arc::new(scopes::InScope(Arc::clone(&store)));
        let intake = Intake::new(Arc::clone(&store), in_scope, Arc::clone(&wake), Arc::clone(&clock));
        let desk = Desk::new(Arc::clone(&store), Arc::clone(&wake), clock);
        let halt = watch::Sender::new(false);
        let notifier = Notifier::new(store.head().await?.sequence);
        Ok(Arc::new(Self {
            puller: Puller::new(Arc::clone(&store), halt.subscribe()),
            halt,
            roles,
            reloading: tokio::sync::Mutex::default(),
            stop,
            store,
            opened,
            config: watch::Sender::new(Arc::new(config)),
            plan: watch::Sender::new(Arc::new(plan)),
            queue,
            orders,
            desk: Arc::new(desk),
            intake: Arc::new(intake),
            wake,
            notifier,
            operator: operator_key().map_err(OpenError::Random)?,
            started_at: Timestamp::now(),
            known: Mutex::default(),
            asking: Mutex::default(),
        }))
    }

    /// Every route that the roles have, over these rooms.
    pub fn router(self: &Arc<Self>) -> Router {
        let state = ApiState {
            store: Arc::clone(&self.store),
            config: self.config.subscribe(),
            intake: Arc::clone(&self.intake),
            desk: Arc::clone(&self.desk),
            control: Arc::new(Operated(Arc::clone(self))),
            notifier: self.notifier.clone(),
            metrics: Arc::<Self>::clone(self),
            operator: Some(self.operator.clone()),
            shutdown: self.stop.clone(),
        };
        if self.roles.api { api::router(state) } else { api::operators(state) }
    }

    /// What takes in the orders that shops publish to the broker.
    pub(super) fn inbox(&self) -> Inbox {
        Inbox {
            store: Arc::clone(&self.store),
            config: self.config.subscribe(),
            intake: Arc::clone(&self.intake),
            queue: Arc::clone(&self.queue),
        }
    }

    /// What tells the shops' feeds to the broker.
    pub(super) fn broadcast(&self) -> Broadcast {
        Broadcast {
            store: Arc::clone(&self.store),
            config: self.config.subscribe(),
            queue: Arc::clone(&self.queue),
            notifier: self.notifier.clone(),
        }
    }

    /// The key that opens the admin routes for as long as this process lives.
    pub fn operator(&self) -> &Secret {
        &self.operator
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// Closes the store once nothing uses it any more.
    pub async fn close(&self) {
        self.opened.close().await;
    }

    /// The plan in force.
    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.borrow())
    }

    /// The plan in force and those that follow.
    pub(super) fn plans(&self) -> watch::Receiver<Arc<Plan>> {
        self.plan.subscribe()
    }

    /// Puts another configuration and its plan in force.
    pub(super) fn replace(&self, config: Config, plan: Plan) {
        plan.keep_in(&self.store);
        self.orders.set_targets(targets::of(&plan, &self.store));
        self.config.send_replace(Arc::new(config));
        self.plan.send_replace(Arc::new(plan));
    }

    /// Has every run end after the page in hand, and none begin another; or lets them again.
    pub(super) fn halt_pulls(&self, halt: bool) {
        self.halt.send_replace(halt);
    }

    /// Executes a pull now; logs and counts each run as it ends, and wakes those who wait for changes.
    pub(super) async fn pull(
        &self,
        plan: &Plan,
        pull: &Pull,
        extent: impl Into<Extent> + Send,
    ) -> Result<Vec<Pulled>, SyncError> {
        self.executed(pull, self.puller.pull(plan, pull, extent, tell)).await
    }

    /// Applies the mapping to the source rows that are kept, as [`Bridge::pull`] pulls.
    pub(super) async fn pull_from_raw(
        &self,
        plan: &Plan,
        pull: &Pull,
        dry_run: bool,
    ) -> Result<Vec<Pulled>, SyncError> {
        if dry_run {
            return self.puller.pull_from_raw(plan, pull, true, |_| {}).await;
        }
        self.executed(pull, self.puller.pull_from_raw(plan, pull, false, tell)).await
    }

    async fn executed(
        &self,
        pull: &Pull,
        work: impl Future<Output = Result<Vec<Pulled>, SyncError>> + Send,
    ) -> Result<Vec<Pulled>, SyncError> {
        let name = name_of(pull);
        self.known().running.insert(name.clone());
        let pulled = work.await;
        let failure = match &pulled {
            Ok(_) | Err(SyncError::Interrupted | SyncError::Elsewhere { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = &failure {
            telemetry::emit(RunFailed { connection: &pull.link.name, entity: pull.entity(), reason });
        }
        {
            let mut known = self.known();
            known.running.remove(&name);
            match failure {
                Some(reason) => known.failures.insert(name, reason),
                None => known.failures.remove(&name),
            };
        }
        self.announce().await?;
        pulled
    }

    /// Tells those who wait for changes, shops and the order path, how far the feed goes now.
    pub(super) async fn announce(&self) -> Result<(), StoreError> {
        self.notifier.announce(self.store.head().await?.sequence);
        self.wake.feed_changed();
        Ok(())
    }

    /// When a pull's source was verified last.
    pub(super) async fn verified_at(&self, pull: &Pull) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.store.source(&pull.link.name, &pull.mapping.stream, pull.mapping.kind).await?.verified_at)
    }

    /// Notes when a pull is due.
    pub(super) fn note_next_run(&self, pull: &Pull, at: Option<Timestamp>) {
        let mut known = self.known();
        match at {
            Some(at) => known.next_runs.insert(name_of(pull), at),
            None => known.next_runs.remove(&name_of(pull)),
        };
    }

    /// What is known of pulls and connections.
    pub(super) fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pull's name.
pub(super) fn name_of(pull: &Pull) -> PullName {
    (pull.link.name.clone(), pull.mapping.stream.clone(), pull.entity())
}

fn tell(pulled: &Pulled) {
    let Pulled { source, run } = pulled;
    let duration = run.ended_at.unwrap_or_else(Timestamp::now).duration_since(run.started_at).unsigned_abs();
    telemetry::emit(RunEnded {
        connection: &run.connection,
        entity: run.kind.name(),
        run_id: &run.id,
        state: run.state.name(),
        source,
        read: run.counts.read,
        unchanged: run.counts.unchanged,
        created: run.counts.created,
        updated: run.counts.updated,
        deleted: run.counts.deleted,
        missed: run.counts.missed,
        rejected: run.counts.rejected,
        reason: run.reason.as_deref(),
        duration,
    });
}

/// 32 random bytes in text.
fn operator_key() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
}
