//! Where the bridges of one test keep their orders and messages: SQLite and the embedded queue, or PostgreSQL and a
//! RabbitMQ broker where `TRADEBRIDGE_TEST_ORDERS` is `broker`. The whole suite runs over both.

use std::sync::Arc;

use tempfile::TempDir;
use tradebridge::config::{QueueSettings, Secret};
use tradebridge::queue::{Embedded, Queue, Rabbit, Wake};
use tradebridge::store::{OpenOptions, SqlStore};

use crate::support::broker::Vhost;
use crate::support::peers::Peer;
use crate::support::postgres::{self, Schema};
use crate::support::store::LEASE;

/// The place of a test's bridges, which come one after the other. Dropped, it is gone.
pub(super) struct Home {
    directory: TempDir,
    servers: Option<(Schema, Vhost)>,
}

impl Home {
    pub(super) fn new() -> Self {
        let broker = std::env::var("TRADEBRIDGE_TEST_ORDERS").is_ok_and(|queue| queue == "broker");
        let servers =
            broker.then(|| block_on(async { (Schema::create(&postgres::shared()).await, Vhost::new().await) }));
        Self { directory: tempfile::tempdir().unwrap(), servers }
    }

    /// PostgreSQL, and a virtual host of this broker.
    pub(super) async fn on(peer: Peer) -> Self {
        let servers = (Schema::create(&postgres::shared()).await, Vhost::on(peer).await);
        Self { directory: tempfile::tempdir().unwrap(), servers: Some(servers) }
    }

    /// The virtual host.
    pub(super) fn vhost(&mut self) -> &mut Vhost {
        &mut self.servers.as_mut().expect("a broker").1
    }

    /// The address of the store.
    pub(super) fn url(&self) -> String {
        match &self.servers {
            Some((schema, _)) => schema.url(),
            None => format!("sqlite://{}", self.directory.path().join("store.db").display()),
        }
    }

    pub(super) async fn store(&self) -> SqlStore {
        let options = OpenOptions { lease: LEASE, ..OpenOptions::default() };
        SqlStore::open(&self.url().parse().unwrap(), &options).await.unwrap()
    }

    /// The queue; the one in the process holds at most `bound` messages for a connection.
    pub(super) fn queue(&self, wake: &Arc<Wake>, bound: usize) -> Arc<dyn Queue> {
        let wake = Arc::clone(wake);
        match &self.servers {
            Some((_, vhost)) => Arc::new(rabbit(vhost, wake)),
            None => Arc::new(Embedded::with_bound(wake, bound)),
        }
    }

    /// Executes a statement behind the back of whoever has the store open.
    pub(super) async fn execute(&self, statement: &str) {
        use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
        let statement = AssertSqlSafe(statement.to_owned());
        if self.servers.is_some() {
            let mut connection = sqlx::PgConnection::connect(&self.url()).await.unwrap();
            connection.execute(statement).await.unwrap();
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.url()).await.unwrap();
            connection.execute(statement).await.unwrap();
        }
    }
}

/// The queue in a virtual host of its own.
pub(crate) fn rabbit(vhost: &Vhost, wake: Arc<Wake>) -> Rabbit {
    let settings = settings(vhost);
    let tradebridge::config::QueueUrl::Broker(url) = &settings.url else { panic!("{} is a broker", settings.url) };
    Rabbit::new(&settings, url, wake).unwrap()
}

/// What the configuration says of the broker.
pub(crate) fn settings(vhost: &Vhost) -> QueueSettings {
    QueueSettings { url: vhost.url().parse().unwrap(), password: Some(Secret::new("guest")), ca: None }
}

fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> T {
    // The runtime of the test may be the very one that is blocked here.
    std::thread::scope(|scope| {
        let working =
            scope.spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work));
        working.join().unwrap()
    })
}
