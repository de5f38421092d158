//! Exchanging files with a system through a shipped connector and its mappings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tradebridge::config::{Config, Document, KeyPath};
use tradebridge::connector::format::ReadError;
use tradebridge::connector::{Catalog, Connector, Wanted};
use tradebridge::mapping::{Mapping, Outcome, Setting};
use tradebridge::record::Map;

/// A path in the project.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A directory with documents, and a connection of a shipped connector that reads it.
pub struct Exchange {
    pub directory: tempfile::TempDir,
    pub connector: Connector,
    pub setting: Setting,
}

impl Exchange {
    pub fn new(connector: &str, settings: &str, documents: &[(&str, impl AsRef<[u8]>)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in documents {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        for name in ["inbox", "read"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let settings = settings.replace("DIRECTORY", &directory.path().display().to_string());
        let text = format!(
            "[[connection]]\nname = \"erp\"\nconnector = \"{connector}\"\ncompany = \"NL01\"\n\
             time_zone = \"Europe/Amsterdam\"\n[connection.settings]\n{settings}\nstable = \"1ms\"\n"
        );
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        let catalog = Catalog::load(&[here("connectors")]).unwrap_or_else(|problems| panic!("{problems}"));
        let manifest: &Arc<_> = catalog.get(connector).unwrap();
        let (connection, at) = (&config.connections[0], KeyPath::root().key("connection").index(0));
        let connector = Connector::bind(manifest, connection, &config.source.document, &at);
        let connector = connector.unwrap_or_else(|problems| panic!("{problems}"));
        let setting = Setting {
            company: "NL01".to_owned(),
            zone: jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap(),
            settings: connector.settings().clone(),
        };
        Self { directory, connector, setting }
    }

    /// Everything that a stream offers now, and whether the offers were complete.
    pub async fn read(&self, stream: &str) -> (Vec<Result<Map, ReadError>>, Vec<bool>) {
        let mut records = Vec::new();
        let mut complete = Vec::new();
        for offer in self.connector.offers(stream, &Wanted::default()).await.unwrap() {
            complete.push(offer.complete);
            let (mut reader, verify) = offer.open().unwrap();
            while let Some(record) = reader.next() {
                records.push(record.map(|record| record.fields.into_map()));
            }
            verify().unwrap();
        }
        (records, complete)
    }

    /// What becomes of the records of a stream: the content of a part, `deleted`, `skipped` or the rejection.
    pub async fn map(&self, mapping: &str) -> Vec<Json> {
        let file = here("mappings").join(mapping);
        let mapping = Mapping::compile(&Document::load(&file).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
        let (records, _) = self.read(&mapping.stream).await;
        let mapped = records.into_iter().map(|record| {
            let record = record.unwrap_or_else(|error| panic!("{error}"));
            match mapping.key(&record, &self.setting).and_then(|_| mapping.apply(&record, &self.setting)) {
                Ok(Outcome::Part(part)) => part.content.value(),
                Ok(Outcome::Deleted) => json!("deleted"),
                Ok(Outcome::Skipped) => json!("skipped"),
                Err(rejected) => json!(rejected.to_string()),
            }
        });
        mapped.collect()
    }
}
