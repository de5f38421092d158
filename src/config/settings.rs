//! The daemon's configuration: its keys, their defaults and what they mean. The comments here are
//! the descriptions in the published JSON Schema.
//!
//! What does not live here: reading and cross-checking it (`load`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::document::Document;
use super::place::Problem;
use super::queue::QueueSettings;
use super::secret::{Secret, references};
use super::storage::{Retention, StoreSettings};
use super::values::{Cron, Interval, ListenAddress, LogFilter, Percent, Size, Zone};

/// The kinds of canonical records a sync can bring.
pub const ENTITIES: [&str; 13] = [
    "customer",
    "address",
    "contact",
    "product",
    "customer_article",
    "price_agreement",
    "stock",
    "credit",
    "delivery_term",
    "order",
    "order_status",
    "shipment",
    "invoice",
];

/// The configuration of the daemon. Paths are relative to the directory the command is started in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tradebridge configuration")]
pub struct Config {
    /// Whether this is a demonstration, where secrets may stand in this file.
    #[serde(default)]
    pub demo: bool,
    /// A directory of the demonstration that is copied before the daemon starts, so that what the demonstration
    /// changes is the copy. Only with `demo = true`.
    #[serde(default)]
    pub demo_copy: Option<DemoCopy>,
    /// The directories that hold connector manifests, searched in this order.
    #[serde(default = "default_connectors")]
    #[schemars(extend("minItems" = 1))]
    pub connectors: Vec<PathBuf>,
    /// The directories that hold mappings, searched in this order.
    #[serde(default = "default_mappings")]
    #[schemars(extend("minItems" = 1))]
    pub mappings: Vec<PathBuf>,
    /// Where everything is kept.
    #[serde(default)]
    pub store: StoreSettings,
    /// How long what is over is kept.
    #[serde(default)]
    pub retention: Retention,
    /// How orders travel to the ERP.
    #[serde(default)]
    pub queue: QueueSettings,
    /// The HTTP API.
    #[serde(default)]
    pub api: ApiSettings,
    /// The log.
    #[serde(default)]
    pub log: LogSettings,
    /// The daemon as a service.
    #[serde(default)]
    pub daemon: DaemonSettings,
    /// The configured instances of connectors.
    #[serde(default, rename = "connection")]
    pub connections: Vec<Connection>,
    /// What is pulled from which connection, and when.
    #[serde(default, rename = "sync")]
    pub syncs: Vec<SyncSettings>,
    /// The consumers: what each may see and where its orders go.
    #[serde(default, rename = "shop")]
    pub shops: Vec<Shop>,
    /// API keys that are fixed by the configuration, beside those made by `key create`.
    #[serde(default, rename = "key")]
    pub keys: Vec<ApiKey>,
    /// Where all this was read from.
    #[serde(skip)]
    pub source: Source,
}

/// A directory that a demonstration works on a copy of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemoCopy {
    /// The directory with the files as they are delivered.
    pub from: PathBuf,
    /// The directory to work on; files that are there already stay as they are.
    pub to: PathBuf,
    /// Directories that are made where they are missing: an ERP has its own.
    #[serde(default)]
    pub directories: Vec<PathBuf>,
}

/// Where a configuration was read from.
#[derive(Clone, Default)]
pub struct Source {
    /// The document, for messages that name a place in it.
    pub document: Document,
    /// The BLAKE3 hash, in hexadecimal, of what file and environment say together; comments and
    /// spacing do not count, nor do the secrets that are only referred to.
    pub digest: String,
    /// What is possible but unwise.
    pub warnings: Vec<Problem>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.document.file)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// The HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// The IP address and port to listen on.
    pub listen: ListenAddress,
    /// The largest request body; a larger one is answered with 413.
    pub max_body: Size,
    /// The longest a request may take; then it is answered with 503. Waiting for changes and
    /// streaming have their own limits.
    pub request_timeout: Interval,
    /// How many requests are worked on at once; one more is answered with 503.
    #[schemars(range(min = 1))]
    pub max_concurrent: u32,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            listen: ListenAddress::local(8080),
            max_body: Size::from_bytes(10_000_000),
            request_timeout: Interval::from_secs(30),
            max_concurrent: 256,
        }
    }
}

/// The log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// How lines are written: `human` for people, `json` for log collectors.
    pub format: LogFormat,
    /// Which lines are written: a level, and exceptions by module.
    pub filter: LogFilter,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: LogFilter::info() }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The daemon as a service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonSettings {
    /// How long a shutdown waits for the page, the order and the requests in hand.
    pub shutdown_timeout: Interval,
    /// Where the daemon says how commands on this machine reach it. With a `SQLite` store that is beside its file.
    pub run_directory: PathBuf,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self { shutdown_timeout: Interval::from_secs(30), run_directory: PathBuf::from("data") }
    }
}

/// One configured instance of a connector.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// What it is called: lowercase letters, digits, `-` and `_`.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// The connector: the name of its manifest, without `.toml`.
    #[schemars(extend("format" = "name"))]
    pub connector: String,
    /// The company its records belong to, unless a mapping takes it from a field.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub company: Option<String>,
    /// The time zone of its dates and schedules.
    pub time_zone: Zone,
    /// What the connector's manifest asks for. A secret is `{ env = "…" }` or `{ file = "…" }`.
    #[serde(default)]
    pub settings: BTreeMap<String, SettingValue>,
    /// When an order that could not be sent is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// How long the answer to an order that was handed over may take before an alarm is raised.
    #[serde(default = "default_answer_within")]
    pub answer_within: Interval,
    /// How orders are sent.
    #[serde(default)]
    pub orders: OrderSettings,
}

/// How a connection's orders are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrderSettings {
    /// How many orders one daemon sends side by side. The limits of the connector hold all the same.
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
}

impl Default for OrderSettings {
    fn default() -> Self {
        Self { concurrency: 1 }
    }
}

/// When an order that could not be sent is tried again: after `initial`, then after ever longer
/// waits up to `max`, until `give_up_after` has passed since it was accepted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The wait before the second attempt.
    pub initial: Interval,
    /// The longest wait between two attempts.
    pub max: Interval,
    /// The time after which the order is given up and shown to an operator.
    pub give_up_after: Interval,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Interval::from_secs(5),
            max: Interval::from_secs(3_600),
            give_up_after: Interval::from_secs(72 * 3_600),
        }
    }
}

/// A value of a connection's settings.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// A text.
    Text(String),
    /// An exact number.
    Number(Decimal),
    /// A truth value.
    Bool(bool),
    /// A list of texts, numbers and truth values.
    List(Vec<SettingValue>),
    /// A secret, resolved.
    Secret(Secret),
}

impl Serialize for SettingValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.collect_str(number),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::List(items) => serializer.collect_seq(items),
            Self::Secret(secret) => secret.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SettingValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_tree(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl SettingValue {
    fn from_tree(tree: &Value) -> Result<Self, String> {
        Ok(match tree {
            Value::String(text) => Self::Text(text.clone()),
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => Self::Number(
                Decimal::from_str_exact(number.as_str())
                    .or_else(|_| Decimal::from_scientific(number.as_str()))
                    .map_err(|_| format!("{number} has more digits than can be kept exactly (28)"))?,
            ),
            Value::Array(items) => Self::List(items.iter().map(Self::from_tree).collect::<Result<_, _>>()?),
            Value::Object(_) | Value::Null => Self::Secret(
                Secret::from_tree(tree).ok_or("a setting is a text, a number, true or false, a list or a secret")?,
            ),
        })
    }
}

impl JsonSchema for SettingValue {
    fn schema_name() -> Cow<'static, str> {
        "SettingValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let [env, file] = references();
        json_schema!({
            "description": "A setting: a text, a number, true or false, a list of them, or a secret.",
            "anyOf": [
                { "type": "string" },
                { "type": "number" },
                { "type": "boolean" },
                { "type": "array", "items": { "type": ["string", "number", "boolean"] } },
                env,
                file,
            ]
        })
    }
}

/// What is pulled from which connection, and when. Without `every` and `full` it runs only on demand.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncSettings {
    /// The connection, by its name.
    pub connection: String,
    /// The entity the records become.
    #[schemars(extend("enum" = ENTITIES))]
    pub entity: String,
    /// The mapping: the path of its file below a mapping directory, without `.toml`. By default the
    /// connector's name, a slash and the entity.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub mapping: Option<String>,
    /// How often changes are pulled.
    #[serde(default)]
    pub every: Option<Interval>,
    /// When everything is pulled, so that what disappeared is noticed: cron, on the connection's clocks.
    #[serde(default)]
    pub full: Option<Cron>,
    /// The limits that hold a run back for approval.
    #[serde(default)]
    pub guard: Guard,
}

/// The limits that hold a run back for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// The share of records a run may delete.
    pub delete: Percent,
    /// The share of records a run may change.
    pub change: Percent,
    /// The share by which a run may change a price.
    pub price_change: Percent,
    /// The number of records below which shares do not count.
    pub floor: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            delete: Percent::from_percentage(5),
            change: Percent::from_percentage(40),
            price_change: Percent::from_percentage(50),
            floor: 20,
        }
    }
}

/// A consumer: what it may see and where its orders go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    /// What it is called: lowercase letters, digits, `-` and `_`.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// The companies whose records it sees.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub companies: Vec<String>,
    /// The connections whose records it sees.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub connections: Vec<String>,
    /// The connection that gets its orders. Without it the shop cannot order.
    #[serde(default)]
    pub orders_to: Option<String>,
    /// Its user in the RabbitMQ broker: orders that this user publishes there are its orders. Without it the shop orders
    /// over HTTP alone.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub broker_user: Option<String>,
    /// Which customers it sees: an expression over the customer. Without it, all.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub customers: Option<String>,
    /// The warehouses whose stock it sees. Without it, all.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub warehouses: Option<Vec<String>>,
    /// Who prices its orders.
    #[serde(default)]
    pub prices: Prices,
}

/// Who prices a shop's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prices {
    /// The shop: the prices of the order are sent on as they are.
    #[default]
    Shop,
}

/// An API key that is fixed by the configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// What it is called in lists and logs.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// The shop it belongs to, by its name.
    pub shop: String,
    /// What it allows.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub scopes: Vec<Scope>,
    /// The key itself, as the shop sends it.
    pub key: Secret,
}

/// What an API key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Reading the shop's data.
    Read,
    /// Posting and following orders.
    Orders,
    /// Operating the daemon.
    Admin,
}

impl Scope {
    /// The scope as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Orders => "orders",
            Self::Admin => "admin",
        }
    }
}

fn default_connectors() -> Vec<PathBuf> {
    vec![PathBuf::from("connectors")]
}

fn default_mappings() -> Vec<PathBuf> {
    vec![PathBuf::from("mappings")]
}

fn default_answer_within() -> Interval {
    Interval::from_secs(24 * 3_600)
}

impl Config {
    /// The connection of that name.
    pub fn connection(&self, name: &str) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.name == name)
    }

    /// The shop of that name.
    pub fn shop(&self, name: &str) -> Option<&Shop> {
        self.shops.iter().find(|shop| shop.name == name)
    }

    /// The mapping of a sync: its own, or the connector's name, a slash and the entity.
    pub fn mapping_of(&self, sync: &SyncSettings) -> String {
        sync.mapping.clone().unwrap_or_else(|| {
            let connector = self.connection(&sync.connection).map_or("", |connection| &connection.connector);
            format!("{connector}/{}", sync.entity)
        })
    }
}
