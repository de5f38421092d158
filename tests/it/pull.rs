//! Pulls over a plan of real files: deltas in their order, files that feed two streams, holds and decisions.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::model::{Entity, Key};
use tradebridge::store::RunState;
use tradebridge::sync::{Extent, Plan, Pulled, Puller};

use crate::support::conformance;
use crate::support::mappings::{CREDIT, PRODUCT};
use crate::support::store::{Engine, TestStore};

conformance!(
    deltas_are_read_in_their_order_and_put_away_when_every_stream_has_them,
    a_held_delta_holds_up_the_later_ones_until_a_person_decides,
    a_complete_file_is_read_again_when_it_or_its_mapping_changes,
    of_a_file_of_changes_the_newest_record_of_a_key_counts,
    rows_that_are_numbered_anew_keep_their_records,
    an_older_complete_file_that_is_put_back_counts_again,
);

const MANIFEST: &str = r#"
name = "pair"
title = "An ERP whose files feed two streams"
transport = "file"

[settings.directory]
type = "directory"
help = "Where the files are."
required = true

[settings.archive]
type = "directory"
help = "Where they go."
required = true

[defaults]
directory = "${settings.directory}"
ready = { stable = "20ms" }
format = "csv"
delimiter = ";"

[stream.customers]
files = "changes*.csv"
content = "delta"
after = "archive"
archive = "${settings.archive}"

[stream.credit]
files = "changes*.csv"
content = "delta"
after = "archive"
archive = "${settings.archive}"

[stream.products]
files = "products*.csv"
content = "full"
"#;

const CUSTOMER: &str = r#"
entity = "customer"
stream = "customers"
key = "Nr"
deleted = "Op == 'D'"
[fields]
number = "Nr"
name = "Name"
"#;

struct Bridge {
    directory: TempDir,
    store: TestStore,
    puller: Puller,
}

impl Bridge {
    async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("connectors/pair.toml", MANIFEST),
            ("mappings/pair/customer.toml", CUSTOMER),
            ("mappings/pair/credit.toml", CREDIT),
            ("mappings/pair/product.toml", PRODUCT),
            ("in/.keep", ""),
            ("archive/.keep", ""),
        ] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let store = TestStore::new(engine).await;
        let puller = Puller::new(store.shared(), watch::channel(false).1);
        Self { directory, store, puller }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn plan(&self, guard: &str) -> Plan {
        let at = self.directory.path().display();
        let mut text = format!(
            "connectors = ['{at}/connectors']\nmappings = ['{at}/mappings']\n[[connection]]\nname = 'erp'\n\
             connector = 'pair'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n\
             settings = {{ directory = '{at}/in', archive = '{at}/archive' }}\n"
        );
        text.extend(
            ["customer", "credit", "product"]
                .map(|entity| format!("[[sync]]\nconnection = 'erp'\nentity = '{entity}'\nguard = {{ {guard} }}\n")),
        );
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []).unwrap();
        Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"))
    }

    async fn pull(&self, plan: &Plan, entity: &str) -> Vec<Pulled> {
        let pull = plan.pulls_of("erp", Some(entity)).remove(0);
        self.puller.pull(plan, &pull, false, |_| {}).await.unwrap()
    }

    async fn name(&self, number: &str) -> Option<String> {
        let parts = self.store.parts(Entity::Customer, &[Key::new("NL01", number)]).await.unwrap();
        parts.first().map(|part| part.content["name"].as_str().unwrap().to_owned())
    }
}

async fn deltas_are_read_in_their_order_and_put_away_when_every_stream_has_them(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 20");
    bridge.write("in/changes-2.csv", "Nr;Name;Limit;Op\n1;Second;200;\n2;Gone;1;D\n");
    bridge.write("in/changes-10.csv", "Nr;Name;Limit;Op\n1;Third;300;\n");
    bridge.write("in/changes-1.csv", "Nr;Name;Limit;Op\n1;First;100;\n2;Two;100;\n");
    let pulled = bridge.pull(&plan, "customer").await;
    let sources: Vec<&str> = pulled.iter().map(|p| p.source.as_str()).collect();
    assert_eq!(sources, ["changes-1.csv", "changes-2.csv", "changes-10.csv"]);
    assert_eq!(bridge.name("1").await.as_deref(), Some("Third"));
    assert_eq!(bridge.name("2").await, None, "the second file says that it is gone");
    assert!(bridge.path("in/changes-1.csv").exists(), "the other stream has not read it");
    assert!(bridge.pull(&plan, "customer").await.is_empty(), "nothing is read twice");

    assert_eq!(bridge.pull(&plan, "credit").await.len(), 3);
    for name in ["changes-1.csv", "changes-2.csv", "changes-10.csv"] {
        assert!(!bridge.path("in").join(name).exists() && bridge.path("archive").join(name).exists(), "{name}");
    }
}

async fn a_held_delta_holds_up_the_later_ones_until_a_person_decides(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 1, change = '10%'");
    bridge.write("in/changes-1.csv", "Nr;Name;Limit;Op\n1;One;100;\n2;Two;100;\n");
    bridge.pull(&plan, "customer").await;
    bridge.write("in/changes-2.csv", "Nr;Name;Limit;Op\n1;Changed;100;\n");
    bridge.write("in/changes-3.csv", "Nr;Name;Limit;Op\n3;Three;100;\n");
    let held = bridge.pull(&plan, "customer").await.remove(0).run;
    assert_eq!((held.state, bridge.name("3").await), (RunState::Held, None));
    assert!(bridge.pull(&plan, "customer").await.is_empty(), "it waits");

    let done = bridge.puller.approve(&plan, &held.id).await.unwrap();
    assert_eq!((done.state, bridge.name("1").await.as_deref()), (RunState::Done, Some("Changed")));
    let next = bridge.pull(&plan, "customer").await;
    assert_eq!((next.len(), bridge.name("3").await.as_deref()), (1, Some("Three")));

    bridge.write("in/changes-4.csv", "Nr;Name;Limit;Op\n1;Wrong;100;\n");
    bridge.write("in/changes-5.csv", "Nr;Name;Limit;Op\n4;Four;100;\n");
    let held = bridge.pull(&plan, "customer").await.remove(0).run;
    bridge.puller.refuse(&held.id, "a test export").await.unwrap();
    bridge.pull(&plan, "customer").await;
    assert_eq!(bridge.name("1").await.as_deref(), Some("Changed"), "what was refused is not applied");
    assert_eq!(bridge.name("4").await.as_deref(), Some("Four"), "what comes after it is");
}

async fn a_complete_file_is_read_again_when_it_or_its_mapping_changes(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 20");
    bridge.write("in/products.csv", "Nr;Name\nP1;Bolt\n");
    assert_eq!(bridge.pull(&plan, "product").await.len(), 1);
    assert!(bridge.pull(&plan, "product").await.is_empty());
    bridge.write("mappings/pair/product.toml", &PRODUCT.replace("= \"Name\"", "= \"Name.upper()\""));
    let plan = bridge.plan("floor = 20");
    let again = bridge.pull(&plan, "product").await;
    assert_eq!((again.len(), again[0].run.counts.updated), (1, 1));
    let rehearsed =
        bridge.puller.rehearse(&plan, &plan.pulls_of("erp", Some("product"))[0], Extent::Changes).await.unwrap();
    assert_eq!(rehearsed[0].run.counts.unchanged, 1);
    bridge.write("in/products.csv", "Nr;Name\nP1;Bolt\nP2;Nut\n");
    let previewed = bridge.puller.preview(&plan.pulls_of("erp", Some("product"))[0], 10).await.unwrap();
    assert_eq!(previewed.len(), 2);
    assert!(previewed[0].stored.is_some() && previewed[1].stored.is_none());
    let rehearsed =
        bridge.puller.rehearse(&plan, &plan.pulls_of("erp", Some("product"))[0], Extent::Changes).await.unwrap();
    assert_eq!((rehearsed[0].run.counts.created, rehearsed[0].run.counts.unchanged), (1, 1));
    assert_eq!(bridge.pull(&plan, "product").await[0].run.counts.created, 1, "rehearsing stored nothing");
}

async fn of_a_file_of_changes_the_newest_record_of_a_key_counts(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 20");
    let mut first = "Nr;Name;Limit;Op\n1;One;1;\n1;Uno;1;\n9;Nine;1;\n".to_owned();
    // The second mention of a key is pages later.
    first.extend((100..2600).map(|number| format!("{number};Row;1;\n")));
    first.push_str("9;Neun;1;\n");
    bridge.write("in/changes-1.csv", &first);
    let run = bridge.pull(&plan, "customer").await.remove(0).run;
    assert_eq!((run.state, run.counts.rejected), (RunState::Done, 0));
    assert_eq!(bridge.name("1").await.as_deref(), Some("Uno"));
    assert_eq!(bridge.name("9").await.as_deref(), Some("Neun"));

    let mut second = "Nr;Name;Limit;Op\n1;Changed;1;\n9;;1;D\n".to_owned();
    second.extend((100..2600).map(|number| format!("{number};Row;1;\n")));
    second.push_str("1;Uno;1;\n9;Again;1;\n");
    bridge.write("in/changes-2.csv", &second);
    let sequence = bridge.store.head().await.unwrap().sequence;
    bridge.pull(&plan, "customer").await;
    assert_eq!(bridge.name("9").await.as_deref(), Some("Again"), "deleted and back");
    let changes = bridge.store.changes(sequence, &[], 10).await.unwrap();
    assert_eq!(changes.len(), 1, "changed and changed back is no change: {changes:?}");
}

async fn rows_that_are_numbered_anew_keep_their_records(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.write("mappings/pair/product.toml", &PRODUCT.replace("key = \"Nr\"", "key = \"Row\""));
    let plan = bridge.plan("floor = 20");
    bridge.write("in/products.csv", "Row;Nr;Name\n1;P1;Bolt\n2;P2;Nut\n");
    bridge.pull(&plan, "product").await;
    bridge.write("in/products.csv", "Row;Nr;Name\n11;P1;Bolt\n12;P2;Nut\n13;P3;Pin\n");
    let runs = bridge.pull(&plan, "product").await;
    assert_eq!(runs.last().unwrap().run.counts.rejected, 0, "{runs:#?}");
    let keys: Vec<Key> = ["P1", "P2", "P3"].map(|number| Key::new("NL01", number)).into();
    assert_eq!(bridge.store.parts(Entity::Product, &keys).await.unwrap().len(), 3);
}

async fn an_older_complete_file_that_is_put_back_counts_again(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 1, delete = '10%'");
    bridge.write("in/products-1.csv", "Nr;Name\nP1;Bolt\nP2;Nut\n");
    bridge.pull(&plan, "product").await;
    bridge.write("in/products-2.csv", "Nr;Name\nP1;Bolt\n");
    let held = bridge.pull(&plan, "product").await.remove(0).run;
    assert_eq!(held.state, RunState::Held);
    std::fs::remove_file(bridge.path("in/products-2.csv")).unwrap();
    assert!(bridge.pull(&plan, "product").await.is_empty(), "the good one was taken last");
    let void = bridge.store.run(&held.id).await.unwrap().unwrap();
    assert_eq!(void.state, RunState::Superseded, "nobody approves it by mistake");
}
