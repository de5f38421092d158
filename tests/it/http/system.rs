//! A connection to the server, by a manifest of a test's own.

use std::sync::Arc;

use serde_json::Value as Json;
use tradebridge::config::{Config, Document, KeyPath, Problems};
use tradebridge::connector::format::ReadError;
use tradebridge::connector::{Connector, Created, Found, Manifest, Trail, Wanted};
use tradebridge::record::{Map, Value};

/// What nobody may ever see.
pub(crate) const TOKEN: &str = "t0ken&secret";
pub(crate) const PASSWORD: &str = "hunter2/=?";

const HEAD: &str = r#"
name = "erp"
title = "ERP"
transport = "http"

[settings]
base_url = { type = "text", help = "The address.", required = true }
company = { type = "text", help = "The company.", default = "NL01" }
number = { type = "number", help = "A number." }
absent = { type = "text", help = "Given by nobody." }
ca = { type = "text", help = "Certificates." }
user = { type = "text", help = "The user.", default = "integration" }
token = { type = "secret", help = "The token." }
password = { type = "secret", help = "The password." }
"#;

/// A connection by a manifest's text behind what all have; there is always a stream `items`, but where it is given.
pub(crate) struct System {
    pub connector: Arc<Connector>,
}

/// What reading a stream came to.
#[derive(Debug, Default)]
pub(crate) struct Pulled {
    /// The `id` of each record.
    pub ids: Vec<String>,
    pub rejected: Vec<String>,
    pub error: Option<String>,
    pub watermark: Option<Json>,
}

/// The manifest, whole.
pub(crate) fn manifest(text: &str) -> String {
    let http = if text.contains("[http]") { "" } else { "[http]\nbase_url = \"${settings.base_url}\"\n" };
    let stream = if text.contains("[stream.") { "" } else { "[stream.items]\nrequest = { path = \"items\" }\n" };
    format!("{HEAD}\n{http}{text}\n{stream}")
}

pub(crate) fn bind(url: &str, text: &str) -> Result<Connector, Problems> {
    let manifest = Arc::new(Manifest::compile(&Document::parse("connectors/erp.toml", &manifest(text)))?);
    let config = format!(
        "[[connection]]\nname = 'erp'\nconnector = 'erp'\ntime_zone = 'Europe/Amsterdam'\n[connection.settings]\n\
         base_url = '{url}'\ntoken = {{ env = 'TOKEN' }}\npassword = {{ env = 'PASSWORD' }}\n"
    );
    let env = [("TOKEN", TOKEN), ("PASSWORD", PASSWORD)].map(|(name, text)| (name.to_owned(), text.to_owned()));
    let config = Config::of_document(Document::parse("tradebridge.toml", &config), env)?;
    let at = KeyPath::root().key("connection").index(0);
    Connector::bind(&manifest, &config.connections[0], &config.source.document, &at)
}

impl System {
    pub(crate) fn new(url: &str, text: &str) -> Self {
        let connector = bind(url, text).unwrap_or_else(|problems| panic!("{problems}"));
        Self { connector: Arc::new(connector) }
    }

    /// Reads the stream `items`, behind a watermark or in full.
    pub(crate) async fn pull(&self, after: Option<Json>) -> Pulled {
        self.pull_of("items", after).await
    }

    pub(crate) async fn pull_of(&self, stream: &str, after: Option<Json>) -> Pulled {
        let offer = self.connector.offers(stream, &Wanted { after, since: None }).await.unwrap().remove(0);
        tokio::task::spawn_blocking(move || {
            let mut pulled = Pulled::default();
            let (mut reader, verify) = match offer.open() {
                Ok(opened) => opened,
                Err(error) => return Pulled { error: Some(error.to_string()), ..pulled },
            };
            while let Some(record) = reader.next() {
                match record {
                    Ok(record) => pulled.ids.push(match &record.fields.to_json()["id"] {
                        Json::String(text) => text.clone(),
                        other => other.to_string(),
                    }),
                    Err(error @ ReadError::Record { .. }) => pulled.rejected.push(error.to_string()),
                    Err(error) => pulled.error = Some(error.to_string()),
                }
            }
            if pulled.error.is_none() {
                pulled.watermark = verify().unwrap();
            }
            pulled
        })
        .await
        .unwrap()
    }

    /// What is wrong with the connection; nothing where all is well.
    pub(crate) async fn probe(&self) -> Option<String> {
        self.connector.probe().await.remove(0).problem
    }

    pub(crate) async fn create(&self, request: &Map) -> Created {
        self.connector.create(self.connector.action("order").unwrap(), request, "B2B-1", &Trail::default()).await
    }

    pub(crate) async fn find(&self, request: &Map) -> Found {
        self.connector.find(self.connector.action("order").unwrap(), request, "B2B-1", &Trail::default()).await
    }
}

pub(crate) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// Asserts that a message says all of this.
pub(crate) fn says(message: Option<&str>, expected: &[&str]) {
    let message = message.unwrap_or_default();
    for text in expected {
        assert!(message.contains(text), "`{text}` is missing in: {message}");
    }
}
