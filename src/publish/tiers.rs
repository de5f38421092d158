//! Price agreements with their tiers gathered: the lines that differ in quantity and price alone.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::PublishError;
use super::filter::Filter;
use super::record::Record;
use super::verified::Verified;
use super::window::Window;
use crate::model::Entity;
use crate::store::Listing;

/// The most lines that are gathered at once.
const MOST: u32 = 10_000;

/// The fields in which the tiers of one agreement differ.
const OF_TIER: [&str; 4] = ["id", "value", "minimum_quantity", "minimum_value"];

/// An agreement with its tiers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "GatheredAgreement")]
pub struct Agreement {
    /// What all its lines have in common, as in a price agreement's line.
    #[serde(flatten)]
    pub terms: Map<String, Value>,
    /// The company it belongs to.
    pub company: String,
    /// The tiers, by rising minimum.
    pub tiers: Vec<Tier>,
}

/// A tier of an agreement: one of its lines.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Tier {
    /// The key of the line, as the change feed names it.
    pub key: String,
    /// The line's identifier.
    pub id: String,
    /// The quantity from which (or up to which) the tier applies; absent: from the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_quantity: Option<String>,
    /// The order value from which the tier applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_value: Option<String>,
    /// The price, amount or percentage.
    pub value: String,
}

/// Gathered agreements.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiers {
    /// The agreements.
    pub items: Vec<Agreement>,
    /// Where the feed was before they were read.
    pub changes_cursor: String,
    /// How old they may be.
    pub verified_at: Verified,
}

impl Window {
    /// The agreements that a filter lets through, each with its tiers.
    ///
    /// # Errors
    /// [`PublishError::TooMany`] where the filter lets too many lines through to gather them.
    pub async fn tiers(&self, filter: &Filter) -> Result<Tiers, PublishError> {
        let entity = Entity::PriceAgreement;
        let mut lines = Vec::new();
        if let Some(listing) = filter.listing(self, entity).await? {
            let keys = self.store.visible_keys(&self.view, &Listing { limit: MOST + 1, ..listing }).await?;
            if keys.len() > MOST as usize {
                return Err(PublishError::TooMany(MOST));
            }
            lines = self.records(entity, &keys).await?;
        }
        Ok(Tiers {
            items: gather(lines),
            changes_cursor: self.feed_cursor(self.head, 0),
            verified_at: self.verified(&filter.rests_on(entity)).await?,
        })
    }
}

/// Gathers lines that agree in all but what makes a tier, in the order of their first lines.
fn gather(lines: Vec<Record>) -> Vec<Agreement> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut agreements: Vec<Agreement> = Vec::new();
    for line in lines {
        let text = |field: &str| line.text(field).map(str::to_owned);
        let tier = Tier {
            key: line.meta.key.clone(),
            id: text("id").unwrap_or_default(),
            minimum_quantity: text("minimum_quantity"),
            minimum_value: text("minimum_value"),
            value: text("value").unwrap_or_default(),
        };
        let mut terms = line.content;
        terms.retain(|field, _| !OF_TIER.contains(&field.as_str()));
        let mut sorted: Vec<_> = terms.iter().collect();
        sorted.sort_unstable_by_key(|(field, _)| field.as_str());
        let common = serde_json::to_string(&(&line.key.company, sorted)).unwrap_or_default();
        let at = *places.entry(common).or_insert(agreements.len());
        match agreements.get_mut(at) {
            Some(agreement) => agreement.tiers.push(tier),
            None => agreements.push(Agreement { terms, company: line.key.company, tiers: vec![tier] }),
        }
    }
    for agreement in &mut agreements {
        agreement
            .tiers
            .sort_by_key(|tier| (number(tier.minimum_quantity.as_deref()), number(tier.minimum_value.as_deref())));
    }
    agreements
}

/// A minimum as a number; what is not given is from the first on.
fn number(text: Option<&str>) -> Decimal {
    text.and_then(|text| Decimal::from_str_exact(text).ok()).unwrap_or_default()
}
