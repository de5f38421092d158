//! A shop's window on what is stored: single records and pages of lists, all within its scope.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::cursor::{self, Epochs, FeedCursor, ListCursor};
use super::error::PublishError;
use super::filter::Filter;
use super::history;
use super::record::{Record, assemble};
use super::verified::Verified;
use crate::config::{Retention, Shop};
use crate::model::{Entity, Key};
use crate::store::{Listing, Store, View};
use crate::sync;

/// What a shop sees, as of the moment it was opened.
#[derive(Debug, Clone)]
pub struct Window {
    pub(super) store: Arc<dyn Store>,
    pub(super) view: View,
    pub(super) epochs: Epochs,
    /// The feed's end when the window was opened.
    pub(super) head: i64,
    /// The instant whose knowledge is shown; none: the present.
    known_at: Option<Timestamp>,
    /// The highest sequence of a tombstone that was dropped.
    pub(super) purged: i64,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records.
    pub items: Vec<Record>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
    /// Where the feed was before the list's first page: what follows from there completes the list. None of what was
    /// known in the past: nothing completes that.
    pub changes_cursor: Option<String>,
    /// How old it may be.
    pub verified_at: Verified,
}

impl Window {
    /// Opens a shop's window.
    ///
    /// # Errors
    /// [`PublishError::ScopePending`] until the store's memberships follow the shop's present configuration: before, a
    /// shop could see what it must not.
    pub async fn open(store: Arc<dyn Store>, shop: &Shop) -> Result<Self, PublishError> {
        let scope = store.scope(&shop.name).await?.filter(|scope| scope.digest == sync::scope_digest(shop));
        let scope = scope.ok_or_else(|| PublishError::ScopePending(shop.name.clone()))?;
        let head = store.head().await?;
        let view = View {
            shop: shop.name.clone(),
            companies: shop.companies.clone(),
            connections: shop.connections.clone(),
            warehouses: shop.warehouses.clone(),
        };
        Ok(Self {
            store,
            view,
            epochs: Epochs(head.epoch, scope.epoch),
            head: head.sequence,
            purged: scope.purged,
            known_at: None,
        })
    }

    /// The same window on what the store knew at an instant, of entities whose history is kept as `retention` says. What
    /// the shop may see stays what it is today.
    ///
    /// # Errors
    /// [`PublishError::HistoryGone`] where the history of one of the entities does not reach back that far.
    pub async fn known_at(
        self,
        at: Timestamp,
        entities: &[Entity],
        retention: &Retention,
    ) -> Result<Self, PublishError> {
        history::check(self.store.as_ref(), at, entities, retention).await?;
        Ok(Self { known_at: Some(at), ..self })
    }

    /// The record of an entity with a key as shops write it: `COMPANY~NUMBER`, or the number where the shop sees one
    /// company. None where there is none that the shop sees.
    pub async fn item(&self, entity: Entity, key: &str) -> Result<Option<(Record, Verified)>, PublishError> {
        let Some(record) = self.find(entity, key).await? else { return Ok(None) };
        Ok(Some((record, self.verified(&[entity]).await?)))
    }

    pub(super) async fn find(&self, entity: Entity, key: &str) -> Result<Option<Record>, PublishError> {
        let keys = self.keys(key)?;
        let mut records = self.records(entity, &keys).await?;
        let at = keys.iter().find_map(|key| records.iter().position(|record| record.key == *key));
        Ok(at.map(|at| records.swap_remove(at)))
    }

    /// What cursors and records were handed out under: another one after a restore or a change of the shop's scope.
    pub fn epoch(&self) -> String {
        format!("{}/{}", self.epochs.0, self.epochs.1)
    }

    /// The keys that a text can mean, the likeliest first; there is one at least.
    pub(super) fn keys(&self, text: &str) -> Result<Vec<Key>, PublishError> {
        let companies = &self.view.companies;
        let mut keys: Vec<Key> = companies
            .iter()
            .filter_map(|company| Some(Key::new(company, text.strip_prefix(company.as_str())?.strip_prefix('~')?)))
            .collect();
        if let [only] = companies.as_slice() {
            keys.push(Key::new(only, text));
        }
        if keys.is_empty() {
            return Err(PublishError::Ambiguous { key: text.to_owned(), companies: companies.clone() });
        }
        Ok(keys)
    }

    /// A page of a list. A cursor goes on from the page that handed it out.
    pub async fn page(
        &self,
        entity: Entity,
        filter: &Filter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, PublishError> {
        let listed = filter.digest(entity, self.known_at);
        let cursor = match after {
            None => None,
            Some(text) => {
                let cursor: ListCursor = cursor::decode(text, "list")?;
                self.check(&cursor.epochs, cursor.snapshot, 0)?;
                if cursor.listed != listed {
                    return Err(PublishError::BadCursor("list"));
                }
                Some(cursor)
            }
        };
        let snapshot = cursor.as_ref().map_or(self.head, |c| c.snapshot);
        let mut items = Vec::new();
        let mut next = None;
        if let Some(listing) = filter.listing(self, entity).await? {
            let listing = Listing { after: cursor.map(|c| c.after), limit: limit.saturating_add(1), ..listing };
            let mut keys = self.listed(&listing).await?;
            if keys.len() > limit as usize {
                keys.truncate(limit as usize);
                next = keys.last().map(|last| {
                    let epochs = self.epochs.clone();
                    cursor::encode(&ListCursor { epochs, snapshot, listed, after: last.clone() })
                });
            }
            items = self.records(entity, &keys).await?;
        }
        Ok(Page {
            items,
            next,
            changes_cursor: self.changes_cursor(snapshot),
            verified_at: self.verified(&filter.rests_on(entity)).await?,
        })
    }

    /// The keys that a listing comes to.
    pub(super) async fn listed(&self, listing: &Listing) -> Result<Vec<Key>, PublishError> {
        Ok(match self.known_at {
            None => self.store.visible_keys(&self.view, listing).await?,
            Some(at) => self.store.visible_keys_at(&self.view, listing, at).await?,
        })
    }

    /// The assembled records of keys, in the order of keys, as far as the shop sees them.
    pub async fn records(&self, entity: Entity, keys: &[Key]) -> Result<Vec<Record>, PublishError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let parts = match self.known_at {
            None => self.store.visible(&self.view, entity, keys).await?,
            Some(at) => self.store.visible_at(&self.view, entity, keys, at).await?,
        };
        let mut records = assemble(parts);
        if entity == Entity::Product {
            let customers: HashSet<Key> = records.iter().flat_map(Record::article_customers).collect();
            let customers: Vec<Key> = customers.into_iter().collect();
            let members = self.store.membership(&self.view.shop, &customers).await?;
            let seen: HashMap<Key, bool> = customers.into_iter().zip(members).collect();
            for record in &mut records {
                record.keep_articles(|customer| seen.get(customer).copied().unwrap_or_default());
            }
        }
        Ok(records)
    }

    /// How old what is read of entities may be.
    pub(super) async fn verified(&self, entities: &[Entity]) -> Result<Verified, PublishError> {
        Ok(Verified::of(self.store.as_ref(), &self.view, entities, self.known_at).await?)
    }

    /// Where what was read goes on in the feed; what was known in the past does not.
    pub(super) fn changes_cursor(&self, sequence: i64) -> Option<String> {
        self.known_at.is_none().then(|| self.feed_cursor(sequence, 0))
    }

    pub(super) fn feed_cursor(&self, sequence: i64, begun: i64) -> String {
        // Beyond what is gone it does not matter any more where it began.
        let begun = if sequence < self.purged { begun } else { 0 };
        cursor::encode(&FeedCursor { epochs: self.epochs.clone(), sequence, begun })
    }

    /// Whether a cursor of these epochs, handed out at this sequence, still holds. One from beyond the feed's end was
    /// handed out by a store that has been restored since; one from before a tombstone that was dropped would miss it,
    /// unless what it goes on with was begun after that.
    pub(super) fn check(&self, epochs: &Epochs, sequence: i64, begun: i64) -> Result<(), PublishError> {
        let complete = sequence.max(begun) >= self.purged;
        if *epochs == self.epochs && sequence <= self.head && complete { Ok(()) } else { Err(PublishError::Gone) }
    }
}
