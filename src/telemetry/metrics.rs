//! The metrics, in the text format of Prometheus.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Labels<const N: usize> = [(&'static str, String); N];
type Counts<const N: usize> = Family<Labels<N>, Counter<u64, AtomicU64>>;
type Levels<const N: usize> = Family<Labels<N>, Gauge<i64, AtomicI64>>;
type Durations<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Every metric of the process.
pub(super) struct Metrics {
    registry: Registry,
    pub runs: Counts<3>,
    pub records: Counts<3>,
    pub run_duration: Durations<2>,
    pub guard_trips: Counts<2>,
    pub attempts: Counts<2>,
    pub transitions: Counts<1>,
    pub pruned: Counts<1>,
    pub requests: Durations<3>,
    gauges: GaugeFamilies,
}

struct GaugeFamilies {
    run_age: Levels<2>,
    orders: Levels<1>,
    oldest_unsent: Gauge<i64, AtomicI64>,
    oldest_unanswered: Gauge<i64, AtomicI64>,
    dead_letters: Gauge<i64, AtomicI64>,
    queue_depth: Levels<1>,
    held_runs: Gauge<i64, AtomicI64>,
    rejected_records: Levels<2>,
    connection_up: Levels<1>,
}

/// What is read off when the metrics are asked for.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Connection, kind of part, seconds since the source was verified.
    pub run_ages: Vec<(String, String, i64)>,
    /// State, how many orders are in it.
    pub orders: Vec<(String, i64)>,
    /// Ages of orders that wait.
    pub order_ages: OrderAges,
    /// Dead letters.
    pub dead_letters: i64,
    /// Connection, messages that wait for it.
    pub queue_depths: Vec<(String, i64)>,
    /// Runs that the guard holds.
    pub held_runs: i64,
    /// Connection, kind of part, rejected records.
    pub rejected: Vec<(String, String, i64)>,
    /// Connection, whether it can be reached.
    pub connections: Vec<(String, bool)>,
}

/// Ages of orders that wait, in seconds; 0 where none waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrderAges {
    /// The oldest order that was not handed over yet.
    pub unsent: i64,
    /// The oldest order that was handed over and not answered.
    pub unanswered: i64,
}

pub(super) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// From a millisecond to about 16 seconds.
fn request_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// From 10 milliseconds to about 3 hours.
fn run_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 4.0, 11))
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("tradebridge");
        let runs = Counts::default();
        registry.register("runs", "Runs that ended, by state", runs.clone());
        let records = Counts::default();
        registry.register("records", "Records of runs, by what became of them", records.clone());
        let run_duration = Durations::new_with_constructor(run_buckets as fn() -> Histogram);
        registry.register_with_unit("run_duration", "How long runs took", Unit::Seconds, run_duration.clone());
        let guard_trips = Counts::default();
        registry.register("guard_trips", "Runs that the guard held", guard_trips.clone());
        let attempts = Counts::default();
        registry.register("order_attempts", "Attempts to hand over orders, by outcome", attempts.clone());
        let transitions = Counts::default();
        registry.register("order_transitions", "Transitions of orders, by the state reached", transitions.clone());
        let pruned = Counts::default();
        registry.register("pruned_rows", "Rows that were dropped beyond their retention", pruned.clone());
        let requests = Durations::new_with_constructor(request_buckets as fn() -> Histogram);
        registry.register_with_unit("http_request_duration", "HTTP requests", Unit::Seconds, requests.clone());
        let gauges = GaugeFamilies::new(&mut registry);
        Self { registry, runs, records, run_duration, guard_trips, attempts, transitions, pruned, requests, gauges }
    }
}

impl GaugeFamilies {
    fn new(registry: &mut Registry) -> Self {
        let run_age = Levels::default();
        registry.register_with_unit("verified_age", "Since a source was verified", Unit::Seconds, run_age.clone());
        let orders = Levels::default();
        registry.register("orders", "Orders, by state", orders.clone());
        let oldest_unsent = Gauge::default();
        let help = "Age of the oldest order that was not handed over; 0 without one";
        registry.register_with_unit("orders_oldest_unsent", help, Unit::Seconds, oldest_unsent.clone());
        let oldest_unanswered = Gauge::default();
        let help = "Age of the oldest order that was handed over and not answered; 0 without one";
        registry.register_with_unit("orders_oldest_unanswered", help, Unit::Seconds, oldest_unanswered.clone());
        let dead_letters = Gauge::default();
        registry.register("dead_letters", "Orders that were given up", dead_letters.clone());
        let queue_depth = Levels::default();
        registry.register("queue_depth", "Messages that wait, by connection", queue_depth.clone());
        let held_runs = Gauge::default();
        registry.register("held_runs", "Runs that wait for approval", held_runs.clone());
        let rejected_records = Levels::default();
        registry.register("rejected_records", "Records that are not taken", rejected_records.clone());
        let connection_up = Levels::default();
        registry.register("connection_up", "1 where the connection can be reached", connection_up.clone());
        Self {
            run_age,
            orders,
            oldest_unsent,
            oldest_unanswered,
            dead_letters,
            queue_depth,
            held_runs,
            rejected_records,
            connection_up,
        }
    }

    fn set(&self, now: &Gauges) {
        for family in [&self.run_age, &self.rejected_records] {
            family.clear();
        }
        for family in [&self.orders, &self.queue_depth, &self.connection_up] {
            family.clear();
        }
        for (connection, entity, age) in &now.run_ages {
            self.run_age.get_or_create(&pair(connection, entity)).set(*age);
        }
        for (connection, entity, count) in &now.rejected {
            self.rejected_records.get_or_create(&pair(connection, entity)).set(*count);
        }
        for (state, count) in &now.orders {
            self.orders.get_or_create(&[("state", state.clone())]).set(*count);
        }
        for (connection, depth) in &now.queue_depths {
            self.queue_depth.get_or_create(&[("connection", connection.clone())]).set(*depth);
        }
        for (connection, up) in &now.connections {
            self.connection_up.get_or_create(&[("connection", connection.clone())]).set(i64::from(*up));
        }
        self.oldest_unsent.set(now.order_ages.unsent);
        self.oldest_unanswered.set(now.order_ages.unanswered);
        self.dead_letters.set(now.dead_letters);
        self.held_runs.set(now.held_runs);
    }
}

/// Labels of a connection's entity.
pub(super) fn pair(connection: &str, entity: &str) -> Labels<2> {
    [("connection", connection.to_owned()), ("entity", entity.to_owned())]
}

/// Labels of a connection's entity and one more.
pub(super) fn triple(connection: &str, entity: &str, name: &'static str, value: &str) -> Labels<3> {
    [("connection", connection.to_owned()), ("entity", entity.to_owned()), (name, value.to_owned())]
}

/// Seconds, for histograms: durations are no amounts.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// All metrics as text, with the gauges as they are now.
pub fn render(now: &Gauges) -> String {
    METRICS.gauges.set(now);
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = encode(&mut text, &METRICS.registry);
    text
}
