//! The connector of SAP S/4HANA, as it ships, against the OData server: pulls, complete and of changes, and orders.

use std::path::Path;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tradebridge::config::{Config, Document, KeyPath};
use tradebridge::connector::{Catalog, Connector, Created, Found, ProbeResult, Trail};
use tradebridge::mapping::{Outbound, Setting};
use tradebridge::model::{Entity, Key};
use tradebridge::record::{Map, Value};
use tradebridge::store::{Run, RunState};
use tradebridge::sync::{Plan, Puller};

use crate::support::peers::{ODATA_PASSWORD, OData, Peer, System, USER};
use crate::support::store::{Engine, TestStore};

const ENTITIES: [&str; 8] =
    ["customer", "address", "contact", "product", "price_agreement", "stock", "credit", "order_status"];

const PARTNERS: &str = "/sap/opu/odata/sap/API_BUSINESS_PARTNER";
const PRICES: &str = "/sap/opu/odata/sap/API_SLSPRICINGCONDITIONRECORD_SRV";
const ORDERS: &str = "/sap/opu/odata/sap/API_SALES_ORDER_SRV";

/// A connection to the server, and a store that it is pulled into.
struct Sap {
    peer: Peer,
    config: Config,
    plan: Plan,
    store: TestStore,
    puller: Puller,
}

impl Sap {
    async fn new() -> Self {
        let peer = Peer::own(System::OData);
        let root = env!("CARGO_MANIFEST_DIR");
        let mut text = format!(
            "connectors = ['{root}/connectors']\nmappings = ['{root}/mappings']\n[[connection]]\nname = 'erp'\n\
             connector = 'sap-s4hana'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n[connection.settings]\n\
             base_url = '{}'\nuser = '{USER}'\npassword = {{ env = 'SAP_PASSWORD' }}\nsales_organization = 'NL01'\n\
             condition_types = ['PR00', 'K020']\n",
            peer.address()
        );
        text.extend(ENTITIES.map(|entity| format!("[[sync]]\nconnection = 'erp'\nentity = '{entity}'\n")));
        let secret = [("SAP_PASSWORD".to_owned(), ODATA_PASSWORD.to_owned())];
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), secret).unwrap();
        let plan = Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"));
        let store = TestStore::new(Engine::Sqlite).await;
        let puller = Puller::new(store.shared(), watch::channel(false).1);
        Self { peer, config, plan, store, puller }
    }

    async fn pull(&self, entity: &str, full: bool) -> Run {
        let pull = self.plan.pulls_of("erp", Some(entity)).remove(0);
        let run = self.puller.pull(&self.plan, &pull, full, |_| {}).await.unwrap().remove(0).run;
        assert_eq!(run.state, RunState::Done, "{entity}");
        run
    }

    /// The contents of an entity's parts under a number.
    async fn contents(&self, entity: Entity, number: &str) -> Vec<Json> {
        let parts = self.store.parts(entity, &[Key::new("NL01", number)]).await.unwrap();
        parts.into_iter().map(|part| part.content).collect()
    }

    /// A client of the back office, with a token for a service.
    async fn office(&self, service: &str) -> OData {
        let mut office = OData::new(&self.peer);
        office.fetch_token(service).await;
        office
    }

    fn connector(&self) -> Connector {
        let catalog = Catalog::load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors")]).unwrap();
        let at = KeyPath::root().key("connection").index(0);
        let manifest = catalog.get("sap-s4hana").unwrap();
        Connector::bind(manifest, &self.config.connections[0], &self.config.source.document, &at).unwrap()
    }

    /// The request that the mapping makes of an order.
    fn request(&self, connector: &Connector, reference: &str, customer: &str, quantity: &str) -> Map {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings/sap-s4hana/order.toml");
        let mapping =
            Outbound::compile(&Document::load(&path).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
        let order = Value::from_json(json!({
            "id": reference, "shop": "b2b", "reference": "W-1", "customer": customer, "currency": "EUR",
            "customer_order_number": "INK 77", "accepted_at": "2026-11-24T12:00:00Z",
            "lines": [{ "number": 1, "product": "MAT-001", "quantity": quantity, "unit": { "code": "C62" } }],
        }));
        let Value::Map(order) = order else { panic!() };
        let setting = Setting {
            company: "NL01".to_owned(),
            zone: self.config.connections[0].time_zone.time_zone().clone(),
            settings: connector.settings().clone(),
        };
        mapping.apply(&order, &setting).unwrap_or_else(|rejected| panic!("{rejected}"))
    }
}

async fn write(office: &OData, method: Method, target: &str, body: Json) {
    let answer = office.request(method, target).header("If-Match", "*").json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{target}: {} {}", answer.status(), answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_pulled_and_a_second_time_nothing_happens() {
    let sap = Sap::new().await;
    // Of the products one is marked for deletion, and of the prices one; ten prices have a scale of three.
    let expected = [60, 120, 10, 39, 72, 80, 60, 1];
    for (entity, expected) in ENTITIES.into_iter().zip(expected) {
        let counts = sap.pull(entity, false).await.counts;
        assert_eq!((counts.created, counts.rejected), (expected, 0), "{entity}");
    }
    let head = sap.store.head().await.unwrap().sequence;
    for entity in ENTITIES {
        let counts = sap.pull(entity, false).await.counts;
        assert_eq!((counts.created, counts.updated, counts.deleted, counts.rejected), (0, 0, 0, 0), "{entity}");
    }
    for entity in ENTITIES {
        let counts = sap.pull(entity, true).await.counts;
        assert_eq!((counts.created, counts.updated, counts.deleted, counts.rejected), (0, 0, 0, 0), "{entity}");
    }
    assert_eq!(sap.store.head().await.unwrap().sequence, head);

    let customer = sap.contents(Entity::Customer, "1000002").await;
    let of = |id: &str| customer.iter().find(|content| content["id"] == id || content["number"] == id).unwrap();
    assert_eq!(of("1000002")["price_groups"], json!(["PG-02", "PL-01"]));
    assert_eq!(of("20003")["kinds"], json!(["delivery"]));
    assert_eq!(of("2000002")["email"], "anna2@example.com");
    assert_eq!(of("2000002")["name"], "Anna Inkoper 2");
    let credit = sap.contents(Entity::Credit, "1000003").await;
    assert_eq!(credit[0]["limit"], "1000");
    let tier = sap.contents(Entity::PriceAgreement, "0000000102-9999-12-31-3").await;
    assert_eq!((&tier[0]["value"], &tier[0]["minimum_quantity"]), (&json!("7.25"), &json!("100")));
    assert_eq!((&tier[0]["customer"], &tier[0]["product"]), (&json!("1000002"), &json!("MAT-002")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_and_a_deletion_are_seen() {
    let sap = Sap::new().await;
    for entity in ["customer", "product", "price_agreement", "stock"] {
        sap.pull(entity, false).await;
    }
    let office = sap.office(&format!("{PARTNERS}/")).await;
    let target = format!("{PARTNERS}/A_BusinessPartner('1000002')");
    write(&office, Method::PATCH, &target, json!({ "BusinessPartnerFullName": "De Vries BV" })).await;
    let run = sap.pull("customer", false).await;
    assert!(!run.complete && run.counts.read < 60, "only what changed is read: {}", run.counts.read);
    assert_eq!((run.counts.updated, run.counts.deleted), (1, 0));
    assert_eq!(sap.contents(Entity::Customer, "1000002").await[0]["name"], "De Vries BV");

    let target = "/sap/opu/odata/sap/API_PRODUCT_SRV/A_Product('MAT-007')";
    write(&office, Method::PATCH, target, json!({ "IsMarkedForDeletion": true })).await;
    assert_eq!(sap.pull("product", false).await.counts.deleted, 1, "a mark counts at once");

    let target = format!(
        "{PRICES}/A_SlsPrcgCndnRecordScale(ConditionRecord='0000000102',ConditionSequentialNumber='1',ConditionScaleLine='3')"
    );
    write(&office, Method::PATCH, &target, json!({ "ConditionRateValue": "7.00" })).await;
    let counts = sap.pull("price_agreement", false).await.counts;
    assert_eq!((counts.updated, counts.created, counts.deleted), (1, 0, 0));

    let target = format!(
        "{PRICES}/A_SlsPrcgCndnRecordScale(ConditionRecord='0000000102',ConditionSequentialNumber='1',ConditionScaleLine='2')"
    );
    let gone = office.request(Method::DELETE, &target).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    // Where pages can shift while they are read, what is missing may have to be missing twice.
    let (once, twice) = (sap.pull("price_agreement", false).await, sap.pull("price_agreement", false).await);
    assert_eq!(once.counts.deleted + twice.counts.deleted, 1);
    assert!(sap.contents(Entity::PriceAgreement, "0000000102-9999-12-31-2").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_created_found_and_refused_in_the_systems_own_words() {
    let sap = Sap::new().await;
    let connector = Arc::new(sap.connector());
    assert!(connector.probe().await.iter().all(ProbeResult::is_ok));
    let action = connector.action("order").unwrap();
    let request = sap.request(&connector, "TB-1", "1000001", "12");
    assert_eq!(connector.find(action, &request, "TB-1", &Trail::default()).await, Found::Missing { conclusive: false });
    let Created::Accepted { number } = connector.create(action, &request, "TB-1", &Trail::default()).await else {
        panic!()
    };
    assert_eq!(
        connector.find(action, &request, "TB-1", &Trail::default()).await,
        Found::Accepted { number: number.clone() }
    );

    let office = sap.office(&format!("{ORDERS}/")).await;
    let stored = office.get(&format!("{ORDERS}/A_SalesOrder('{number}')?$expand=to_Item")).await;
    let item = &stored["d"]["to_Item"]["results"][0];
    assert_eq!(
        (&stored["d"]["PurchaseOrderByCustomer"], &stored["d"]["PurchaseOrderByShipToParty"]),
        (&json!("TB-1"), &json!("INK 77"))
    );
    assert_eq!((&item["Material"], &item["RequestedQuantity"]), (&json!("MAT-001"), &json!("12")));

    // Its status comes with the next pull.
    assert_eq!(sap.pull("order_status", false).await.counts.created, 2);
    let status = sap.contents(Entity::OrderStatus, &number).await;
    let head = status.iter().find(|content| content["reference"] == "TB-1").unwrap();
    assert_eq!(head["state"], "accepted");

    // Tokens that have expired are fetched again.
    let ended = office.request(Method::POST, "/peer/end-sessions").send().await.unwrap();
    assert!(ended.status().is_success());
    let second = sap.request(&connector, "TB-2", "1000001", "1");
    assert!(matches!(connector.create(action, &second, "TB-2", &Trail::default()).await, Created::Accepted { .. }));

    // The system takes the same order twice: two under one reference are a person's matter.
    assert!(matches!(connector.create(action, &second, "TB-2", &Trail::default()).await, Created::Accepted { .. }));
    let Found::Doubtful { reason } = connector.find(action, &second, "TB-2", &Trail::default()).await else { panic!() };
    assert!(reason.contains("2 are there under our reference TB-2"), "{reason}");
    let other = sap.request(&connector, "TB-1", "1000002", "1");
    assert!(
        matches!(connector.find(action, &other, "TB-1", &Trail::default()).await, Found::Doubtful { .. }),
        "another customer's"
    );

    let over = sap.request(&connector, "TB-3", "1000003", "100");
    let Created::Rejected { reason } = connector.create(action, &over, "TB-3", &Trail::default()).await else {
        panic!()
    };
    assert!(reason.starts_with("Credit limit of customer 1000003 is exceeded by"), "{reason}");
    assert_eq!(connector.find(action, &over, "TB-3", &Trail::default()).await, Found::Missing { conclusive: false });
    let blocked = sap.request(&connector, "TB-4", "1000006", "1");
    let blocked = connector.create(action, &blocked, "TB-4", &Trail::default()).await;
    assert_eq!(blocked, Created::Rejected { reason: "Customer 1000006 is blocked for orders".to_owned() });
}
