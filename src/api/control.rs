//! What the admin routes ask of the running daemon: the trait that it implements, and what travels over it.
//!
//! What does not live here: doing any of it (`daemon`), and the routes themselves (`admin`).

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Problems;
use crate::connector::Survey;
use crate::store::{Erasure, KnownPerson, Run, StoreError};
use crate::sync::{Change, FieldDifference, MapDiff};

/// What an operator can have the daemon do.
#[async_trait]
pub trait Control: Send + Sync {
    /// Pulls a connection's entities now and waits for the end: one report for each source that was read.
    async fn sync(&self, request: SyncRequest) -> Result<Vec<SyncReport>, ControlError>;

    /// Says what another mapping would change in what is stored: it is applied to the source rows that are kept.
    async fn map_diff(&self, request: MapDiffRequest) -> Result<MapDiff, ControlError>;

    /// Reads and maps some records and stores nothing.
    async fn preview(&self, request: PreviewRequest) -> Result<Vec<PreviewRecord>, ControlError>;

    /// Applies a held run.
    async fn approve(&self, run: &str) -> Result<Run, ControlError>;

    /// Drops what a held run staged.
    async fn refuse(&self, run: &str, reason: &str) -> Result<Run, ControlError>;

    /// Reads configuration, manifests and mappings again; where one is faulty, what runs stays in force.
    async fn reload(&self) -> Result<ReloadReport, ControlError>;

    /// What runs, and how it is.
    async fn status(&self) -> Status;

    /// Tries every connection.
    async fn probe(&self) -> Vec<Check>;

    /// Tries a connection out, stream by stream.
    async fn survey(&self, request: ProbeRequest) -> Result<Survey, ControlError>;
    /// Asks for a person's consent for a connection.
    async fn ask_consent(&self, connection: &str, request: ConsentRequest) -> Result<AskedConsent, ControlError>;

    /// Uses the consent that came back with the person, and tries the connection.
    async fn use_consent(&self, connection: &str, answer: ConsentAnswer) -> Result<Check, ControlError>;

    /// Drops what is beyond its retention, in small steps.
    async fn prune(&self) -> Result<Vec<Pruned>, ControlError>;

    /// Finds a person and, where that is confirmed, erases it or lets it in again.
    async fn erase_person(&self, request: ErasePerson) -> Result<ErasureReport, ControlError>;
}

/// Which pulls to execute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// The connection.
    pub connection: String,
    /// One entity; absent: each that the configuration pulls from the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Whether everything is read, so that what disappeared is noticed.
    #[serde(default)]
    pub full: bool,
    /// An instant, or a day in the connection's zone: what changed since then is read, whatever was read before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether the mapping is applied to the source rows that are kept, and the ERP is not asked.
    #[serde(default)]
    pub from_raw: bool,
    /// Whether to say what would change and leave the store as it is.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which mapping to compare with what is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MapDiffRequest {
    /// The connection.
    pub connection: String,
    /// The entity.
    pub entity: String,
    /// What messages call the mapping file.
    pub file: String,
    /// The text of the mapping file.
    pub mapping: String,
}

/// What became of one pull.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SyncReport {
    /// The connection.
    pub connection: String,
    /// The entity.
    pub entity: String,
    /// What was read, such as the name of a file; absent where there was nothing to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How it ended.
    pub outcome: SyncOutcome,
    /// The run with its counts; absent where none began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Why it failed or is held, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a pull ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncOutcome {
    /// What was read is stored.
    Done,
    /// There was nothing new to read.
    Nothing,
    /// The guard holds it.
    Held,
    /// A dry run: nothing is stored.
    Tried,
    /// It failed.
    Failed,
}

/// Which connection to try out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// The connection.
    pub connection: String,
}

/// Which records to show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// The connection.
    pub connection: String,
    /// The entity.
    pub entity: String,
    /// At most so many records.
    #[serde(default = "preview_limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: u32,
}

fn preview_limit() -> u32 {
    10
}

/// A record as it was read, and what the mapping makes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewRecord {
    /// Where it stands.
    pub place: String,
    /// The record as it was read.
    pub source: Value,
    /// What the mapping comes to.
    pub outcome: PreviewOutcome,
    /// The canonical content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<Value>,
    /// Why it would not be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The canonical content that is stored now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Value>,
    /// What a pull would do with it.
    pub change: Change,
    /// In what the stored content and the mapped one differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<FieldDifference>,
}

/// What a mapping makes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviewOutcome {
    /// A part.
    Part,
    /// Nothing: the mapping leaves the record out.
    Skipped,
    /// The record says that its part is gone.
    Deleted,
    /// It is not taken.
    Rejected,
}

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadReport {
    /// What is in force now and was not before, in words.
    pub changed: Vec<String>,
    /// What comes into force only when the daemon starts again.
    pub needs_restart: Vec<String>,
    /// What is possible but unwise.
    pub warnings: Vec<String>,
}

/// What runs, and how it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// When the daemon started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// The store.
    pub store: Check,
    /// The queue.
    pub queue: Check,
    /// The connections.
    pub connections: Vec<ConnectionStatus>,
}

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionStatus {
    /// Its name.
    pub name: String,
    /// Its connector.
    pub connector: String,
    /// Whether it could be used when it was last tried.
    pub reachable: bool,
    /// Why not, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why its orders wait, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders_wait: Option<OrdersWait>,
    /// What is pulled from it.
    pub syncs: Vec<SyncStatus>,
}

/// Why a connection's orders wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrdersWait {
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// Who paused them; absent where the connection cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<String>,
}

/// How a pull is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SyncStatus {
    /// The entity.
    pub entity: String,
    /// `idle`, `running`, or the state of the newest run where it needs a person: `held`, `failed`.
    pub state: String,
    /// The end of the newest run that ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub verified_at: Option<Timestamp>,
    /// The newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// When the next one is due; absent where it runs only on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_run_at: Option<Timestamp>,
}

/// Whether something works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was tried.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What was found, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How consent is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentRequest {
    /// Where the person is to be sent back to; absent: where the connector says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
}

/// A consent that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedConsent {
    /// Where the person gives it.
    pub address: String,
    /// Where the person is sent back to.
    pub redirect: String,
}

/// What came back with the person. It holds a code that nobody may see.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentAnswer {
    /// The address that the person was sent back to, whole.
    pub address: String,
}

impl std::fmt::Debug for ConsentAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Rows that were dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pruned {
    /// `history`, `raw`, `runs`, `calls`, `tombstones`, `memberships` or `leftovers`.
    pub what: String,
    /// How many.
    pub rows: u64,
}

/// Which person, and what to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ErasePerson {
    /// The customer's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The contact of the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Whether the whole customer is meant, who is a natural person.
    pub all: bool,
    /// The company, where several have a customer of that number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// In place of customer and contact: every contact with this e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether to do it; otherwise it is only said who is meant.
    pub yes: bool,
    /// Whether the person is let in again.
    pub forget: bool,
}

/// Who was found, and what was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasureReport {
    /// Who is meant, as it was known before.
    pub found: Vec<KnownPerson>,
    /// What was erased.
    #[serde(default)]
    pub erased: Vec<Erasure>,
    /// How many are let in again.
    #[serde(default)]
    pub readmitted: u64,
    /// What could not be done, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// Why the daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// What is named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done in the present state.
    #[error("{0}")]
    Conflict(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Files are faulty; what ran before still does.
    #[error("{0}")]
    Faulty(Problems),
    /// The daemon or the system behind a connection cannot do it now.
    #[error("{0}")]
    Unavailable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
