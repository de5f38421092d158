//! Two shops on one store, and the requests they send.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;
use tradebridge::api::control::{
    AskedConsent, Check, ConsentAnswer, ConsentRequest, Control, ControlError, ErasePerson, ErasureReport,
    MapDiffRequest, PreviewRecord, PreviewRequest, ProbeRequest, Pruned, ReloadReport, Status, SyncReport, SyncRequest,
};
use tradebridge::api::{ApiState, Metrics, router};
use tradebridge::config::{Config, Document, Secret, Shop};
use tradebridge::connector::Survey;
use tradebridge::model::{Key, PartKind};
use tradebridge::orders::{CustomerScope, Desk, Intake};
use tradebridge::publish::Notifier;
use tradebridge::queue::{SystemClock, Wake};
use tradebridge::store::{Run, Store, StoreError};
use tradebridge::sync::{MapDiff, scope_digest};

use crate::shops::Erp;
use crate::support::store::Engine;

/// The shops' keys: each shop's with everything, and shop a's with one scope each.
pub(crate) const A: &str = "tb_key_of_a";
pub(crate) const B: &str = "tb_key_of_b";
pub(crate) const A_READ: &str = "tb_key_of_a_read";
pub(crate) const A_ORDERS: &str = "tb_key_of_a_orders";
pub(crate) const OPERATOR: &str = "tb_operator";

const CONFIG: &str = r#"
demo = true
[api]
max_body = "100kB"
max_concurrent = 8
request_timeout = "20s"
[[connection]]
name = "erp"
connector = "csv-export"
company = "NL01"
time_zone = "Europe/Amsterdam"
[[shop]]
name = "a"
companies = ["NL01"]
connections = ["erp"]
orders_to = "erp"
customers = "'A' in groups"
[[shop]]
name = "b"
companies = ["NL01"]
connections = ["erp"]
orders_to = "erp"
customers = "'B' in groups"
warehouses = ["OUTLET"]
[[key]]
name = "a"
shop = "a"
scopes = ["read", "orders", "admin"]
key = "tb_key_of_a"
[[key]]
name = "b"
shop = "b"
scopes = ["read", "orders"]
key = "tb_key_of_b"
[[key]]
name = "a-read"
shop = "a"
scopes = ["read"]
key = "tb_key_of_a_read"
[[key]]
name = "a-orders"
shop = "a"
scopes = ["orders"]
key = "tb_key_of_a_orders"
"#;

pub(crate) struct Api {
    pub erp: Erp,
    pub store: Arc<dyn Store>,
    pub router: Router,
    pub notifier: Notifier,
    pub config: watch::Sender<Arc<Config>>,
    pub shutdown: watch::Sender<bool>,
    pub hooks: Arc<Hooks>,
}

pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers)).to_str().unwrap()
    }

    /// The last word of the problem's type, having checked that it is one.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(!problem["detail"].as_str().unwrap().is_empty() && !problem["title"].as_str().unwrap().is_empty());
        problem["type"].as_str().unwrap().strip_prefix("urn:tradebridge:problem:").unwrap().to_owned()
    }

    /// The numbers of a list's records.
    pub(crate) fn numbers(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text);
        let body = self.json();
        let items = body["items"].as_array().unwrap();
        items.iter().map(|i| i["meta"]["key"].as_str().unwrap().split_once('~').unwrap().1.to_owned()).collect()
    }
}

impl Api {
    /// An API over an empty store, every shop's scope worked out.
    pub(crate) async fn empty() -> Self {
        let erp = Erp::new(Engine::Sqlite).await;
        let store: Arc<dyn Store> = erp.store.clone();
        let config =
            Arc::new(Config::of_document(Document::parse("t.toml", CONFIG), []).unwrap_or_else(|e| panic!("{e}")));
        for shop in &config.shops {
            store.finish_rescope(&shop.name, &scope_digest(shop)).await.unwrap();
        }
        let (config, configured) = watch::channel(config);
        let (shutdown, stopping) = watch::channel(false);
        let notifier = Notifier::new(0);
        let (wake, hooks) = (Arc::new(Wake::default()), Arc::new(Hooks::default()));
        let scope = Arc::new(InScope(store.clone()));
        let router = router(ApiState {
            store: store.clone(),
            config: configured,
            intake: Arc::new(Intake::new(store.clone(), scope, wake.clone(), Arc::new(SystemClock))),
            desk: Arc::new(Desk::new(store.clone(), wake, Arc::new(SystemClock))),
            control: hooks.clone(),
            notifier: notifier.clone(),
            metrics: hooks.clone(),
            operator: Some(Secret::new(OPERATOR)),
            shutdown: stopping,
        });
        Self { erp, store, router, notifier, config, shutdown, hooks }
    }

    /// Customer 10 is shop a's, 20 shop b's, 30 both's; each with all that can be about a customer.
    pub(crate) async fn new() -> Self {
        let api = Self::empty().await;
        api.fill().await;
        api
    }

    async fn fill(&self) {
        use PartKind as K;
        let erp = &self.erp;
        for (number, shops) in [("10", &["a"][..]), ("20", &["b"][..]), ("30", &["a", "b"][..])] {
            let groups: Vec<String> = shops.iter().map(|s| s.to_uppercase()).collect();
            let customer = json!({"number": number, "name": format!("Customer {number}"), "groups": groups,
                "price_groups": [format!("PG{number}")], "currency": "EUR", "blocked": "no"});
            erp.put("erp", (K::Customer, customer, Some(shops))).await;
            let about = |id: &str| json!({"id": format!("{id}{number}"), "customer": number});
            let with = |mut content: Value, more: Value| {
                content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                content
            };
            erp.put("erp", (K::Contact, with(about("c"), json!({"name": "Jo", "role": "buyer"})), None)).await;
            erp.put("erp", (K::Address, with(about("a"), json!({"city": "Ede", "kinds": ["delivery"]})), None)).await;
            for (id, minimum, value) in [("p", "1", "2.00"), ("q", "100", "1.50")] {
                let line = json!({"agreement": "A1", "product": "KGL-15", "kind": "net_price", "currency": "EUR",
                    "value": value, "minimum_quantity": minimum, "scale": "from"});
                erp.put("erp", (K::PriceAgreement, with(about(id), line), None)).await;
            }
            let term = json!({"mode": "direct", "lead_time": 1});
            erp.put("erp", (K::DeliveryTerm, with(about("t"), term), None)).await;
            let credit = json!({"customer": number, "currency": "EUR", "limit": "1000"});
            erp.put("erp", (K::Credit, credit, None)).await;
            let status = json!({"state": "accepted", "number": format!("SO{number}"), "lines": []});
            erp.put("erp", (K::OrderStatus, with(about("s"), status), None)).await;
            let shipment =
                json!({"number": format!("SH{number}"), "customer": number, "orders": [format!("SO{number}")]});
            erp.put("erp", (K::Shipment, shipment, None)).await;
            let invoice = json!({"number": format!("IN{number}"), "customer": number, "currency": "EUR", "total": "1"});
            erp.put("erp", (K::Invoice, invoice, None)).await;
        }
        for (number, gtin, group) in
            [("KGL-15", "8710000000011", "KOPPEL"), ("RAD/11 900", "8710000000028", "RADIATOR")]
        {
            let product = json!({"number": number, "gtin": gtin, "groups": [group], "base_unit": {"code": "C62", "erp": "ST"},
                "names": {"nl": number}, "status": "active"});
            erp.put("erp", (K::Product, product, None)).await;
            for warehouse in ["MAIN", "OUTLET"] {
                let stock =
                    json!({"product": number, "warehouse": warehouse, "available": "5", "unit": {"code": "C62"}});
                erp.put("erp", (K::Stock, stock, None)).await;
            }
        }
        for number in ["10", "20", "30"] {
            let article = json!({"id": format!("k{number}"), "product": "KGL-15", "customer": number, "number": format!("OWN-{number}")});
            erp.put("erp", (K::CustomerArticle, article, None)).await;
        }
        for (id, who, what, from) in [
            ("g1", json!({"customer_group": "PG10"}), json!({"product_group": "KOPPEL"}), "2026-01-01"),
            ("g2", json!({"customer_group": "OTHER"}), json!({"product": "KGL-15"}), "2026-01-01"),
            ("all", json!({}), json!({}), "2027-01-01"),
        ] {
            let mut line =
                json!({"id": id, "kind": "discount_percent", "value": "5", "scale": "from", "valid_from": from});
            for more in [who, what] {
                line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            }
            erp.put("erp", (K::PriceAgreement, line, None)).await;
        }
        self.announce().await;
    }

    /// Says that the feed has moved on.
    pub(crate) async fn announce(&self) {
        self.notifier.announce(self.erp.head().await);
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        self.send(request(Method::GET, path, Some(key), Body::empty())).await
    }

    pub(crate) async fn get_with(&self, path: &str, key: &str, name: &str, value: &str) -> Answer {
        let mut request = request(Method::GET, path, Some(key), Body::empty());
        request.headers_mut().insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(request(Method::POST, path, Some(key), Body::from(body.to_string()))).await
    }
}

pub(crate) fn request(method: Method, path: &str, key: Option<&str>, body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    request.body(body).unwrap()
}

pub(crate) fn order(reference: &str, customer: &str) -> Value {
    json!({"reference": reference, "customer": customer, "currency": "EUR",
        "lines": [{"product": "KGL-15", "quantity": "10", "unit_price": "2.00"}]})
}

struct InScope(Arc<dyn Store>);

#[async_trait]
impl CustomerScope for InScope {
    async fn sees(&self, shop: &Shop, customer: &Key) -> Result<bool, StoreError> {
        Ok(self.0.membership(&shop.name, std::slice::from_ref(customer)).await?[0])
    }
}

/// A daemon that does nothing; it can be made to panic or to have lost its store.
#[derive(Default)]
pub(crate) struct Hooks {
    pub panics: std::sync::atomic::AtomicBool,
    pub store_lost: std::sync::atomic::AtomicBool,
    pub waits: tokio::sync::Notify,
    pub hangs: std::sync::atomic::AtomicBool,
}

fn not_here() -> ControlError {
    ControlError::Unavailable("there is no daemon in this test".to_owned())
}

#[async_trait]
impl Control for Hooks {
    async fn sync(&self, _: SyncRequest) -> Result<Vec<SyncReport>, ControlError> {
        Err(not_here())
    }
    async fn map_diff(&self, _: MapDiffRequest) -> Result<MapDiff, ControlError> {
        Err(not_here())
    }
    async fn preview(&self, _: PreviewRequest) -> Result<Vec<PreviewRecord>, ControlError> {
        Err(not_here())
    }
    async fn survey(&self, _: ProbeRequest) -> Result<Survey, ControlError> {
        Err(not_here())
    }
    async fn approve(&self, _: &str) -> Result<Run, ControlError> {
        Err(not_here())
    }
    async fn refuse(&self, _: &str, _: &str) -> Result<Run, ControlError> {
        Err(not_here())
    }
    async fn reload(&self) -> Result<ReloadReport, ControlError> {
        if self.hangs.load(std::sync::atomic::Ordering::Relaxed) {
            self.waits.notified().await;
        }
        Err(not_here())
    }
    async fn status(&self) -> Status {
        use std::sync::atomic::Ordering;
        assert!(!self.panics.load(Ordering::Relaxed), "a fault of the program, made by a test");
        let check = |name: &str, ok| Check { name: name.to_owned(), ok, message: Some("/secret/path".to_owned()) };
        Status {
            version: "0".to_owned(),
            started_at: Timestamp::now(),
            store: check("store", !self.store_lost.load(Ordering::Relaxed)),
            queue: check("queue", true),
            connections: Vec::new(),
        }
    }
    async fn probe(&self) -> Vec<Check> {
        Vec::new()
    }
    async fn ask_consent(&self, _: &str, _: ConsentRequest) -> Result<AskedConsent, ControlError> {
        Err(not_here())
    }
    async fn use_consent(&self, _: &str, _: ConsentAnswer) -> Result<Check, ControlError> {
        Err(not_here())
    }
    async fn prune(&self) -> Result<Vec<Pruned>, ControlError> {
        Err(not_here())
    }
    async fn erase_person(&self, _: ErasePerson) -> Result<ErasureReport, ControlError> {
        Err(not_here())
    }
}

#[async_trait]
impl Metrics for Hooks {
    async fn render(&self) -> String {
        "# EOF\n".to_owned()
    }
}
