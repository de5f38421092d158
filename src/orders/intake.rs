//! Taking in a shop's order: judged as a whole, stored before it is acknowledged, and the same order again is the same
//! order.
//!
//! Refused at once, with every fault of every field: what breaks the schema, a company or customer the shop does not
//! see, an unknown product, a unit that the product does not have, a quantity that is not positive, an address that the
//! customer does not have. Taken in and held until a person lets it through: an order of a customer whom the ERP blocks
//! for orders, since a block is lifted more often than an order is meant to be lost. Left to the ERP's judgement:
//! order multiples, minimum quantities, discontinued products, contacts.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::fields::{self, FieldError};
use super::known::{self, Customer};
use super::state::{Event, next};
use super::{reference, tell};
use crate::config::Shop;
use crate::config::schema::{self, About};
use crate::model::hash::content_hash;
use crate::model::{Key, Order};
use crate::queue::{Clock, Wake};
use crate::store::{Intaken, NewOrder, OrderState, Store, StoreError, StoredOrder, Transition};

/// The longest idempotency key, in bytes.
const LONGEST_KEY: usize = 255;

/// Whether a customer is in a shop's scope, beyond company and connection.
#[async_trait]
pub trait CustomerScope: Send + Sync {
    /// Whether the shop sees the customer.
    async fn sees(&self, shop: &Shop, customer: &Key) -> Result<bool, StoreError>;
}

/// Why an order was not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The shop has no connection that takes its orders.
    #[error("shop {0} cannot order: its configuration names no connection with `orders_to`")]
    NoOrders(String),
    /// The order, or its idempotency key, is not acceptable.
    #[error("the order is not acceptable: {}", fields::in_words(.0))]
    Invalid(Vec<FieldError>),
    /// Another order has its reference or idempotency key.
    #[error(
        "the {what} was used for order {order}, whose content is another; send a changed order under a reference and \
         an idempotency key of its own"
    )]
    Conflict {
        /// `reference` or `idempotency key`.
        what: &'static str,
        /// The order that has it.
        order: String,
    },
    /// The store failed: nothing was taken in, the shop may send it again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An order that is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The order as it is stored now.
    pub order: StoredOrder,
    /// Whether it was there already: this is the first answer again.
    pub repeated: bool,
}

/// Takes in orders.
pub struct Intake {
    store: Arc<dyn Store>,
    scope: Arc<dyn CustomerScope>,
    wake: Arc<Wake>,
    clock: Arc<dyn Clock>,
}

impl Intake {
    /// An intake into a store; `wake` is told of every new order.
    pub fn new(store: Arc<dyn Store>, scope: Arc<dyn CustomerScope>, wake: Arc<Wake>, clock: Arc<dyn Clock>) -> Self {
        Self { store, scope, wake, clock }
    }

    /// Takes in a shop's order. It is on disk when this returns.
    ///
    /// # Errors
    /// [`IntakeError`]; nothing was stored.
    pub async fn accept(
        &self,
        shop: &Shop,
        mut posted: Value,
        idempotency_key: Option<&str>,
    ) -> Result<Accepted, IntakeError> {
        let connection = shop.orders_to.as_ref().ok_or_else(|| IntakeError::NoOrders(shop.name.clone()))?;
        fields::expand_units(&mut posted);
        let (order, mut faults, unreadable) = read(&posted);
        if let Some(key) = idempotency_key
            && (key.is_empty() || key.len() > LONGEST_KEY || key.contains('\0'))
        {
            let message = format!("the idempotency key must have between 1 and {LONGEST_KEY} bytes, and no NUL");
            faults.push(FieldError::new("", message));
        }
        let Some(order) = order else { return Err(IntakeError::Invalid(faults)) };
        let body_hash = content_hash(&serde_json::to_value(&order).unwrap_or(Value::Null));
        if faults.is_empty() {
            // What the shop is allowed and what the ERP sells may have changed since the first time; the answer has not.
            if let Some(accepted) = self.repeated(shop, &order, idempotency_key, body_hash).await? {
                return Ok(accepted);
            }
        }
        let (completed, customer) = self.judge(shop, order, &unreadable, &mut faults).await?;
        let (true, Some(customer)) = (faults.is_empty(), customer) else { return Err(IntakeError::Invalid(faults)) };

        let new = self.new_order(shop, connection, completed, &customer, idempotency_key, body_hash)?;
        match self.store.accept(&new).await? {
            Intaken::New => {
                for transition in &new.transitions {
                    tell(&new.order, transition.from, transition.to, &transition.cause);
                }
                self.wake.orders_changed();
                Ok(Accepted { order: new.order, repeated: false })
            }
            Intaken::Existing { order, same: true } => Ok(Accepted { order: *order, repeated: true }),
            Intaken::Existing { order, same: false } => Err(conflict(&order, &new.order.reference)),
        }
    }

    /// The first answer, where the order was posted before.
    async fn repeated(
        &self,
        shop: &Shop,
        order: &Order,
        key: Option<&str>,
        body_hash: [u8; 16],
    ) -> Result<Option<Accepted>, IntakeError> {
        let by_reference = self.store.order_by_reference(&shop.name, &order.reference).await?;
        let by_key = match key {
            Some(key) => self.store.order_by_key(&shop.name, key).await?,
            None => None,
        };
        for found in [&by_reference, &by_key].into_iter().flatten() {
            if found.body_hash != body_hash {
                return Err(conflict(found, &order.reference));
            }
        }
        Ok(by_reference.or(by_key).map(|order| Accepted { order, repeated: true }))
    }

    /// Judges an order by what is known of company, customer and products, and completes it with what it left out.
    async fn judge(
        &self,
        shop: &Shop,
        mut order: Order,
        unreadable: &[String],
        faults: &mut Vec<FieldError>,
    ) -> Result<(Order, Option<Customer>), StoreError> {
        let mut found: Vec<FieldError> = order.check().into_iter().map(FieldError::from).collect();
        let company = match (&order.company, shop.companies.as_slice()) {
            (Some(company), companies) if companies.contains(company) => Some(company.clone()),
            (None, [only]) => Some(only.clone()),
            (given, companies) => {
                let which = format!("give one of the companies that shop {} sees: {}", shop.name, companies.join(", "));
                let fault = given.as_ref().map_or_else(|| which.clone(), |c| format!("'{c}' is none of them; {which}"));
                found.push(FieldError::new("/company", fault));
                None
            }
        };
        let mut customer = None;
        if let Some(company) = company {
            let key = Key::new(&company, &order.customer);
            customer = known::customer(self.store.as_ref(), shop, &key).await?;
            if customer.is_some() && !self.scope.sees(shop, &key).await? {
                customer = None;
            }
            match &customer {
                Some(customer) => {
                    known::check_addresses(self.store.as_ref(), customer, &order, &mut found).await?;
                }
                None if order.customer.trim().is_empty() => {}
                None => found.push(FieldError::new(
                    "/customer",
                    format!("shop {} sees no customer '{}' of company {company}", shop.name, order.customer),
                )),
            }
            known::check_lines(self.store.as_ref(), shop, &company, &mut order, &mut found).await?;
            order.company = Some(company);
        }
        for at in 0..order.lines.len() {
            order.lines[at].number = Some(order.line_number(at));
        }
        // What stands in for an unreadable value says nothing about the order.
        found.retain(|fault| !unreadable.iter().any(|pointer| fault.is_within(pointer)));
        faults.append(&mut found);
        Ok((order, customer))
    }

    fn new_order(
        &self,
        shop: &Shop,
        connection: &str,
        order: Order,
        customer: &Customer,
        key: Option<&str>,
        body_hash: [u8; 16],
    ) -> Result<NewOrder, IntakeError> {
        let now = self.clock.now();
        let id = Uuid::now_v7();
        let who = super::desk::Actor::Shop(shop.name.clone()).to_string();
        let (event, cause, reason) = if customer.blocked {
            let reason = format!(
                "customer {} is blocked for orders in the ERP; approve the order to send it all the same, or cancel it",
                order.customer
            );
            (Event::Hold, reason.clone(), Some(reason))
        } else {
            (Event::Queue, "nothing stands in its way".to_owned(), None)
        };
        let state = next(OrderState::Received, event)
            .map_err(|error| StoreError::Unreadable { what: "state", message: error.to_string() })?;
        let transition = |from, to, cause: &str| Transition {
            at: now,
            from,
            to,
            cause: cause.to_owned(),
            attempt: 0,
            who: who.clone(),
        };
        let content = serde_json::to_value(&order)
            .map_err(|error| IntakeError::Invalid(vec![FieldError::new("", error.to_string())]))?;
        Ok(NewOrder {
            transitions: vec![
                transition(None, OrderState::Received, "posted by the shop"),
                transition(Some(OrderState::Received), state, &cause),
            ],
            publish: state == OrderState::Queued,
            order: StoredOrder {
                id: id.to_string(),
                shop: shop.name.clone(),
                reference: order.reference,
                our_reference: reference::of(id),
                company: order.company.unwrap_or_default(),
                customer: order.customer,
                connection: connection.to_owned(),
                content,
                body_hash,
                idempotency_key: key.map(str::to_owned),
                state,
                previous: Some(OrderState::Received),
                generation: 1,
                attempt: 0,
                postponed: 0,
                not_before: None,
                erp_number: None,
                reason,
                accepted_at: now,
                changed_at: now,
                pursued_since: now,
                submitted_at: None,
                overdue: false,
            },
        })
    }
}

fn conflict(found: &StoredOrder, reference: &str) -> IntakeError {
    let what = if found.reference == reference { "reference" } else { "idempotency key" };
    IntakeError::Conflict { what, order: found.id.clone() }
}

/// Reads an order as far as it can be read: the order, what is wrong with its form, and the places where something
/// else stands in for what cannot be read.
fn read(posted: &Value) -> (Option<Order>, Vec<FieldError>, Vec<String>) {
    static SCHEMA: LazyLock<Value> = LazyLock::new(schema::of::<Order>);
    let violations = schema::check(&SCHEMA, posted);
    let mut faults: Vec<FieldError> = violations
        .iter()
        .map(|violation| {
            let hint = violation.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            FieldError::new(violation.path.pointer(), format!("{}{hint}", violation.message))
        })
        .collect();
    let mut places: Vec<(String, bool)> =
        violations.iter().map(|v| (v.path.pointer(), v.about == About::Key)).collect();
    let mut beyond = Vec::new();
    fields::find_codes(posted, &mut beyond);
    fields::find_values(posted, &mut String::new(), &mut beyond);
    // One finding for one value.
    beyond.retain(|fault| !places.iter().any(|(pointer, _)| fault.is_within(pointer)));
    places.extend(beyond.iter().map(|fault| (fault.pointer.clone(), false)));
    faults.append(&mut beyond);
    match fields::readable(posted, &places) {
        Ok((order, unreadable)) => (Some(order), faults, unreadable),
        Err(message) => {
            if faults.is_empty() {
                faults.push(FieldError::new("", message));
            }
            (None, faults, Vec::new())
        }
    }
}
