//! Trying a connection out: a page of each stream, and what the system refuses.

use serde_json::{Value as Json, json};
use tradebridge::connector::{StreamSurvey, Survey, SurveyResult};

use super::server::{Asked, Reply, Server};
use super::system::{PASSWORD, System, TOKEN, bind};

const STREAMS: &str = r#"
[http]
base_url = "${settings.base_url}"
auth = { bearer = "${settings.token}" }
message = ["error"]
limit = { requests = 20, per = "1m", told = [{ remaining = "x-left", reset = "x-reset" }] }
[stream.children]
request = { path = "children", query = { of = "${parents.map(p, p.id).join(',')}" } }
parents = { stream = "items", batch = 2, into = "item", key = "id", by = "of" }
[stream.items]
request = { path = "items", query = { offset = "${page.offset}" } }
paging = { by = "offset", size = 2 }
cursor = { value = "at.instant()", as = "instant" }
[stream.plain]
request = { path = "plain" }
join = [{ stream = "texts", key = "id", by = "of", into = "texts", many = true }]
[stream.secrets]
request = { path = "secrets" }
[stream.texts]
request = { path = "texts", query = { of = "${parents.map(p, p.id).join(',')}" } }
"#;

fn answer(asked: &Asked) -> Reply {
    let at = |hour: u8| format!("2026-01-01T{hour:02}:00:00Z");
    match asked.path.as_str() {
        "/items" => Reply::json(json!([{ "id": "1", "at": at(9) }, { "id": "2", "at": at(8) }]))
            .with("x-left", 4812)
            .with("x-reset", 60),
        "/children" => Reply::json(json!([{ "id": "a", "of": "1" }])),
        "/plain" => Reply::json(json!([{ "id": "1" }])),
        "/texts" => Reply::json(json!([])),
        _ => Reply::of(403, "application/json", json!({ "error": format!("no right to secrets for {TOKEN}") })),
    }
}

fn of<'a>(survey: &'a Survey, name: &str) -> &'a StreamSurvey {
    survey.streams.iter().find(|stream| stream.stream == name).unwrap()
}

#[tokio::test]
async fn each_stream_is_read_a_page_of_and_what_is_refused_is_told_in_the_systems_words() {
    let server = Server::new(answer).await;
    let survey = System::new(&server.url(), STREAMS).connector.survey().await;
    let results: Vec<(&str, SurveyResult)> = survey.streams.iter().map(|s| (s.stream.as_str(), s.result)).collect();
    let read = SurveyResult::Read;
    assert_eq!(
        results,
        [
            ("children", read),
            ("items", read),
            ("plain", read),
            ("secrets", SurveyResult::Denied),
            ("texts", SurveyResult::Joined)
        ]
    );
    let items = of(&survey, "items");
    assert_eq!((items.rows, items.cursor.clone()), (Some(2), Some(json!("2026-01-01T09:00:00Z"))));
    assert!(items.tells_changes && items.milliseconds.is_some());
    let plain = of(&survey, "plain");
    assert!(!plain.tells_changes && plain.cursor.is_none());
    assert_eq!(of(&survey, "texts").message.as_deref(), Some("only joined to plain"));
    let denied = of(&survey, "secrets").message.as_deref().unwrap();
    assert!(denied.contains("403") && denied.contains("no right to secrets for [secret]"), "{denied}");
    assert_eq!(server.of("/items").len(), 2, "once by itself, and once for its children: a page each");
    assert!(!survey.is_well());
    let limits = serde_json::to_value(&survey.limits).unwrap();
    let used = u64::try_from(server.asked().len()).unwrap();
    assert_eq!(limits[0], json!({ "left": 20 - used, "of": 20, "seconds": 60 }));
    assert!(limits[1]["left"].as_u64().unwrap() <= 4812 && limits[1].get("of").is_none(), "{limits}");
}

#[tokio::test]
async fn refused_credentials_are_not_tried_until_the_account_is_locked() {
    let text = "[http]\nbase_url = '${settings.base_url}'\nauth = { basic = { user = '${settings.user}', password = \
                '${settings.password}' } }\n"
        .to_owned()
        + &["a", "b", "c", "d"].map(|name| format!("[stream.{name}]\nrequest = {{ path = '{name}' }}\n")).concat();
    let server = Server::new(|_| Reply::of(401, "text/plain", "who are you?")).await;
    let connector = bind(&server.url(), &text).unwrap();
    let survey = connector.survey().await;
    let results: Vec<SurveyResult> = survey.streams.iter().map(|stream| stream.result).collect();
    let (denied, left) = (SurveyResult::Denied, SurveyResult::NotTried);
    assert_eq!((results, server.asked().len()), (vec![denied, denied, left, left], 2));
    assert!(!serde_json::to_value(&survey).unwrap().to_string().contains(PASSWORD));

    let url = server.url();
    drop(server);
    let survey = bind(&url, &text).unwrap().survey().await;
    let gone = of(&survey, "a");
    assert_eq!((gone.result, of(&survey, "b").result), (SurveyResult::Unreachable, left));
    assert!(gone.message.as_deref().unwrap().contains("cannot be reached"), "{gone:?}");
    let told: Json = serde_json::to_value(&survey).unwrap();
    assert_eq!(told["streams"][0]["result"], "unreachable");
}
