//! What an operator asks about the past: which records applied, and how each came to be what it was and ended.
//!
//! No shop's scope narrows it: the question is how the store came to say what a shop was told.

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::terms;
use super::record::assemble;
use crate::model::{Entity, Key};
use crate::store::{Condition, Deletion, Listing, Result, Run, Store, Version};

/// Which records are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What they are.
    pub entity: Entity,
    /// The company they belong to.
    pub company: String,
    /// One record by its number; otherwise those about the customer and the product.
    pub number: Option<String>,
    /// What is about this customer: of price agreements and delivery terms also what is about his groups and everyone.
    pub customer: Option<String>,
    /// What is about this product: of price agreements and delivery terms also what is about its groups and everything.
    pub product: Option<String>,
    /// Of price agreements: those that are valid on this day.
    pub date: Option<Date>,
    /// At most so many records.
    pub limit: u32,
}

impl Question {
    /// The versions that answer it by what was known at an instant, of what came over some connections, and whether there
    /// are more of them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn answer(
        &self,
        store: &dyn Store,
        connections: &[String],
        at: Timestamp,
    ) -> Result<(Vec<Version>, bool)> {
        let (keys, more) = if let Some(number) = &self.number {
            (vec![Key::new(&self.company, number)], false)
        } else {
            let listing = self.listing(store, at).await?;
            let mut keys = store.keys_at(connections, &listing, at).await?;
            let more = keys.len() > self.limit as usize;
            keys.truncate(self.limit as usize);
            (keys, more)
        };
        if keys.is_empty() {
            return Ok((Vec::new(), more));
        }
        let mut versions = store.versions_at(self.entity, &keys, at).await?;
        versions.retain(|version| connections.contains(&version.part.connection));
        Ok((versions, more))
    }

    /// The list of the records, by the groups that customer and product were known to be in.
    async fn listing(&self, store: &dyn Store, at: Timestamp) -> Result<Listing> {
        let who = self.about(store, Entity::Customer, self.customer.as_ref(), &["groups", "price_groups"], at).await?;
        let what = self.about(store, Entity::Product, self.product.as_ref(), &["groups"], at).await?;
        let day = self.date.filter(|_| self.entity == Entity::PriceAgreement);
        Ok(Listing {
            entity: self.entity,
            company: Some(self.company.clone()),
            who,
            what,
            conditions: day.map(Condition::ValidOn).into_iter().collect(),
            after: None,
            limit: self.limit.saturating_add(1),
        })
    }

    async fn about(
        &self,
        store: &dyn Store,
        entity: Entity,
        number: Option<&String>,
        groups: &[&str],
        at: Timestamp,
    ) -> Result<Vec<String>> {
        let Some(number) = number else { return Ok(Vec::new()) };
        let key = Key::new(&self.company, number);
        let versions = store.versions_at(entity, std::slice::from_ref(&key), at).await?;
        let records = assemble(versions.into_iter().map(|version| version.part).collect());
        let groups = records.iter().flat_map(|record| groups.iter().flat_map(|field| record.texts(field)));
        Ok(terms(self.entity, &key, groups))
    }
}

/// How a version ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Another content took its place.
    Superseded,
    /// The record was deleted.
    Deleted,
}

/// How a version ended, and by which run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// How.
    pub how: Ending,
    /// The run; absent where it is not known any more: of a deletion, once the record is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// How a version ended, by all versions of its part, its deletion if it is gone now, and the runs; none while it lives.
pub fn ended(version: &Version, all: &[Version], deletions: &[Deletion], runs: &[Run]) -> Option<Ended> {
    let until = version.until?;
    let part = &version.part;
    let next = all
        .iter()
        .filter(|other| {
            let other = &other.part;
            (other.kind, &other.key, &other.part) == (part.kind, &part.key, &part.part) && other.changed_at >= until
        })
        .min_by_key(|other| other.part.changed_at);
    let superseded = |run: &str| Ended { how: Ending::Superseded, run: Some(run.to_owned()) };
    let deleted = |run: Option<&String>| Ended { how: Ending::Deleted, run: run.cloned() };
    Some(match next {
        // The next content follows at once, or it came in a run that was under way already: then it took the place.
        Some(next) if next.part.changed_at == until => superseded(&next.part.run),
        Some(next) => match runs.iter().find(|run| run.id == next.part.run) {
            Some(run) if run.started_at <= until => superseded(&run.id),
            _ => deleted(None),
        },
        None => deleted(
            deletions
                .iter()
                .find(|gone| (gone.kind, &gone.key, &gone.part) == (part.kind, &part.key, &part.part))
                .map(|gone| &gone.run),
        ),
    })
}
