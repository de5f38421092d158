//! Orders on their way to an ERP, as a store keeps them: the order with its transitions, the outbox of what is to be
//! published, what the ERP answered, and the dead letters.
//!
//! What does not live here: which transition is permitted and what follows from an outcome (`orders`), and how
//! messages travel (`queue`).

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cursor, Lease, OrderCall, OrderCount, OrderFilter, Result, Settled, SettledLetter};
use crate::model::hash::ContentHash;
use crate::model::{Entity, Key};

/// Where an order is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// A shop posted it; no order stays here.
    Received,
    /// A person has to let it through.
    Held,
    /// It waits to be handed to the ERP.
    Queued,
    /// It is being handed over.
    Sending,
    /// It was handed over; the ERP has not answered.
    Submitted,
    /// Nobody can tell whether the ERP has it.
    Unknown,
    /// A person has to find out whether the ERP has it.
    NeedsReview,
    /// The ERP has it under a number of its own.
    Accepted,
    /// The ERP refuses it.
    Rejected,
    /// It is off.
    Cancelled,
    /// Given up in time; a person has to take it up.
    Dead,
}

impl OrderState {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Received,
        Self::Held,
        Self::Queued,
        Self::Sending,
        Self::Submitted,
        Self::Unknown,
        Self::NeedsReview,
        Self::Accepted,
        Self::Rejected,
        Self::Cancelled,
        Self::Dead,
    ];

    /// The name on the wire, in metrics and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Submitted => "submitted",
            Self::Unknown => "unknown",
            Self::NeedsReview => "needs_review",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// The state of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl std::fmt::Display for OrderState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredOrder {
    /// Its identifier, a UUID of version 7: sorts by time.
    pub id: String,
    /// The shop that posted it.
    pub shop: String,
    /// The shop's own number for it, unique within the shop.
    pub reference: String,
    /// Our own reference, fixed at intake, which goes to the ERP: unique, at most 35 characters `[A-Z0-9-]`, sorts by
    /// time.
    pub our_reference: String,
    /// The company that sells.
    pub company: String,
    /// The customer's number.
    pub customer: String,
    /// The connection that gets it.
    pub connection: String,
    /// The canonical order.
    pub content: Value,
    /// The content hash of the order as it was posted.
    #[serde(skip)]
    pub body_hash: ContentHash,
    /// The key by which the shop recognises a repeated request, unique within the shop.
    pub idempotency_key: Option<String>,
    /// Where it is.
    pub state: OrderState,
    /// Where it was before; none while it is where intake put it.
    pub previous: Option<OrderState>,
    /// Counts the changes of its place: a message or a decision made for another generation has no effect.
    pub generation: i64,
    /// Attempts to hand it over that were used up, this one included.
    pub attempt: u32,
    /// How often its next step was put off since it entered its state.
    pub postponed: u32,
    /// The next step is not taken before this instant.
    pub not_before: Option<Timestamp>,
    /// The ERP's number.
    pub erp_number: Option<String>,
    /// Why it is in its state, where there is something to say: the ERP's own words for one it rejected.
    pub reason: Option<String>,
    /// When it was stored, which is when the shop was told so.
    pub accepted_at: Timestamp,
    /// When it entered its state.
    pub changed_at: Timestamp,
    /// Since when attempts count towards giving up: acceptance, or the newest retry by an operator.
    pub pursued_since: Timestamp,
    /// When it was last handed over.
    pub submitted_at: Option<Timestamp>,
    /// Whether the ERP's answer is later than its connection allows.
    pub overdue: bool,
}

/// A transition of an order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// The state left; none for the first.
    pub from: Option<OrderState>,
    /// The state reached.
    pub to: OrderState,
    /// Why.
    pub cause: String,
    /// The attempt it belongs to; 0 before the first.
    pub attempt: u32,
    /// Who made it.
    pub who: String,
}

/// A new order.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    /// The order, in the state in which it is to be stored.
    pub order: StoredOrder,
    /// How it got there.
    pub transitions: Vec<Transition>,
    /// Whether it is to be published for its first attempt, at its `not_before` or at once.
    pub publish: bool,
}

/// What became of a new order.
#[derive(Debug, Clone, PartialEq)]
pub enum Intaken {
    /// It is stored now, as it was given.
    New,
    /// An order with its reference, or with its idempotency key, was there already.
    Existing {
        /// That order.
        order: Box<StoredOrder>,
        /// Whether it was posted with the same body under the same reference and key.
        same: bool,
    },
}

/// One step of an order from state to state.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The state reached.
    pub to: OrderState,
    /// Why.
    pub cause: String,
}

/// What happens to the count of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttemptCount {
    /// It stays.
    #[default]
    Keep,
    /// A fresh attempt begins.
    Take,
    /// The attempt does not count: the connection was down.
    GiveBack,
}

/// A change of an order's place: one compare-and-set on identifier, state and generation, all of it or nothing.
///
/// The generation moves on, messages of earlier generations leave the outbox, `changed_at` becomes `at`, an alarm is
/// over, and `not_before` becomes `publish_at`.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// The order.
    pub id: String,
    /// The state it must be in.
    pub from: OrderState,
    /// The generation it must have.
    pub generation: i64,
    /// The states it passes, the last of them the one it stays in; each is a transition.
    pub steps: Vec<Step>,
    /// When.
    pub at: Timestamp,
    /// Who does it.
    pub who: String,
    /// What happens to the count of attempts.
    pub attempts: AttemptCount,
    /// The reason to be shown from now on.
    pub reason: Option<String>,
    /// The ERP's number, where it became known.
    pub erp_number: Option<String>,
    /// When it was handed over, where it was.
    pub submitted_at: Option<Timestamp>,
    /// From when on attempts count towards giving up, where that begins anew.
    pub pursued_since: Option<Timestamp>,
    /// When the order is to be published for its next step; none where no step is due.
    pub publish_at: Option<Timestamp>,
    /// What was exchanged with the ERP and led to the change.
    pub calls: Vec<OrderCall>,
}

/// What the ERP says about one line of an order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineAnswer {
    /// The line's number in the order.
    pub line: String,
    /// The canonical order status line.
    pub content: Value,
    /// When it was stored.
    pub changed_at: Timestamp,
}

/// A shipment or an invoice that names an order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrderDocument {
    /// Shipment or invoice.
    pub entity: Entity,
    /// Its key.
    pub key: Key,
}

/// An answer of the ERP that does not fit what is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// The connection it came from.
    pub connection: String,
    /// The kind of the record.
    pub entity: Entity,
    /// The record's key.
    pub key: Key,
    /// The order it is about, where there is one.
    pub order: Option<String>,
    /// What does not fit, and what to do.
    pub reason: String,
    /// The record.
    pub content: Value,
    /// When it was found.
    pub at: Timestamp,
}

/// A message of the outbox: that an order's next step is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The order.
    pub order: String,
    /// The generation it was written for.
    pub generation: i64,
}

/// A message of the outbox with what the relay needs to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The message.
    pub message: Message,
    /// How often it was published already.
    pub publications: u32,
}

/// A message that was taken out of circulation because what it is about cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Its identifier; sorts by time.
    pub id: String,
    /// The connection whose queue it was in.
    pub connection: String,
    /// The message, as far as it could be read.
    pub message: Option<Message>,
    /// Its bytes.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// What is wrong.
    pub reason: String,
    /// When it was taken out.
    pub at: Timestamp,
}

/// Orders and their transitions.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Stores a new order with its transitions and, where it is to be published, its message in the outbox, all or
    /// nothing; or says which order has its reference or idempotency key already.
    async fn accept(&self, order: &NewOrder) -> Result<Intaken>;

    /// Changes an order's place with its transitions and its next message in the outbox. Nothing, and no answer,
    /// where the order is not in that state and generation any more.
    async fn advance(&self, advance: &Advance) -> Result<Option<StoredOrder>>;

    /// Like [`Self::advance`], for the one who is about to act on the order and notes his lease with it: also nothing
    /// while its `not_before` is after the change's time, or while its connection is paused. Refused as [`super::StoreError::Fenced`] where the lease is lost.
    async fn claim(&self, advance: &Advance, lease: &Lease) -> Result<Option<StoredOrder>>;

    /// Orders after an identifier that are `sending` under a lease that has run out, or under this one.
    async fn abandoned(&self, own: Option<&Lease>, after: &str, limit: u32) -> Result<Vec<StoredOrder>>;

    /// Puts off the next step of an order that stays in its state: a new generation with a message of its own. Nothing
    /// where the order is not in that state and generation any more.
    async fn postpone(
        &self,
        id: &str,
        state: OrderState,
        generation: i64,
        until: Timestamp,
        reason: &str,
    ) -> Result<Option<StoredOrder>>;

    /// An order.
    async fn order(&self, id: &str) -> Result<Option<StoredOrder>>;

    /// The order of a shop by the shop's reference.
    async fn order_by_reference(&self, shop: &str, reference: &str) -> Result<Option<StoredOrder>>;

    /// The order of a shop by its idempotency key.
    async fn order_by_key(&self, shop: &str, key: &str) -> Result<Option<StoredOrder>>;

    /// The order by our own reference.
    async fn order_by_our_reference(&self, reference: &str) -> Result<Option<StoredOrder>>;

    /// The orders of a connection's company that have an ERP number.
    async fn orders_by_erp_number(&self, connection: &str, company: &str, number: &str) -> Result<Vec<StoredOrder>>;

    /// Orders, the newest first.
    async fn orders(&self, filter: &OrderFilter) -> Result<Vec<StoredOrder>>;

    /// An order's transitions, the oldest first.
    async fn transitions(&self, id: &str) -> Result<Vec<Transition>>;

    /// How many orders are in which state, by connection.
    async fn order_counts(&self) -> Result<Vec<OrderCount>>;

    /// Orders of a connection in these states that are pursued since before an instant, the oldest first.
    async fn pursued_since_before(
        &self,
        connection: &str,
        states: &[OrderState],
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredOrder>>;

    /// Flags the submitted orders of a connection that were handed over before an instant and are not flagged yet as
    /// overdue, and says which: each once for each time it was handed over.
    async fn flag_overdue(&self, connection: &str, submitted_before: Timestamp) -> Result<Vec<StoredOrder>>;
}

/// What the ERP said about orders, beside their state.
#[async_trait]
pub trait Answers: Send + Sync {
    /// How far a consumer has read the feed.
    async fn position(&self, consumer: &str) -> Result<Option<Cursor>>;

    /// Notes how far a consumer has read the feed.
    async fn save_position(&self, consumer: &str, position: &Cursor) -> Result<()>;

    /// Stores what the ERP says about an order's lines, in place of what it said before.
    async fn save_lines(&self, order: &str, lines: &[LineAnswer]) -> Result<()>;

    /// What the ERP says about an order's lines.
    async fn lines(&self, order: &str) -> Result<Vec<LineAnswer>>;

    /// Stores which ERP orders of a connection shipments and invoices name, in place of what they named before.
    async fn save_documents(&self, connection: &str, documents: &[(OrderDocument, Vec<String>)]) -> Result<()>;

    /// The shipments and invoices that name an ERP order of a connection's company.
    async fn documents(&self, connection: &str, company: &str, number: &str) -> Result<Vec<OrderDocument>>;

    /// Notes an answer that does not fit; the same record again replaces it.
    async fn save_conflict(&self, conflict: &Conflict) -> Result<()>;

    /// Takes back what was noted about a record; whether anything was.
    async fn clear_conflict(&self, connection: &str, entity: Entity, key: &Key) -> Result<bool>;

    /// Answers that do not fit, the newest first: about one order, or all.
    async fn conflicts(&self, order: Option<&str>, limit: u32) -> Result<Vec<Conflict>>;
}

/// The outbox: what is still to be published, and the dead letters.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Connections with messages that are due.
    async fn due_connections(&self, now: Timestamp) -> Result<Vec<String>>;

    /// A connection's messages that are due, those that wait longest first: new ones, and published ones that nobody
    /// acted on in time.
    async fn due(&self, connection: &str, now: Timestamp, limit: u32) -> Result<Vec<Due>>;

    /// When the next message becomes due.
    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>>;

    /// Notes that messages were published, each with the instant at which it is published again should nobody have
    /// acted on it.
    async fn published(&self, at: Timestamp, messages: &[(Message, Timestamp)]) -> Result<()>;

    /// Makes every published message due again: for a queue that forgets at the end of the process.
    async fn republish_all(&self) -> Result<u64>;

    /// Writes the missing messages of orders in these states: whoever is to take a step is to hear of it. Buried ones
    /// stay buried.
    async fn replenish(&self, states: &[OrderState], now: Timestamp) -> Result<u64>;

    /// Takes a message out of circulation and keeps it as a dead letter.
    async fn bury(&self, letter: &DeadLetter) -> Result<()>;

    /// Dead letters that are not settled, after an identifier, in the order of identifiers.
    async fn dead_letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>>;

    /// A dead letter that is not settled.
    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>>;

    /// Settles a dead letter; one that is retried has its message go back to the outbox where the order still waits for it.
    /// Whether it was there and not settled yet.
    async fn settle_dead_letter(&self, id: &str, settled: &Settled) -> Result<bool>;

    /// Dead letters that were settled, the newest first.
    async fn settled_letters(&self, limit: u32) -> Result<Vec<SettledLetter>>;
}
