//! The shipped connector `tryton` and its mappings against Tryton itself: every entity pulled, changes and deletions seen,
//! orders made, refused and undone.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::connector::{Created, Found, Trail};
use tradebridge::model::{Entity, Key};
use tradebridge::record::{Map, Value as Field};
use tradebridge::store::{Part, RunCounts, RunState};
use tradebridge::sync::{ORDER_ACTION, OrderRoute, Plan, Pull, Puller};

use crate::support::conformance;
use crate::support::peers::{Peer, System, TRYTON_PASSWORD, Tryton, USER};
use crate::support::store::{Engine, TestStore};

conformance!(
    every_entity_is_pulled,
    changes_and_deletions_are_seen,
    stock_of_every_warehouse_is_seen,
    prices_are_what_tryton_computes,
);

const ENTITIES: [&str; 7] = ["customer", "address", "contact", "product", "price_agreement", "stock", "credit"];

struct Bridge {
    store: TestStore,
    puller: Puller,
    plan: Plan,
    _stop: watch::Sender<bool>,
}

/// What Tryton computes.
const COMPUTED: &str = "[[sync]]\nconnection = 'erp'\nentity = 'price_agreement'\nmapping = 'tryton/computed_price'\n\
     guard = { floor = 100 }\n";

fn plan(peer: &Peer) -> Plan {
    planned(peer, "", "")
}

/// With more settings, and more to pull.
fn planned(peer: &Peer, settings: &str, more: &str) -> Plan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).display().to_string();
    let mut text = format!(
        "connectors = ['{root}/connectors']\nmappings = ['{root}/mappings']\n[[connection]]\nname = 'erp'\n\
         connector = 'tryton'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n\
         settings = {{ base_url = '{}', database = 'erp', user = '{USER}', password = {{ env = 'ERP_PASSWORD' }}, \
         warehouse = 5{settings} }}\n",
        peer.address()
    );
    text.extend(
        ENTITIES
            .map(|entity| format!("[[sync]]\nconnection = 'erp'\nentity = '{entity}'\nguard = {{ floor = 100 }}\n")),
    );
    text.push_str(more);
    text.push_str("[[shop]]\nname = 'b2b'\ncompanies = ['NL01']\nconnections = ['erp']\norders_to = 'erp'\n");
    let password = [("ERP_PASSWORD".to_owned(), TRYTON_PASSWORD.to_owned())];
    let config = Config::of_document(Document::parse("tradebridge.toml", &text), password)
        .unwrap_or_else(|problems| panic!("{problems}"));
    Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"))
}

impl Bridge {
    async fn new(engine: Engine, peer: &Peer) -> Self {
        Self::with(engine, plan(peer)).await
    }

    async fn with(engine: Engine, plan: Plan) -> Self {
        let store = TestStore::new(engine).await;
        let (stop, stopped) = watch::channel(false);
        let puller = Puller::new(store.shared(), stopped);
        Self { store, puller, plan, _stop: stop }
    }

    async fn pull(&self, entity: &str, full: bool) -> RunCounts {
        let pull = self.plan.pulls_of("erp", Some(entity)).remove(0);
        self.pulled(entity, pull, full).await
    }

    /// Pulls what Tryton computes.
    async fn pull_computed(&self, full: bool) -> RunCounts {
        let pulls = self.plan.pulls_of("erp", Some("price_agreement"));
        let pull = pulls.into_iter().find(|pull| pull.mapping.stream == "computed_prices").unwrap();
        self.pulled("computed prices", pull, full).await
    }

    async fn pulled(&self, entity: &str, pull: Arc<Pull>, full: bool) -> RunCounts {
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

async fn stock_of_every_warehouse_is_seen(engine: Engine) {
    let peer = Peer::own(System::Tryton);
    let bridge = Bridge::new(engine, &peer).await;
    // 39 products in two warehouses; the last is out of use.
    assert_eq!(bridge.pull("stock", false).await.created, 78);
    let stock = async |product: &str, warehouse: &str| {
        let stock = bridge.main(Entity::Stock, &format!("{product}~{warehouse}")).await;
        stock.map(|stock| stock["on_hand"].clone())
    };
    assert_eq!(stock("P1003", "MAIN").await, Some(json!("14")));
    assert_eq!(stock("P1003", "SOUTH").await, Some(json!("4")));

    // A count in one warehouse finds more.
    let tryton = Tryton::login(&peer).await;
    let storage = tryton
        .call(
            "model.stock.location.search",
            json!([[["parent.code", "=", "SOUTH"], ["code", "=", "STO"]], 0, 1, null, {}]),
        )
        .await
        .unwrap()[0]
        .clone();
    let inventory = json!([[{
        "company": 1, "location": storage, "date": { "__class__": "date", "year": 2026, "month": 1, "day": 3 },
        "lines": [["create", [{ "product": 3, "quantity": 9, "expected_quantity": 4 }]]],
    }], { "company": 1 }]);
    let inventory = tryton.call("model.stock.inventory.create", inventory).await.unwrap();
    tryton.call("model.stock.inventory.confirm", json!([inventory, { "company": 1 }])).await.unwrap();
    let counts = bridge.pull("stock", false).await;
    assert_eq!((counts.updated, counts.created, counts.deleted), (1, 0, 0));
    assert_eq!(stock("P1003", "SOUTH").await, Some(json!("9")));
    assert_eq!(stock("P1003", "MAIN").await, Some(json!("14")));

    let one = Bridge::with(engine, planned(&peer, ", warehouses = ['SOUTH']", "")).await;
    assert_eq!(one.pull("stock", false).await.created, 39);
    assert!(one.main(Entity::Stock, "P1003~SOUTH").await.is_some());
}

async fn prices_are_what_tryton_computes(engine: Engine) {
    let peer = Peer::own(System::Tryton);
    let tryton = Tryton::login(&peer).await;
    let context = json!({ "company": 1 });
    // Before the others of the list: three for the product, by quantity, one for Elbows, all of Fittings from next century on.
    let line = |formula: &str, more: Value| {
        let mut line = json!({ "price_list": 1, "sequence": 0, "formula": formula });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let lines = json!([
        line("unit_price * 0.9 + 1", json!({ "product": 2 })),
        line("unit_price * 0.5 + 2", json!({ "product": 2, "quantity": 10 })),
        line("cost_price * 1.4", json!({ "product": 8 })),
        line("cost_price * 1.2", json!({ "category": 3 })),
        line(
            "unit_price * 2",
            json!({
                "category": 2, "start_date": { "__class__": "date", "year": 2101, "month": 1, "day": 1 },
            })
        ),
    ]);
    let lines: Vec<i64> = serde_json::from_value(
        tryton.call("model.product.price_list.line.create", json!([lines, context])).await.unwrap(),
    )
    .unwrap();
    // The larger quantity stands first.
    for (at, line) in [1, 0, 2, 3, 4].into_iter().enumerate() {
        let sequence = i64::try_from(at).unwrap() - 10;
        let values = json!([[lines[line]], { "sequence": sequence }, context]);
        tryton.call("model.product.price_list.line.write", values).await.unwrap();
    }
    let bridge = Bridge::with(engine, planned(&peer, ", other_formulas = 'ask'", COMPUTED)).await;
    let known = bridge.pull("price_agreement", false).await;
    assert_eq!((known.rejected, known.created), (0, 28), "what Tryton computes is no record of this stream");

    // Ten products are Elbows, of which one is not in use or sold; Fittings are these and the ten Valves.
    let computed = bridge.pull_computed(false).await;
    assert_eq!(computed.rejected, 0);
    let price = async |line: usize, product: u32| {
        let number = format!("{}-{product}", lines[line]);
        bridge.main(Entity::PriceAgreement, &number).await.map(|agreement| {
            (agreement["product"].clone(), agreement["value"].clone(), agreement.get("minimum_quantity").cloned())
        })
    };
    let expected = |product: &str, value: &str, quantity: Option<&str>| {
        Some((json!(product), json!(value), quantity.map(|quantity| json!(quantity))))
    };
    // The list price of P1002 is 10.25, its cost 6.125.
    assert_eq!(price(0, 2).await, expected("P1002", "10.225", None));
    assert_eq!(price(1, 2).await, expected("P1002", "7.125", Some("10")));
    // P1008 is sold in boxes of 12; prices are for one piece.
    assert_eq!(price(2, 8).await, expected("P1008", "9.625", None));
    assert_eq!(price(3, 1).await, expected("P1001", "7.2", None));
    // Of the Elbows the line before it decides.
    assert_eq!(price(4, 1).await, expected("P1001", "7.2", None));
    assert_eq!(price(4, 6).await, expected("P1006", "22.5", None));
    assert_eq!(
        bridge.main(Entity::PriceAgreement, &format!("{}-6", lines[4])).await.unwrap()["valid_from"],
        "2101-01-01"
    );

    for full in [false, true] {
        let counts = bridge.pull_computed(full).await;
        assert_eq!((counts.created, counts.updated, counts.deleted), (0, 0, 0), "{counts:?}");
    }
    // The list price of a product changes, which its lines follow at once.
    let raised = json!([[2], { "list_price": { "__class__": "Decimal", "decimal": "20" } }, context]);
    tryton.call("model.product.template.write", raised).await.unwrap();
    assert_eq!(bridge.pull_computed(false).await.updated, 3);
    assert_eq!(price(0, 2).await, expected("P1002", "19", None));
    assert_eq!(price(1, 2).await, expected("P1002", "12", Some("10")));
    // A formula changes.
    let values = json!([[lines[3]], { "formula": "cost_price * 1.3" }, context]);
    tryton.call("model.product.price_list.line.write", values).await.unwrap();
    bridge.pull_computed(false).await;
    assert_eq!(price(3, 1).await, expected("P1001", "7.8", None));
    // A line goes.
    tryton.call("model.product.price_list.line.delete", json!([[lines[2]], context])).await.unwrap();
    assert_eq!(bridge.pull_computed(true).await.deleted, 1);
    assert_eq!(price(2, 8).await, None);
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
    let missing = connector.find(action, &order, "TB-1", &Trail::default()).await;
    assert_eq!(missing, Found::Missing { conclusive: false });
    let Created::Accepted { number } = connector.create(action, &order, "TB-1", &Trail::default()).await else {
        panic!("not accepted")
    };
    assert!(!number.is_empty());
    // The same again is refused by the system, and found.
    assert_eq!(
        connector.create(action, &order, "TB-1", &Trail::default()).await,
        Created::Accepted { number: number.clone() }
    );
    assert_eq!(connector.find(action, &order, "TB-1", &Trail::default()).await, Found::Accepted { number });
    let other = request(route, "TB-1", "10002", 5);
    assert!(
        matches!(connector.find(action, &other, "TB-1", &Trail::default()).await, Found::Doubtful { .. }),
        "another customer's"
    );

    // 10003 has 32 euros left.
    let large = request(route, "TB-2", "10003", 500);
    let Created::Rejected { reason } = connector.create(action, &large, "TB-2", &Trail::default()).await else {
        panic!("not refused")
    };
    assert!(reason.contains("credit limit"), "{reason}");
    assert_eq!(
        connector.find(action, &large, "TB-2", &Trail::default()).await,
        Found::Missing { conclusive: false },
        "its draft is gone"
    );

    let unknown = request(route, "TB-3", "99999", 1);
    let Created::Rejected { reason } = connector.create(action, &unknown, "TB-3", &Trail::default()).await else {
        panic!("not refused")
    };
    assert!(reason.contains("knows no party 99999"), "{reason}");

    // A sale that stopped half-way goes on from where it is.
    let half = request(route, "TB-4", "10001", 1);
    let tryton = Tryton::login(&peer).await;
    let made = connector.create(action, &half, "TB-4", &Trail::default()).await;
    assert!(matches!(made, Created::Accepted { .. }), "{made:?}");
    let draft = json!([[["web_id", "=", "TB-4"]], 0, 1, null, ["state"], { "company": 1 }]);
    let state = tryton.call("model.sale.sale.search_read", draft).await.unwrap();
    assert_eq!(state[0]["state"], "processing");
}
