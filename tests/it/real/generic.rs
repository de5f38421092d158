//! The connector to begin with for a system with OData, as it ships, against the OData server in both of its versions: by its
//! settings alone, with a mapping of the installation's own.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::model::{Entity, Key};
use tradebridge::store::RunState;
use tradebridge::sync::{Plan, Puller};

use crate::support::peers::{ODATA_PASSWORD, OData, Peer, System, USER};
use crate::support::store::{Engine, TestStore};

const SERVICE: &str = "sap/opu/odata/sap/API_PRODUCT_SRV/";

/// The fields that this installation has.
const MAPPING: &str = r#"
entity = "product"
stream = "products"
key = "Product"
[fields]
number = "Product"
"names.en" = "ProductType"
groups = "[ProductGroup]"
"base_unit.code" = "'C62'"
status = "IsMarkedForDeletion == true ? 'discontinued' : 'active'"
"#;

async fn reads_what_changes(version: &str, base: &str) {
    let peer = Peer::own(System::OData);
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("own")).unwrap();
    std::fs::write(directory.path().join("own/product.toml"), MAPPING).unwrap();
    let text = format!(
        "connectors = ['{root}/connectors']\nmappings = ['{own}']\n[[connection]]\nname = 'erp'\n\
         connector = 'generic-odata'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n[connection.settings]\n\
         base_url = '{}/{base}'\nuser = '{USER}'\npassword = {{ env = 'PASSWORD' }}\nversion = '{version}'\n\
         products = 'A_Product'\nchanged = 'LastChangeDateTime'\n\
         [[sync]]\nconnection = 'erp'\nentity = 'product'\nmapping = 'own/product'\n",
        peer.address(),
        root = Path::new(env!("CARGO_MANIFEST_DIR")).display(),
        own = directory.path().display(),
    );
    let secret = [("PASSWORD".to_owned(), ODATA_PASSWORD.to_owned())];
    let config = Config::of_document(Document::parse("tradebridge.toml", &text), secret).unwrap();
    let plan = Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"));
    let store = TestStore::new(Engine::Sqlite).await;
    let puller = Puller::new(store.shared(), watch::channel(false).1);
    let pull = async |full: bool| {
        let run = puller.pull(&plan, &plan.pulls[0], full, |_| {}).await.unwrap().remove(0).run;
        assert_eq!(run.state, RunState::Done, "{run:?}");
        run
    };
    // The server gives 25 at a time, and links to the next.
    assert_eq!(pull(false).await.counts.created, 40, "version {version}");

    let mut office = OData::new(&peer);
    office.fetch_token(&format!("/{SERVICE}")).await;
    let target = format!("/{SERVICE}A_Product('MAT-007')");
    let body = json!({ "ProductGroup": "SALE" });
    let answer = office.request(Method::PATCH, &target).header("If-Match", "*").json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let run = pull(false).await;
    assert_eq!((run.complete, run.counts.updated), (false, 1), "version {version}");
    let parts = store.parts(Entity::Product, &[Key::new("NL01", "MAT-007")]).await.unwrap();
    let groups: &Json = &parts[0].content["groups"];
    assert_eq!(groups, &json!(["SALE"]));
    assert_eq!(pull(true).await.counts.unchanged, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_is_read_by_settings_alone() {
    reads_what_changes("2", SERVICE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_4_is_read_by_settings_alone() {
    reads_what_changes("4", "odata/v4/sap/API_PRODUCT_SRV/").await;
}
