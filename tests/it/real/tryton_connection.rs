//! The shipped connector `tryton` and its mappings against Tryton itself: every entity pulled, changes and deletions seen,
//! orders made, refused and undone.

use std::path::Path;

use serde_json::{Value, json};
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::connector::{Created, Found};
use tradebridge::model::{Entity, Key};
use tradebridge::record::{Map, Value as Field};
use tradebridge::store::{Part, RunCounts, RunState};
use tradebridge::sync::{ORDER_ACTION, OrderRoute, Plan, Puller};

use crate::support::conformance;
use crate::support::peers::{Peer, System, TRYTON_PASSWORD, Tryton, USER};
use crate::support::store::{Engine, TestStore};

conformance!(every_entity_is_pulled, changes_and_deletions_are_seen);

const ENTITIES: [&str; 7] = ["customer", "address", "contact", "product", "price_agreement", "stock", "credit"];

struct Bridge {
    store: TestStore,
    puller: Puller,
    plan: Plan,
    _stop: watch::Sender<bool>,
}

fn plan(peer: &Peer) -> Plan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).display().to_string();
    let mut text = format!(
        "connectors = ['{root}/connectors']\nmappings = ['{root}/mappings']\n[[connection]]\nname = 'erp'\n\
         connector = 'tryton'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n\
         settings = {{ base_url = '{}', database = 'erp', user = '{USER}', password = {{ env = 'ERP_PASSWORD' }}, \
         warehouse = 5 }}\n",
        peer.address()
    );
    text.extend(
        ENTITIES
            .map(|entity| format!("[[sync]]\nconnection = 'erp'\nentity = '{entity}'\nguard = {{ floor = 100 }}\n")),
    );
    text.push_str("[[shop]]\nname = 'b2b'\ncompanies = ['NL01']\nconnections = ['erp']\norders_to = 'erp'\n");
    let password = [("ERP_PASSWORD".to_owned(), TRYTON_PASSWORD.to_owned())];
    let config = Config::of_document(Document::parse("tradebridge.toml", &text), password)
        .unwrap_or_else(|problems| panic!("{problems}"));
    Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"))
}

impl Bridge {
    async fn new(engine: Engine, peer: &Peer) -> Self {
        let store = TestStore::new(engine).await;
        let (stop, stopped) = watch::channel(false);
        let puller = Puller::new(store.shared(), stopped);
        Self { store, puller, plan: plan(peer), _stop: stop }
    }

    async fn pull(&self, entity: &str, full: bool) -> RunCounts {
        let pull = self.plan.pulls_of("erp", Some(entity)).remove(0);
        let mut pulled = self.puller.pull(&self.plan, &pull, full, |_| {}).await.unwrap();
        assert_eq!(pulled.len(), 1, "{entity}: {pulled:?}");
        let run = pulled.remove(0).run;
        assert_eq!(run.state, RunState::Done, "{entity}: {run:?}");
        run.counts
    }

    async fn parts(&self, entity: Entity, number: &str) -> Vec<Part> {
        self.store.parts(entity, &[Key::new("NL01", number)]).await.unwrap()
    }

    async fn main(&self, entity: Entity, number: &str) -> Option<Value> {
        self.parts(entity, number).await.into_iter().find(|part| part.part.is_empty()).map(|part| part.content)
    }
}

async fn every_entity_is_pulled(engine: Engine) {
    let peer = Peer::shared(System::Tryton);
    let bridge = Bridge::new(engine, &peer).await;
    for entity in ENTITIES {
        let counts = bridge.pull(entity, false).await;
        assert!(counts.read > 25 && counts.rejected == 0, "{entity}: {counts:?}");
    }
    let customer = bridge.main(Entity::Customer, "10001").await.unwrap();
    assert_eq!(customer["name"], "Installatiebedrijf Noord 01");
    assert_eq!(customer["price_groups"], json!(["Dealer"]));
    assert_eq!(customer["vat_number"], "NL004495445B01");
    assert_eq!(bridge.main(Entity::Customer, "10030").await, None, "it is out of use");
    // The customer himself, three addresses, three means of contact.
    assert_eq!(bridge.parts(Entity::Customer, "10001").await.len(), 7);
    let product = bridge.main(Entity::Product, "P1001").await.unwrap();
    assert_eq!(product["base_unit"], json!({ "code": "C62", "erp": "u" }));
    assert_eq!(product["gtin"], "8712340000009");
    assert_eq!(bridge.main(Entity::Product, "P1039").await, None, "it is not sold");
    let credit = bridge.main(Entity::Credit, "10003").await.unwrap();
    assert_eq!((&credit["limit"], &credit["unlimited"]), (&json!("1000"), &json!(false)), "{credit}");
    assert_eq!(bridge.main(Entity::Credit, "10005").await.unwrap()["unlimited"], true);
    let agreement = bridge.main(Entity::PriceAgreement, "2").await.unwrap();
    assert_eq!((&agreement["value"], &agreement["minimum_quantity"]), (&json!("8.25"), &json!("10")));
    assert_eq!(agreement["customer_group"], "Dealer");
    for entity in ENTITIES {
        let before = bridge.store.head().await.unwrap();
        for full in [false, true] {
            let counts = bridge.pull(entity, full).await;
            assert_eq!((counts.created, counts.updated, counts.deleted), (0, 0, 0), "{entity}: {counts:?}");
        }
        assert_eq!(bridge.store.head().await.unwrap(), before, "{entity}: what is as it was is no change");
    }
}

async fn changes_and_deletions_are_seen(engine: Engine) {
    let peer = Peer::own(System::Tryton);
    let bridge = Bridge::new(engine, &peer).await;
    for entity in ["customer", "address", "credit"] {
        bridge.pull(entity, false).await;
    }
    let tryton = Tryton::login(&peer).await;
    let found = async |model: &str, domain: Value| {
        let params = json!([domain, 0, 1, null, { "company": 1 }]);
        tryton.call(&format!("model.{model}.search"), params).await.unwrap()[0].clone()
    };
    let party = found("party.party", json!([["code", "=", "10002"]])).await;
    let values = json!([[party], { "name": "Umbenannt GmbH" }, { "company": 1 }]);
    tryton.call("model.party.party.write", values).await.unwrap();
    assert_eq!(bridge.pull("customer", false).await.updated, 1);
    assert_eq!(bridge.main(Entity::Customer, "10002").await.unwrap()["name"], "Umbenannt GmbH");

    // An address alone: its party is as it was.
    let address = found("party.address", json!([["party.code", "=", "10004"], ["delivery", "=", true]])).await;
    let values = json!([[address], { "city": "Zwolle" }, { "company": 1 }]);
    tryton.call("model.party.address.write", values).await.unwrap();
    assert_eq!(bridge.pull("customer", false).await.updated, 0);
    assert_eq!(bridge.pull("address", false).await.updated, 1);

    // What is out of use is told at once; what is gone is missed by a complete pass.
    let values = json!([[party], { "active": false }, { "company": 1 }]);
    tryton.call("model.party.party.write", values).await.unwrap();
    assert_eq!(bridge.pull("customer", false).await.deleted, 1);
    assert_eq!(bridge.main(Entity::Customer, "10002").await, None);
    tryton.call("model.party.address.delete", json!([[address], { "company": 1 }])).await.unwrap();
    assert_eq!(bridge.pull("address", false).await.deleted, 0);
    let (once, twice) = (bridge.pull("address", true).await, bridge.pull("address", true).await);
    assert_eq!(once.deleted + twice.deleted, 1);
}

/// An order as the order path hands it to the outbound mapping, made into a request.
fn request(route: &OrderRoute, reference: &str, customer: &str, quantity: u32) -> Map {
    let order = json!({
        "id": reference, "shop": "b2b", "company": "NL01", "accepted_at": "2026-11-24T10:00:00Z",
        "reference": format!("W-{reference}"), "customer": customer, "customer_order_number": "PO 7",
        "currency": "EUR",
        "lines": [{ "number": "1", "product": "P1002", "quantity": quantity.to_string(), "unit_price": "10" }],
    });
    let Field::Map(record) = Field::from_json(order) else { panic!("an order is a record") };
    route.mapping.apply(&record, &route.link.setting).unwrap()
}

#[tokio::test]
async fn an_order_is_made_once_and_what_is_refused_is_undone() {
    let peer = Peer::own(System::Tryton);
    let plan = plan(&peer);
    let route = &plan.routes["erp"];
    let connector = &route.link.connector;
    let action = connector.action(ORDER_ACTION).unwrap();

    let order = request(route, "TB-1", "10001", 5);
    let missing = connector.find(action, &order, "TB-1").await;
    assert_eq!(missing, Found::Missing { conclusive: false });
    let Created::Accepted { number } = connector.create(action, &order, "TB-1").await else { panic!("not accepted") };
    assert!(!number.is_empty());
    // The same again is refused by the system, and found.
    assert_eq!(connector.create(action, &order, "TB-1").await, Created::Accepted { number: number.clone() });
    assert_eq!(connector.find(action, &order, "TB-1").await, Found::Accepted { number });
    let other = request(route, "TB-1", "10002", 5);
    assert!(matches!(connector.find(action, &other, "TB-1").await, Found::Doubtful { .. }), "another customer's");

    // 10003 has 32 euros left.
    let large = request(route, "TB-2", "10003", 500);
    let Created::Rejected { reason } = connector.create(action, &large, "TB-2").await else { panic!("not refused") };
    assert!(reason.contains("credit limit"), "{reason}");
    assert_eq!(connector.find(action, &large, "TB-2").await, Found::Missing { conclusive: false }, "its draft is gone");

    let unknown = request(route, "TB-3", "99999", 1);
    let Created::Rejected { reason } = connector.create(action, &unknown, "TB-3").await else { panic!("not refused") };
    assert!(reason.contains("knows no party 99999"), "{reason}");

    // A sale that stopped half-way goes on from where it is.
    let half = request(route, "TB-4", "10001", 1);
    let tryton = Tryton::login(&peer).await;
    let made = connector.create(action, &half, "TB-4").await;
    assert!(matches!(made, Created::Accepted { .. }), "{made:?}");
    let draft = json!([[["web_id", "=", "TB-4"]], 0, 1, null, ["state"], { "company": 1 }]);
    let state = tryton.call("model.sale.sale.search_read", draft).await.unwrap();
    assert_eq!(state[0]["state"], "processing");
}
