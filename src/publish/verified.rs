//! How old what a shop reads may be: when the streams it rests on were last read to their end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::Entity;
use crate::store::{Result, Store, View};

/// When the streams that an answer rests on were last read to their end, by `connection/stream`; null where that has
/// not happened yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Verified(#[schemars(with = "BTreeMap<String, Option<String>>")] BTreeMap<String, Option<Timestamp>>);

impl Verified {
    /// The streams that feed the entities a shop sees, now or as it was at an instant.
    pub(super) async fn of(
        store: &dyn Store,
        view: &View,
        entities: &[Entity],
        known_at: Option<Timestamp>,
    ) -> Result<Self> {
        let sources = match known_at {
            None => store.sources().await?,
            Some(at) => store.sources_at(at).await?,
        };
        let mut verified: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
        for source in sources {
            if view.connections.contains(&source.connection) && entities.contains(&source.kind.entity()) {
                let name = format!("{}/{}", source.connection, source.stream);
                // A stream can feed several kinds: it is as old as the oldest of them.
                verified.entry(name).and_modify(|at| *at = (*at).min(source.verified_at)).or_insert(source.verified_at);
            }
        }
        Ok(Self(verified))
    }

    /// The oldest of them; none where one has never been read to its end, or where nothing feeds what was asked for.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.0.values().copied().min().flatten()
    }
}
