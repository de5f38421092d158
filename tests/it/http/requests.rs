//! Requests as they arrive: addresses, queries, headers, and bodies as trees and forms.

use serde_json::json;

use super::server::{Reply, Server};
use super::system::{System, bind, manifest};

async fn empty() -> Server {
    Server::new(|_| Reply::json("[]")).await
}

#[tokio::test]
async fn what_a_value_brings_into_an_address_stays_one_part_of_it() {
    let server = empty().await;
    let text = r#"
[stream.items]
[stream.items.request]
path = "/companies(${settings.company + '/../x?y#z &é'})/items"
query = { "$filter" = "name eq '${settings.company + '&a=b'}'", absent = "${settings.absent}", flag = "true" }
headers = { "X-Company" = "${settings.company}", "X-Absent" = "${settings.absent}" }
"#;
    let pulled = System::new(&format!("{}/api/v1/", server.url()), text).pull(None).await;
    assert_eq!(pulled.error, None);
    let asked = server.asked().remove(0);
    assert_eq!(asked.path, "/api/v1/companies(NL01%2F..%2Fx%3Fy%23z%20%26%C3%A9)/items");
    assert_eq!(asked.query["$filter"], "name eq 'NL01&a=b'");
    assert_eq!(asked.query["flag"], "true");
    assert_eq!(asked.query.len(), 2, "what has no value is left out: {:?}", asked.query);
    assert_eq!((asked.method.as_str(), asked.header("x-company")), ("GET", "NL01"));
    assert!(!asked.headers.contains_key("x-absent"));
    assert!(asked.header("user-agent").starts_with("tradebridge/"));
}

#[tokio::test]
async fn a_value_cannot_lead_out_of_the_address() {
    let server = empty().await;
    let text = "[stream.items]\nrequest = { path = \"a/${settings.company == 'NL01' ? '..' : 'x'}/b\" }\n";
    let pulled = System::new(&server.url(), text).pull(None).await;
    assert!(pulled.error.unwrap().contains("leads out of"));
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_body_is_a_tree_whose_values_keep_their_types() {
    let server = empty().await;
    let text = r#"
[stream.items]
paging = { by = "offset", size = 250, end = "short" }
[stream.items.request]
path = "search"
body.params.limit = "${page.size}"
body.params.domain = [["company", "=", "${settings.company + '\"}'}"], ["active", "=", true]]
body.params.none = "${settings.absent}"
body.params.text = "at ${page.offset}"
body.id = 7
"#;
    System::new(&server.url(), text).pull(None).await;
    let asked = server.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.header("content-type")), ("POST", "application/json"));
    let params = json!({
        "limit": 250, "domain": [["company", "=", "NL01\"}"], ["active", "=", true]], "none": null, "text": "at 0",
    });
    assert_eq!(asked.json(), json!({ "params": params, "id": 7 }));
}

#[tokio::test]
async fn a_form_is_encoded_and_leaves_out_what_has_no_value() {
    let server = empty().await;
    let text = r#"
[stream.items]
[stream.items.request]
path = "search"
headers = { "Content-Type" = "application/x-www-form-urlencoded; charset=utf-8" }
form = { q = "${settings.company + ' & é='}", absent = "${settings.absent}" }
"#;
    System::new(&server.url(), text).pull(None).await;
    let asked = server.asked().remove(0);
    assert_eq!(asked.body, "q=NL01%20%26%20%C3%A9%3D");
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded; charset=utf-8");
}

#[tokio::test]
async fn headers_of_every_request_are_overruled_by_those_of_one() {
    let server = empty().await;
    let text = r#"
[http]
base_url = "${settings.base_url}"
headers = { Accept = "application/json", "X-Company" = "${settings.company}" }
[stream.items]
request = { path = "items", headers = { Accept = "text/csv" } }
"#;
    System::new(&server.url(), text).pull(None).await;
    let asked = server.asked().remove(0);
    assert_eq!((asked.header("accept"), asked.header("x-company")), ("text/csv", "NL01"));
}

#[tokio::test]
async fn a_manifest_that_cannot_work_is_refused_with_what_to_do() {
    for (text, expected) in [
        ("[http]\nbase_url = \"erp.example\"\n", "is no address"),
        ("[http]\nbase_url = \"https://user:x@erp.example\"\n", "would be seen in logs"),
        ("[stream.items]\nrequest = { path = \"${settings.token}\" }\n", "the secret `token` would be seen"),
        ("[stream.items.request]\nquery = { key = \"${settings.token}\" }\n", "the secret `token` would be seen"),
        ("[stream.items.request]\nheaders = { key = \"${settings.token}\" }\n", "the secret `token` would be seen"),
        ("[stream.items]\nrequest = { method = \"GET\", body = 1 }\n", "has no body"),
        ("[stream.items]\nrequest = { body = {}, form = {} }\n", "a request has one body"),
        ("[stream.items]\nhelp = \"x\"\n", "stream.items.request: this key is required"),
        ("[stream.items]\ndirectory = \"x\"\nrequest = {}\n", "`directory` does not go with this transport"),
        ("[stream.items]\nrequest = {}\npaging = { by = \"link\" }\n", "paging.next: this key is required"),
        ("[stream.items]\nrequest = {}\npaging = { by = \"key\" }\n", "paging.key: this key is required"),
        ("[stream.items]\nrequest = {}\npaging = { by = \"offset\", next = \"x\" }\n", "`next` does not go with"),
        ("[stream.items]\nrequest = {}\npaging = { by = \"offset\", end = \"short\" }\n", "paging.size: this key is"),
        (
            "[stream.items]\nrequest = {}\nformat = \"csv\"\npaging = { by = \"token\", next = \"x\" }\n",
            "answer in JSON",
        ),
        ("[[http.error]]\nmeans = \"retry\"\n[http]\nbase_url = \"http://x\"\n", "apply to every answer"),
        ("[http.limit]\nrequests = 5\n[http]\nbase_url = \"http://x\"\n", "http.limit.per: this key is required"),
        (
            "[http.limit]\ntold = [{ remaining = \"a b\", reset = \"c\" }]\n[http]\nbase_url = \"http://x\"\n",
            "no name of a header",
        ),
        ("[action.order]\ncreate = \"open\"\n", "action.order.step: this key is required"),
    ] {
        let refused = bind("http://127.0.0.1:9", text).err().unwrap_or_else(|| panic!("{}", manifest(text)));
        assert!(refused.to_string().contains(expected), "{expected}: {refused}");
    }
}
