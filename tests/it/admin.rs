//! The routes for operators, over real rooms in this process.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;
use tradebridge::config::Config;
use tradebridge::daemon::Bridge;

use super::daemon::Site;

/// Every route, with a method.
const ROUTES: [(&str, &str); 31] = [
    ("POST", "/admin/v1/sync"),
    ("POST", "/admin/v1/preview"),
    ("POST", "/admin/v1/reload"),
    ("POST", "/admin/v1/check"),
    ("POST", "/admin/v1/probe"),
    ("GET", "/admin/v1/status"),
    ("GET", "/admin/v1/runs"),
    ("GET", "/admin/v1/runs/x"),
    ("POST", "/admin/v1/runs/x/approve"),
    ("POST", "/admin/v1/runs/x/reject"),
    ("GET", "/admin/v1/rejections"),
    ("GET", "/admin/v1/trace/customer?key=x"),
    ("GET", "/admin/v1/orders"),
    ("GET", "/admin/v1/orders/x"),
    ("POST", "/admin/v1/orders/x/retry"),
    ("POST", "/admin/v1/orders/x/cancel"),
    ("POST", "/admin/v1/orders/x/approve"),
    ("POST", "/admin/v1/orders/x/resolve"),
    ("GET", "/admin/v1/dead"),
    ("GET", "/admin/v1/dead/x"),
    ("POST", "/admin/v1/dead/x/retry"),
    ("POST", "/admin/v1/dead/x/drop"),
    ("POST", "/admin/v1/connections/x/pause"),
    ("POST", "/admin/v1/connections/x/resume"),
    ("GET", "/admin/v1/store"),
    ("GET", "/admin/v1/store/digest"),
    ("POST", "/admin/v1/store/prune"),
    ("POST", "/admin/v1/store/erase-person"),
    ("GET", "/admin/v1/keys"),
    ("POST", "/admin/v1/keys"),
    ("DELETE", "/admin/v1/keys/x"),
];

struct Office {
    site: Site,
    bridge: Arc<Bridge>,
    router: Router,
    _stop: watch::Sender<bool>,
}

impl Office {
    async fn open(site: Site) -> Self {
        let (stop, stopping) = watch::channel(false);
        let config = Config::load(&site.config(), []).unwrap_or_else(|problems| panic!("{problems}"));
        let bridge = Bridge::open(config, stopping).await.unwrap();
        let router = bridge.router();
        Self { site, bridge, router, _stop: stop }
    }

    async fn send(&self, method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// As the operator on the machine.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        self.send(method, path, Some(self.bridge.operator().reveal()), body).await
    }
}

#[tokio::test]
async fn every_route_needs_a_key_with_the_scope_admin() {
    let office = Office::open(Site::new()).await;
    let make = |name: &str, scopes: &[&str]| json!({ "name": name, "shop": "b2b", "scopes": scopes });
    let (status, issued) = office.ask("POST", "/admin/v1/keys", Some(&make("ops", &["admin"]))).await;
    assert_eq!(status, StatusCode::OK, "{issued:#}");
    let admin = issued["key"].as_str().unwrap();
    let body = json!({});
    for (method, path) in ROUTES {
        let body = (method == "POST").then_some(&body);
        for (key, expected) in [
            (None, StatusCode::UNAUTHORIZED),
            (Some("wrong"), StatusCode::UNAUTHORIZED),
            (Some("tb_demo_key"), StatusCode::FORBIDDEN),
        ] {
            let (status, problem) = office.send(method, path, key, body).await;
            assert_eq!(status, expected, "{method} {path} with {key:?}: {problem:#}");
            assert_eq!(problem["status"], expected.as_u16());
        }
        let (status, answer) = office.send(method, path, Some(admin), body).await;
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED];
        assert!(!refused.contains(&status) && !status.is_server_error(), "{method} {path}: {status} {answer:#}");
    }
    office.ask("DELETE", "/admin/v1/keys/ops", None).await;
    let (status, _) = office.send("GET", "/admin/v1/status", Some(admin), None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a revoked key opens nothing");
}

#[tokio::test]
async fn a_faulty_request_is_told_everything_that_is_wrong() {
    let office = Office::open(Site::new()).await;
    let (status, problem) =
        office.ask("POST", "/admin/v1/sync", Some(&json!({ "conection": "erp", "full": "yes" }))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let told = problem["errors"].to_string();
    for wanted in ["conection", "did you mean `connection`", "/full"] {
        assert!(told.contains(wanted), "{wanted} is not in {problem:#}");
    }
    let (status, problem) = office.ask("GET", "/admin/v1/runs?state=hold&limit=0&lmit=3", None).await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (StatusCode::BAD_REQUEST, 3), "{problem:#}");
    let (status, problem) = office.ask("GET", "/admin/v1/orders?state=held,gone", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(problem.to_string().contains("`gone`"), "{problem:#}");
    let (status, _) = office
        .ask("POST", "/admin/v1/preview", Some(&json!({ "connection": "erp", "entity": "stock", "limit": 0 })))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, problem) = office.ask("POST", "/admin/v1/sync", Some(&json!({ "connection": "epr" }))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem:#}");
}

#[tokio::test]
async fn rejected_records_come_in_pages() {
    let site = Site::new();
    for (file, from, to) in [("klanten.csv", ";EUR;", ";EUX;"), ("kredieten.csv", ";EUR;", ";EUX;")] {
        site.edit_export(file, |lines| {
            for line in lines.iter_mut().skip(1).take(5) {
                *line = String::from_utf8_lossy(line).replacen(from, to, 1).into_bytes();
            }
        });
    }
    let office = Office::open(site).await;
    let (status, reports) = office.ask("POST", "/admin/v1/sync", Some(&json!({ "connection": "erp" }))).await;
    assert_eq!(status, StatusCode::OK, "{reports:#}");
    let mut seen = Vec::new();
    let mut path = "/admin/v1/rejections?connection=erp&limit=3".to_owned();
    loop {
        let (status, page) = office.ask("GET", &path, None).await;
        assert_eq!(status, StatusCode::OK, "{page:#}");
        seen.extend(page["items"].as_array().unwrap().iter().map(|r| format!("{} {}", r["kind"], r["source_key"])));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/admin/v1/rejections?connection=erp&limit=3&after={next}");
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((all, seen.len()), (10, 10), "{seen:?}");
    let (_, credits) = office.ask("GET", "/admin/v1/rejections?entity=credit", None).await;
    assert_eq!(credits["items"].as_array().unwrap().len(), 5, "{credits:#}");
    assert!(credits["items"][0]["place"].as_str().unwrap().contains("line 2"));
    let (_, none) = office.ask("GET", "/admin/v1/rejections?connection=other", None).await;
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn a_reload_says_what_changed_and_a_faulty_file_changes_nothing() {
    let office = Office::open(Site::new()).await;
    office.site.edit_config(|text| text.replacen("every = \"1s\"", "evrey = \"1s\"", 1));
    let (status, problem) = office.ask("POST", "/admin/v1/reload", None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem.to_string().contains("did you mean `every`"), "{problem:#}");
    office.site.edit_config(|text| text.replacen("evrey = \"1s\"", "every = \"2s\"", 1));
    let (status, report) = office.ask("POST", "/admin/v1/reload", None).await;
    assert_eq!(status, StatusCode::OK, "{report:#}");
    assert!(report["changed"].to_string().contains("tradebridge.toml"), "{report:#}");
}
