//! The order path as the daemon runs it: the relay, a sender for each connection, the answers and the deadlines, each
//! a task whose end is noticed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::context::{Context, Pause};
use super::crash::broken_off;
use super::presence::Presence;
use super::sender::Sender;
use super::target::Targets;
use super::{answers, deadlines, events, given_up};
use crate::queue::{Clock, Queue, Relay, Wake};
use crate::store::{OrderState, Result, Store};

/// How long a task that broke off is left alone.
const REST: Duration = Duration::from_secs(5);

/// How often it is looked which connections are paused.
const LOOK: Duration = Duration::from_secs(1);

/// The order path.
pub struct Orders {
    context: Arc<Context>,
}

/// A task of the order path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Task {
    Presence,
    Pauses,
    Queue,
    Relay,
    Answers,
    Deadlines,
    GivenUp,
    Events,
    Sender(String),
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Orders {
    /// An order path over a store and a queue, to these connections.
    pub fn new(
        store: Arc<dyn Store>,
        queue: Arc<dyn Queue>,
        wake: Arc<Wake>,
        clock: Arc<dyn Clock>,
        targets: Targets,
    ) -> Self {
        let targets = watch::Sender::new(Arc::new(targets));
        let presence = Presence::new(Arc::clone(&store));
        let in_hand = Arc::default();
        let (pauses, told_to_wait) = (Mutex::default(), watch::Sender::default());
        Self {
            context: Arc::new(Context { store, queue, wake, clock, presence, in_hand, targets, pauses, told_to_wait }),
        }
    }

    /// Takes other connections, or the same ones otherwise configured, from the next order on. The order in hand goes
    /// on with what it began with.
    pub fn set_targets(&self, targets: Targets) {
        self.context.targets.send_replace(Arc::new(targets));
        self.context.wake.orders_changed();
    }

    /// The connections whose orders wait until they can be reached again.
    pub fn paused(&self) -> BTreeMap<String, Pause> {
        self.context.pauses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs the order path until the shutdown; then every task ends after the order in hand. What was under way when
    /// this future is dropped is found out about at the next start.
    ///
    /// # Errors
    /// The store fails before the start. Later failures are logged and tried again.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) -> Result<()> {
        self.start().await?;
        let mut targets = self.context.targets.subscribe();
        let mut tasks = JoinSet::new();
        let mut names: HashMap<Id, Task> = HashMap::new();
        let always = [
            Task::Presence,
            Task::Pauses,
            Task::Queue,
            Task::Relay,
            Task::Answers,
            Task::Deadlines,
            Task::GivenUp,
            Task::Events,
        ];
        for task in always {
            self.spawn(task, Duration::ZERO, &shutdown, &mut tasks, &mut names);
        }
        loop {
            let sending: HashSet<Task> = names.values().cloned().collect();
            let wanted: Vec<Task> = targets.borrow_and_update().keys().cloned().map(Task::Sender).collect();
            for task in wanted.into_iter().filter(|task| !sending.contains(task)) {
                self.spawn(task, Duration::ZERO, &shutdown, &mut tasks, &mut names);
            }
            let ended = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                ended = tasks.join_next_with_id() => ended,
                _ = targets.changed() => None,
            };
            let Some(ended) = ended else { continue };
            let (id, broken) = match ended {
                Ok((id, ())) => (id, None),
                Err(error) => (error.id(), Some(error.to_string())),
            };
            let Some(task) = names.remove(&id) else { continue };
            // A sender whose connection takes no orders any more ends by itself.
            if let Some(error) = broken {
                tracing::error!(?task, error, "a task of the order path broke off; it begins again");
                self.spawn(task, REST, &shutdown, &mut tasks, &mut names);
            }
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the order path broke off during the shutdown");
            }
        }
        Ok(())
    }

    /// Brings the store to where work can begin: what happens to orders is told where it can be, attempts that broke off are in doubt, every order whose next step is
    /// due has its message, and time has done what it does.
    async fn start(&self) -> Result<()> {
        let Context { store, queue, clock, .. } = self.context.as_ref();
        self.context.read_pauses().await?;
        // Before anything moves an order.
        store.keep_order_events(queue.broker().is_some()).await?;
        doubt_broken_off(&self.context).await?;
        let missing = store.replenish(&[OrderState::Queued, OrderState::Unknown], clock.now()).await?;
        if missing > 0 {
            tracing::warn!(orders = missing, "orders without a message in the outbox have one again");
        }
        if !queue.durable() {
            store.republish_all().await?;
        }
        deadlines::pass(&self.context).await?;
        self.warn_of_strays().await
    }

    /// Orders for connections that take none: nothing happens to them until the configuration says otherwise.
    async fn warn_of_strays(&self) -> Result<()> {
        for count in self.context.store.order_counts().await? {
            let waits = matches!(count.state, OrderState::Queued | OrderState::Unknown);
            if waits && self.context.target(&count.connection).is_none() {
                tracing::warn!(
                    connection = count.connection,
                    orders = count.count,
                    state = count.state.name(),
                    "orders wait for a connection that is not configured to take orders"
                );
            }
        }
        Ok(())
    }

    fn spawn(
        &self,
        task: Task,
        rest: Duration,
        shutdown: &watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
        names: &mut HashMap<Id, Task>,
    ) {
        let context = Arc::clone(&self.context);
        let mut stopped = shutdown.clone();
        let shutdown = shutdown.clone();
        let work: Work = match task.clone() {
            Task::Presence => Box::pin(be_present(Arc::clone(&context), shutdown)),
            Task::Pauses => Box::pin(follow_pauses(Arc::clone(&context), shutdown)),
            Task::Queue => Box::pin(keep_queue(Arc::clone(&context), shutdown)),
            Task::Relay => {
                let relay = Relay {
                    store: Arc::clone(&context.store),
                    queue: Arc::clone(&context.queue),
                    wake: Arc::clone(&context.wake),
                    clock: Arc::clone(&context.clock),
                };
                Box::pin(async move { relay.run(shutdown).await })
            }
            Task::Answers => Box::pin(answers::run(Arc::clone(&context), shutdown)),
            Task::Deadlines => Box::pin(deadlines::run(Arc::clone(&context), shutdown)),
            Task::GivenUp => Box::pin(given_up::run(Arc::clone(&context), shutdown)),
            Task::Events => Box::pin(events::run(Arc::clone(&context), shutdown)),
            Task::Sender(connection) => Box::pin(Sender::new(Arc::clone(&context), connection, shutdown).run()),
        };
        let handle = tasks.spawn(async move {
            if !rest.is_zero() {
                tokio::select! {
                    () = context.clock.sleep(rest) => {}
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
            }
            work.await;
        });
        names.insert(handle.id(), task);
    }
}

/// Shows the other processes that this one lives, and looks for the orders of those that do not, while there are
/// connections that take orders.
async fn be_present(context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    let mut targets = context.targets.subscribe();
    loop {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => return,
            _ = targets.wait_for(|targets| !targets.is_empty()) => {}
        }
        let seen = async {
            context.presence.renew().await?;
            doubt_broken_off(&context).await
        };
        if let Err(error) = seen.await {
            tracing::warn!(%error, "other processes cannot be shown that this one lives; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(context.presence.period()) => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }
}

/// Notices which connections a person pauses and resumes, at this process or another one.
async fn follow_pauses(context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    loop {
        if let Err(error) = context.read_pauses().await {
            tracing::warn!(%error, "which connections are paused cannot be read; what was known of it stays");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

/// What became of attempts that broke off is to be found out.
async fn doubt_broken_off(context: &Context) -> Result<()> {
    let broken = broken_off(context).await?;
    if broken > 0 {
        tracing::warn!(orders = broken, "attempts broke off; what became of them is found out");
    }
    Ok(())
}

/// Keeps the queue working, for the connections that take orders as they are configured.
async fn keep_queue(context: Arc<Context>, shutdown: watch::Receiver<bool>) {
    let mut targets = context.targets.subscribe();
    let names = |targets: &Targets| targets.keys().cloned().collect::<Vec<_>>();
    let connections = watch::Sender::new(names(&targets.borrow_and_update()));
    let running = context.queue.run(connections.subscribe(), shutdown);
    tokio::pin!(running);
    loop {
        tokio::select! {
            () = &mut running => return,
            Ok(()) = targets.changed() => {
                connections.send_replace(names(&targets.borrow_and_update()));
            }
        }
    }
}
