//! What a pull would do with the first records that a stream offers. Nothing is written, and no more is read than is shown.
//!
//! What does not live here: what a whole pull would come to (`pull`), and what another mapping would (`map_diff`).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::differences::{FieldDifference, differences};
use super::error::SyncError;
use super::keyed;
use super::plan::Pull;
use super::pull::Puller;
use crate::connector::{Offer, Wanted};
use crate::mapping::Outcome;
use crate::model::Key;
use crate::store::SourceId;

/// What a pull would do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It would be stored; nothing is stored of it.
    New,
    /// What is stored of it would be replaced.
    Changed,
    /// It is stored as it is.
    Unchanged,
    /// What is stored of it would be deleted.
    Deleted,
    /// Nothing.
    Nothing,
}

/// A record as it is read and mapped, with what is stored of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Previewed {
    /// Where it stands.
    pub place: String,
    /// As it was read.
    pub source: Json,
    /// What the mapping makes of it: a part, nothing, a deletion, or the reason why it is rejected.
    pub outcome: Result<Outcome, String>,
    /// The canonical content that is stored of it.
    pub stored: Option<Json>,
    /// What a pull would do.
    pub change: Change,
    /// In what the stored content and the mapped one differ.
    pub differences: Vec<FieldDifference>,
    /// Why a part would not be taken though it is sound.
    pub refused: Option<String>,
}

/// A record as it is read and mapped, with its key in the source where it has one.
struct Tried {
    place: String,
    source: Json,
    key: Option<String>,
    outcome: Result<Outcome, String>,
}

impl Puller {
    /// The first records that the stream offers, mapped, and what a pull would do with each; nothing is written.
    ///
    /// # Errors
    /// Where the stream or the store cannot be read.
    pub async fn preview(&self, pull: &Pull, limit: usize) -> Result<Vec<Previewed>, SyncError> {
        // A source that was never pulled has no row, and gets none.
        let (stream, kind) = (&pull.mapping.stream, pull.mapping.kind);
        let sources = self.store.sources().await?;
        let same = |source: &&crate::store::Source| {
            source.connection == pull.link.name && source.stream == *stream && source.kind == kind
        };
        let source = sources.iter().find(same).map(|source| source.id);
        let mut previewed = Vec::new();
        for offer in pull.link.connector.offers(stream, &Wanted::default()).await? {
            let wanted = limit - previewed.len();
            if wanted == 0 {
                break;
            }
            previewed.extend(self.compared(pull, source, tried(pull, offer, wanted).await?).await?);
        }
        Ok(previewed)
    }

    /// Holds records against what is stored of them.
    async fn compared(
        &self,
        pull: &Pull,
        source: Option<SourceId>,
        tried: Vec<Tried>,
    ) -> Result<Vec<Previewed>, SyncError> {
        let keys: Vec<String> = tried.iter().map(|one| one.key.clone().unwrap_or_default()).collect();
        let stored = match source {
            Some(source) => self.store.raw_contents(source, &keys).await?,
            None => vec![None; keys.len()],
        };
        let place = |outcome: &Result<Outcome, String>| match outcome {
            Ok(Outcome::Part(part)) => {
                Some((Key::new(part.company.clone(), part.identity.number.clone()), part.identity.part.clone()))
            }
            _ => None,
        };
        let mut previewed = Vec::with_capacity(tried.len());
        for (Tried { place: at, source: record, key, outcome }, stored) in tried.into_iter().zip(stored) {
            let owner = match place(&outcome) {
                Some(place) => self.store.owners(pull.mapping.kind, &[place]).await?.into_iter().next().flatten(),
                None => None,
            };
            let other = owner.filter(|owner| Some(owner.source) != source || Some(&owner.source_key) != key.as_ref());
            let refused = other.map(|owner| {
                let (connection, key) = (owner.connection, owner.source_key);
                format!("its number is that of another record, which {connection} brought under the key '{key}'")
            });
            let mapped = match &outcome {
                Ok(Outcome::Part(part)) => Some(part.content.value()),
                _ => None,
            };
            let differences = match (&mapped, &stored) {
                (Some(mapped), Some(stored)) => differences(Some(stored), Some(mapped)),
                _ => Vec::new(),
            };
            let change = match (&outcome, &stored) {
                (Ok(Outcome::Part(_)), _) if refused.is_some() => Change::Nothing,
                (Ok(Outcome::Part(_)), None) => Change::New,
                (Ok(Outcome::Part(_)), Some(_)) if differences.is_empty() => Change::Unchanged,
                (Ok(Outcome::Part(_)), Some(_)) => Change::Changed,
                (Ok(Outcome::Deleted | Outcome::Skipped), Some(_)) => Change::Deleted,
                (Ok(Outcome::Deleted | Outcome::Skipped), None) | (Err(_), _) => Change::Nothing,
            };
            previewed.push(Previewed { place: at, source: record, outcome, stored, change, differences, refused });
        }
        Ok(previewed)
    }
}

/// Reads and maps the first records of an offer.
async fn tried(pull: &Pull, offer: Offer, wanted: usize) -> Result<Vec<Tried>, SyncError> {
    let (mapping, setting) = (Arc::clone(&pull.mapping), pull.link.setting.clone());
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = offer.open_sparingly()?;
        let mut tried = Vec::new();
        while tried.len() < wanted
            && let Some(taken) = keyed::next(reader.as_mut())?
        {
            tried.push(match taken {
                Err((place, reason)) => {
                    Tried { place: place.to_string(), source: Json::Null, key: None, outcome: Err(reason) }
                }
                Ok(record) => Tried {
                    place: record.place.to_string(),
                    source: record.fields.to_json(),
                    key: mapping.key(&record.fields, &setting).ok(),
                    outcome: mapping.apply(&record.fields, &setting).map_err(|rejected| rejected.to_string()),
                },
            });
        }
        Ok(tried)
    });
    read.await.map_err(|_| SyncError::Stopped("the preview"))?
}
