//! Orders at Tryton through the broker and PostgreSQL, while the daemon and the broker are killed: each order one sale.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::site;
use crate::daemon::{Daemon, PATIENCE, Site};
use crate::daemon_orders::Shop;
use crate::support::broker::Vhost;
use crate::support::peers::{Peer, System, TRYTON_PASSWORD, Tryton, USER};
use crate::support::postgres::{self, Schema};

/// How often the daemon is killed, and the broker.
const KILLS: usize = 5;

/// Orders that are posted for each kill, unless `TRADEBRIDGE_TEST_SALES` says how many there are in all.
const ORDERS: usize = 8;

/// Customers without a limit.
const CUSTOMERS: [&str; 5] = ["10005", "10010", "10015", "10020", "10025"];

fn order(number: usize) -> Value {
    json!({
        "reference": format!("W-{number}"), "customer": CUSTOMERS[number % CUSTOMERS.len()], "currency": "EUR",
        "lines": [{ "product": "P1002", "quantity": (1 + number % 7).to_string(), "unit_price": "10" }],
    })
}

/// The daemon's site over these, its shop, and a daemon whose address stays the same.
fn over(tryton: &Peer, schema: &Schema, vhost: &Vhost) -> (Site, String) {
    let settings = format!("database = 'erp'\nuser = '{USER}'\nwarehouse = 5\n");
    let site = site("tryton", tryton.port(), &settings, TRYTON_PASSWORD, &["customer", "product"]);
    let listen = format!("127.0.0.1:{}", crate::support::ports::free());
    let sqlite = format!("url = 'sqlite://{}'", site.path("tradebridge.db").display());
    let postgres = format!(
        "url = '{}'\nlease = '2s'\n[queue]\nurl = '{}'\npassword = 'guest'\n[daemon]\nrun_directory = '{}'",
        schema.url(),
        vhost.url(),
        site.directory.path().display()
    );
    site.edit_config(|text| text.replace(&sqlite, &postgres).replace("127.0.0.1:0", &listen));
    (site, format!("http://{listen}"))
}

fn shop(address: &str) -> Shop {
    Shop { http: crate::support::http().build().unwrap(), address: address.to_owned() }
}

/// Posts orders one after the other, each until the daemon takes it: our references.
async fn post_all(address: String, numbers: std::ops::Range<usize>) -> Vec<String> {
    let shop = shop(&address);
    let mut references = Vec::new();
    for number in numbers {
        let begun = Instant::now();
        loop {
            match shop.post(&order(number)).await {
                Ok((202, taken)) => break references.push(taken["our_reference"].as_str().unwrap().to_owned()),
                Ok((status, answer)) if status < 500 => panic!("{status}: {answer:#}"),
                _ => assert!(begun.elapsed() < PATIENCE * 2, "no daemon takes order {number}"),
            }
            // It is away.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    references
}

/// Waits until so many orders are accepted by Tryton.
async fn until_accepted(address: &str, count: usize) {
    let shop = shop(address);
    let (mut accepted, mut since) = (0, Instant::now());
    loop {
        let request = shop.http.get(format!("{address}/v1/orders?state=accepted&limit=1000"));
        let read = async { request.bearer_auth("tb_demo_key").send().await?.json::<Value>().await };
        let now = read.await.ok().and_then(|answer| Some(answer["items"].as_array()?.len())).unwrap_or(accepted);
        if now >= count {
            return;
        }
        if now != accepted {
            (accepted, since) = (now, Instant::now());
        }
        // Tryton takes its time; what the broker lost is published again after a minute, and once more after two.
        assert!(since.elapsed() < PATIENCE * 5, "no more than {accepted} of {count} orders are accepted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn kill(daemon: &mut Daemon) {
    daemon.signal("KILL");
    daemon.wait();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_five_times_daemon_and_broker_leave_each_order_one_sale() {
    let all = std::env::var("TRADEBRIDGE_TEST_SALES").ok().map_or(KILLS * ORDERS, |all| all.parse().unwrap());
    let orders = all / KILLS;
    let tryton = Peer::own(System::Tryton);
    let mut vhost = Vhost::on(Peer::own(System::RabbitMq)).await;
    let schema = Schema::create(&postgres::shared()).await;
    let (site, address) = over(&tryton, &schema, &vhost);
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    let begun = Instant::now();
    let mut references = Vec::new();
    for round in 0..KILLS {
        let posting = tokio::spawn(post_all(address.clone(), round * orders..(round + 1) * orders));
        // Some of this round's are on their way.
        until_accepted(&address, round * orders + 3).await;
        tokio::task::block_in_place(|| {
            if round % 2 == 0 {
                // The daemon lives through the broker's death, and dies when it has it back.
                vhost.peer().kill();
                daemon.until(|line| line["message"].to_string().contains("lost the connection for consuming"));
                vhost.peer().restart();
                daemon.until(|line| line["message"].to_string().contains("the broker is connected for consuming"));
                kill(&mut daemon);
                daemon = site.start();
            } else {
                // It starts while the broker is away.
                kill(&mut daemon);
                vhost.peer().kill();
                daemon = site.start();
                vhost.peer().restart();
            }
        });
        references.extend(posting.await.unwrap());
        // Those of this round come before the next one's.
        until_accepted(&address, (round + 1) * orders - 5).await;
        println!("killed {} times after {:?}", round + 1, begun.elapsed());
    }
    until_accepted(&address, KILLS * orders).await;

    let tryton = Tryton::login(&tryton).await;
    let params = json!([[["web_id", "!=", null]], 0, null, null, ["web_id", "number", "state"], { "company": 1 }]);
    let sales = tryton.call("model.sale.sale.search_read", params).await.unwrap();
    let sales = sales.as_array().unwrap();
    let ours: BTreeSet<&str> = references.iter().map(String::as_str).collect();
    let theirs: BTreeSet<&str> = sales.iter().map(|sale| sale["web_id"].as_str().unwrap()).collect();
    assert_eq!((sales.len(), theirs.len(), ours.len()), (KILLS * orders, KILLS * orders, KILLS * orders));
    assert_eq!(theirs, ours);
    assert!(sales.iter().all(|sale| sale["state"] == "processing"), "{sales:#?}");
}
