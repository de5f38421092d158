//! What became of the orders: the store and the ERPs are compared when all is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};

use super::erp::{Document, Erp};
use super::faults::World;
use super::shops::Told;
use super::trouble::{Class, REFUSAL, Refusal};

/// How long all orders may take to come to an end once nothing happens any more: a message that got lost is published again
/// after a minute, after two more, and after four.
const LONGEST: Duration = Duration::from_mins(8);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(200);

/// The transitions that are permitted.
const TABLE: [(&str, &[&str]); 10] = [
    ("received", &["held", "queued", "rejected"]),
    ("held", &["queued", "cancelled", "rejected"]),
    ("queued", &["sending", "cancelled", "dead"]),
    ("sending", &["accepted", "submitted", "rejected", "queued", "unknown"]),
    ("submitted", &["accepted", "rejected", "needs_review"]),
    ("unknown", &["sending", "submitted", "accepted", "rejected", "needs_review", "dead"]),
    ("needs_review", &["accepted", "unknown", "cancelled"]),
    ("dead", &["queued", "unknown", "cancelled"]),
    ("rejected", &["unknown"]),
    ("accepted", &["cancelled"]),
];

/// Where an order has come to an end, or waits for a person.
const ENDS: [&str; 5] = ["accepted", "rejected", "needs_review", "dead", "cancelled"];

/// An order as the store has it.
struct Order {
    id: String,
    reference: String,
    our_reference: String,
    connection: String,
    state: String,
    reason: Option<String>,
    number: Option<String>,
    /// From, to, and the whole as text.
    transitions: Vec<(Option<String>, String, String)>,
}

/// What became of the orders.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub accepted: usize,
    pub created: usize,
    pub lost: usize,
    pub twice: usize,
    pub review: usize,
    pub rejected: usize,
    /// Neither at an end nor waiting for a person who is needed.
    pub left: usize,
    /// Refused by a daemon, executed without having been accepted, or led where the table leads no order.
    pub wrong: usize,
    pub converged: Option<Duration>,
    /// What happened, for each order with which something is wrong.
    pub findings: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.findings.is_empty() && self.converged.is_some()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, created, lost, twice, review, rejected, left, wrong, .. } = self;
        write!(
            f,
            "{accepted} orders accepted, {created} created in the ERP, {lost} lost, {twice} twice, {review} in review, \
             {rejected} rejected, {left} left over, {wrong} otherwise wrong, "
        )?;
        match self.converged {
            Some(time) => write!(f, "converged in {:.1} s", time.as_secs_f64()),
            None => write!(f, "not converged within {LONGEST:?}"),
        }
    }
}

/// Waits until every order has come to an end: how long that took.
pub(crate) async fn converge(world: &World) -> Option<Duration> {
    let begun = Instant::now();
    let mut connection = None;
    while begun.elapsed() < LONGEST {
        match open(&mut connection, world).await {
            Ok(0) => return Some(begun.elapsed()),
            Ok(_) => {}
            Err(_) => {
                // One that ended for want of space is started again.
                connection = None;
                tokio::task::block_in_place(|| world.postgres.see_that_it_runs());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    None
}

/// How many orders are still on their way.
async fn open(connection: &mut Option<PgConnection>, world: &World) -> sqlx::Result<i64> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => PgConnection::connect(&world.postgres.url()).await?,
    };
    let ends: Vec<String> = ENDS.iter().map(|end| (*end).to_owned()).collect();
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM orders WHERE state <> ALL($1)").bind(ends);
    let count = count.fetch_one(&mut open).await?;
    *connection = Some(open);
    Ok(count)
}

/// Compares what shops were told, what the store has and what the ERPs have.
pub(crate) async fn judge(seed: u64, world: &World, told: &Told, converged: Option<Duration>) -> Verdict {
    let settled = world.erps.iter().filter_map(|erp| erp.settled_at()).max();
    if let Some(settled) = settled {
        tokio::time::sleep_until(settled.into()).await;
    }
    let orders = read(world).await.unwrap_or_else(|error| panic!("the store cannot be read: {error}"));
    let mut verdict = Verdict { converged, accepted: orders.len(), ..Verdict::default() };
    for (reference, said) in &told.refused {
        verdict.wrong += 1;
        verdict.findings.push(format!("{reference} is not accepted: {said}"));
    }
    let stored: BTreeSet<&str> = orders.iter().map(|order| order.reference.as_str()).collect();
    for (reference, id) in told.accepted.iter().filter(|(reference, _)| !stored.contains(reference.as_str())) {
        verdict.lost += 1;
        verdict.findings.push(format!("{reference} was accepted as {id} and is not in the store: lost"));
    }
    for erp in &world.erps {
        let documents = erp.documents();
        let unasked = documents.iter().filter(|document| !stored.contains(document.shop_reference.as_str()));
        for document in unasked {
            verdict.wrong += 1;
            verdict.findings.push(format!("{} is in the ERP and not in the store", document.shop_reference));
        }
        let mut by_order: BTreeMap<&str, Vec<&Document>> = BTreeMap::new();
        for document in &documents {
            by_order.entry(&document.shop_reference).or_default().push(document);
        }
        for order in orders.iter().filter(|order| order.connection == erp.class().name()) {
            let documents = by_order.remove(order.reference.as_str()).unwrap_or_default();
            verdict.judge(seed, order, erp, &documents);
        }
    }
    verdict
}

impl Verdict {
    fn judge(&mut self, seed: u64, order: &Order, erp: &Erp, documents: &[&Document]) {
        let mut faults: Vec<String> = Vec::new();
        let refused = Refusal::of(seed, &order.reference).is_some();
        self.created += usize::from(!documents.is_empty());
        if documents.len() > 1 {
            self.twice += 1;
            faults.push(format!("the ERP has it {} times", documents.len()));
        }
        if documents.iter().any(|document| document.reference != order.our_reference) {
            self.wrong += 1;
            faults.push(format!("the ERP has it under another reference than {}", order.our_reference));
        }
        let reason = order.reason.as_deref().unwrap_or_default();
        match order.state.as_str() {
            "accepted" => match documents {
                [] => {
                    self.lost += 1;
                    faults.push("accepted, and the ERP does not have it: lost".to_owned());
                }
                [only] if !only.confirmed || Some(&only.number) != order.number.as_ref() => {
                    self.wrong += 1;
                    faults.push(format!("accepted as {:?}, and the ERP has {only:?}", order.number));
                }
                _ => {}
            },
            "rejected" if refused && reason.contains(REFUSAL) => {
                self.rejected += 1;
                if !documents.is_empty() {
                    self.wrong += 1;
                    faults.push("rejected, and the ERP has it".to_owned());
                }
            }
            // Of what the ERP refuses a second time, nobody knows whether the first attempt is over.
            "needs_review" if (erp.class() == Class::Open || refused) && !reason.is_empty() => self.review += 1,
            state => {
                self.left += 1;
                faults.push(format!("{state} for no good reason"));
            }
        }
        let mut before: Option<&str> = None;
        for (from, to, _) in &order.transitions {
            let permitted = match from.as_deref() {
                None => to == "received",
                Some(from) => TABLE.iter().any(|(state, next)| *state == from && next.contains(&to.as_str())),
            };
            if !permitted || from.as_deref() != before {
                self.wrong += 1;
                faults.push(format!("from {before:?} it went from {from:?} to {to}, which the table does not have"));
            }
            before = Some(to);
        }
        if before != Some(order.state.as_str()) {
            self.wrong += 1;
            faults.push(format!("it is {}, and its last transition led to {before:?}", order.state));
        }
        if !faults.is_empty() {
            self.findings.push(story(order, erp, &faults));
        }
    }
}

/// What is wrong with an order, its transitions, and what the ERP saw of it.
fn story(order: &Order, erp: &Erp, faults: &[String]) -> String {
    let Order { id, reference, our_reference, connection, reason, .. } = order;
    let mut story = format!("{reference} ({id}, {our_reference}, {connection}): {}", faults.join("; "));
    let _ = write!(story, "\n  reason: {reason:?}\n  the store:");
    for (_, _, told) in &order.transitions {
        let _ = write!(story, "\n    {told}");
    }
    let _ = write!(story, "\n  the ERP:");
    for told in erp.history(reference) {
        let _ = write!(story, "\n    {told}");
    }
    story
}

/// All orders of the store.
async fn read(world: &World) -> sqlx::Result<Vec<Order>> {
    let mut connection = PgConnection::connect(&world.postgres.url()).await?;
    let rows = sqlx::query(
        "SELECT id, reference, our_reference, connection, state, reason, erp_number FROM orders ORDER BY id",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut orders: BTreeMap<String, Order> = rows.iter().map(|row| (row.get("id"), order(row))).collect();
    let steps = sqlx::query(
        "SELECT order_id, from_state, to_state, cause, attempt, who, to_timestamp(at / 1e6)::text AS at FROM transition \
         ORDER BY position",
    )
    .fetch_all(&mut connection)
    .await?;
    for row in steps {
        let (from, to): (Option<String>, String) = (row.get("from_state"), row.get("to_state"));
        let (at, cause, who): (String, String, String) = (row.get("at"), row.get("cause"), row.get("who"));
        let told = format!("{at} {to} (attempt {}, {who}): {cause}", row.get::<i64, _>("attempt"));
        if let Some(order) = orders.get_mut(row.get::<&str, _>("order_id")) {
            order.transitions.push((from, to, told));
        }
    }
    Ok(orders.into_values().collect())
}

fn order(row: &PgRow) -> Order {
    Order {
        id: row.get("id"),
        reference: row.get("reference"),
        our_reference: row.get("our_reference"),
        connection: row.get("connection"),
        state: row.get("state"),
        reason: row.get("reason"),
        number: row.get("erp_number"),
        transitions: Vec::new(),
    }
}
