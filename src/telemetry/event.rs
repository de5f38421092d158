//! The facts that are both logged and counted, each a named type.

use std::time::Duration;

use super::metrics::{METRICS, pair, seconds, triple};

/// A fact with a log line and a metric.
pub trait Event {
    /// Writes and counts it.
    fn emit(self);
}

/// Writes and counts an event.
pub fn emit(event: impl Event) {
    event.emit();
}

/// A run ended.
#[derive(Debug, Clone, Copy)]
pub struct RunEnded<'a> {
    /// The connection.
    pub connection: &'a str,
    /// The kind of part.
    pub entity: &'a str,
    /// The run.
    pub run_id: &'a str,
    /// Its state's name.
    pub state: &'a str,
    /// What was read, as messages name it.
    pub source: &'a str,
    /// Records read.
    pub read: u64,
    /// Unchanged records.
    pub unchanged: u64,
    /// New records.
    pub created: u64,
    /// Changed records.
    pub updated: u64,
    /// Deleted records.
    pub deleted: u64,
    /// Records that a pass whose pages may have shifted missed for the first time.
    pub missed: u64,
    /// Rejected records.
    pub rejected: u64,
    /// Why it is held, or what is worth knowing.
    pub reason: Option<&'a str>,
    /// How long it took.
    pub duration: Duration,
}

impl Event for RunEnded<'_> {
    fn emit(self) {
        let Self { connection, entity, run_id, state, source, reason, .. } = self;
        let (read, unchanged, created) = (self.read, self.unchanged, self.created);
        let (updated, deleted, missed, rejected) = (self.updated, self.deleted, self.missed, self.rejected);
        let duration_ms = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        METRICS.runs.get_or_create(&triple(connection, entity, "state", state)).inc();
        METRICS.run_duration.get_or_create(&pair(connection, entity)).observe(seconds(self.duration));
        let outcomes = [
            ("unchanged", unchanged),
            ("created", created),
            ("updated", updated),
            ("deleted", deleted),
            ("missed", missed),
            ("rejected", rejected),
        ];
        for (outcome, count) in outcomes {
            METRICS.records.get_or_create(&triple(connection, entity, "outcome", outcome)).inc_by(count);
        }
        if state == "held" {
            METRICS.guard_trips.get_or_create(&pair(connection, entity)).inc();
            tracing::warn!(
                connection,
                entity,
                run_id,
                source,
                read,
                created,
                updated,
                deleted,
                missed,
                rejected,
                duration_ms,
                "the guard holds {entity} of {connection}: {}; look at it with `tradebridge runs show {run_id}`",
                reason.unwrap_or_default()
            );
        } else if rejected > 0 || reason.is_some() {
            tracing::warn!(
                connection,
                entity,
                run_id,
                source,
                state,
                read,
                unchanged,
                created,
                updated,
                deleted,
                missed,
                rejected,
                duration_ms,
                reason,
                "{entity} of {connection}: {read} read, {rejected} rejected; `tradebridge runs show {run_id}` says why"
            );
        } else {
            tracing::info!(
                connection,
                entity,
                run_id,
                source,
                state,
                read,
                unchanged,
                created,
                updated,
                deleted,
                missed,
                rejected,
                duration_ms,
                "{entity} of {connection} is pulled"
            );
        }
    }
}

/// A run could not be executed.
#[derive(Debug, Clone, Copy)]
pub struct RunFailed<'a> {
    /// The connection.
    pub connection: &'a str,
    /// The kind of part.
    pub entity: &'a str,
    /// Why.
    pub reason: &'a str,
}

impl Event for RunFailed<'_> {
    fn emit(self) {
        let Self { connection, entity, reason } = self;
        METRICS.runs.get_or_create(&triple(connection, entity, "state", "failed")).inc();
        tracing::error!(connection, entity, reason, "{entity} of {connection} cannot be pulled");
    }
}

/// An order changed its state.
#[derive(Debug, Clone, Copy)]
pub struct OrderMoved<'a> {
    /// The order.
    pub order_id: &'a str,
    /// The connection that gets it.
    pub connection: &'a str,
    /// The state before.
    pub from: &'a str,
    /// The state reached.
    pub to: &'a str,
    /// Why.
    pub cause: &'a str,
    /// The attempt.
    pub attempt: u32,
}

impl Event for OrderMoved<'_> {
    fn emit(self) {
        let Self { order_id, connection, from, to, cause, attempt } = self;
        METRICS.transitions.get_or_create(&[("to", to.to_owned())]).inc();
        match to {
            "dead" | "needs_review" => {
                tracing::error!(order_id, connection, from, to, cause, attempt, "order needs a person: {cause}");
            }
            "rejected" | "unknown" => tracing::warn!(order_id, connection, from, to, cause, attempt, "order is {to}"),
            _ => tracing::info!(order_id, connection, from, to, cause, attempt, "order is {to}"),
        }
    }
}

/// An attempt to hand over an order ended.
#[derive(Debug, Clone, Copy)]
pub struct OrderAttempted<'a> {
    /// The order.
    pub order_id: &'a str,
    /// The connection.
    pub connection: &'a str,
    /// What it came to.
    pub outcome: &'a str,
    /// How long it took.
    pub duration: Duration,
}

impl Event for OrderAttempted<'_> {
    fn emit(self) {
        let Self { order_id, connection, outcome, duration } = self;
        METRICS.attempts.get_or_create(&[("connection", connection.to_owned()), ("outcome", outcome.to_owned())]).inc();
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(order_id, connection, outcome, duration_ms, "attempt ended");
    }
}

/// What was beyond its retention is dropped.
#[derive(Debug, Clone, Copy)]
pub struct SurplusPruned<'a> {
    /// What it was.
    pub what: &'a str,
    /// How many rows.
    pub rows: u64,
}

impl Event for SurplusPruned<'_> {
    fn emit(self) {
        let Self { what, rows } = self;
        METRICS.pruned.get_or_create(&[("what", what.to_owned())]).inc_by(rows);
        tracing::info!(what, rows, "what was beyond its retention is dropped");
    }
}

/// An HTTP request was answered.
#[derive(Debug, Clone, Copy)]
pub struct RequestAnswered<'a> {
    /// The method.
    pub method: &'a str,
    /// The route's pattern.
    pub route: &'a str,
    /// The status.
    pub status: u16,
    /// How long it took.
    pub duration: Duration,
}

impl Event for RequestAnswered<'_> {
    fn emit(self) {
        let Self { method, route, status, duration } = self;
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        METRICS.requests.get_or_create(&labels).observe(seconds(duration));
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        if status >= 500 {
            tracing::error!(method, route, status, duration_ms, "request failed");
        } else {
            tracing::debug!(method, route, status, duration_ms, "request answered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Gauges, render};

    #[test]
    fn events_are_counted_and_gauges_follow_what_is() {
        emit(RunEnded {
            connection: "erp-of-this-test",
            entity: "customer",
            run_id: "r1",
            state: "done",
            source: "klanten.csv",
            read: 5,
            unchanged: 1,
            created: 3,
            updated: 0,
            deleted: 0,
            missed: 0,
            rejected: 1,
            reason: None,
            duration: Duration::from_millis(20),
        });
        let gauges = |state: &str| Gauges { orders: vec![(state.to_owned(), 2)], ..Gauges::default() };
        let text = render(&gauges("queued"));
        let created =
            r#"tradebridge_records_total{connection="erp-of-this-test",entity="customer",outcome="created"} 3"#;
        assert!(text.contains(created), "{text}");
        assert!(text.contains(r#"tradebridge_orders{state="queued"} 2"#), "{text}");
        let text = render(&gauges("accepted"));
        assert!(!text.contains(r#"state="queued""#), "a state without orders is gone: {text}");
    }
}
