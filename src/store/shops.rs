//! What shops see, as a store keeps and reads it: which customers are in a shop's scope, pages of what it sees, and its
//! view of the feed.
//!
//! A shop sees the records of its companies and connections. Of what is about one customer (his prices, credit, orders,
//! article numbers) it sees what is about customers in its scope. What is about groups and everyone it sees all of.
//!
//! What does not live here: judging whether a customer is in a scope (`sync`), and what a record looks like to a shop
//! (`publish`).

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::{Part, Result};
use crate::model::hash::ContentHash;
use crate::model::{Entity, Key};

/// What a shop sees, beside the customers in its scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The shop's name.
    pub shop: String,
    /// The companies whose records it sees.
    pub companies: Vec<String>,
    /// The connections whose records it sees.
    pub connections: Vec<String>,
    /// The warehouses whose stock it sees; none: all.
    pub warehouses: Option<Vec<String>>,
}

/// The scope that a shop's memberships were judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopScope {
    /// The digest of its rules.
    pub digest: String,
    /// The epoch of the cursors handed out under them.
    pub epoch: String,
    /// The highest sequence of a tombstone that the store has dropped: who follows from before it would miss it.
    pub purged: i64,
}

/// Whether a customer is in a shop's scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The customer.
    pub key: Key,
    /// The hash of the content that was judged.
    pub hash: ContentHash,
    /// Whether it is in scope.
    pub member: bool,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The entity.
    pub entity: Entity,
    /// The company, where only one is asked for.
    pub company: Option<String>,
    /// Whom the records are about, as the store indexes it; empty: whomever.
    pub who: Vec<String>,
    /// What they are about; empty: whatever.
    pub what: Vec<String>,
    /// What else must hold; all of it.
    pub conditions: Vec<Condition>,
    /// After this key.
    pub after: Option<Key>,
    /// At most so many.
    pub limit: u32,
}

/// What a listed record must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The number.
    Number(String),
    /// A group among its groups: customers and products.
    Group(String),
    /// A GTIN, its own or that of one of its packagings: products.
    Gtin(String),
    /// A status: products.
    Status(String),
    /// A warehouse: stock.
    Warehouse(String),
    /// Validity on a day: price agreements.
    ValidOn(Date),
}

/// A change as a shop sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopChange {
    /// The sequence.
    pub sequence: i64,
    /// The entity.
    pub entity: Entity,
    /// Its key.
    pub key: Key,
    /// Whether the shop sees it now; otherwise it may have seen it and does not any more.
    pub visible: bool,
    /// When it changed.
    pub changed_at: Timestamp,
}

/// A page of the feed as a shop sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopChanges {
    /// The changes, in the order of their sequences.
    pub changes: Vec<ShopChange>,
    /// Up to where the feed has been looked through.
    pub sequence: i64,
    /// Whether there are more.
    pub more: bool,
}

/// Shops' scopes and what lies within them.
#[async_trait]
pub trait Shops: Send + Sync {
    /// The scope that the shop's memberships were judged by; none before the first time.
    async fn scope(&self, shop: &str) -> Result<Option<ShopScope>>;

    /// Sets the membership of some customers, of each only where its content is still what was judged.
    async fn rescope(&self, shop: &str, page: &[Judged]) -> Result<()>;

    /// Ends a judging of every customer: the scope is the one with this digest now, and earlier cursors of the shop are
    /// void.
    async fn finish_rescope(&self, shop: &str, digest: &str) -> Result<()>;

    /// Forgets by which scopes the memberships of all other shops were judged: such a shop is judged anew when it is
    /// back.
    async fn keep_scopes(&self, shops: &[String]) -> Result<()>;

    /// Which of the customers are in the shop's scope, in the order asked.
    async fn membership(&self, shop: &str, customers: &[Key]) -> Result<Vec<bool>>;

    /// The parts that the shop sees of the entities with these keys, by key and main part first. Of an entity that it
    /// does not see there are none.
    async fn visible(&self, view: &View, entity: Entity, keys: &[Key]) -> Result<Vec<Part>>;

    /// Keys of entities that the shop sees, in their order.
    async fn visible_keys(&self, view: &View, listing: &Listing) -> Result<Vec<Key>>;

    /// Changes that the shop sees after a sequence, in its order, of some entities (none named: of all). What it saw
    /// and does not see any more is among them; what it never could see is not.
    async fn visible_changes(&self, view: &View, after: i64, entities: &[Entity], limit: u32) -> Result<ShopChanges>;
}
