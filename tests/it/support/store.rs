//! Fresh stores of either engine, of a test's own.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use tradebridge::store::{Lease, OpenOptions, Run, RunCounts, RunState, Source, SourceId, SqlStore, Store};

use super::postgres::{self, Schema};

/// How long a lease of a test lasts: whoever comes after a process that died waits for its end.
pub(crate) const LEASE: Duration = Duration::from_millis(300);

/// How long one lasts where nobody waits for its end.
const LONG_LEASE: Duration = Duration::from_secs(30);

/// What a store stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// Whether its tests are left out.
    pub(crate) fn is_left_out(self) -> bool {
        self == Self::Postgres && postgres::left_out()
    }
}

/// Where a store is kept. Dropped, it is gone.
#[derive(Debug)]
pub(crate) enum Place {
    Directory(TempDir),
    Schema(Schema),
}

impl Place {
    /// A place where nothing is yet.
    pub(crate) async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::Directory(tempfile::tempdir().unwrap()),
            Engine::Postgres => Self::on(&postgres::shared()).await,
        }
    }

    /// A place on a PostgreSQL server where nothing is yet.
    pub(crate) async fn on(server: &str) -> Self {
        Self::Schema(Schema::create(server).await)
    }

    /// The store's address, as a configuration has it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Directory(directory) => format!("sqlite://{}", directory.path().join("store.db").display()),
            Self::Schema(schema) => schema.url(),
        }
    }

    async fn open(&self, lease: Duration) -> SqlStore {
        let options = OpenOptions { lease, ..OpenOptions::default() };
        SqlStore::open(&self.url().parse().unwrap(), &options).await.unwrap()
    }
}

/// An open store. It and its place are gone when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct TestStore {
    store: Arc<SqlStore>,
    place: Arc<Place>,
}

impl TestStore {
    /// An empty store.
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::at(Arc::new(Place::new(engine).await)).await
    }

    /// An empty store whose leases last long enough for many writers on a busy machine.
    pub(crate) async fn for_many(engine: Engine) -> Self {
        let place = Arc::new(Place::new(engine).await);
        Self { store: Arc::new(place.open(LONG_LEASE).await), place }
    }

    /// The store at a place, made where it is new.
    pub(crate) async fn at(place: Arc<Place>) -> Self {
        Self { store: Arc::new(place.open(LEASE).await), place }
    }

    /// The store as the rooms of the program share it.
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        Arc::<SqlStore>::clone(&self.store)
    }

    /// The same store as another process opens it; only on a server it can.
    pub(crate) async fn another(&self) -> Self {
        Self::at(Arc::clone(&self.place)).await
    }

    /// Closes the store.
    pub(crate) async fn close(self) -> Arc<Place> {
        self.store.close().await;
        self.place
    }

    /// Closes the store and opens it again, as another process would find it.
    pub(crate) async fn reopen(self) -> Self {
        Self::at(self.close().await).await
    }
}

impl Deref for TestStore {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

/// The lease on a source: taken again where this opening of the store holds it, waited for where another one did.
pub(crate) async fn lease(store: &dyn Store, source: SourceId) -> Lease {
    loop {
        if let Some(lease) = store.take_lease(&Lease::on_source(source)).await.unwrap() {
            return lease;
        }
        tokio::time::sleep(LEASE / 10).await;
    }
}

/// A run over a source that begins now: over changes, and as if nothing was read yet.
pub(crate) fn run(id: impl Into<String>, source: &Source) -> Run {
    Run {
        id: id.into(),
        source: source.id,
        connection: source.connection.clone(),
        stream: source.stream.clone(),
        kind: source.kind,
        complete: false,
        state: RunState::Running,
        counts: RunCounts::default(),
        pages: 0,
        place: None,
        reached: None,
        mapping: "digest".to_owned(),
        reason: None,
        loading: false,
        started_at: Timestamp::now(),
        ended_at: None,
        watermark: None,
    }
}

/// An identifier that no run has yet.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
