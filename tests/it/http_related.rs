//! Records that belong together over HTTP: streams about the records of others, joins, what is unfolded and folded, and the
//! token that writing requests carry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value as Json, json};
use tradebridge::config::{Config, Document, KeyPath};
use tradebridge::connector::format::ReadError;
use tradebridge::connector::{Connector, Created, Manifest, Wanted};
use tradebridge::record::{Map, Value};

const HEAD: &str = r#"
name = "erp"
title = "ERP"
transport = "http"
[settings]
base_url = { type = "text", help = "The address.", required = true }
[http]
base_url = "${settings.base_url}"
message = ["error"]
"#;

/// A request as it arrived: method, path, query and headers.
#[derive(Debug, Clone)]
struct Asked {
    target: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

/// A system that answers by a script, with a connection to it.
struct System {
    connector: Arc<Connector>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Debug, Default)]
struct Pulled {
    records: Vec<Json>,
    rejected: Vec<String>,
    error: Option<String>,
    watermark: Option<Json>,
}

impl System {
    async fn new(manifest: &str, script: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (all, script) = (Arc::clone(&asked), Arc::new(script));
        let app = Router::new().fallback(move |request: Request| {
            let (all, script) = (Arc::clone(&all), Arc::clone(&script));
            async move {
                let query: BTreeMap<String, String> = url_pairs(request.uri().query().unwrap_or_default());
                let headers = request.headers().iter();
                let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
                let target = format!("{} {}", request.method(), request.uri().path());
                let asked = Asked { target, query, headers: headers.collect() };
                let answer = script(&asked);
                all.lock().unwrap().push(asked);
                answer
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let manifest = Manifest::compile(&Document::parse("connectors/erp.toml", &format!("{HEAD}{manifest}")));
        let manifest = Arc::new(manifest.unwrap_or_else(|problems| panic!("{problems}")));
        let config = format!(
            "[[connection]]\nname = 'erp'\nconnector = 'erp'\ntime_zone = 'Europe/Amsterdam'\nsettings = {{ base_url = '{url}' }}"
        );
        let config = Config::of_document(Document::parse("tradebridge.toml", &config), []).unwrap();
        let at = KeyPath::root().key("connection").index(0);
        let connector = Connector::bind(&manifest, &config.connections[0], &config.source.document, &at).unwrap();
        Self { connector: Arc::new(connector), asked }
    }

    async fn pull(&self, stream: &str, after: Option<Json>) -> Pulled {
        let offer = self.connector.offers(stream, &Wanted { after, since: None }).await.unwrap().remove(0);
        tokio::task::spawn_blocking(move || {
            let mut pulled = Pulled::default();
            let (mut reader, verify) = match offer.open() {
                Ok(opened) => opened,
                Err(error) => return Pulled { error: Some(error.to_string()), ..pulled },
            };
            while let Some(record) = reader.next() {
                match record {
                    Ok(record) => pulled.records.push(record.fields.to_json()),
                    Err(error @ ReadError::Record { .. }) => pulled.rejected.push(error.to_string()),
                    Err(error) => pulled.error = Some(error.to_string()),
                }
            }
            pulled.watermark = verify().unwrap();
            pulled
        })
        .await
        .unwrap()
    }

    /// The values of a parameter in the requests for a path.
    fn queries(&self, target: &str, name: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|asked| asked.target == target);
        of.map(|asked| asked.query.get(name).cloned().unwrap_or_default()).collect()
    }

    async fn create(&self) -> Created {
        let action = self.connector.action("order").unwrap().clone();
        self.connector
            .create(
                &action,
                &Map::from_iter([("nr", Value::Text("1".into()))]),
                "TB-1",
                &tradebridge::connector::Trail::default(),
            )
            .await
    }
}

fn url_pairs(query: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn answer(body: Json) -> Response {
    axum::Json(body).into_response()
}

/// The records whose `id` is asked for, in a list with commas.
fn among(records: &Json, asked: &Asked, key: &str) -> Response {
    let ids: Vec<&str> = asked.query["ids"].split(',').collect();
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let found = records.as_array().unwrap().iter().filter(|record| ids.contains(&text(&record[key]).as_str()));
    answer(found.cloned().collect())
}

const JOINED: &str = r#"
[stream.prices]
request = { path = "prices" }
join = [
    { stream = "products", into = "Product", key = "product", by = "id", batch = 2 },
    { stream = "scales", into = "Scales", key = "id", by = "price", many = true },
]
[stream.products]
request = { path = "products", query = { ids = "${parents.map(p, p.product).join(',')}" } }
[stream.scales]
request = { path = "scales", query = { ids = "${parents.map(p, string(p.id)).join(',')}" } }
"#;

#[tokio::test]
async fn records_of_other_streams_are_joined_in_batches_and_asked_for_once() {
    let system = System::new(JOINED, |asked| match asked.target.as_str() {
        "GET /prices" => answer(json!([
            { "id": 1, "product": "a" }, { "id": 2, "product": "b" }, { "id": 3, "product": "a" },
            { "id": 4, "product": "c" }, { "id": 5, "product": null }, { "id": 6, "product": "x" },
        ])),
        "GET /products" => {
            among(&json!([{ "id": "a", "code": "A" }, { "id": "b", "code": "B" }, { "id": "c" }]), asked, "id")
        }
        // A number on one side and a text on the other are the same key.
        _ => among(&json!([{ "price": "1", "from": 1 }, { "price": "1", "from": 10 }, { "price": 6 }]), asked, "price"),
    })
    .await;
    let pulled = system.pull("prices", None).await;
    assert_eq!((pulled.error, pulled.rejected), (None, vec![]));
    let told: Vec<(&Json, usize)> = pulled
        .records
        .iter()
        .map(|record| (&record["Product"]["code"], record["Scales"].as_array().unwrap().len()))
        .collect();
    let null = Json::Null;
    let (a, b) = (json!("A"), json!("B"));
    assert_eq!(told, [(&a, 2), (&b, 0), (&a, 0), (&null, 0), (&null, 0), (&null, 1)]);
    assert_eq!(pulled.records[4]["Product"], null, "nothing is asked about a record without a key");
    assert_eq!(system.queries("GET /products", "ids"), ["a,b", "c,x"]);
    assert_eq!(system.queries("GET /scales", "ids"), ["1,2,3,4,5,6"]);
}

#[tokio::test]
async fn what_is_joined_wrongly_rejects_its_records_and_no_others() {
    let system = System::new(JOINED, |asked| match asked.target.as_str() {
        "GET /prices" => answer(json!([
            { "id": 1, "product": "a" }, { "id": 2, "product": "b" }, { "id": 3, "product": "c" }, { "id": 4, "product": "d" },
        ])),
        // Two products of one number, and in the second batch one that cannot be read.
        "GET /products" if asked.query["ids"].starts_with('a') => answer(json!([{ "id": "a" }, { "id": "a" }, { "id": "b" }])),
        "GET /products" => answer(json!([{ "id": "c" }, "broken"])),
        _ => answer(json!([])),
    })
    .await;
    let pulled = system.pull("prices", None).await;
    assert_eq!(pulled.error, None);
    assert_eq!(pulled.records.iter().map(|record| &record["id"]).collect::<Vec<_>>(), [&json!("2")]);
    assert_eq!(pulled.rejected.len(), 3, "{:?}", pulled.rejected);
    assert!(pulled.rejected[0].contains("2 records of products belong to a"), "{:?}", pulled.rejected);
    assert!(pulled.rejected[1].contains("a record of products cannot be read"), "{:?}", pulled.rejected);
}

#[tokio::test]
async fn a_stream_asks_about_the_records_of_another_in_batches_that_agree() {
    let manifest = r#"
        [stream.breaks]
        request = { path = "breaks", query = { page = "${page.number}" } }
        paging = { by = "number" }
        [stream.prices]
        request = { path = "prices", query = { list = "${parents[0].list}", ids = "${parents.map(p, p.product).join(',')}" } }
        parents = { stream = "breaks", batch = 3, same = "list", into = "Break", key = "product", by = "prices.key" }
        unfold = "prices"
    "#;
    let system =
        System::new(manifest, |asked| match (asked.target.as_str(), asked.query.get("page").map(String::as_str)) {
            ("GET /breaks", Some("1")) => answer(json!([
                           { "list": 1, "product": "a" }, { "list": 1, "product": "b" }, { "list": 1, "product": "a" },
            { "list": 2, "product": "a" },
                       ])),
            ("GET /breaks", Some("2")) => answer(json!([
                "broken", { "list": 2, "product": "b" }, { "list": 2, "product": "c" }, { "list": 2, "product": "d" },
            ])),
            ("GET /breaks", _) => answer(json!([])),
            // What is computed comes as a map, and not of everything that was asked.
            _ => {
                let asked = asked.query["ids"].split(',').filter(|id| *id != "c");
                answer(
                    json!({ "prices": asked.map(|id| (id.to_owned(), json!(1.5))).collect::<serde_json::Map<_, _>>() }),
                )
            }
        })
        .await;
    let pulled = system.pull("prices", None).await;
    assert_eq!((pulled.error, pulled.rejected.len()), (None, 1));
    let told = |record: &Json| {
        format!("{}{}", record["Break"]["list"].as_str().unwrap(), record["prices"]["key"].as_str().unwrap())
    };
    assert_eq!(pulled.records.iter().map(told).collect::<Vec<_>>(), ["1a", "1b", "1a", "2a", "2b", "2d"]);
    assert_eq!(system.queries("GET /prices", "list"), ["1", "1", "2", "2"]);
    assert_eq!(system.queries("GET /prices", "ids"), ["a,b", "a", "a,b,c", "d"]);
}

#[tokio::test]
async fn a_stream_about_others_is_asked_for_about_what_changed_there() {
    let manifest = r#"
        [stream.records]
        request = { path = "records", query = { since = "${cursor}" } }
        cursor = { value = "changed.instant()", as = "instant", look_back = "1s" }
        [stream.validity]
        request = { path = "validity", query = { of = "${parents[0].id}" } }
        parents = { stream = "records", into = "Record" }
    "#;
    let system = System::new(manifest, |asked| match asked.target.as_str() {
        "GET /records" if asked.query.contains_key("since") => {
            answer(json!([{ "id": "2", "changed": "2026-11-25T12:00:00Z" }]))
        }
        "GET /records" => answer(json!([
            { "id": "1", "changed": "2026-11-25T10:00:00Z" }, { "id": "2", "changed": "2026-11-25T11:00:00Z" },
        ])),
        _ => answer(json!([{ "until": "2026" }, { "until": "2027" }])),
    })
    .await;
    assert!(system.connector.offers("validity", &Wanted::default()).await.unwrap()[0].complete);
    let all = system.pull("validity", None).await;
    let told =
        |record: &Json| format!("{}-{}", record["Record"]["id"].as_str().unwrap(), record["until"].as_str().unwrap());
    assert_eq!(all.records.iter().map(told).collect::<Vec<_>>(), ["1-2026", "1-2027", "2-2026", "2-2027"]);
    assert_eq!(all.watermark, Some(json!("2026-11-25T11:00:00Z")));

    let changed = system.pull("validity", all.watermark).await;
    assert_eq!(changed.records.iter().map(told).collect::<Vec<_>>(), ["2-2026", "2-2027"]);
    assert_eq!(changed.watermark, Some(json!("2026-11-25T12:00:00Z")));
    assert_eq!(system.queries("GET /records", "since"), ["", "2026-11-25T10:59:59Z"]);
}

#[tokio::test]
async fn what_a_condition_leaves_out_is_neither_asked_about_nor_seen() {
    let manifest = r#"
        [stream.lines]
        request = { path = "lines", query = { page = "${page.number}" } }
        paging = { by = "number" }
        where = "formula.contains('x')"
        join = [{ stream = "units", into = "Unit", key = "unit", by = "id" }]
        [stream.units]
        request = { path = "units", query = { ids = "${parents.map(p, p.unit).join(',')}" } }
        [stream.prices]
        request = { path = "prices", query = { line = "${parents[0].id}", at = "${now}", since = "${cursor}" } }
        parents = { stream = "lines", into = "Line" }
        where = "Line.id != '5' || price > 1"
        cursor = { value = "Line.changed.instant()", as = "instant", look_back = "1s" }
    "#;
    let system = System::new(manifest, |asked| match (asked.target.as_str(), asked.query.get("page")) {
        // A page of which nothing is kept does not end the stream.
        ("GET /lines", Some(page)) if page == "1" => answer(json!([{ "id": "1", "formula": "9.50", "unit": "a" }])),
        ("GET /lines", Some(page)) if page == "2" => answer(json!([
            { "id": "2", "formula": "x + 1", "unit": "b", "changed": "2026-11-25T10:00:00Z" },
            { "id": "3", "formula": null, "unit": "c" }, { "id": "4", "formula": 5 },
            { "id": "5", "formula": "x", "unit": "b", "changed": "2026-11-25T12:00:00Z" },
        ])),
        ("GET /lines", _) => answer(json!([])),
        ("GET /units", _) => answer(json!([{ "id": "b", "name": "box" }])),
        _ => answer(json!([{ "price": 1 }, { "price": 2 }])),
    })
    .await;
    let before = jiff::Timestamp::now();
    let pulled = system.pull("prices", None).await;
    assert_eq!((pulled.error, system.queries("GET /units", "ids")), (None, vec!["b".to_owned()]));
    assert_eq!(pulled.rejected.len(), 1, "{:?}", pulled.rejected);
    assert!(pulled.rejected[0].contains("(the stream's `where`)"), "{:?}", pulled.rejected);
    let told = |record: &Json| {
        assert_eq!(record["Line"]["Unit"]["name"], "box");
        format!("{}-{}", record["Line"]["id"].as_str().unwrap(), record["price"].as_str().unwrap())
    };
    assert_eq!(pulled.records.iter().map(told).collect::<Vec<_>>(), ["2-1", "2-2", "5-2"]);
    assert_eq!(system.queries("GET /prices", "line"), ["2", "5"]);
    for at in system.queries("GET /prices", "at") {
        let at: jiff::Timestamp = at.parse().unwrap();
        assert!(before <= at && at <= jiff::Timestamp::now());
    }
    // The cursor is that of what was asked about.
    assert_eq!(pulled.watermark, Some(json!("2026-11-25T12:00:00Z")));
    system.pull("prices", pulled.watermark).await;
    assert_eq!(system.queries("GET /prices", "since")[2..], ["2026-11-25T11:59:59Z", "2026-11-25T11:59:59Z"]);
}

#[tokio::test]
async fn a_record_is_unfolded_by_a_list_or_a_map() {
    let manifest = "[stream.products]\nrequest = { path = 'products' }\nunfold = 'prices'\n";
    let system = System::new(manifest, |_| {
        answer(json!([
            { "id": "a", "prices": [{ "from": 1 }, { "from": 10 }] }, { "id": "b", "prices": [] }, { "id": "c" },
            { "id": "d", "prices": { "7": "1.50", "8": "2.50" } }, { "id": "e", "prices": "none" },
        ]))
    })
    .await;
    let pulled = system.pull("products", None).await;
    assert_eq!(
        pulled.records,
        [
            json!({ "id": "a", "prices": { "from": "1" } }),
            json!({ "id": "a", "prices": { "from": "10" } }),
            json!({ "id": "b", "prices": null }),
            json!({ "id": "c" }),
            json!({ "id": "d", "prices": { "key": "7", "value": "1.50" } }),
            json!({ "id": "d", "prices": { "key": "8", "value": "2.50" } }),
        ]
    );
    assert!(pulled.rejected[0].contains("'prices' is a text"), "{:?}", pulled.rejected);
}

#[tokio::test]
async fn neighbours_are_folded_over_the_end_of_a_page() {
    let manifest = r#"
        [stream.stock]
        request = { path = "stock", query = { page = "${page.number}" } }
        paging = { by = "number" }
        group = { by = ["product"], into = "Rows" }
    "#;
    let system = System::new(manifest, |asked| {
        answer(match asked.query["page"].as_str() {
            "1" => json!([{ "product": "a", "n": 1 }, { "product": "b", "n": 2 }]),
            "2" => json!([{ "product": "b", "n": 3 }, { "product": "c", "n": 4 }]),
            _ => json!([]),
        })
    })
    .await;
    let pulled = system.pull("stock", None).await;
    let rows: Vec<usize> = pulled.records.iter().map(|record| record["Rows"].as_array().unwrap().len()).collect();
    assert_eq!((rows, pulled.rejected), (vec![1, 2, 1], vec![]));
}

const ORDER: &str = r#"
[action.order]
create = "open"
number = "made.number"
[[action.order.step]]
name = "create"
request = { path = "orders", body = "${request}" }
gives = { number = "answer.number" }
[action.order.find]
request = { path = "orders" }
"#;

#[tokio::test]
async fn writes_carry_a_token_that_is_fetched_once_and_again_where_it_is_refused() {
    let manifest = format!(
        "csrf = {{ request = {{ path = 'token' }} }}\n{ORDER}[stream.orders]\nrequest = {{ path = 'orders' }}\n"
    );
    // The token's number that is valid, and how many were given.
    let (valid, given) = (Arc::new(Mutex::new(1)), Arc::new(Mutex::new(0)));
    let (now, count) = (Arc::clone(&valid), Arc::clone(&given));
    let system = System::new(&manifest, move |asked| match asked.target.as_str() {
        "GET /token" if asked.headers.get("x-csrf-token").map(String::as_str) == Some("Fetch") => {
            *count.lock().unwrap() += 1;
            let number = *now.lock().unwrap();
            let headers = [("x-csrf-token", format!("t{number}")), ("set-cookie", format!("SID=s{number}; path=/"))];
            (headers, axum::Json(json!({}))).into_response()
        }
        "POST /orders" => {
            let number = *now.lock().unwrap();
            let sent = |name: &str| asked.headers.get(name).cloned().unwrap_or_default();
            if sent("x-csrf-token") == format!("t{number}") && sent("cookie").contains(&format!("SID=s{number}")) {
                (StatusCode::CREATED, axum::Json(json!({ "number": "SO-1" }))).into_response()
            } else {
                (StatusCode::FORBIDDEN, [("x-csrf-token", "Required")]).into_response()
            }
        }
        _ => answer(json!([])),
    })
    .await;
    system.pull("orders", None).await;
    assert_eq!(*given.lock().unwrap(), 0, "what reads carries none");

    let accepted = Created::Accepted { number: "SO-1".to_owned() };
    let (one, two, three) = tokio::join!(system.create(), system.create(), system.create());
    assert_eq!([one, two, three], [accepted.clone(), accepted.clone(), accepted.clone()]);
    assert_eq!(*given.lock().unwrap(), 1);

    *valid.lock().unwrap() = 2;
    assert_eq!(system.create().await, accepted);
    assert_eq!((*given.lock().unwrap(), system.queries("POST /orders", "").len()), (2, 5));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let manifest = format!("csrf = {{ request = {{ path = 'token' }} }}\n{ORDER}");
    let system =
        System::new(&manifest, |_| (StatusCode::SERVICE_UNAVAILABLE, "{\"error\": \"asleep\"}").into_response()).await;
    let Created::NotExecuted { reason, connection_down, .. } = system.create().await else { panic!() };
    assert!(connection_down && reason.contains("no CSRF token") && reason.contains("asleep"), "{reason}");
    assert_eq!(system.queries("POST /orders", "").len(), 0);
}

/// What is wrong with a manifest.
fn problems(manifest: &str) -> String {
    let compiled = Manifest::compile(&Document::parse("connectors/erp.toml", &format!("{HEAD}{manifest}")));
    compiled.unwrap_err().to_string()
}

#[test]
fn streams_that_cannot_ask_about_each_other_are_refused() {
    let a = "[stream.a]\nrequest = { path = 'a', query = { of = '${parents[0].id}' } }\n";
    let b = "[stream.b]\nrequest = { path = 'b', query = { of = '${parents[0].id}' } }\n";
    for (manifest, expected) in [
        (a.to_owned(), "the request names `parents`, and there are none"),
        (format!("{a}parents = {{ stream = 'c' }}\n"), "the manifest has no stream `c`"),
        (format!("{a}parents = {{ stream = 'b' }}\n{b}parents = {{ stream = 'a' }}\n"), "in a circle"),
        (format!("{a}parents = {{ stream = 'a' }}\n"), "in a circle"),
        (
            format!("{a}parents = {{ stream = 'c', batch = 5, into = 'C' }}\n[stream.c]\nrequest = {{ path = 'c' }}\n"),
            "stream.a.parents.key: this key is required",
        ),
        (
            format!("{a}parents = {{ stream = 'c', key = 'id' }}\n[stream.c]\nrequest = {{ path = 'c' }}\n"),
            "nothing is put into the records",
        ),
        (
            "[stream.c]\nrequest = { path = 'c' }\njoin = [{ stream = 'd', into = 'D', key = 'id' }]\n".to_owned(),
            "the manifest has no stream `d`",
        ),
        (
            format!(
                "[stream.c]\nrequest = {{ path = 'c' }}\njoin = [{{ stream = 'a', into = 'A', key = 'id' }}]\n{a}group = {{ by = ['id'], into = 'x' }}\n"
            ),
            "records that other streams need are not folded",
        ),
    ] {
        let said = problems(&manifest);
        assert!(said.contains(expected), "{expected}: {said}\n{manifest}");
    }
}
