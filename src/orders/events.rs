//! What happens to orders, told to whoever wants to know: an event for each transition, published to the broker.
//!
//! A transition waits in the store until the broker has confirmed its event, so it is told at least once; an event that is
//! told again has the identifier that it had. One process tells at a time, so that those of an order come in their order.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::context::Context;
use super::view::TransitionView;
use crate::queue::QueueError;
use crate::queue::rabbit::{Event, Rabbit};
use crate::store::{OrderEvent, OrderState, StoreError, Tenure};

/// The lease of whoever tells.
const LEASE: &str = "order events";

/// Events published and noted at once.
const WINDOW: u32 = 100;

/// How long after a look the next one is, should this process hear of nothing: others change orders too.
const REST: Duration = Duration::from_secs(1);

/// How long a broker or a store that fails is left alone.
const FAILED: Duration = Duration::from_secs(5);

/// What goes wrong in telling.
#[derive(Debug, thiserror::Error)]
enum EventError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("an event cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// What an event of an order says.
#[derive(Debug, Serialize)]
struct Told {
    /// The order's identifier here.
    order: String,
    /// The shop's own number for it.
    reference: String,
    /// The reference that the ERP knows it by until it has a number of its own.
    our_reference: String,
    /// The company that sells.
    company: String,
    /// The customer's number.
    customer: String,
    /// The ERP's number, once the ERP has accepted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    erp_number: Option<String>,
    /// Which of the order's transitions it is, counted from 1.
    number: u32,
    #[serde(flatten)]
    transition: TransitionView,
}

/// Tells until the shutdown.
pub(super) async fn run(context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    let Some(broker) = context.queue.broker() else {
        // There is nowhere to tell; an error is one of reading the result, which is that the daemon stops.
        let _ = shutdown.wait_for(|stop| *stop).await;
        return;
    };
    let mut changed = context.wake.follow_orders();
    let mut tenure = Tenure::new(LEASE);
    let mut failing = false;
    while !*shutdown.borrow() {
        changed.mark_unchanged();
        let rest = match tell(&context, broker, &mut tenure).await {
            Ok(()) => {
                if failing {
                    tracing::info!("events of orders are told again");
                }
                failing = false;
                REST
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "events of orders wait; this is tried again until it works");
                }
                failing = true;
                FAILED
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            changed = changed.changed(), if !failing => {
                // Who changes orders is here as long as this is.
                if changed.is_err() {
                    return;
                }
            }
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }
    if let Err(error) = tenure.end(context.store.as_ref()).await {
        tracing::debug!(%error, "the lease on events is left to run out");
    }
}

/// Tells what is to be told, unless another process does.
async fn tell(context: &Context, broker: &Rabbit, tenure: &mut Tenure) -> Result<(), EventError> {
    let store = &context.store;
    // Nothing is written where there is nothing to tell.
    while !store.order_events(1).await?.is_empty() {
        let Some(lease) = tenure.hold(store.as_ref()).await? else { return Ok(()) };
        // Read under the lease: what is told already is not told again after what followed it.
        let waiting = store.order_events(WINDOW).await?;
        let positions: Vec<i64> = waiting.iter().map(|event| event.position).collect();
        let events = waiting.into_iter().map(event).collect::<Result<Vec<Event>, _>>()?;
        let confirmed = broker.tell(&events).await?;
        match store.order_events_told(&lease, positions.get(..confirmed).unwrap_or(&positions)).await {
            // Another process tells now.
            Err(StoreError::Fenced(_)) => return Ok(()),
            noted => noted?,
        }
        if confirmed < events.len() {
            return Err(QueueError::Unavailable("the broker did not take an event".to_owned()).into());
        }
    }
    Ok(())
}

fn event(told: OrderEvent) -> Result<Event, serde_json::Error> {
    let OrderEvent { order, shop, reference, our_reference, company, customer, erp_number, number, transition, .. } =
        told;
    let state = transition.to.name();
    Ok(Event {
        id: format!("{order}/{number}"),
        source: format!("urn:tradebridge:shop:{shop}"),
        kind: format!("tradebridge.order.{state}"),
        subject: order.clone(),
        time: transition.at,
        routing_key: format!("{shop}.order.{state}"),
        data: serde_json::to_vec(&Told {
            order,
            reference,
            our_reference,
            company,
            customer,
            // Later it may be another one; an event told again says what it said.
            erp_number: erp_number.filter(|_| transition.to == OrderState::Accepted),
            number,
            transition: transition.into(),
        })?,
    })
}
