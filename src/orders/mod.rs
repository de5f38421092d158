//! Orders on their way from a shop to an ERP: taken in, sent, answered, looked after. Never lost, never twice.
//!
//! The store is the authority: whoever acts on an order holds it by a compare-and-set on its state and generation. What
//! does not live here: how messages travel (`queue`), how an ERP is talked to (`connector`), the shape of its requests
//! (`mapping`), and who may do what over HTTP (`api`).

mod answers;
mod context;
mod crash;
mod dead;
mod deadlines;
pub mod desk;
mod events;
mod fields;
mod given_up;
mod in_hand;
mod intake;
mod known;
mod presence;
mod reference;
mod retry;
mod sender;
mod service;
pub mod state;
mod target;
mod view;

pub use context::Pause;
pub use dead::{Dead, DeadFilter};
pub use desk::{Actor, Desk, DeskError, Shown};
pub use fields::FieldError;
pub use intake::{Accepted, CustomerScope, Intake, IntakeError};
pub use retry::Policy;
pub use service::Orders;
pub use target::{OrderTarget, TIMEOUT, Target, Targets};
pub use view::TransitionView;

use crate::store::{Advance, OrderState, StoredOrder};
use crate::telemetry::{self, event::OrderMoved};

/// Logs and counts a transition.
fn tell(order: &StoredOrder, from: Option<OrderState>, to: OrderState, cause: &str) {
    telemetry::emit(OrderMoved {
        order_id: &order.id,
        connection: &order.connection,
        from: from.map_or("", OrderState::name),
        to: to.name(),
        cause,
        attempt: order.attempt,
    });
}

/// Logs and counts the transitions of a change that was committed.
fn tell_change(advance: &Advance, after: &StoredOrder) {
    let mut from = advance.from;
    for step in &advance.steps {
        tell(after, Some(from), step.to, &step.cause);
        from = step.to;
    }
}
