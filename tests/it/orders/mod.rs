//! The order path over a real store, with a system that fails in every way it can: never lost, never twice.

mod answers;
mod broker;
mod crash;
mod desk;
mod events;
pub(crate) mod home;
mod intake;
mod messages;
mod sending;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::store::{lease, new_id, run};
use async_trait::async_trait;
use home::Home;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tradebridge::config::{Retry, Shop};
use tradebridge::connector::{CreateClass, Created, Found, Trail};
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Content, Key, PartKind};
use tradebridge::orders::{
    Accepted, Actor, CustomerScope, Desk, Intake, IntakeError, OrderTarget, Orders, Target, Targets,
};
use tradebridge::queue::{Clock, Queue, Wake};
use tradebridge::store::{
    Difference, OrderState, Page, Recognised, Result, Run, RunState, Store, StoredOrder, Transition,
};

/// How long a call may take by the bridge's clock.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How late a `bounded` create can take effect.
const SETTLE: Duration = Duration::from_mins(10);

/// When a create that is late takes effect.
const ALMOST: Duration = Duration::from_mins(9);

/// The guard against waiting for ever; no part of what is asserted.
const PATIENCE: Duration = Duration::from_mins(1);

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct TestClock {
    time: watch::Sender<Timestamp>,
    /// Counts how often somebody began to wait.
    waits: watch::Sender<u64>,
}

impl TestClock {
    fn new(now: Timestamp) -> Self {
        Self { time: watch::Sender::new(now), waits: watch::Sender::new(0) }
    }

    fn move_on(&self, by: Duration) {
        self.time.send_modify(|now| *now = now.checked_add(by).unwrap());
    }

    fn move_to(&self, instant: Timestamp) {
        self.time.send_modify(|now| *now = instant.max(*now));
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.time.borrow()
    }

    async fn until(&self, instant: Timestamp) {
        self.waits.send_modify(|count| *count += 1);
        // A clock that is gone does not move.
        if self.time.subscribe().wait_for(|now| *now >= instant).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a create does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Executes and says so.
    None,
    /// Executes and hands over; the answer comes as a record.
    Submit,
    /// Executes, and the answer is lost.
    ExecuteThenFail,
    /// Executes only after the caller has given up.
    Late,
    /// Does not execute, and that is proven.
    NotExecuted,
    /// Does not execute, and wants to be left alone for an hour.
    Busy,
    /// The connection is down.
    Down,
    /// Refuses.
    Reject,
    /// Does not execute and never answers.
    Hang,
    /// Executes and never answers.
    ExecuteThenHang,
    /// Panics before it executes.
    Panic,
    /// Executes and panics.
    ExecuteThenPanic,
}

/// A system that takes orders, and counts how often it executed the create of each.
struct Erp {
    class: CreateClass,
    clock: Arc<TestClock>,
    wake: Arc<Wake>,
    /// Whether not finding an order proves that it is not there.
    conclusive: AtomicBool,
    up: AtomicBool,
    hanging: AtomicU32,
    state: Mutex<ErpState>,
}

#[derive(Default)]
struct ErpState {
    /// What the next creates of an order do, by the shop's reference.
    script: HashMap<String, VecDeque<Fault>>,
    /// Executed creates by our reference.
    executed: HashMap<String, u32>,
    /// Creates that take effect later.
    late: Vec<(Timestamp, String)>,
    creates: u32,
    /// Orders that were handed over and not answered, which a search shows as such.
    handed_over: Vec<String>,
}

impl Erp {
    fn new(class: CreateClass, clock: &Arc<TestClock>, wake: &Arc<Wake>) -> Arc<Self> {
        Arc::new(Self {
            class,
            clock: Arc::clone(clock),
            wake: Arc::clone(wake),
            conclusive: AtomicBool::new(true),
            up: AtomicBool::new(true),
            hanging: AtomicU32::new(0),
            state: Mutex::default(),
        })
    }

    fn script(&self, reference: &str, faults: &[Fault]) {
        self.state.lock().unwrap().script.insert(reference.to_owned(), faults.iter().copied().collect());
    }

    /// How often the create of an order was executed.
    fn executed(&self, order: &StoredOrder) -> u32 {
        self.catch_up();
        self.state.lock().unwrap().executed.get(&order.our_reference).copied().unwrap_or(0)
    }

    fn creates(&self) -> u32 {
        self.state.lock().unwrap().creates
    }

    /// What was to take effect by now does.
    fn catch_up(&self) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        let (due, later): (Vec<_>, Vec<_>) = state.late.drain(..).partition(|(at, _)| *at <= now);
        state.late = later;
        for (_, reference) in due {
            Self::execute(&mut state, self.class, &reference);
        }
    }

    /// A `unique` system refuses the same reference a second time; the others do as they are told.
    fn execute(state: &mut ErpState, class: CreateClass, reference: &str) {
        let count = state.executed.entry(reference.to_owned()).or_default();
        *count = if class == CreateClass::Unique { 1 } else { *count + 1 };
    }

    async fn hang(&self) {
        struct Hanging<'a>(&'a AtomicU32);
        impl Drop for Hanging<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.hanging.fetch_add(1, Ordering::SeqCst);
        let _guard = Hanging(&self.hanging);
        self.wake.orders_changed();
        std::future::pending::<()>().await;
    }
}

fn number(order: &StoredOrder) -> String {
    format!("VO-{}", order.reference)
}

#[async_trait]
impl OrderTarget for Erp {
    fn class(&self) -> CreateClass {
        self.class
    }

    async fn create(&self, order: &StoredOrder, _: &Trail) -> Created {
        self.catch_up();
        if !self.up.load(Ordering::SeqCst) {
            let reason = "connection refused".to_owned();
            return Created::NotExecuted { reason, connection_down: true, retry_after: None };
        }
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.creates += 1;
            let fault = state.script.get_mut(&order.reference).and_then(VecDeque::pop_front).unwrap_or(Fault::None);
            if matches!(
                fault,
                Fault::None | Fault::Submit | Fault::ExecuteThenFail | Fault::ExecuteThenHang | Fault::ExecuteThenPanic
            ) {
                Self::execute(&mut state, self.class, &order.our_reference);
            }
            if fault == Fault::Submit {
                state.handed_over.push(order.our_reference.clone());
            }
            if fault == Fault::Late {
                let at = self.clock.now().checked_add(ALMOST).unwrap();
                state.late.push((at, order.our_reference.clone()));
            }
            fault
        };
        let reason = format!("{fault:?}");
        match fault {
            Fault::None => Created::Accepted { number: number(order) },
            Fault::Submit => Created::Submitted,
            Fault::ExecuteThenFail | Fault::Late => Created::Unknown { reason },
            Fault::NotExecuted => Created::NotExecuted { reason, connection_down: false, retry_after: None },
            Fault::Busy => {
                let retry_after = Some(Duration::from_hours(1));
                Created::NotExecuted { reason, connection_down: false, retry_after }
            }
            Fault::Down => Created::NotExecuted { reason, connection_down: true, retry_after: None },
            Fault::Reject => Created::Rejected { reason: "Debiteur heeft geen krediet".to_owned() },
            Fault::Hang | Fault::ExecuteThenHang => {
                self.hang().await;
                Created::Submitted
            }
            Fault::Panic | Fault::ExecuteThenPanic => panic!("the connector has a bug"),
        }
    }

    async fn find(&self, order: &StoredOrder, _: &Trail) -> Found {
        self.catch_up();
        if !self.up.load(Ordering::SeqCst) {
            return Found::Failed { reason: "connection refused".to_owned(), connection_down: true };
        }
        let state = self.state.lock().unwrap();
        if state.handed_over.contains(&order.our_reference) {
            return Found::Submitted;
        }
        match state.executed.get(&order.our_reference).copied().unwrap_or(0) {
            0 => Found::Missing { conclusive: self.conclusive.load(Ordering::SeqCst) },
            1 => Found::Accepted { number: number(order) },
            many => Found::Doubtful { reason: format!("{many} orders have the reference") },
        }
    }

    async fn probe(&self) -> std::result::Result<(), String> {
        if self.up.load(Ordering::SeqCst) { Ok(()) } else { Err("connection refused".to_owned()) }
    }
}

/// Every customer but one is in the shop's scope.
struct Scope;

#[async_trait]
impl CustomerScope for Scope {
    async fn sees(&self, _: &Shop, customer: &Key) -> Result<bool> {
        Ok(customer.number != "30000")
    }
}

/// A daemon's worth of the order path: a store in a file, intake, desk, and the running service.
struct Bridge {
    store: Arc<dyn Store>,
    wake: Arc<Wake>,
    clock: Arc<TestClock>,
    intake: Arc<Intake>,
    desk: Desk,
    orders: Arc<Orders>,
    erps: BTreeMap<String, Arc<Erp>>,
    queue: Arc<dyn Queue>,
    stop: watch::Sender<bool>,
    running: Option<JoinHandle<Result<()>>>,
}

fn retry() -> Retry {
    let interval = |text: &str| text.parse().unwrap();
    Retry { initial: interval("5s"), max: interval("1h"), give_up_after: interval("72h") }
}

fn target(erp: &Arc<Erp>) -> Target {
    Target {
        system: Arc::clone(erp) as Arc<dyn OrderTarget>,
        retry: retry(),
        answer_within: Duration::from_hours(24),
        timeout: TIMEOUT,
        concurrency: 1,
    }
}

impl Bridge {
    /// A bridge over the store in a directory, to systems of these classes.
    async fn open(home: &Home, classes: &[(&str, CreateClass)]) -> Self {
        Self::open_at(home, classes, "2026-11-24T12:00:00Z".parse().unwrap(), 1000).await
    }

    async fn open_at(home: &Home, classes: &[(&str, CreateClass)], now: Timestamp, bound: usize) -> Self {
        let store: Arc<dyn Store> = Arc::new(home.store().await);
        let wake = Arc::new(Wake::default());
        let clock = Arc::new(TestClock::new(now));
        let erps: BTreeMap<String, Arc<Erp>> =
            classes.iter().map(|(name, class)| ((*name).to_owned(), Erp::new(*class, &clock, &wake))).collect();
        let targets: Targets = erps.iter().map(|(name, erp)| (name.clone(), target(erp))).collect();
        let queue = home.queue(&wake, bound);
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let bridge = Self {
            intake: Arc::new(Intake::new(Arc::clone(&store), Arc::new(Scope), Arc::clone(&wake), time())),
            desk: Desk::new(Arc::clone(&store), Arc::clone(&wake), time()),
            orders: Arc::new(Orders::new(Arc::clone(&store), Arc::clone(&queue), Arc::clone(&wake), time(), targets)),
            queue,
            store,
            wake,
            clock,
            erps,
            stop: watch::Sender::new(false),
            running: None,
        };
        bridge.seed().await;
        bridge
    }

    /// What the ERP's pulls would have brought.
    async fn seed(&self) {
        let customer = |number: &str, blocked: &str| json!({"number": number, "name": "De Vries", "blocked": blocked});
        for (number, blocked) in [("10000", "no"), ("20000", "orders"), ("30000", "no")] {
            self.put(PartKind::Customer, number, "", customer(number, blocked)).await;
        }
        self.put(PartKind::Address, "10000", "A1", json!({"id": "A1", "city": "Zwolle"})).await;
        let units = json!([{"unit": {"code": "PK", "erp": "D10"}, "factor": "10"}]);
        let base = json!({"code": "C62", "erp": "ST"});
        self.put(PartKind::Product, "KGL-15", "", json!({"number": "KGL-15", "base_unit": base, "units": units})).await;
        self.put(PartKind::Product, "TST-22", "", json!({"number": "TST-22", "base_unit": {"code": "MTR"}})).await;
    }

    /// Puts a part as a pull of connection `erp` does.
    async fn put(&self, kind: PartKind, number: &str, part: &str, content: Value) {
        let source = self.store.source("erp", kind.name(), kind).await.unwrap();
        let source_key = format!("{number}/{part}");
        let known = self.store.recognise(source.id, &[(&source_key, [1; 16])]).await.unwrap();
        let hash = content_hash(&content);
        let mut run = Run { started_at: self.clock.now(), ..run(new_id(), &source) };
        let difference = Difference {
            raw: None,
            turn: None,
            position: 0,
            operation: tradebridge::store::Operation::Upsert,
            source_key,
            key: Key::new("NL01", number),
            part: part.to_owned(),
            who: None,
            what: None,
            shops: None,
            content: Some(Content::of_text(content.to_string())),
            before: match &known[0] {
                Recognised::Other(known) => Some(known.hash),
                _ => None,
            },
            after: Some(hash),
            source_hash: hash,
        };
        self.store.begin_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        self.store
            .commit_load(
                &lease(&*self.store, run.source).await,
                &run,
                &Page { differences: vec![difference], ..Page::default() },
            )
            .await
            .unwrap();
        run.state = RunState::Done;
        self.store.finish_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        self.wake.feed_changed();
    }

    fn start(&mut self) {
        let (orders, stop) = (Arc::clone(&self.orders), self.stop.subscribe());
        self.running = Some(tokio::spawn(async move { orders.run(stop).await }));
    }

    /// Shuts the service down and waits for its end.
    async fn stop(&mut self) {
        self.stop.send_replace(true);
        self.running.take().unwrap().await.unwrap().unwrap();
    }

    fn erp(&self, name: &str) -> &Erp {
        &self.erps[name]
    }

    async fn post(&self, connection: &str, reference: &str) -> StoredOrder {
        self.accept(connection, order(reference)).await.unwrap().order
    }

    async fn accept(&self, connection: &str, order: Value) -> std::result::Result<Accepted, IntakeError> {
        self.intake.accept(&shop(connection), order, None).await
    }

    async fn order(&self, id: &str) -> StoredOrder {
        self.store.order(id).await.unwrap().unwrap()
    }

    async fn transitions(&self, id: &str) -> Vec<Transition> {
        self.store.transitions(id).await.unwrap()
    }

    /// Follows an order until it is in one of these states; time passes as far as the order waits for it.
    async fn until(&self, order: &StoredOrder, states: &[OrderState]) -> StoredOrder {
        self.when(&order.id, |order| states.contains(&order.state), true).await
    }

    /// Follows an order until a condition holds.
    async fn when(&self, id: &str, holds: impl Fn(&StoredOrder) -> bool, time_passes: bool) -> StoredOrder {
        let mut changed = self.wake.follow_orders();
        let mut waits = self.clock.waits.subscribe();
        let follow = async {
            loop {
                let order = self.order(id).await;
                if holds(&order) {
                    return order;
                }
                if time_passes {
                    let hangs = self.erps.get(&order.connection).is_some_and(|e| e.hanging.load(Ordering::SeqCst) > 0);
                    if hangs {
                        self.clock.move_on(TIMEOUT);
                    } else if self.orders.paused().contains_key(&order.connection) {
                        self.clock.move_on(Duration::from_hours(1));
                    } else if let Some(not_before) = order.not_before {
                        self.clock.move_to(not_before);
                    }
                }
                tokio::select! {
                    changed = changed.changed() => changed.unwrap(),
                    // Whoever waits for the clock may have begun to only after it was moved.
                    waits = waits.changed(), if time_passes => waits.unwrap(),
                }
            }
        };
        if let Ok(order) = tokio::time::timeout(PATIENCE, follow).await {
            return order;
        }
        panic!("waits for ever: {:#?}\n{:#?}", self.order(id).await, self.transitions(id).await)
    }

    /// Lets time pass in steps until a condition holds: whoever waits for the clock may begin to only after a step.
    async fn as_time_passes(&self, what: &str, step: Duration, mut holds: impl AsyncFnMut() -> bool) {
        let mut waits = self.clock.waits.subscribe();
        let follow = async {
            while !holds().await {
                self.clock.move_on(step);
                waits.changed().await.unwrap();
            }
        };
        assert!(tokio::time::timeout(PATIENCE, follow).await.is_ok(), "waits for ever: {what}");
    }

    /// Waits until a condition over the whole bridge holds.
    async fn until_true(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let mut changed = self.wake.follow_orders();
        let follow = async {
            while !holds().await {
                changed.changed().await.unwrap();
            }
        };
        assert!(tokio::time::timeout(PATIENCE, follow).await.is_ok(), "waits for ever: {what}");
    }
}

fn shop(connection: &str) -> Shop {
    Shop {
        name: "b2b".to_owned(),
        companies: vec!["NL01".to_owned()],
        connections: vec!["erp".to_owned()],
        orders_to: Some(connection.to_owned()),
        broker_user: None,
        customers: None,
        warehouses: None,
        prices: tradebridge::config::Prices::Shop,
    }
}

fn order(reference: &str) -> Value {
    json!({
        "reference": reference,
        "customer": "10000",
        "ship_to": {"id": "A1"},
        "lines": [{"product": "KGL-15", "quantity": "5"}, {"product": "TST-22", "quantity": "2.5", "unit": "MTR"}],
        "currency": "EUR",
    })
}

fn operator() -> Actor {
    Actor::Operator("jan".to_owned())
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

const UNIQUE: CreateClass = CreateClass::Unique;
const BOUNDED: CreateClass = CreateClass::Bounded { settle: SETTLE };
const OPEN: CreateClass = CreateClass::Open;
