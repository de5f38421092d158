//! Following the change feed.

use std::time::Duration;

use serde_json::{Value, json};
use tradebridge::model::PartKind;
use tradebridge::store::Judged;

use super::harness::{A, Api, B};

async fn feed(api: &Api, query: &str, key: &str) -> Value {
    let answer = api.get(&format!("/v1/changes?{query}"), key).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn told(feed: &Value) -> Vec<String> {
    let changes = feed["changes"].as_array().unwrap();
    changes.iter().map(|c| format!("{} {}", c["operation"].as_str().unwrap(), c["key"].as_str().unwrap())).collect()
}

fn cursor(feed: &Value) -> &str {
    feed["cursor"].as_str().unwrap()
}

#[tokio::test]
async fn upserts_and_tombstones_come_in_their_order() {
    let api = Api::new().await;
    let first = feed(&api, "limit=1000", A).await;
    assert!(told(&first).iter().all(|c| c.starts_with("upserted")));
    assert_eq!(first["more"], false);
    let keys = told(&first);
    assert!(keys.contains(&"upserted NL01~10".to_owned()) && !keys.iter().any(|k| k.contains("20")), "{keys:?}");

    let price = json!({"id": "p10", "customer": "10", "product": "KGL-15", "kind": "net_price", "currency": "EUR", "value": "3"});
    api.erp.put("erp", (PartKind::PriceAgreement, price, None)).await;
    api.erp.delete("erp", PartKind::Product, "RAD/11 900").await;
    let news = feed(&api, &format!("after={}", cursor(&first)), A).await;
    assert_eq!(told(&news), ["upserted NL01~p10", "deleted NL01~RAD/11 900"]);
    assert_eq!(news["changes"][0]["record"]["value"], "3");
    assert_eq!(news["changes"][0]["entity"], "price_agreement");
    assert!(news["changes"][1].get("record").is_none());
    let products = feed(&api, &format!("after={}&entity=product,stock", cursor(&first)), A).await;
    assert_eq!(told(&products), ["deleted NL01~RAD/11 900"]);
    let page = feed(&api, &format!("after={}&limit=1", cursor(&first)), A).await;
    assert_eq!((told(&page).len(), &page["more"]), (1, &json!(true)));
    assert_eq!(told(&feed(&api, &format!("after={}", cursor(&page)), A).await).len(), 1);
    assert!(told(&feed(&api, &format!("after={}", cursor(&news)), A).await).is_empty());
}

#[tokio::test]
async fn a_customer_who_changes_hands_vanishes_here_and_appears_there() {
    let api = Api::new().await;
    let (a, b) = (feed(&api, "limit=1000", A).await, feed(&api, "limit=1000", B).await);
    let moved = json!({"number": "10", "name": "Moved", "groups": ["B"]});
    api.erp.put("erp", (PartKind::Customer, moved, Some(&["b"]))).await;
    let left = told(&feed(&api, &format!("after={}", cursor(&a)), A).await);
    let came = told(&feed(&api, &format!("after={}", cursor(&b)), B).await);
    let about = ["10", "p10", "q10", "t10", "s10", "SH10", "IN10"];
    for key in about {
        assert!(left.contains(&format!("deleted NL01~{key}")), "{key}: {left:?}");
        assert!(came.contains(&format!("upserted NL01~{key}")), "{key}: {came:?}");
    }
    for path in ["customers/10", "price-agreements/p10", "credit/10", "delivery-terms/t10", "order-statuses/s10"] {
        assert_eq!(api.get(&format!("/v1/{path}"), A).await.status, 404, "{path}");
        assert_eq!(api.get(&format!("/v1/{path}"), B).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn who_waits_is_woken_by_a_change_of_his_own() {
    let api = std::sync::Arc::new(Api::new().await);
    let start = feed(&api, "limit=1000", A).await;
    let waiting = {
        let (api, path) = (api.clone(), format!("after={}&wait=60s", cursor(&start)));
        tokio::spawn(async move { feed(&api, &path, A).await })
    };
    // A change that shop a does not see wakes it, and it goes on waiting.
    let other = json!({"number": "20", "name": "Other", "groups": ["B"]});
    api.erp.put("erp", (PartKind::Customer, other, Some(&["b"]))).await;
    api.announce().await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    let own = json!({"number": "10", "name": "Own", "groups": ["A"]});
    api.erp.put("erp", (PartKind::Customer, own, Some(&["a"]))).await;
    api.announce().await;
    let woken = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert_eq!(told(&woken), ["upserted NL01~10"]);

    let quiet = feed(&api, &format!("after={}&wait=10ms", cursor(&woken)), A).await;
    assert!(told(&quiet).is_empty());
    let waiting = {
        let (api, path) = (api.clone(), format!("after={}&wait=60s", cursor(&quiet)));
        tokio::spawn(async move { feed(&api, &path, A).await })
    };
    tokio::task::yield_now().await;
    api.shutdown.send_replace(true);
    let ended = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert!(told(&ended).is_empty(), "a daemon that stops keeps nobody waiting");
    for wait in ["61s", "soon", "-1s"] {
        assert_eq!(api.get(&format!("/v1/changes?wait={wait}"), A).await.problem(), "invalid-parameter", "{wait}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_time_or_place_is_refused() {
    let api = Api::new().await;
    let start = feed(&api, "limit=5", A).await;
    let list = api.get("/v1/products?limit=1", A).await.json();
    let next = list["next"].as_str().unwrap();
    for path in [
        "/v1/changes?after=nonsense".to_owned(),
        format!("/v1/changes?after={next}"),
        format!("/v1/customers?cursor={}", cursor(&start)),
        format!("/v1/customers?cursor={next}"),
        format!("/v1/products?group=X&cursor={next}"),
    ] {
        let answer = api.get(&path, A).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (400, "invalid-cursor".to_owned()), "{path}");
    }
    let gone = |answer: super::harness::Answer| (answer.status.as_u16(), answer.problem());
    assert_eq!(
        gone(api.get(&format!("/v1/changes?after={}", cursor(&start)), B).await),
        (410, "cursor-gone".to_owned())
    );

    // A changed scope voids the shop's cursors, of feed and lists, and nobody else's.
    let b = feed(&api, "limit=5", B).await;
    let digest = api.store.scope("a").await.unwrap().unwrap().digest;
    let key = tradebridge::model::Key::new("NL01", "10");
    let hash = api.store.parts(tradebridge::model::Entity::Customer, std::slice::from_ref(&key)).await.unwrap()[0].hash;
    api.store.rescope("a", &[Judged { key, hash, member: false }]).await.unwrap();
    api.store.finish_rescope("a", &digest).await.unwrap();
    assert_eq!(gone(api.get(&format!("/v1/changes?after={}", cursor(&start)), A).await).0, 410);
    assert_eq!(gone(api.get(&format!("/v1/products?limit=1&cursor={next}"), A).await).0, 410);
    assert_eq!(api.get(&format!("/v1/changes?after={}", cursor(&b)), B).await.status, 200);
    assert_eq!(api.get("/v1/customers", A).await.numbers(), ["30"]);
    assert!(!told(&feed(&api, "limit=1000", A).await).iter().any(|c| c.contains("10")));

    // A store that was restored to before the cursor.
    let beyond = Api::empty().await;
    assert_eq!(gone(beyond.get(&format!("/v1/changes?after={}", cursor(&start)), A).await).0, 410);
}

#[tokio::test]
async fn a_cursor_from_before_a_dropped_tombstone_is_gone_and_a_fresh_reader_is_not() {
    let api = Api::new().await;
    let start = feed(&api, "limit=1000", A).await;
    let list = api.get("/v1/products?limit=1", A).await.json();
    api.erp.delete("erp", PartKind::Product, "RAD/11 900").await;
    let after = feed(&api, &format!("after={}", cursor(&start)), A).await;
    assert_eq!(told(&after), ["deleted NL01~RAD/11 900"]);
    let held = api.store.take_lease("upkeep").await.unwrap().unwrap();
    let step = api.store.prune(&held, tradebridge::store::Surplus::Tombstones, jiff::Timestamp::MAX, "").await.unwrap();
    assert_eq!(step.rows, 1);
    for path in [
        format!("/v1/changes?after={}", cursor(&start)),
        format!("/v1/changes?after={}", list["changes_cursor"].as_str().unwrap()),
        format!("/v1/products?limit=1&cursor={}", list["next"].as_str().unwrap()),
    ] {
        let answer = api.get(&path, A).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (410, "cursor-gone".to_owned()), "{path}");
    }
    // Who has seen the deletion goes on, and so does who begins at the beginning and reads page by page.
    assert!(told(&feed(&api, &format!("after={}", cursor(&after)), A).await).is_empty());
    let all = told(&feed(&api, "limit=1000", A).await);
    let (mut paged, mut page) = (Vec::new(), feed(&api, "limit=3", A).await);
    loop {
        paged.extend(told(&page));
        if page["more"] == false {
            break;
        }
        page = feed(&api, &format!("limit=3&after={}", cursor(&page)), A).await;
    }
    assert_eq!(paged, all);
}
