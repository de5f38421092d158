//! What the ERP answers: consumes the feed's order statuses, shipments and invoices, moves orders accordingly and keeps
//! what is said about lines. The same answer again changes nothing; an answer that does not fit is kept and shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::context::Context;
use super::reference;
use super::state::Event;
use crate::model::order_status::OrderAnswer;
use crate::model::{Entity, Invoice, Key, OrderStatus, OrderStatusLine, PartKind, Shipment};
use crate::queue::clock::after;
use crate::store::{
    Change, Conflict, Cursor, LineAnswer, OrderDocument, OrderState, Part, Result, StoreError, StoredOrder,
};

/// The name under which the place in the feed is kept.
const CONSUMER: &str = "orders.answers";

/// Who answers.
const ERP: &str = "erp";

/// Changes taken at once.
const PAGE: u32 = 200;

/// The longest rest, should no notification come.
const REST: Duration = Duration::from_secs(30);

/// The rest after a failure.
const FAILED: Duration = Duration::from_secs(5);

/// How often an order is read again when it changes at the same moment.
const RACES: u32 = 10;

/// Consumes answers until the shutdown.
pub(super) async fn run(context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    while !*shutdown.borrow() {
        let rest = match consume(&context).await {
            Ok(()) => REST,
            Err(error) => {
                tracing::error!(%error, "the ERP's answers cannot be taken in; this is tried again until it works");
                FAILED
            }
        };
        let end = after(context.clock.now(), rest);
        tokio::select! {
            () = context.clock.until(end) => {}
            () = context.wake.until_fed() => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }
}

/// Takes in what the feed has beyond the place kept.
async fn consume(context: &Context) -> Result<()> {
    let epoch = context.store.head().await?.epoch;
    let kept = context.store.position(CONSUMER).await?;
    // Another epoch numbers its changes anew; whatever is taken in twice changes nothing.
    let mut sequence = kept.filter(|kept| kept.epoch == epoch).map_or(0, |kept| kept.sequence);
    loop {
        // Statuses come last: whoever hears of one finds the documents that came with it.
        let entities = [Entity::Shipment, Entity::Invoice, Entity::OrderStatus];
        let changes = context.store.changes(sequence, &entities, PAGE).await?;
        let Some(last) = changes.last() else { return Ok(()) };
        sequence = last.sequence;
        for entity in entities {
            let of_entity: Vec<&Change> = changes.iter().filter(|change| change.entity == entity).collect();
            let keys: Vec<Key> = of_entity.iter().map(|change| change.key.clone()).collect();
            let mut parts: HashMap<Key, Vec<Part>> = HashMap::new();
            for part in context.store.parts(entity, &keys).await? {
                parts.entry(part.key.clone()).or_default().push(part);
            }
            let records = of_entity.iter().map(|change| (*change, parts.remove(&change.key).unwrap_or_default()));
            if entity == Entity::OrderStatus {
                for (change, parts) in records {
                    take_status(context, change, &parts).await?;
                }
            } else {
                take_documents(context, records).await?;
            }
        }
        context.store.save_position(CONSUMER, &Cursor { epoch: epoch.clone(), sequence }).await?;
    }
}

/// Notes which ERP orders shipments and invoices name.
async fn take_documents<'a>(context: &Context, records: impl Iterator<Item = (&'a Change, Vec<Part>)>) -> Result<()> {
    let mut by_connection: HashMap<&str, Vec<(OrderDocument, Vec<String>)>> = HashMap::new();
    for (change, parts) in records {
        let mut numbers: Vec<String> = Vec::new();
        for part in parts {
            let named = match change.entity {
                Entity::Shipment => serde_json::from_value::<Shipment>(part.content.clone()).map(|shipment| {
                    let lines = shipment.lines.into_iter().filter_map(|line| line.order);
                    shipment.orders.into_iter().chain(lines).collect()
                }),
                _ => serde_json::from_value::<Invoice>(part.content.clone()).map(|invoice| invoice.orders),
            };
            match named {
                Ok(named) => numbers.extend::<Vec<String>>(named),
                Err(error) => {
                    let reason = format!("cannot be read as {}: {error}", change.entity);
                    note(context, change, None, &reason, &part.content).await?;
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let document = OrderDocument { entity: change.entity, key: change.key.clone() };
        by_connection.entry(&change.connection).or_default().push((document, numbers));
    }
    for (connection, documents) in by_connection {
        context.store.save_documents(connection, &documents).await?;
    }
    Ok(())
}

/// Takes in what the ERP says about an order.
async fn take_status(context: &Context, change: &Change, parts: &[Part]) -> Result<()> {
    let Some(main) = parts.iter().find(|part| part.kind == PartKind::OrderStatus) else {
        // What the ERP does not show any more says nothing about the order.
        return clear(context, change).await;
    };
    let status: OrderStatus = match serde_json::from_value(main.content.clone()) {
        Ok(status) => status,
        Err(error) => {
            let reason = format!("cannot be read as order_status: {error}");
            return note(context, change, None, &reason, &main.content).await;
        }
    };
    for _ in 0..RACES {
        let order = match order_of(context, change, &status).await? {
            Meant::Order(order) => order,
            Meant::Nobodys => {
                return clear(context, change).await;
            }
            Meant::Unclear(reason) => return note(context, change, None, &reason, &main.content).await,
        };
        match apply(context, change, main, parts, &status, &order).await? {
            Applied::Fits => return clear(context, change).await,
            Applied::Conflicts(reason) => return note(context, change, Some(&order), &reason, &main.content).await,
            Applied::Raced => {}
        }
    }
    Err(StoreError::Unreadable {
        what: "order",
        message: format!("{} changes too fast for the answer {}", status.id, change.key),
    })
}

/// Which order an answer means.
enum Meant {
    Order(Box<StoredOrder>),
    /// One that did not come from a shop.
    Nobodys,
    /// Why it cannot be told.
    Unclear(String),
}

async fn order_of(context: &Context, change: &Change, status: &OrderStatus) -> Result<Meant> {
    if let Some(reference) = status.reference.as_deref().filter(|reference| !reference.trim().is_empty()) {
        return Ok(match context.store.order_by_our_reference(reference.trim()).await? {
            Some(order) if order.connection == change.connection => Meant::Order(order.into()),
            Some(order) => Meant::Unclear(format!(
                "connection {} answers order {} ({reference}), which went to connection {}",
                change.connection, order.id, order.connection
            )),
            None => Meant::Unclear(format!(
                "no order has the reference '{reference}'; if it is ours, the store was restored from a backup that is \
                 older than the order"
            )),
        });
    }
    let Some(number) = &status.number else { return Ok(Meant::Nobodys) };
    let mut orders =
        context.store.orders_by_erp_number(&change.connection, &change.key.company, number).await?.into_iter();
    Ok(match (orders.next(), orders.next()) {
        (None, _) => Meant::Nobodys,
        (Some(order), None) => Meant::Order(order.into()),
        (Some(one), Some(other)) => {
            Meant::Unclear(format!("orders {} and {} both have the ERP's number {number}", one.id, other.id))
        }
    })
}

/// What became of an answer.
enum Applied {
    Fits,
    /// What does not fit.
    Conflicts(String),
    /// The order changed at the same moment.
    Raced,
}

async fn apply(
    context: &Context,
    change: &Change,
    main: &Part,
    parts: &[Part],
    status: &OrderStatus,
    order: &StoredOrder,
) -> Result<Applied> {
    if let Some(reason) = misfit(change, status, order) {
        // An order that waits for its answer got one that a person has to look at.
        if matches!(order.state, OrderState::Submitted | OrderState::Unknown) {
            let moved = context
                .advance(order, [(Event::Review, reason.as_str())], ERP, |a| a.reason = Some(reason.clone()))
                .await?;
            if moved.is_none() {
                return Ok(Applied::Raced);
            }
        }
        return Ok(Applied::Conflicts(reason));
    }
    if let Some(number) = &status.number {
        let same = context.store.orders_by_erp_number(&order.connection, &order.company, number).await?;
        if let Some(other) = same.iter().find(|other| other.id != order.id) {
            return Ok(Applied::Conflicts(format!(
                "the ERP gives order {} the number {number}, which order {} has already",
                order.id, other.id
            )));
        }
    }
    let number = status.number.as_ref().or(order.erp_number.as_ref());
    let Some(events) = way(order.state, status.state, number.is_some()) else {
        return Ok(Applied::Conflicts(match (status.state, number) {
            (OrderAnswer::Accepted, None) => {
                "accepted without a number; map the ERP's number of the order to `number`".to_owned()
            }
            (answer, _) => format!("the ERP says {}, but the order is {}", word(answer), order.state),
        }));
    };
    // Whoever hears that the order is accepted finds the confirmed lines.
    save_lines(context, order, main, status, parts).await?;
    let Some(last) = events.last() else {
        // The place is the right one already.
        return Ok(Applied::Fits);
    };
    if *last == Event::Rejected && answered_before(context, order, main).await? {
        return Ok(Applied::Fits);
    }
    let said = status.reason.clone().filter(|reason| !reason.trim().is_empty());
    let cause = match (&said, number) {
        (Some(reason), _) => reason.clone(),
        (None, Some(number)) if *last == Event::Accepted => format!("the ERP has it under {number}"),
        _ => format!("the ERP says {}", word(status.state)),
    };
    let moved = context
        .advance(order, events.iter().map(|event| (*event, cause.as_str())), ERP, |a| {
            a.erp_number.clone_from(&status.number);
            a.reason = if *last == Event::Accepted { said.clone() } else { Some(cause.clone()) };
        })
        .await?;
    Ok(if moved.is_some() { Applied::Fits } else { Applied::Raced })
}

/// What of an answer contradicts the order, whatever its state.
fn misfit(change: &Change, status: &OrderStatus, order: &StoredOrder) -> Option<String> {
    if change.key.company != order.company {
        return Some(format!(
            "the answer is of company {}, order {} is of company {}",
            change.key.company, order.id, order.company
        ));
    }
    if let Some(customer) = status.customer.as_ref().filter(|customer| **customer != order.customer) {
        return Some(format!(
            "the answer names customer {customer}, order {} is of customer {}",
            order.id, order.customer
        ));
    }
    match (&status.number, &order.erp_number) {
        (Some(new), Some(old)) if new != old => {
            Some(format!("the ERP gives order {} the number {new}, but gave it {old} before", order.id))
        }
        _ => None,
    }
}

/// The events that lead an order to what the ERP says; none where it cannot be led there. Where the ERP knows more than
/// the store, the order passes `unknown`.
fn way(state: OrderState, answer: OrderAnswer, numbered: bool) -> Option<Vec<Event>> {
    use OrderState as S;
    let through_unknown = match state {
        S::Sending | S::Submitted | S::Unknown => vec![],
        S::Held | S::Queued => vec![Event::Recover],
        S::NeedsReview | S::Rejected | S::Dead => vec![Event::Retry],
        S::Received | S::Accepted | S::Cancelled => {
            return match (state, answer) {
                (S::Accepted, OrderAnswer::Accepted)
                | (S::Cancelled, OrderAnswer::Cancelled | OrderAnswer::Rejected) => Some(vec![]),
                (S::Accepted, OrderAnswer::Cancelled) => Some(vec![Event::CancelledByErp]),
                _ => None,
            };
        }
    };
    let mut events = through_unknown;
    match (answer, numbered) {
        (OrderAnswer::Rejected | OrderAnswer::Cancelled, _) if state == S::Rejected => return Some(vec![]),
        (OrderAnswer::Accepted, false) => return None,
        (OrderAnswer::Accepted, true) if state == S::NeedsReview => return Some(vec![Event::Accepted]),
        (OrderAnswer::Accepted, true) => events.push(Event::Accepted),
        (OrderAnswer::Cancelled, true) => events.extend([Event::Accepted, Event::CancelledByErp]),
        (OrderAnswer::Rejected, _) | (OrderAnswer::Cancelled, false) => events.push(Event::Rejected),
    }
    Some(events)
}

/// Whether a rejection was taken in before: an operator had the order taken up again since.
async fn answered_before(context: &Context, order: &StoredOrder, main: &Part) -> Result<bool> {
    let transitions = context.store.transitions(&order.id).await?;
    Ok(transitions.iter().any(|t| t.from == Some(OrderState::Rejected) && t.at >= main.changed_at))
}

/// Keeps what the ERP says about the lines, whether it sends them with the order or in a table of their own.
async fn save_lines(
    context: &Context,
    order: &StoredOrder,
    main: &Part,
    status: &OrderStatus,
    parts: &[Part],
) -> Result<()> {
    let line = |line: &OrderStatusLine, at| -> Result<LineAnswer> {
        let said = serde_json::to_value(line)
            .map_err(|error| StoreError::Unreadable { what: "order line", message: error.to_string() })?;
        Ok(LineAnswer { line: line.id.clone(), content: said, changed_at: at })
    };
    let mut lines: Vec<LineAnswer> = Vec::new();
    for nested in &status.lines {
        lines.push(line(nested, main.changed_at)?);
    }
    for part in parts.iter().filter(|part| part.kind == PartKind::OrderStatusLine) {
        match serde_json::from_value::<OrderStatusLine>(part.content.clone()) {
            Ok(own) => lines.push(line(&own, part.changed_at)?),
            Err(error) => tracing::warn!(order_id = order.id, line = part.part, %error, "an order line cannot be read"),
        }
    }
    if lines != context.store.lines(&order.id).await? {
        context.store.save_lines(&order.id, &lines).await?;
        context.wake.orders_changed();
    }
    Ok(())
}

/// Takes back what was noted about an answer that fits by now.
async fn clear(context: &Context, change: &Change) -> Result<()> {
    if context.store.clear_conflict(&change.connection, change.entity, &change.key).await? {
        context.wake.orders_changed();
    }
    Ok(())
}

/// Keeps an answer that does not fit. One that names an order of ours is worth a warning.
async fn note(
    context: &Context,
    change: &Change,
    order: Option<&StoredOrder>,
    reason: &str,
    record: &Value,
) -> Result<()> {
    let named = record.get("reference").and_then(Value::as_str).is_some_and(|r| r.starts_with(reference::PREFIX));
    let order_id = order.map(|order| order.id.as_str());
    if named || order.is_some() {
        tracing::warn!(order_id, connection = change.connection, key = %change.key, reason, "an answer does not fit");
    } else {
        tracing::debug!(connection = change.connection, key = %change.key, reason, "an answer does not fit");
    }
    let conflict = Conflict {
        connection: change.connection.clone(),
        entity: change.entity,
        key: change.key.clone(),
        order: order.map(|order| order.id.clone()),
        reason: reason.to_owned(),
        content: record.clone(),
        at: context.clock.now(),
    };
    context.store.save_conflict(&conflict).await?;
    context.wake.orders_changed();
    Ok(())
}

fn word(answer: OrderAnswer) -> &'static str {
    match answer {
        OrderAnswer::Accepted => "accepted",
        OrderAnswer::Rejected => "rejected",
        OrderAnswer::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::next;
    use super::*;

    #[test]
    fn every_way_keeps_to_the_table_and_leads_to_what_the_erp_says() {
        for state in OrderState::ALL {
            for (answer, wanted) in [
                (OrderAnswer::Accepted, &[OrderState::Accepted][..]),
                (OrderAnswer::Rejected, &[OrderState::Rejected, OrderState::Cancelled]),
                (OrderAnswer::Cancelled, &[OrderState::Cancelled, OrderState::Rejected]),
            ] {
                for numbered in [false, true] {
                    let Some(events) = way(state, answer, numbered) else { continue };
                    let end = events.iter().try_fold(state, |at, event| next(at, *event)).unwrap();
                    assert!(wanted.contains(&end), "{state} {answer:?} {numbered}: {events:?} ends {end}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_led_there_is_a_conflict() {
        for (state, answer, numbered) in [
            (OrderState::Cancelled, OrderAnswer::Accepted, true),
            (OrderState::Accepted, OrderAnswer::Rejected, true),
            (OrderState::Submitted, OrderAnswer::Accepted, false),
        ] {
            assert_eq!(way(state, answer, numbered), None, "{state} {answer:?}");
        }
    }
}
