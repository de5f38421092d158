//! What takes orders: a connection's system, behind a trait, with the limits it is called within.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::retry::Policy;
use crate::config::Retry;
use crate::connector::{CreateClass, Created, Found, Trail};
use crate::queue::Clock;
use crate::store::StoredOrder;

/// How long a create, a search or a probe may take unless the connection says otherwise.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// A system that takes orders. A call that panics or takes too long counts as one whose outcome nobody knows.
#[async_trait]
pub trait OrderTarget: Send + Sync {
    /// How the system treats the same order twice.
    fn class(&self) -> CreateClass;

    /// Hands the order over; what is exchanged is noted in the trail.
    async fn create(&self, order: &StoredOrder, trail: &Trail) -> Created;

    /// Searches the order by our own reference; what is exchanged is noted in the trail.
    async fn find(&self, order: &StoredOrder, trail: &Trail) -> Found;

    /// Whether the system can be reached; otherwise why not.
    async fn probe(&self) -> Result<(), String>;
}

/// A connection that takes orders.
#[derive(Clone)]
pub struct Target {
    /// What is called.
    pub system: Arc<dyn OrderTarget>,
    /// When to try again, and when to give up.
    pub retry: Retry,
    /// How long the answer to an order that was handed over may take before an alarm is raised.
    pub answer_within: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// How many orders this process sends side by side.
    pub concurrency: usize,
}

/// The connections that take orders, by name.
pub type Targets = BTreeMap<String, Target>;

/// What a call came to.
enum Called<T> {
    Done(T),
    /// It did not end in order: why.
    Broken(String),
}

impl Target {
    pub(super) fn policy(&self) -> Policy {
        Policy::new(self.retry)
    }

    pub(super) async fn create(&self, order: &StoredOrder, trail: &Trail, clock: &dyn Clock) -> Created {
        let (system, order, trail) = (Arc::clone(&self.system), order.clone(), trail.clone());
        match self.call(clock, async move { system.create(&order, &trail).await }).await {
            Called::Done(created) => created,
            Called::Broken(reason) => Created::Unknown { reason },
        }
    }

    pub(super) async fn find(&self, order: &StoredOrder, trail: &Trail, clock: &dyn Clock) -> Found {
        let (system, order, trail) = (Arc::clone(&self.system), order.clone(), trail.clone());
        match self.call(clock, async move { system.find(&order, &trail).await }).await {
            Called::Done(found) => found,
            Called::Broken(reason) => Found::Failed { reason, connection_down: false },
        }
    }

    pub(super) async fn probe(&self, clock: &dyn Clock) -> Result<(), String> {
        let system = Arc::clone(&self.system);
        match self.call(clock, async move { system.probe().await }).await {
            Called::Done(reached) => reached,
            Called::Broken(reason) => Err(reason),
        }
    }

    /// Calls the system in a task of its own, which ends with the call: a panic stays there.
    async fn call<T: Send + 'static>(
        &self,
        clock: &dyn Clock,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Called<T> {
        let mut task = JoinSet::new();
        task.spawn(call);
        tokio::select! {
            biased;
            ended = task.join_next() => match ended {
                Some(Ok(value)) => Called::Done(value),
                Some(Err(error)) => Called::Broken(format!("the connector broke off: {error}")),
                None => Called::Broken("the connector did not begin".to_owned()),
            },
            () = clock.sleep(self.timeout) => Called::Broken(format!("no answer within {:?}", self.timeout)),
        }
    }
}
