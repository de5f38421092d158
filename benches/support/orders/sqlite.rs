//! The statements of an order's life with SQLite, and nothing around them: the store's own calls in a loop, which execute the
//! same statements with the same commits and settings as in the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tradebridge::model::{Entity, Key};
use tradebridge::orders::state::{Event, change};
use tradebridge::store::{
    AttemptCount, Intaken, Lease, Leases as _, Message, NewOrder, OpenOptions, OrderFilter, OrderState, Orders as _,
    Outbox as _, Parts as _, Shops as _, SqlStore, StoredOrder, Transition,
};

use super::super::Outcome;

/// How much of an order's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// What comes before it is accepted.
    Intake,
    /// From the shop's request to the ERP's answer.
    Life,
}

/// A store, and an order as the daemon took it in.
pub struct Bare {
    store: Arc<SqlStore>,
    order: StoredOrder,
    transitions: Vec<Transition>,
    lease: Lease,
    number: AtomicU64,
}

impl Bare {
    /// Opens a store in which there is an order.
    pub async fn open(url: &str) -> Outcome<Self> {
        let store = Arc::new(SqlStore::open(&url.parse()?, &OpenOptions::default()).await?);
        let newest = store.orders(&OrderFilter { limit: 1, ..OrderFilter::default() }).await?;
        let order = newest.into_iter().next().ok_or("there is no order")?;
        let mut transitions = store.transitions(&order.id).await?;
        transitions.truncate(2);
        let lease = store.take_lease("sender/bench").await?.ok_or("somebody has the lease")?;
        let order = StoredOrder {
            state: OrderState::Queued,
            previous: Some(OrderState::Received),
            generation: 1,
            attempt: 0,
            not_before: None,
            erp_number: None,
            reason: None,
            ..order
        };
        Ok(Self { store, order, transitions, lease, number: AtomicU64::new(0) })
    }

    /// How many orders a second, by so many at once.
    pub async fn rate(self: &Arc<Self>, share: Share, at_once: usize, time: Duration) -> Outcome<f64> {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..at_once)
            .map(|_| {
                let bare = Arc::clone(self);
                tokio::spawn(async move {
                    let mut orders = 0_u64;
                    while begun.elapsed() < time {
                        bare.one(share).await?;
                        orders += 1;
                    }
                    Outcome::Ok(orders)
                })
            })
            .collect();
        let mut orders = 0;
        for task in tasks {
            orders += task.await??;
        }
        Ok(orders as f64 / begun.elapsed().as_secs_f64())
    }

    pub async fn close(self: Arc<Self>) {
        self.store.close().await;
    }

    async fn one(&self, share: Share) -> Outcome<()> {
        let store = &self.store;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let now = Timestamp::now();
        let mut order = self.order.clone();
        order.id = uuid::Uuid::now_v7().to_string();
        order.reference = format!("BARE-{number}");
        order.our_reference = format!("TB-{}", order.id);
        (order.accepted_at, order.changed_at, order.pursued_since) = (now, now, now);

        let customer = Key::new(order.company.clone(), order.customer.clone());
        store.order_by_reference(&order.shop, &order.reference).await?;
        store.parts(Entity::Customer, std::slice::from_ref(&customer)).await?;
        store.membership(&order.shop, std::slice::from_ref(&customer)).await?;
        let lines = order.content["lines"].as_array().into_iter().flatten();
        let products = lines.filter_map(|line| line["product"].as_str());
        let products: Vec<Key> = products.map(|product| Key::new(order.company.clone(), product)).collect();
        store.parts(Entity::Product, &products).await?;
        let new = NewOrder { order, transitions: self.transitions.clone(), publish: true };
        if store.accept(&new).await? != Intaken::New {
            return Err("the order was there already".into());
        }
        if share == Share::Intake {
            return Ok(());
        }

        let order = new.order;
        let message = Message { order: order.id.clone(), generation: order.generation };
        store.due_connections(now).await?;
        store.due(&order.connection, now, 100).await?;
        store.published(now, &[(message, now + Duration::from_mins(1))]).await?;
        store.next_due(now).await?;

        let order = store.order(&order.id).await?.ok_or("the order is gone")?;
        let mut claim = change(&order, [(Event::Attempt, "an attempt begins")], "tradebridge", now)?;
        claim.attempts = AttemptCount::Take;
        let order = store.claim(&claim, &self.lease).await?.ok_or("the order is another one's")?;
        store.parts(Entity::Customer, std::slice::from_ref(&customer)).await?;
        let cause = format!("the ERP has it under SO-{number}");
        let mut accepted = change(&order, [(Event::Accepted, cause.as_str())], "tradebridge", now)?;
        accepted.erp_number = Some(format!("SO-{number}"));
        store.advance(&accepted).await?.ok_or("the order is another one's")?;
        Ok(())
    }
}
