//! Orders at Tryton through the running daemon, which is killed, cut off and logged out at each step: one sale in the end, and as
//! far as it is to come.

use serde_json::{Value, json};

use super::site;
use crate::daemon::{Daemon, Site};
use crate::daemon_orders::Shop;
use crate::support::peers::{Peer, System, TRYTON_PASSWORD, Tryton, USER};
use crate::support::wire::{Accident, Wire};

/// The requests of an order that change something, in their order.
const STEPS: [&str; 3] = ["model.sale.sale.create", "model.sale.sale.quote", "model.sale.sale.confirm"];

/// A daemon's site whose ERP is reached over a wire.
struct Bridge {
    _peer: Peer,
    wire: Wire,
    site: Site,
    tryton: Tryton,
}

impl Bridge {
    async fn new() -> Self {
        let peer = Peer::own(System::Tryton);
        let wire = Wire::begin(peer.port()).await;
        let settings = format!("database = 'erp'\nuser = '{USER}'\nwarehouse = 5\n");
        let site = site("tryton", wire.port(), &settings, TRYTON_PASSWORD, &["customer", "product"]);
        let tryton = Tryton::login(&peer).await;
        Self { _peer: peer, wire, site, tryton }
    }

    async fn post(&self, reference: &str, customer: &str, quantity: u32) -> String {
        let order = json!({
            "reference": reference, "customer": customer, "currency": "EUR",
            "lines": [{ "product": "P1002", "quantity": quantity.to_string(), "unit_price": "10" }],
        });
        let (status, answer) = Shop::of(&self.site).post(&order).await.unwrap();
        assert_eq!(status, 202, "{answer:#}");
        answer["our_reference"].as_str().unwrap().to_owned()
    }

    /// The sales under a reference of ours: number and state.
    async fn sales(&self, reference: &str) -> Vec<(Value, Value)> {
        let params = json!([[["web_id", "=", reference]], 0, null, null, ["number", "state"], { "company": 1 }]);
        let sales = self.tryton.call("model.sale.sale.search_read", params).await.unwrap();
        let sales = sales.as_array().unwrap().iter();
        sales.map(|sale| (sale["number"].clone(), sale["state"].clone())).collect()
    }

    /// What became of an order is one confirmed sale, whose number the shop sees.
    async fn is_one_sale(&self, shop_reference: &str, reference: &str, accident: &str) {
        let order = Shop::of(&self.site).order(shop_reference).await;
        let sales = self.sales(reference).await;
        assert_eq!(sales, [(order["erp_number"].clone(), json!("processing"))], "{accident}: {order:#}");
    }
}

/// What a request that calls a method has in it, and no other.
fn calls(method: &str) -> String {
    format!(r#""method":"{method}""#)
}

fn until(daemon: &mut Daemon, state: &str) {
    daemon.until(|line| line["to"] == state);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_each_step_the_next_daemon_takes_the_others() {
    let bridge = Bridge::new().await;
    let mut daemon = bridge.site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    // The last reads the number of what is confirmed.
    for step in STEPS.into_iter().chain(["model.sale.sale.search_read"]) {
        let mut happened = bridge.wire.plan(&calls(step), 0, Accident::Held);
        let reference = bridge.post(step, "10001", 2).await;
        happened.changed().await.unwrap();
        daemon.signal("KILL");
        daemon.wait();
        assert_eq!(bridge.sales(&reference).await.len(), 1, "{step}: it was executed");
        daemon = bridge.site.start();
        until(&mut daemon, "accepted");
        bridge.is_one_sale(step, &reference, step).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_or_logged_out_at_each_step_it_goes_on_by_itself() {
    let bridge = Bridge::new().await;
    let mut daemon = bridge.site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    for step in STEPS {
        let cut = format!("cut after {step}");
        let mut happened = bridge.wire.plan(&calls(step), 0, Accident::Cut);
        let reference = bridge.post(&cut, "10001", 2).await;
        happened.changed().await.unwrap();
        until(&mut daemon, "accepted");
        bridge.is_one_sale(&cut, &reference, &cut).await;

        // The session ends between the step before and this one.
        let out = format!("logged out before {step}");
        let logout = json!({ "id": 1, "method": "common.db.logout", "params": [] }).to_string();
        let mut happened = bridge.wire.plan(&calls(step), 0, Accident::After(logout));
        let reference = bridge.post(&out, "10001", 2).await;
        happened.changed().await.unwrap();
        until(&mut daemon, "accepted");
        bridge.is_one_sale(&out, &reference, &out).await;

        // What was exchanged tells of the refused request, and holds no secret.
        let order = Shop::of(&bridge.site).order(&out).await;
        let (_, shown) = bridge.site.ask(&["orders", "show", order["id"].as_str().unwrap()]);
        let exchanged = shown["calls"].to_string();
        assert!(exchanged.contains(step) && exchanged.contains("\"status\":401"), "{step}: {exchanged}");
        assert!(exchanged.contains("authorization: [secret]"), "{exchanged}");
        assert!(!exchanged.contains(TRYTON_PASSWORD) && !exchanged.contains("Session "), "{exchanged}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_the_limit_leaves_nothing_wherever_the_daemon_dies() {
    let bridge = Bridge::new().await;
    let mut daemon = bridge.site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    for (step, end) in [
        ("model.sale.sale.confirm", "rejected"),
        ("model.sale.sale.draft", "rejected"),
        // Nothing is found, so it is created once more and refused once more: of the first attempt nobody knows whether
        // it is over.
        ("model.sale.sale.delete", "needs_review"),
    ] {
        let mut happened = bridge.wire.plan(&calls(step), 0, Accident::Held);
        // 10003 has 32 euros left.
        let reference = bridge.post(step, "10003", 500).await;
        happened.changed().await.unwrap();
        daemon.signal("KILL");
        daemon.wait();
        daemon = bridge.site.start();
        until(&mut daemon, end);
        let order = Shop::of(&bridge.site).order(step).await;
        assert!(order["reason"].as_str().unwrap().contains("credit limit"), "{step}: {order:#}");
        assert_eq!(bridge.sales(&reference).await, [], "{step}");
    }
}
