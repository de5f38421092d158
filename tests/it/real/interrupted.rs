//! Pulls that break off, at Tryton and at the OData server: the program is killed while it waits for a page, or the system is, and
//! something changes while pages are read. In the end there is what a pull without any of this brings.

use std::path::Path;
use std::process::{Child, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tradebridge::model::{Entity, Key};
use tradebridge::store::{Parts as _, SqlStore, Upkeep as _};

use super::site;
use crate::daemon::Site;
use crate::support::peers::{ODATA_PASSWORD, OData, Peer, System, TRYTON_PASSWORD, Tryton, USER};
use crate::support::wire::{Accident, Wire};

/// A system, and what is pulled from it.
struct Case {
    system: System,
    connector: &'static str,
    settings: String,
    password: &'static str,
    entities: &'static [&'static str],
    /// Requests that are broken off, in the order in which they come: a text of theirs, and how many of them go well.
    points: &'static [(&'static str, usize)],
}

fn tryton() -> Case {
    Case {
        system: System::Tryton,
        connector: "tryton",
        settings: format!("database = 'erp'\nuser = '{USER}'\nwarehouse = 5\n"),
        password: TRYTON_PASSWORD,
        entities: &["customer", "address", "contact", "product", "price_agreement", "stock", "credit"],
        points: &[
            ("common.db.login", 0),
            ("model.party.party.search_read", 2),
            ("model.party.address.search_read", 3),
            ("model.product.price_list.line.search_read", 1),
            ("forecast_quantity", 7),
            ("credit_limit_amount", 1),
        ],
    }
}

fn sap() -> Case {
    Case {
        system: System::OData,
        connector: "sap-s4hana",
        settings: format!("user = '{USER}'\nsales_organization = 'NL01'\ncondition_types = ['PR00', 'K020']\n"),
        password: ODATA_PASSWORD,
        entities: &["customer", "address", "contact", "product", "price_agreement", "stock", "credit", "order_status"],
        points: &[
            ("to_CustomerSalesArea", 2),
            ("A_BusinessPartnerContact?", 1),
            ("A_Product?", 3),
            ("A_SlsPrcgCndnRecdValidity?", 2),
            ("A_SlsPrcgCndnRecordScale?", 4),
            ("A_MatlStkInAcctMod?", 5),
            ("CreditManagementAccount?", 0),
        ],
    }
}

impl Case {
    fn site(&self, port: u16) -> Site {
        site(self.connector, port, &self.settings, self.password, self.entities)
    }
}

fn begin(site: &Site, arguments: &[&str]) -> Child {
    site.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Pulls all to the end, completely and twice: what pages that shift did not show is missing for good the second time.
fn finish(site: &Site) {
    for arguments in [&["sync", "erp"][..], &["sync", "erp", "--full"], &["sync", "erp", "--full"]] {
        let (code, reports) = site.ask(arguments);
        assert_eq!(code, 0, "{arguments:?}: {reports:#}");
    }
}

async fn open(site: &Site) -> SqlStore {
    SqlStore::open_file(Path::new(&site.path("tradebridge.db")), false).await.unwrap()
}

async fn digest(site: &Site) -> String {
    let store = open(site).await;
    let digest = store.digest().await.unwrap();
    store.close().await;
    digest
}

async fn killed(case: Case) {
    let peer = Peer::shared(case.system);
    let whole = case.site(peer.port());
    finish(&whole);

    let wire = Wire::begin(peer.port()).await;
    let site = case.site(wire.port());
    for &(text, after) in case.points {
        let mut happened = wire.plan(text, after, Accident::Held);
        let mut program = begin(&site, &["sync", "erp", "--full"]);
        tokio::time::timeout(crate::daemon::PATIENCE, happened.changed()).await.expect(text).unwrap();
        // The signal KILL.
        program.kill().unwrap();
        program.wait().unwrap();
        wire.clear();
    }
    finish(&site);
    assert_eq!(digest(&site).await, digest(&whole).await, "{:?}", case.system);
}

async fn the_system_dies(case: Case) {
    let mut peer = Peer::own(case.system);
    let whole = case.site(peer.port());
    finish(&whole);

    let wire = Wire::begin(peer.port()).await;
    let site = case.site(wire.port());
    for &(text, after) in case.points.iter().skip(1).step_by(2) {
        let mut happened = wire.plan(text, after, Accident::Held);
        let mut program = begin(&site, &["sync", "erp", "--full"]);
        tokio::time::timeout(crate::daemon::PATIENCE, happened.changed()).await.expect(text).unwrap();
        peer.kill();
        wire.clear();
        peer.restart();
        // Either it asked long enough, or it says that it could not.
        let code = tokio::task::spawn_blocking(move || program.wait().unwrap().code()).await.unwrap();
        assert!(matches!(code, Some(0 | 1)), "{text}: {code:?}");
    }
    finish(&site);
    assert_eq!(digest(&site).await, digest(&whole).await, "{:?}", case.system);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_page_of_tryton_the_next_pull_brings_all() {
    killed(tryton()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_page_of_odata_the_next_pull_brings_all() {
    killed(sap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tryton_may_die_while_it_is_read() {
    the_system_dies(tryton()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_odata_server_may_die_while_it_is_read() {
    the_system_dies(sap()).await;
}

/// The name of a customer, as it is stored.
async fn name(site: &Site, number: &str) -> Value {
    let store = open(site).await;
    let parts = store.parts(Entity::Customer, &[Key::new("NL01", number)]).await.unwrap();
    store.close().await;
    parts.into_iter().find(|part| part.part.is_empty()).unwrap().content["name"].clone()
}

/// While the second page of what changed is read, a customer of the first changes again: `office` renames one.
async fn meets_a_change(case: Case, peer: &Peer, text: &str, office: impl AsyncFn(usize, &str), number: &str) {
    let wire = Wire::begin(peer.port()).await;
    let site = case.site(wire.port());
    assert_eq!(site.ask(&["sync", "erp", "customer"]).0, 0);
    for at in 0..20 {
        office(at, "changed").await;
    }
    let mut happened = wire.plan(text, 1, Accident::Held);
    let mut program = begin(&site, &["sync", "erp", "customer"]);
    tokio::time::timeout(crate::daemon::PATIENCE, happened.changed()).await.expect(text).unwrap();
    office(0, "changed meanwhile").await;
    wire.clear();
    let code = tokio::task::spawn_blocking(move || program.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(name(&site, number).await, "changed", "its page was read before");
    let (_, reports) = site.ask(&["sync", "erp", "customer"]);
    let run = &reports[0]["run"];
    assert_eq!((&run["complete"], &run["counts"]["updated"]), (&json!(false), &json!(1)), "{reports:#}");
    assert_eq!(name(&site, number).await, "changed meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_at_tryton_while_changes_are_read_comes_with_the_next_pull() {
    let peer = Peer::own(System::Tryton);
    let client = Tryton::login(&peer).await;
    let parties =
        json!([[["code", ">=", "10001"], ["code", "<=", "10020"]], 0, null, [["id", "ASC"]], { "company": 1 }]);
    let parties = client.call("model.party.party.search", parties).await.unwrap();
    let office = async |at: usize, name: &str| {
        let values = json!([[parties[at]], { "name": name }, { "company": 1 }]);
        client.call("model.party.party.write", values).await.unwrap();
    };
    meets_a_change(tryton(), &peer, "model.party.party.search_read", office, "10001").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_at_the_odata_server_while_changes_are_read_comes_with_the_next_pull() {
    const PARTNERS: &str = "/sap/opu/odata/sap/API_BUSINESS_PARTNER";
    let peer = Peer::own(System::OData);
    let mut client = OData::new(&peer);
    client.fetch_token(&format!("{PARTNERS}/")).await;
    let office = async |at: usize, name: &str| {
        let target = format!("{PARTNERS}/A_BusinessPartner('{}')", 1_000_001 + at);
        let body = json!({ "BusinessPartnerFullName": name });
        let answer = client.request(Method::PATCH, &target).header("If-Match", "*").json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{target}: {}", answer.status());
    };
    meets_a_change(sap(), &peer, "to_CustomerSalesArea", office, "1000001").await;
}
