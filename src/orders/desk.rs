//! What people do about orders: look at them, let them through, call them off, have them taken up again, say what
//! became of them. Every act is a transition with who did it.

use std::sync::Arc;

use serde::Serialize;

use super::state::{Event, change};
use super::tell_change;
use crate::queue::{Clock, Wake};
use crate::store::{
    Advance, Conflict, LineAnswer, OrderCall, OrderDocument, OrderFilter, OrderState, Store, StoreError, StoredOrder,
    Transition,
};

/// Orders changed by one step of recovering.
const PAGE: u32 = 200;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A shop, by its name: sees its own orders alone.
    Shop(String),
    /// A person with the right to operate the daemon, by the name of the key or the login.
    Operator(String),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shop(name) => write!(f, "shop {name}"),
            Self::Operator(name) => write!(f, "operator {name}"),
        }
    }
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// There is no such order, or the shop does not see it.
    #[error("there is no order {0}; `tradebridge orders list` shows the orders")]
    NoOrder(String),
    /// There is no such dead letter.
    #[error("there is no dead letter {0}; `tradebridge dead list` shows them")]
    NoLetter(String),
    /// The order's state does not allow it.
    #[error("order {id} is {state}: it cannot be {act}; {help}")]
    NotNow {
        /// The order.
        id: String,
        /// Its state.
        state: OrderState,
        /// What was to be done, as a past participle.
        act: &'static str,
        /// What can be done instead.
        help: &'static str,
    },
    /// The shop may not do it.
    #[error("order {id} cannot be {act} by the shop: {why}")]
    NotYours {
        /// The order.
        id: String,
        /// What was to be done, as a past participle.
        act: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// It is no message that could be published once more.
    #[error(
        "dead letter {0} cannot be taken up again: it is an order that was not taken in, or a message for no connection; have \
         the shop send the order again, then `tradebridge dead drop {0}`"
    )]
    NotAgain(String),
    /// The ERP's number belongs to another order.
    #[error("the ERP's number {number} belongs to order {order} already; look it up in the ERP once more")]
    NumberTaken {
        /// The number.
        number: String,
        /// The order that has it.
        order: String,
    },
    /// A decision needs words.
    #[error("say why, in a few words: it stays as a trace")]
    NoReason,
    /// The ERP's number is none.
    #[error("an ERP number is needed, as the ERP shows it")]
    NoNumber,
    /// The order changed at the same moment.
    #[error("order {0} changed just now; look at it again")]
    Changed(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An order with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// The order.
    #[serde(flatten)]
    pub order: StoredOrder,
    /// How it got where it is, the oldest first.
    pub transitions: Vec<Transition>,
    /// What the ERP says about its lines.
    pub lines: Vec<LineAnswer>,
    /// Shipments and invoices that name it.
    pub documents: Vec<OrderDocument>,
    /// Answers that do not fit it.
    pub conflicts: Vec<Conflict>,
    /// The last calls of the ERP over it, the oldest first, with what was exchanged; for operators alone.
    pub calls: Vec<OrderCall>,
}

/// The desk where orders are looked after.
pub struct Desk {
    pub(super) store: Arc<dyn Store>,
    pub(super) wake: Arc<Wake>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Desk {
    /// A desk over a store; `wake` is told of every change.
    pub fn new(store: Arc<dyn Store>, wake: Arc<Wake>, clock: Arc<dyn Clock>) -> Self {
        Self { store, wake, clock }
    }

    /// Orders, the newest first; a shop's own alone.
    pub async fn list(&self, filter: &OrderFilter, actor: &Actor) -> Result<Vec<StoredOrder>, DeskError> {
        let mut filter = filter.clone();
        if let Actor::Shop(name) = actor {
            filter.shop = Some(name.clone());
        }
        Ok(self.store.orders(&filter).await?)
    }

    /// An order with all that is known of it.
    pub async fn show(&self, id: &str, actor: &Actor) -> Result<Shown, DeskError> {
        let order = self.order(id, actor).await?;
        let documents = match &order.erp_number {
            Some(number) => self.store.documents(&order.connection, &order.company, number).await?,
            None => Vec::new(),
        };
        let calls = match actor {
            Actor::Operator(_) => self.store.calls(id).await?,
            Actor::Shop(_) => Vec::new(),
        };
        Ok(Shown {
            calls,
            transitions: self.store.transitions(id).await?,
            lines: self.store.lines(id).await?,
            conflicts: self.store.conflicts(Some(id), 100).await?,
            documents,
            order,
        })
    }

    /// Lets a held order through.
    ///
    /// # Errors
    /// [`DeskError::NotYours`] for a shop: what is held is held by the supplier's rules.
    pub async fn approve(&self, id: &str, actor: &Actor) -> Result<StoredOrder, DeskError> {
        let order = self.order(id, actor).await?;
        if matches!(actor, Actor::Shop(_)) {
            let why = "the supplier has to let it through; ask them";
            return Err(DeskError::NotYours { id: order.id, act: "approved", why });
        }
        let mut advance = self.step(&order, Event::Approve, "approved", actor, "only a held order needs approval")?;
        advance.publish_at = Some(advance.at);
        advance.pursued_since = Some(advance.at);
        self.commit(advance).await
    }

    /// Calls an order off: one that is held or queued, and by an operator also one that needs a review or is dead.
    pub async fn cancel(&self, id: &str, actor: &Actor) -> Result<StoredOrder, DeskError> {
        self.call_off(id, None, actor).await
    }

    /// Calls an order off, with why.
    pub(super) async fn call_off(&self, id: &str, why: Option<&str>, actor: &Actor) -> Result<StoredOrder, DeskError> {
        let order = self.order(id, actor).await?;
        if matches!(actor, Actor::Shop(_)) && matches!(order.state, OrderState::NeedsReview | OrderState::Dead) {
            let why = "the ERP may have it already; ask the supplier";
            return Err(DeskError::NotYours { id: order.id, act: "cancelled", why });
        }
        let help = match order.state {
            OrderState::Sending | OrderState::Unknown | OrderState::Submitted => {
                "the ERP may have it; wait for what becomes of it, or cancel it in the ERP"
            }
            OrderState::Accepted => "the ERP has it; cancel it there, and the answer cancels it here",
            _ => "it is over",
        };
        let mut advance = self.step(&order, Event::Cancel, "cancelled", actor, help)?;
        if let (Some(why), Some(step)) = (why, advance.steps.last_mut()) {
            step.cause = format!("dropped: {why}");
            advance.reason = Some(why.to_owned());
        }
        self.commit(advance).await
    }

    /// Has an order taken up again that was rejected, given up or needs a review. What became of earlier attempts is
    /// found out first, unless it was never sent. For one that needs a review this says that a person looked and found
    /// nothing: it is sent again unless the ERP shows it.
    pub async fn retry(&self, id: &str, actor: &Actor) -> Result<StoredOrder, DeskError> {
        let order = self.order(id, actor).await?;
        if matches!(actor, Actor::Shop(_)) {
            return Err(DeskError::NotYours { id: order.id, act: "retried", why: "only an operator retries orders" });
        }
        let never_sent = order.state == OrderState::Dead && order.previous == Some(OrderState::Queued);
        let event = if never_sent { Event::Requeue } else { Event::Retry };
        let help = "only a rejected or dead order and one that needs a review can be; the others go on by themselves \
                    or are over";
        let mut advance = self.step(&order, event, "retried", actor, help)?;
        advance.publish_at = Some(advance.at);
        advance.pursued_since = Some(advance.at);
        self.commit(advance).await
    }

    /// Says that the ERP has an order that needs a review, under this number.
    pub async fn resolve(&self, id: &str, number: &str, actor: &Actor) -> Result<StoredOrder, DeskError> {
        let order = self.order(id, actor).await?;
        if matches!(actor, Actor::Shop(_)) {
            return Err(DeskError::NotYours { id: order.id, act: "resolved", why: "only an operator resolves orders" });
        }
        let number = number.trim();
        if number.is_empty() {
            return Err(DeskError::NoNumber);
        }
        // Answers reach other states too, a person decides only about a review.
        let help = "only an order that needs a review can be";
        if order.state != OrderState::NeedsReview {
            return Err(DeskError::NotNow { id: order.id, state: order.state, act: "resolved", help });
        }
        let taken = self.store.orders_by_erp_number(&order.connection, &order.company, number).await?;
        if let Some(other) = taken.iter().find(|other| other.id != order.id) {
            return Err(DeskError::NumberTaken { number: number.to_owned(), order: other.id.clone() });
        }
        let mut advance = self.step(&order, Event::Accepted, "resolved", actor, help)?;
        if let Some(step) = advance.steps.last_mut() {
            step.cause = format!("resolved as created under {number}");
        }
        advance.erp_number = Some(number.to_owned());
        self.commit(advance).await
    }

    /// After a restore from a backup: sends every open order through `unknown`, since the ERP may know more than the
    /// store does. How many. Those being sent go there by themselves when the daemon starts, and are left alone where it
    /// runs.
    pub async fn recover(&self, actor: &Actor) -> Result<u64, DeskError> {
        let cause = "the store was restored from a backup";
        let mut recovered = 0;
        let states = vec![OrderState::Held, OrderState::Queued, OrderState::Submitted];
        let mut filter = OrderFilter { states, limit: PAGE, ..OrderFilter::default() };
        loop {
            let page = self.store.orders(&filter).await?;
            let Some(last) = page.last() else { return Ok(recovered) };
            filter.before = Some(last.id.clone());
            for order in &page {
                let mut advance = self.step(order, Event::Recover, "recovered", actor, "it is not open")?;
                for step in &mut advance.steps {
                    cause.clone_into(&mut step.cause);
                }
                advance.publish_at = Some(advance.at);
                advance.pursued_since = Some(advance.at);
                match self.commit(advance).await {
                    Ok(_) => recovered += 1,
                    // Whoever changed it knew of the restored store.
                    Err(DeskError::Changed(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn order(&self, id: &str, actor: &Actor) -> Result<StoredOrder, DeskError> {
        let order = self.store.order(id).await?;
        order
            .filter(|order| match actor {
                Actor::Shop(name) => order.shop == *name,
                Actor::Operator(_) => true,
            })
            .ok_or_else(|| DeskError::NoOrder(id.to_owned()))
    }

    fn step(
        &self,
        order: &StoredOrder,
        event: Event,
        act: &'static str,
        actor: &Actor,
        help: &'static str,
    ) -> Result<Advance, DeskError> {
        change(order, [(event, act)], &actor.to_string(), self.clock.now()).map_err(|refused| DeskError::NotNow {
            id: order.id.clone(),
            state: refused.from,
            act,
            help,
        })
    }

    async fn commit(&self, advance: Advance) -> Result<StoredOrder, DeskError> {
        let after = self.store.advance(&advance).await?.ok_or_else(|| DeskError::Changed(advance.id.clone()))?;
        tell_change(&advance, &after);
        self.wake.orders_changed();
        Ok(after)
    }
}
