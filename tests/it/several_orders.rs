//! Several daemons over one PostgreSQL and one broker: orders are spread over them, one is killed and the others take over,
//! and each does what its roles say.

use std::path::PathBuf;

use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE, Site, program};
use crate::daemon_orders::{Shop, files, order};
use crate::support::broker::Vhost;
use crate::support::postgres;
use crate::support::store::{Engine, Place};

/// A site whose daemons share a store and a broker.
struct Shared {
    site: Site,
    _place: Place,
    _vhost: Vhost,
}

impl Shared {
    async fn new() -> Self {
        let (site, place, vhost) = (Site::new(), Place::new(Engine::Postgres).await, Vhost::new().await);
        site.edit_config(|text| {
            let sqlite = text.lines().find(|line| line.starts_with("url = \"sqlite")).unwrap().to_owned();
            let store = format!("url = \"{}\"\nlease = \"2s\"", place.url());
            let queue = format!("url = \"{}\"\npassword = \"guest\"", vhost.url());
            text.replace(&sqlite, &store).replace("url = \"embedded\"", &queue)
        });
        Self { site, _place: place, _vhost: vhost }
    }

    /// The configuration of one of them.
    fn config(&self, name: &str) -> PathBuf {
        let path = self.site.path(&format!("{name}.toml"));
        let text = std::fs::read_to_string(self.site.config()).unwrap();
        let directory = self.site.path(name).display().to_string();
        std::fs::write(&path, format!("{text}\n[daemon]\nrun_directory = \"{directory}\"\n")).unwrap();
        path
    }

    /// Starts one of them and waits until it is ready.
    fn start(&self, name: &str, roles: &[&str]) -> (Daemon, Shop) {
        let mut command = program();
        command.arg("--config").arg(self.config(name)).arg("run").args(roles);
        let mut daemon = Daemon::follow(command);
        let ready = daemon.until(|line| line["message"] == "tradebridge is ready");
        let address = format!("http://{}", ready["address"].as_str().unwrap());
        (daemon, Shop { http: crate::support::http().build().unwrap(), address })
    }
}

fn submitted(line: &Value) -> bool {
    line["to"] == "submitted"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_spread_over_daemons_and_those_of_a_killed_one_are_taken_over() {
    if postgres::left_out() {
        return;
    }
    let shared = Shared::new().await;
    let (mut first, shop) = shared.start("first", &[]);
    first.until_all_pulled(&["customer", "product"]);
    let (mut second, other) = shared.start("second", &[]);
    let mut accepted = Vec::new();
    let mut post = async |shop: &Shop, number: usize| {
        let reference = format!("WEB-{number}");
        if let Ok((202, _)) = shop.post(&order(&reference)).await {
            accepted.push(reference);
        }
    };
    for number in 0..16 {
        post(if number % 2 == 0 { &shop } else { &other }, number).await;
    }
    // Each has sent some, whichever took them in.
    first.until(submitted);
    second.until(submitted);
    for number in 16..40 {
        post(if number < 28 { &shop } else { &other }, number).await;
        if number == 27 {
            first.signal("KILL");
            first.wait();
        }
    }
    assert_eq!(accepted.len(), 40);
    let all = async {
        for reference in &accepted {
            while other.order(reference).await["state"] != "submitted" {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    };
    assert!(tokio::time::timeout(2 * PATIENCE, all).await.is_ok(), "what the killed one had in hand is taken over");
    let inbox = files(&shared.site.path("inbox"));
    assert_eq!(inbox.len(), accepted.len(), "every order once: {:?}", inbox.keys());
    let mut references: Vec<&str> =
        inbox.values().map(|text| text.lines().nth(1).unwrap().split(';').nth(3).unwrap()).collect();
    references.sort_unstable();
    references.dedup();
    assert_eq!(references.len(), accepted.len());
    second.signal("TERM");
    assert!(second.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_daemon_does_what_its_roles_say_and_obeys_a_pause_made_at_another() {
    if postgres::left_out() {
        return;
    }
    let shared = Shared::new().await;
    let (mut worker, unasked) = shared.start("worker", &["--role", "sync,orders"]);
    worker.until_all_pulled(&["customer", "product"]);
    let (front, shop) = shared.start("front", &["--role", "api"]);
    let ask = |arguments: &[&str]| {
        let command = program().arg("--config").arg(shared.site.path("front.toml")).args(arguments).output().unwrap();
        (
            command.status.code().unwrap(),
            String::from_utf8_lossy(&[command.stdout, command.stderr].concat()).into_owned(),
        )
    };

    let (status, _) = shop.post(&order("WEB-1")).await.unwrap();
    assert_eq!(status, 202, "who sends no orders accepts them");
    worker.until(submitted);
    let (status, _) = unasked.post(&order("WEB-2")).await.unwrap();
    assert_eq!(status, 404, "who answers no shops has no routes for them");
    let alive = unasked.http.get(format!("{}/readyz", unasked.address)).send().await.unwrap();
    assert_eq!(alive.status(), 200, "health is told whatever the roles");
    let (code, said) = ask(&["sync", "erp", "customer"]);
    assert!(code == 1 && said.contains("has not the role `sync`"), "{code}: {said}");

    let (code, said) = ask(&["connection", "pause", "erp", "--reason", "the ERP is upgraded"]);
    assert_eq!(code, 0, "{said}");
    let (_, said) = ask(&["status"]);
    assert!(said.contains("orders wait since") && said.contains("the ERP is upgraded"), "{said}");
    let ready = shop.http.get(format!("{}/readyz", shop.address)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(ready.text().await.unwrap().contains("orders to erp"));
    worker.until(|line| line["message"].to_string().contains("is paused: its orders wait"));
    assert_eq!(shop.post(&order("WEB-3")).await.unwrap().0, 202);
    let (code, said) = ask(&["connection", "resume", "erp"]);
    assert_eq!(code, 0, "{said}");
    worker.until(|line| line["message"].to_string().contains("is resumed"));
    worker.until(submitted);
    assert_eq!(files(&shared.site.path("inbox")).len(), 2);
    assert_eq!(ask(&["connection", "resume", "erp"]).0, 1);
    let (code, said) = ask(&["connection", "pause", "epr", "--reason", "x"]);
    assert!(code == 1 && said.contains("`erp`"), "{code}: {said}");
    for mut daemon in [worker, front] {
        daemon.signal("TERM");
        assert!(daemon.wait().success());
    }
}
