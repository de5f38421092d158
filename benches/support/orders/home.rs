//! A place with everything that orders go through: a store with customers and products, a configuration, the daemon.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::super::data::Columns;
use super::super::site::Site;
use super::super::{Engine, Outcome, expect, program};
use super::shop::KEY;

/// The connection that takes the orders.
pub const TARGET: &str = "sales";

/// How long orders may take to be finished.
const PATIENCE: Duration = Duration::from_hours(1);

/// A store and a configuration.
pub struct Home {
    site: Site,
    engine: Engine,
    /// How many orders are sent side by side; the daemon's default where there is none.
    concurrency: Option<u32>,
}

/// What the daemon is told of what is around it.
#[derive(Debug, Clone)]
pub struct Around<'a> {
    /// The queue's address.
    pub queue: &'a str,
    /// The ERP's address.
    pub erp: &'a str,
}

impl Home {
    /// A store with the demonstration's customers and products.
    pub async fn new(engine: Engine, concurrency: Option<u32>) -> Outcome<Self> {
        let mut site = Site::new(engine, Columns::Eighteen, "orders").await?;
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo/export");
        for file in ["klanten.csv", "artikelen.csv"] {
            std::fs::copy(demo.join(file), site.path("export").join(file))?;
        }
        site.configure(&more(&Around { queue: "embedded", erp: "http://127.0.0.1:1/" }, concurrency));
        let configuration = site.configuration_file()?;
        for entity in ["customer", "product"] {
            program::command(&configuration, &["sync", "erp", entity])?;
        }
        Ok(Self { site, engine, concurrency })
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// A directory for what is needed beside.
    pub fn directory(&self) -> PathBuf {
        self.site.path("")
    }

    /// The store's address.
    pub fn url(&self) -> String {
        self.site.url()
    }

    /// Writes the configuration.
    pub fn configure(&mut self, around: &Around<'_>) -> Outcome<PathBuf> {
        self.site.configure_anew(&more(around, self.concurrency));
        self.site.configuration_file()
    }

    /// Starts the daemon.
    pub fn daemon(&mut self, around: &Around<'_>) -> Outcome<program::Daemon> {
        program::Daemon::start(&self.configure(around)?)
    }

    /// Starts the daemon with another address of its store.
    pub fn daemon_through(&mut self, around: &Around<'_>, url: &str) -> Outcome<program::Daemon> {
        let path = self.configure(around)?;
        let text = std::fs::read_to_string(&path)?.replace(&self.url(), url);
        std::fs::write(&path, text)?;
        program::Daemon::start(&path)
    }

    /// Removes every order.
    pub async fn clear(&self) -> Outcome<()> {
        match self.engine {
            Engine::Postgres => self.execute("TRUNCATE orders CASCADE; TRUNCATE dead_letter; VACUUM").await,
            Engine::Sqlite => {
                let tables = ["outbox", "transition", "order_line", "orders"];
                for table in tables {
                    self.execute(&format!("DELETE FROM {table}")).await?;
                }
                Ok(())
            }
        }
    }

    /// Executes statements behind the back of whoever has the store open.
    pub async fn execute(&self, statements: &str) -> Outcome<()> {
        let pieces = statements.split(';').map(str::trim).filter(|piece| !piece.is_empty());
        match self.engine {
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.url()).await?;
                for piece in pieces {
                    sqlx::raw_sql(AssertSqlSafe(piece)).execute(&mut connection).await?;
                }
                connection.close().await?;
            }
            Engine::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.url()).await?;
                for piece in pieces {
                    sqlx::raw_sql(AssertSqlSafe(piece)).execute(&mut connection).await?;
                }
                connection.close().await?;
            }
        }
        Ok(())
    }

    /// A number that the store gives.
    pub async fn number(&self, statement: &str) -> Outcome<i64> {
        let statement = AssertSqlSafe(statement.to_owned());
        Ok(match self.engine {
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.url()).await?;
                let number = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
                connection.close().await?;
                number
            }
            Engine::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.url()).await?;
                let number = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
                connection.close().await?;
                number
            }
        })
    }

    /// Waits until no order is on its way; then all of them must be accepted.
    pub async fn finished(&self, orders: u64) -> Outcome<Instant> {
        let begun = Instant::now();
        loop {
            let seen = Instant::now();
            if self.number("SELECT count(*) FROM orders WHERE state IN ('queued', 'sending', 'unknown')").await? == 0 {
                let accepted = self.number("SELECT count(*) FROM orders WHERE state = 'accepted'").await?;
                expect("orders that the ERP accepted", &accepted.unsigned_abs(), &orders)?;
                return Ok(seen);
            }
            if begun.elapsed() > PATIENCE {
                return Err("orders are not finished".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes so many orders of the one that is there, each with its message.
    pub async fn multiply(&self, orders: u64) -> Outcome<()> {
        expect("orders to multiply", &self.number("SELECT count(*) FROM orders").await?, &1)?;
        let of = |table: &str, fields: &str| {
            format!(
                "INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object({fields}))).* \
                 FROM {table} t, generate_series(2, {orders}) g"
            )
        };
        let id = "t.id || '-' || lpad(g::text, 7, '0')";
        let of_orders =
            format!("'id', {id}, 'reference', t.reference || '-' || g, 'our_reference', t.our_reference || '-' || g");
        let of_outbox = format!("'order_id', {}", id.replace("t.id", "t.order_id"));
        self.execute(&format!("{}; {}; VACUUM ANALYZE", of("orders", &of_orders), of("outbox", &of_outbox))).await
    }

    pub async fn remove(self) -> Outcome<()> {
        self.site.remove().await
    }
}

fn more(around: &Around<'_>, concurrency: Option<u32>) -> String {
    let orders = concurrency.map_or_else(String::new, |at_once| format!("orders = {{ concurrency = {at_once} }}\n"));
    let password = if around.queue == "embedded" { "" } else { "password = 'guest'\n" };
    format!(
        "
[[sync]]
connection = 'erp'
entity = 'customer'
every = '1d'
[[sync]]
connection = 'erp'
entity = 'product'
every = '1d'
[queue]
url = '{}'
{password}[[connection]]
name = '{TARGET}'
connector = 'bench-orders'
company = 'NL01'
time_zone = 'Europe/Amsterdam'
settings = {{ base_url = '{}' }}
{orders}[[shop]]
name = 'b2b'
companies = ['NL01']
connections = ['erp', '{TARGET}']
orders_to = '{TARGET}'
customers = \"'B2B' in groups\"
prices = 'shop'
[[key]]
name = 'bench'
shop = 'b2b'
scopes = ['orders']
key = '{KEY}'
",
        around.queue, around.erp
    )
}
