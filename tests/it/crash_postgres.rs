//! What only a store on a server can suffer: the server dies in the middle of a run, and a process is frozen beyond its
//! lease while another takes over.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tradebridge::model::PartKind;
use tradebridge::store::{Run, RunFilter, RunState};

use crate::crash::Bridge;
use crate::daemon::{Daemon, PATIENCE};
use crate::support::export::{ENTITIES, Export};
use crate::support::postgres::{self, Server};
use crate::support::store::{Engine, Place, TestStore};

/// Customers of the export, and price agreements of each: some pages of them.
const CUSTOMERS: u64 = 150;
const PRICES: u64 = 150;

/// How often is looked how far a run is.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until a run over the price agreements is some pages far.
async fn in_the_middle(store: &TestStore, pages: u32, mut alive: impl FnMut() -> bool) -> Run {
    let filter = RunFilter {
        kind: Some(PartKind::PriceAgreement),
        state: Some(RunState::Running),
        limit: 1,
        ..RunFilter::default()
    };
    let begun = Instant::now();
    loop {
        if let Some(run) = store.runs(&filter).await.unwrap().pop().filter(|run| run.pages >= pages) {
            return run;
        }
        assert!(alive() && begun.elapsed() < PATIENCE, "no run was seen in its middle");
        tokio::time::sleep(LOOK).await;
    }
}

fn spawn(bridge: &Bridge) -> Child {
    bridge.sync().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_run_and_comes_back_loses_nothing() {
    if postgres::left_out() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let export = Export::new(&directory.path().join("export"), CUSTOMERS, PRICES);
    let server = Server::start();
    let undisturbed = Bridge::new(Engine::Postgres, &export).await;
    let bridge = Bridge::at(Arc::new(Place::on(&server.url()).await), &export);
    bridge.open().await.close().await;
    let mut before = 0;
    // The first night loads, the second one stages and applies.
    for night in 0..2 {
        export.write(night);
        let store = bridge.open().await;
        let mut child = spawn(&bridge);
        in_the_middle(&store, 1, || child.try_wait().unwrap().is_none()).await;
        store.close().await;
        server.kill();
        server.begin();
        // It may fail or wait for the server; what counts is what the next one makes of it.
        child.wait().unwrap();
        bridge.take_over().await.close().await;
        bridge.finish();
        undisturbed.finish();
        let (expected, found) = (undisturbed.contents(before).await, bridge.contents(before).await);
        assert_eq!(found, expected, "night {night}");
        before = found.sequence;
    }
}

/// Freezes a process in the middle of a run, and between two transactions: in one, its locks would hold up everybody
/// until the server gives it up.
async fn freeze(daemon: &mut Daemon, store: &TestStore, server: &Server) -> Run {
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    loop {
        // A run has few pages: each instant of its middle is as good as the next page.
        let run = in_the_middle(store, 1, || true).await;
        daemon.signal("STOP");
        let mut busy: Vec<String>;
        loop {
            busy = sqlx::query_scalar(
                "SELECT state FROM pg_stat_activity WHERE application_name = 'tradebridge' AND state <> 'idle'",
            )
            .fetch_all(&mut connection)
            .await
            .unwrap();
            // What the server is at comes to an end, or waits for what the process would send.
            if !busy.iter().any(|state| state == "active")
                || !busy.is_empty() && waits_for_client(&mut connection).await
            {
                break;
            }
        }
        if busy.is_empty() {
            return run;
        }
        daemon.signal("CONT");
    }
}

/// Whether every statement under way waits for the rows that are copied to it.
async fn waits_for_client(connection: &mut PgConnection) -> bool {
    let others: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'tradebridge' AND state = 'active' \
         AND wait_event_type IS DISTINCT FROM 'Client'",
    )
    .fetch_one(connection)
    .await
    .unwrap();
    others == 0
}

#[tokio::test]
async fn a_process_frozen_beyond_its_lease_writes_nothing_when_it_wakes() {
    if postgres::left_out() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let export = Export::new(&directory.path().join("export"), CUSTOMERS, PRICES);
    let server = Server::start();
    let undisturbed = Bridge::new(Engine::Postgres, &export).await;
    let bridge = Bridge::at(Arc::new(Place::on(&server.url()).await), &export);
    let beside = bridge.beside(&export);
    let store = bridge.open().await;
    let mut before = (0, 0);
    // The first night loads, the second one stages and applies.
    for night in 0..2 {
        export.write(night);
        let mut frozen = Daemon::follow(bridge.command(&["run"]));
        let run = freeze(&mut frozen, &store, &server).await;
        let mut second = Daemon::follow(beside.command(&["run"]));
        second.until(|line| line["run_id"] == run.id && line["state"] == "done");
        until_done(&store, (night + 1) * ENTITIES.len() as u64).await;
        let taken_over = store.head().await.unwrap();
        frozen.signal("CONT");
        let refused = frozen.until(|line| line["entity"] == "price_agreement" && line["reason"].is_string());
        // It was frozen between two transactions, or within one that the server has ended meanwhile; then the server's word
        // about it may have got lost with the connection.
        let reason = refused["reason"].to_string();
        let words = ["lease", "stood still", "at EOF"];
        assert!(words.iter().any(|word| reason.contains(word)), "{refused:#}");
        for daemon in [&mut frozen, &mut second] {
            daemon.signal("TERM");
            assert!(daemon.wait().success());
        }
        assert_eq!(store.head().await.unwrap(), taken_over, "night {night}: it wrote something");
        undisturbed.finish();
        let (expected, found) = (undisturbed.contents(before.0).await, bridge.contents(before.1).await);
        // A daemon pulls several entities at the same time, so how many sequences they take differs.
        assert_eq!(found.hash, expected.hash, "night {night}");
        assert!(found.changed == expected.changed, "night {night}");
        before = (expected.sequence, found.sequence);
    }
}

/// Waits until so many runs are done.
async fn until_done(store: &TestStore, wanted: u64) {
    let filter = RunFilter { state: Some(RunState::Done), limit: 1000, ..RunFilter::default() };
    let begun = Instant::now();
    while (store.runs(&filter).await.unwrap().len() as u64) < wanted {
        assert!(begun.elapsed() < PATIENCE, "not everything was taken over");
        tokio::time::sleep(LOOK).await;
    }
}
