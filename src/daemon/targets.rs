//! Connections as targets of orders: the outbound mapping makes a request of an order, the connector hands it over.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::connector::{Action, CreateClass, Created, Found, Trail};
use crate::model::{Entity, Key};
use crate::orders::{OrderTarget, TIMEOUT, Target, Targets};
use crate::publish;
use crate::record::{Map, Value};
use crate::store::{Store, StoredOrder};
use crate::sync::{ORDER_ACTION, OrderRoute, Plan};

/// The targets of a plan, by connection.
pub(super) fn of(plan: &Plan, store: &Arc<dyn Store>) -> Targets {
    let mut targets = BTreeMap::new();
    for (name, route) in &plan.routes {
        let Some(action) = route.link.connector.action(ORDER_ACTION) else { continue };
        let system = ErpTarget { route: Arc::clone(route), action: action.clone(), store: Arc::clone(store) };
        let target = Target {
            system: Arc::new(system),
            retry: route.link.config.retry,
            answer_within: route.link.config.answer_within.duration(),
            timeout: TIMEOUT,
            concurrency: usize::try_from(route.link.config.orders.concurrency).unwrap_or(1),
        };
        targets.insert(name.clone(), target);
    }
    targets
}

/// A connection that takes orders.
struct ErpTarget {
    route: Arc<OrderRoute>,
    action: Action,
    store: Arc<dyn Store>,
}

impl ErpTarget {
    /// The request that an order becomes, or why it becomes none.
    async fn request(&self, order: &StoredOrder) -> Result<Map, Refusal> {
        let key = Key::new(order.company.clone(), order.customer.clone());
        let parts = self.store.parts(Entity::Customer, &[key]).await.map_err(|e| Refusal::NotNow(e.to_string()))?;
        let customer = publish::assemble(parts).pop().map(|record| serde_json::Value::Object(record.content));
        let record = record(order, customer);
        self.route.mapping.apply(&record, &self.route.link.setting).map_err(|e| Refusal::Order(e.to_string()))
    }
}

/// Why no request can be made of an order.
enum Refusal {
    /// The order or the mapping is at fault.
    Order(String),
    /// Something that may pass.
    NotNow(String),
}

#[async_trait]
impl OrderTarget for ErpTarget {
    fn class(&self) -> CreateClass {
        self.action.class()
    }

    async fn create(&self, order: &StoredOrder, trail: &Trail) -> Created {
        match self.request(order).await {
            Ok(request) => self.route.link.connector.create(&self.action, &request, &order.our_reference, trail).await,
            Err(Refusal::Order(reason)) => Created::Rejected { reason },
            Err(Refusal::NotNow(reason)) => Created::NotExecuted { reason, connection_down: false, retry_after: None },
        }
    }

    async fn find(&self, order: &StoredOrder, trail: &Trail) -> Found {
        match self.request(order).await {
            Ok(request) => self.route.link.connector.find(&self.action, &request, &order.our_reference, trail).await,
            Err(Refusal::Order(reason) | Refusal::NotNow(reason)) => Found::Failed { reason, connection_down: false },
        }
    }

    async fn probe(&self) -> Result<(), String> {
        self.route.link.probe().await
    }
}

/// The order as outbound mappings see it: the canonical order, and what intake knows beside it.
fn record(order: &StoredOrder, customer: Option<serde_json::Value>) -> Map {
    let mut record = match Value::from_json(order.content.clone()) {
        Value::Map(record) => record,
        _ => Map::default(),
    };
    if let Some(Value::List(lines)) = record.get_mut("lines") {
        for (position, line) in lines.iter_mut().enumerate() {
            if let Value::Map(line) = line
                && line.get("number").is_none_or(Value::is_empty)
            {
                line.set("number", Value::Number((position + 1).into()));
            }
        }
    }
    record.set("id", Value::Text(order.our_reference.clone()));
    record.set("shop", Value::Text(order.shop.clone()));
    record.set("company", Value::Text(order.company.clone()));
    record.set("accepted_at", Value::Text(order.accepted_at.to_string()));
    if let Some(customer) = customer {
        record.set("customer_record", Value::from_json(customer));
    }
    record
}
