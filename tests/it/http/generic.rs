//! The connector to begin with for a system with a JSON API, as it ships with its mappings, against one such system: everything is
//! pulled, changes are asked for, an order is made and found.

use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::connector::{Created, Found, Trail};
use tradebridge::model::{Entity, Key};
use tradebridge::record::Value;
use tradebridge::store::{Run, RunState};
use tradebridge::sync::{ORDER_ACTION, Plan, Puller};

use super::server::{Asked, Reply, Server};
use crate::support::store::{Engine, TestStore};

const ENTITIES: [&str; 4] = ["customer", "product", "price_agreement", "stock"];

/// The records of a path.
fn records(path: &str) -> Json {
    match path {
        "/v1/customers" => json!([
            { "id": 17, "number": "1000", "name": "De Vries BV", "price_group": "A", "currency": "EUR",
              "updated_at": "2026-11-24T10:00:00Z",
              "addresses": [{ "id": 3, "street": "Dorpsstraat", "city": "Venlo", "country": "nl" }],
              "contacts": [{ "id": 5, "name": "Anna", "email": "Anna@example.com", "role": "purchasing" }] },
            { "id": 18, "number": "1001", "name": "Jansen", "updated_at": "2026-11-24T11:00:00Z" },
        ]),
        "/v1/products" => json!([
            { "id": 9, "number": "P-1", "name": "Valve 15 mm", "unit": "PCS", "group": "VALVE", "updated_at": "2026-11-24T10:00:00Z" },
        ]),
        "/v1/prices" => json!([
            { "id": 7, "customer": "1000", "product": "P-1", "currency": "EUR",
              "tiers": [{ "from": 1, "price": "13.00" }, { "from": 10, "price": "12.50" }] },
        ]),
        _ => json!([{ "product": "P-1", "warehouse": "MAIN", "on_hand": 12, "available": 7.5 }]),
    }
}

fn answer(asked: &Asked, orders: &mut Vec<Json>) -> Reply {
    if asked.header("authorization") != "Bearer s3cret" {
        return Reply::status(401);
    }
    match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/v1/orders") => {
            let order = asked.json();
            if order["customer"] == "1001" {
                return Reply::of(422, "application/json", json!({ "message": "Customer 1001 has no credit" }));
            }
            orders.push(json!({ "number": "SO-1", "reference": order["reference"], "customer": order["customer"] }));
            Reply::of(201, "application/json", json!({ "data": orders.last() }))
        }
        ("GET", "/v1/orders") => {
            let found = orders.iter().filter(|order| order["reference"] == asked.query["reference"]);
            Reply::json(json!({ "data": found.collect::<Vec<_>>() }))
        }
        (_, path) => {
            let Json::Array(mut records) = records(path) else { panic!("{path}") };
            if let Some(since) = asked.query.get("updated_since") {
                records.retain(|record| record["updated_at"].as_str() >= Some(since));
            }
            if asked.number("page") > 1 {
                records.clear();
            }
            Reply::json(json!({ "data": records }))
        }
    }
}

#[tokio::test]
async fn a_json_api_is_read_and_takes_orders_by_the_connector_that_ships() {
    let orders = Mutex::new(Vec::new());
    let server = Server::new(move |asked| answer(asked, &mut orders.lock().unwrap())).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).display();
    let mut text = format!(
        "connectors = ['{root}/connectors']\nmappings = ['{root}/mappings']\n[[connection]]\nname = 'erp'\n\
         connector = 'generic-rest'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n\
         settings = {{ base_url = '{}/v1/', token = {{ env = 'TOKEN' }} }}\n\
         [[shop]]\nname = 'b2b'\ncompanies = ['NL01']\nconnections = ['erp']\norders_to = 'erp'\n",
        server.url()
    );
    text.extend(ENTITIES.map(|entity| format!("[[sync]]\nconnection = 'erp'\nentity = '{entity}'\n")));
    let secret = [("TOKEN".to_owned(), "s3cret".to_owned())];
    let config = Config::of_document(Document::parse("tradebridge.toml", &text), secret).unwrap();
    let plan = Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"));
    let store = TestStore::new(Engine::Sqlite).await;
    let puller = Puller::new(store.shared(), watch::channel(false).1);
    let pull = async |entity: &str| -> Run {
        let pull = plan.pulls_of("erp", Some(entity)).remove(0);
        let run = puller.pull(&plan, &pull, false, |_| {}).await.unwrap().remove(0).run;
        assert_eq!((run.state, run.counts.rejected), (RunState::Done, 0), "{entity}: {run:?}");
        run
    };
    // A price with two tiers is two.
    for (entity, created) in ENTITIES.into_iter().zip([2, 1, 2, 1]) {
        assert_eq!(pull(entity).await.counts.created, created, "{entity}");
    }
    for (entity, complete) in ENTITIES.into_iter().zip([false, false, true, true]) {
        let run = pull(entity).await;
        assert_eq!((run.complete, run.counts.created, run.counts.updated), (complete, 0, 0), "{entity}");
    }
    // What changed since five minutes before the last change that was seen.
    assert!(
        server
            .asked()
            .iter()
            .any(|asked| asked.query.get("updated_since").is_some_and(|at| at == "2026-11-24T10:55:00Z"))
    );
    let tier = store.parts(Entity::PriceAgreement, &[Key::new("NL01", "7-10")]).await.unwrap();
    assert_eq!((&tier[0].content["value"], &tier[0].content["minimum_quantity"]), (&json!("12.5"), &json!("10")));

    let route = &plan.routes["erp"];
    let connector = &route.link.connector;
    let action = connector.action(ORDER_ACTION).unwrap();
    let request = |customer: &str| {
        let order = json!({
            "id": "TB-1", "shop": "b2b", "accepted_at": "2026-11-24T10:00:00Z", "reference": "W-1", "customer": customer,
            "currency": "EUR", "lines": [{ "number": 1, "product": "P-1", "quantity": "3", "unit": { "code": "C62" } }],
        });
        let Value::Map(record) = Value::from_json(order) else { panic!("an order is a record") };
        route.mapping.apply(&record, &route.link.setting).unwrap_or_else(|rejected| panic!("{rejected}"))
    };
    let order = request("1000");
    assert_eq!(connector.find(action, &order, "TB-1", &Trail::default()).await, Found::Missing { conclusive: false });
    assert_eq!(
        connector.create(action, &order, "TB-1", &Trail::default()).await,
        Created::Accepted { number: "SO-1".to_owned() }
    );
    assert_eq!(
        connector.find(action, &order, "TB-1", &Trail::default()).await,
        Found::Accepted { number: "SO-1".to_owned() }
    );
    assert!(matches!(
        connector.find(action, &request("1002"), "TB-1", &Trail::default()).await,
        Found::Doubtful { .. }
    ));
    let refused = connector.create(action, &request("1001"), "TB-2", &Trail::default()).await;
    assert_eq!(refused, Created::Rejected { reason: "Customer 1001 has no credit".to_owned() });
}
