//! A place to work in: a store, an export directory and a configuration, as a daemon has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::store::{OpenOptions, SqlStore, Store};
use tradebridge::sync::{Plan, Puller};

use super::data::{self, Columns};
use super::postgres::{self, Database};
use super::{Engine, Outcome, sqlite};

/// The connection's name.
pub const CONNECTION: &str = "erp";
/// What is pulled.
pub const ENTITY: &str = "price_agreement";
/// The file as both connectors look for it.
pub const FILE: &str = "prijsafspraken.csv";

/// Opens the store that a configuration names, brought to this program's version.
pub async fn open(config: &Config) -> Outcome<Arc<SqlStore>> {
    Ok(Arc::new(SqlStore::open(&config.store.url, &OpenOptions::from(&config.store)).await?))
}

/// Where a store is, for looking into it past the program.
pub enum Place {
    Sqlite { store: PathBuf, directory: PathBuf },
    Postgres { database: Box<Database>, directory: PathBuf },
}

/// A store to be made, an export directory, a configuration.
pub struct Site {
    pub place: Place,
    directory: TempDir,
    /// The connector and its settings.
    connector: &'static str,
    settings: String,
    /// What is in the configuration beside store and connection.
    more: String,
}

/// Something that pulls.
pub struct Bridge {
    pub store: Arc<SqlStore>,
    pub puller: Puller,
    pub plan: Plan,
    /// The puller stops where this is gone.
    _stop: watch::Sender<bool>,
}

impl Site {
    /// A new place with an empty store; an error says that the engine cannot be had here.
    pub async fn new(engine: Engine, columns: Columns, purpose: &str) -> Outcome<Self> {
        std::fs::create_dir_all(data::directory())?;
        let prefix = format!("site-{}-", std::process::id());
        let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(data::directory())?;
        let directory = temporary.path().to_owned();
        std::fs::create_dir(directory.join("export"))?;
        let place = match engine {
            Engine::Sqlite => Place::Sqlite { store: directory.join("store.db"), directory },
            Engine::Postgres => Place::Postgres { database: Box::new(Database::create(purpose).await?), directory },
        };
        let settings = format!("directory = '{}', stable = '10ms'", temporary.path().join("export").display());
        let connector = columns.connector();
        let site = Self { place, directory: temporary, connector, settings, more: String::new() };
        match site.store().await {
            Ok(store) => store.close().await,
            Err(error) => {
                site.remove().await?;
                return Err(error);
            }
        }
        Ok(site)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn url(&self) -> String {
        match &self.place {
            Place::Sqlite { store, .. } => format!("sqlite://{}", store.display()),
            Place::Postgres { database, .. } => database.url(),
        }
    }

    /// Reads from a server by another connector.
    pub fn reach(&mut self, connector: &'static str, address: &str) {
        self.connector = connector;
        self.settings = format!("base_url = '{address}'");
    }

    /// Adds to the configuration.
    pub fn configure(&mut self, more: &str) {
        self.more.push_str(more);
    }

    /// Replaces what was added to the configuration.
    pub fn configure_anew(&mut self, more: &str) {
        more.clone_into(&mut self.more);
    }

    /// Puts a file into an export directory as the ERP does: at once, in place of the one before.
    pub fn export(&self, file: &Path, as_name: &str) -> Outcome<()> {
        let beside = self.path("beside");
        std::fs::hard_link(file, &beside)?;
        // Where both names are the same file already, renaming leaves the second one.
        std::fs::rename(&beside, self.path(as_name))?;
        let _ = std::fs::remove_file(&beside);
        Ok(())
    }

    /// The configuration's text.
    pub fn configuration(&self) -> String {
        let root = env!("CARGO_MANIFEST_DIR");
        let url = self.url();
        format!(
            "connectors = ['{root}/connectors', '{root}/benches/support/connectors']\n\
             mappings = ['{root}/mappings', '{root}/benches/support/mappings']\n\
             [store]\nurl = '{url}'\n\
             [api]\nlisten = '127.0.0.1:0'\n\
             [log]\nformat = 'json'\n\
             [[connection]]\nname = '{CONNECTION}'\nconnector = '{}'\ncompany = 'NL01'\n\
             time_zone = 'Europe/Amsterdam'\nsettings = {{ {} }}\n\
             [[sync]]\nconnection = '{CONNECTION}'\nentity = '{ENTITY}'\nevery = '1d'\n{}",
            self.connector, self.settings, self.more
        )
    }

    /// The configuration as a file.
    pub fn configuration_file(&self) -> Outcome<PathBuf> {
        let path = self.path("tradebridge.toml");
        // The store's address may hold a password: nobody else reads it.
        std::fs::write(&path, self.configuration().replacen("connectors =", "demo = true\nconnectors =", 1))?;
        Ok(path)
    }

    fn config(&self) -> Outcome<Config> {
        Config::of_document(Document::parse("bench.toml", &self.configuration()), []).map_err(|p| p.to_string().into())
    }

    async fn store(&self) -> Outcome<Arc<SqlStore>> {
        open(&self.config()?).await
    }

    /// Opens the store and what pulls into it.
    pub async fn open(&self) -> Outcome<Bridge> {
        let plan = Plan::load(&self.config()?).map_err(|problems| problems.to_string())?;
        let store = self.store().await?;
        let shared: Arc<dyn Store> = Arc::<SqlStore>::clone(&store);
        let (stop, stopping) = watch::channel(false);
        Ok(Bridge { puller: Puller::new(shared, stopping), store, plan, _stop: stop })
    }

    /// How many rows each table has.
    pub async fn counts(&self) -> Outcome<BTreeMap<String, i64>> {
        match &self.place {
            Place::Sqlite { store, .. } => sqlite::counts(store).await,
            Place::Postgres { database, .. } => {
                let mut connection = database.connect().await?;
                let counts = postgres::counts(&mut connection).await?;
                postgres::close(connection).await?;
                Ok(counts)
            }
        }
    }

    /// How many bytes were written so far: to the disk by this process, or to the log by the server.
    pub async fn written(&self) -> Outcome<i64> {
        match &self.place {
            Place::Sqlite { .. } => {
                let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
                let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
                Ok(line.and_then(|bytes| bytes.parse().ok()).unwrap_or_default())
            }
            Place::Postgres { database, .. } => {
                let mut connection = database.connect().await?;
                let written = postgres::written(&mut connection).await?;
                postgres::close(connection).await?;
                Ok(written)
            }
        }
    }

    /// Has the engine begin the next measurement from the same state.
    pub async fn settle(&self) -> Outcome<()> {
        if let Place::Postgres { database, .. } = &self.place {
            let mut connection = database.connect().await?;
            postgres::checkpoint(&mut connection).await;
            postgres::close(connection).await?;
        }
        Ok(())
    }

    /// Removes all of it.
    pub async fn remove(self) -> Outcome<()> {
        let Self { place, directory, .. } = self;
        directory.close()?;
        match place {
            Place::Sqlite { .. } => Ok(()),
            Place::Postgres { database, .. } => database.remove().await,
        }
    }
}

/// Removes what earlier benchmarks left that were killed.
pub fn clear() -> Outcome<()> {
    let Ok(entries) = std::fs::read_dir(data::directory()) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("site-"));
        let Some((process, _)) = name.and_then(|name| name.split_once('-')) else { continue };
        if !Path::new("/proc").join(process).exists() {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}
