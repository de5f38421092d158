//! Changing a mapping without asking the ERP: what it would change, and applying it to the source rows that are kept.

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::model::{Entity, Key};
use tradebridge::store::{ListQuery, RunState, Source};
use tradebridge::sync::{MapDiff, Plan, Pulled, Puller, SyncError, map_diff, raw};

use super::daemon::{Site, root};
use crate::support::conformance;
use crate::support::store::{Engine, TestStore};

conformance!(
    a_changed_mapping_is_shown_and_then_applied_to_kept_rows_and_to_nothing_else,
    records_that_were_rejected_are_taken_once_the_mapping_takes_them,
    a_rejected_newer_row_of_a_record_counts_and_not_the_older_one,
    a_mapping_that_leaves_records_out_or_changes_keys_is_shown_so,
    a_run_over_kept_rows_is_held_and_decided_and_takes_nothing,
    a_run_over_kept_rows_that_broke_off_begins_anew_and_applies_once,
    kept_rows_are_found_by_batch_and_the_newest_alone_is_current,
    without_retention_no_rows_are_kept,
);

/// The exported customers and the mapping of their names.
const CUSTOMERS: &str = "export/klanten.csv";
const MAPPING: &str = "mappings/csv-export/customer.toml";
const NAME: &str = "name = \"Naam.compact()\"";
const UPPER: &str = "name = \"Naam.compact().upper()\"";

struct Bridge {
    directory: TempDir,
    store: TestStore,
    puller: Puller,
}

impl Bridge {
    /// The demo's customers, pulled.
    async fn new(engine: Engine) -> Self {
        let bridge = Self::empty(engine).await;
        bridge.pull(&bridge.plan("floor = 1000000")).await;
        bridge
    }

    async fn empty(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (from, to) in [("config/demo/export/klanten.csv", CUSTOMERS), (MAPPING, MAPPING)] {
            let to = directory.path().join(to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(root().join(from), to).unwrap();
        }
        let store = TestStore::new(engine).await;
        let puller = Puller::new(store.shared(), watch::channel(false).1);
        Self { directory, store, puller }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn plan_with(&self, guard: &str, top: &str) -> Plan {
        let (root, at) = (root().display(), self.directory.path().display());
        let text = format!(
            "connectors = ['{root}/connectors']\nmappings = ['{at}/mappings']\n{top}\n[[connection]]\nname = 'erp'\n\
             connector = 'csv-export'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n\
             settings = {{ directory = '{at}/export', stable = '20ms' }}\n\
             [[sync]]\nconnection = 'erp'\nentity = 'customer'\nguard = {{ {guard} }}\n"
        );
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []);
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn plan(&self, guard: &str) -> Plan {
        self.plan_with(guard, "")
    }

    /// The plan with an edit of the mapping.
    fn remapped(&self, from: &str, to: &str) -> Plan {
        self.remap(from, to);
        self.plan("floor = 1000000")
    }

    fn remap(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(MAPPING)).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(self.path(MAPPING), text.replacen(from, to, 1)).unwrap();
    }

    /// Rewrites exported rows, whose encoding is windows-1252.
    fn edit(&self, edit: impl Fn(&str) -> String) {
        let bytes = std::fs::read(self.path(CUSTOMERS)).unwrap();
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let edited: Vec<u8> = edit(&text).chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        std::fs::write(self.path(CUSTOMERS), edited).unwrap();
    }

    async fn pull(&self, plan: &Plan) -> Vec<Pulled> {
        self.puller.pull(plan, &plan.pulls[0], false, |_| {}).await.unwrap()
    }

    async fn remap_kept(&self, plan: &Plan) -> Pulled {
        self.puller.pull_from_raw(plan, &plan.pulls[0], false, |_| {}).await.unwrap().remove(0)
    }

    async fn diff(&self, plan: &Plan) -> MapDiff {
        let pull = &plan.pulls[0];
        let source = self.source(plan).await;
        map_diff(&self.store.shared(), &source, &pull.mapping, &pull.link.setting).await.unwrap()
    }

    async fn source(&self, plan: &Plan) -> Source {
        let pull = &plan.pulls[0];
        self.store.source("erp", &pull.mapping.stream, pull.mapping.kind).await.unwrap()
    }

    async fn sequence(&self) -> i64 {
        self.store.head().await.unwrap().sequence
    }

    /// The numbers of what stands in the feed after a sequence.
    async fn changed(&self, after: i64) -> Vec<String> {
        let changes = self.store.changes(after, &[], 1000).await.unwrap();
        let mut numbers: Vec<String> = changes.into_iter().map(|change| change.key.number).collect();
        numbers.sort();
        numbers
    }

    /// Numbers and names of the stored customers.
    async fn names(&self) -> Vec<(String, String)> {
        let query = ListQuery {
            entity: Entity::Customer,
            companies: Vec::new(),
            connections: Vec::new(),
            who: Vec::new(),
            what: Vec::new(),
            after: None,
            limit: 1000,
        };
        let parts = self.store.list(&query).await.unwrap();
        parts.into_iter().map(|part| (part.key.number, part.content["name"].as_str().unwrap().to_owned())).collect()
    }

    async fn batches(&self, source: &Source) -> usize {
        self.store.raw_batches(source.id, 0, 1000).await.unwrap().len()
    }
}

async fn a_changed_mapping_is_shown_and_then_applied_to_kept_rows_and_to_nothing_else(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let before = bridge.names().await;
    let lower: Vec<String> =
        before.iter().filter(|(_, name)| *name != name.to_uppercase()).map(|(number, _)| number.clone()).collect();
    assert!(lower.len() > 100, "the demo's names are not in capitals");
    let plan = bridge.remapped(NAME, UPPER);
    let (source, sequence) = (bridge.source(&plan).await, bridge.sequence().await);
    let batches = bridge.batches(&source).await;
    std::fs::rename(bridge.path("export"), bridge.path("away")).unwrap();

    let diff = bridge.diff(&plan).await;
    let (all, changed) = (before.len() as u64, lower.len() as u64);
    assert_eq!((diff.looked_at, diff.changed, diff.unchanged), (all, changed, all - changed), "{diff:#?}");
    assert_eq!((diff.rejected, diff.without_row, diff.rekeyed), (0, 0, 0));
    assert_eq!(diff.fields, [("name".to_owned(), changed)].into());
    assert_eq!(diff.examples.len(), 10);
    for example in &diff.examples {
        let number = example.key.strip_prefix("NL01~").unwrap();
        let (_, name) = before.iter().find(|(known, _)| known == number).unwrap();
        assert_eq!((&example.before, &example.after), (&Some(json!(name)), &Some(json!(name.to_uppercase()))));
    }
    let tried = bridge.puller.pull_from_raw(&plan, &plan.pulls[0], true, |_| {}).await.unwrap();
    assert_eq!(tried[0].run.counts.updated, changed);
    assert_eq!((bridge.sequence().await, bridge.names().await), (sequence, before.clone()), "nothing was written");

    let run = bridge.remap_kept(&plan).await.run;
    assert_eq!((run.state, run.complete, run.counts.updated), (RunState::Done, false, changed), "{run:#?}");
    assert_eq!(run.counts.unchanged, all - changed);
    assert!(run.reason.as_ref().unwrap().contains("source rows that are kept"), "{run:#?}");
    assert_eq!(bridge.changed(sequence).await, lower, "the shop is told exactly these");
    assert!(bridge.names().await.iter().all(|(_, name)| *name == name.to_uppercase()));
    assert_eq!(bridge.source(&plan).await, source, "the source was not asked: neither taken nor verified");
    assert_eq!(bridge.batches(&source).await, batches, "no row is kept twice");

    let sequence = bridge.sequence().await;
    let again = bridge.remap_kept(&plan).await.run;
    assert_eq!((again.counts.unchanged, again.counts.updated), (all, 0));
    assert_eq!(bridge.diff(&plan).await.unchanged, all);
    std::fs::rename(bridge.path("away"), bridge.path("export")).unwrap();
    let pulled = bridge.pull(&plan).await.remove(0).run;
    assert_eq!((pulled.counts.unchanged, pulled.counts.updated), (all, 0), "every row is recognised");
    assert_eq!(bridge.batches(&source).await, batches, "and none is mapped again");
    assert_eq!(bridge.sequence().await, sequence);
}

async fn records_that_were_rejected_are_taken_once_the_mapping_takes_them(engine: Engine) {
    let bridge = Bridge::empty(engine).await;
    let plan = bridge.remapped("\"EXPORT\" = \"export\"\n", "");
    let first = bridge.pull(&plan).await.remove(0).run;
    let rejected = first.counts.rejected;
    assert!(rejected > 0, "{first:#?}");
    let plan = bridge.remapped("\"EU\" = \"eu\"\n", "\"EU\" = \"eu\"\n\"EXPORT\" = \"export\"\n");
    let diff = bridge.diff(&plan).await;
    assert_eq!((diff.taken, diff.changed, diff.without_row), (rejected, 0, 0), "{diff:#?}");

    let run = bridge.remap_kept(&plan).await.run;
    assert_eq!((run.counts.created, run.counts.rejected), (rejected, 0), "{run:#?}");
    assert!(bridge.store.rejections(None, 0, 10).await.unwrap().is_empty());
    let source = bridge.source(&plan).await;
    assert_eq!(bridge.store.without_raw(source.id).await.unwrap(), 0, "their rows are kept with them");
    let pulled = bridge.pull(&plan).await.remove(0).run;
    assert_eq!((pulled.counts.unchanged, pulled.counts.created), (first.counts.read, 0));
}

async fn a_rejected_newer_row_of_a_record_counts_and_not_the_older_one(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 1000000");
    bridge.edit(|text| text.replacen("10000;Installatiebedrijf 't Hart;", "10000;;", 1));
    assert_eq!(bridge.pull(&plan).await[0].run.counts.rejected, 1);
    let upper = bridge.remapped(NAME, UPPER);
    let run = bridge.remap_kept(&upper).await.run;
    assert_eq!(run.counts.rejected, 1, "the newer row still fails");
    assert!(bridge.names().await.contains(&("10000".to_owned(), "Installatiebedrijf 't Hart".to_owned())));
    assert_eq!(bridge.store.rejections(None, 0, 10).await.unwrap().len(), 1);

    let plan = bridge.remapped(UPPER, "name = \"Naam.compact().or('onbekend').upper()\"");
    let run = bridge.remap_kept(&plan).await.run;
    assert_eq!((run.counts.rejected, run.counts.updated), (0, 1), "{run:#?}");
    assert!(bridge.names().await.contains(&("10000".to_owned(), "ONBEKEND".to_owned())));
    assert!(bridge.store.rejections(None, 0, 10).await.unwrap().is_empty());
    let pulled = bridge.pull(&plan).await.remove(0).run;
    assert_eq!((pulled.counts.unchanged, pulled.counts.read), (pulled.counts.read, run.counts.read));
}

async fn a_mapping_that_leaves_records_out_or_changes_keys_is_shown_so(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let all = bridge.names().await.len() as u64;
    let key = "key = \"Klantnummer\"\n";
    let plan = bridge.remapped(key, &format!("{key}where = \"Klantnummer != '10000'\"\n"));
    let diff = bridge.diff(&plan).await;
    assert_eq!((diff.skipped, diff.unchanged), (1, all - 1), "{diff:#?}");
    let sequence = bridge.sequence().await;
    assert_eq!(bridge.remap_kept(&plan).await.run.counts.deleted, 1);
    assert_eq!(bridge.changed(sequence).await, ["10000"]);

    let plan = bridge.remapped(NAME, "name = \"Klantnummer == '10001' ? null : Naam\"");
    let diff = bridge.diff(&plan).await;
    assert_eq!((diff.rejected, diff.unchanged), (1, all - 2), "{diff:#?}");
    let (reason, refusal) = diff.reasons.first_key_value().unwrap();
    assert!(reason.contains("customer.toml:") && refusal.records == 1 && refusal.message.contains("name"), "{diff:#?}");

    let plan = bridge.remapped(key, "key = \"'K' + Klantnummer\"\n");
    assert_eq!(bridge.diff(&plan).await.rekeyed, all - 1);
    let refused = bridge.puller.pull_from_raw(&plan, &plan.pulls[0], false, |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("tradebridge sync erp customer --full"), "{refused}");
    assert_eq!(bridge.names().await.len() as u64, all - 1);
}

async fn a_run_over_kept_rows_is_held_and_decided_and_takes_nothing(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.remap(NAME, UPPER);
    let plan = bridge.plan("floor = 1, change = '1%'");
    let (source, before) = (bridge.source(&plan).await, bridge.names().await);
    let held = bridge.remap_kept(&plan).await.run;
    assert_eq!(held.state, RunState::Held);
    let reason = held.reason.unwrap();
    assert!(reason.contains("kept") && reason.contains("guard.change"), "{reason}");
    bridge.puller.refuse(&held.id, "not yet").await.unwrap();
    assert_eq!(bridge.names().await, before);
    let held = bridge.remap_kept(&plan).await.run;
    let done = bridge.puller.approve(&plan, &held.id).await.unwrap();
    assert_eq!(done.state, RunState::Done);
    assert!(bridge.names().await.iter().all(|(_, name)| *name == name.to_uppercase()));
    assert_eq!(bridge.source(&plan).await, source, "neither taken nor verified");
}

async fn a_run_over_kept_rows_that_broke_off_begins_anew_and_applies_once(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.remapped(NAME, UPPER);
    let sequence = bridge.sequence().await;
    let stopped = Puller::new(bridge.store.shared(), watch::channel(true).1);
    let ended = stopped.pull_from_raw(&plan, &plan.pulls[0], false, |_| {}).await;
    assert!(matches!(ended, Err(SyncError::Interrupted)), "{ended:?}");
    assert_eq!(bridge.sequence().await, sequence, "what was staged is not applied");
    let run = bridge.remap_kept(&plan).await.run;
    assert_eq!((run.state, run.counts.superseded), (RunState::Done, 0));
    let changed = i64::try_from(run.counts.updated).unwrap();
    assert_eq!(bridge.sequence().await, sequence + changed, "each change is in the feed once");
}

async fn kept_rows_are_found_by_batch_and_the_newest_alone_is_current(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 1000000");
    bridge.edit(|text| text.replacen("10000;Installatiebedrijf 't Hart;", "10000;Hart;", 1));
    bridge.pull(&plan).await;
    let (source, store) = (bridge.source(&plan).await, &bridge.store);
    let batches = store.raw_batches(source.id, 0, 10).await.unwrap();
    let [first, second] = batches.as_slice() else { panic!("{batches:?}") };
    assert!(first.id < second.id && second.records == 1 && second.size > 0, "{batches:?}");
    assert_eq!(store.raw_batches(source.id, first.id, 10).await.unwrap(), std::slice::from_ref(second));
    let keys = ["10001".to_owned(), "10000".to_owned()];
    let current = async |batch| {
        let current = store.raw_current(source.id, batch, &keys).await.unwrap();
        current.into_iter().map(|part| part.source_key).collect::<Vec<_>>()
    };
    assert_eq!((current(first.id).await, current(second.id).await), (vec!["10001".into()], vec!["10000".into()]));
    let batch = store.raw_batch(second.id).await.unwrap().unwrap();
    assert_eq!(raw::find(&batch, "10000").unwrap().unwrap()["Naam"], "Hart");
    let older = store.raw_batch(first.id).await.unwrap().unwrap();
    let row = raw::find_row(&older, "10000").unwrap().unwrap();
    assert_eq!((row.value().unwrap()["Naam"].as_str(), row.place.line), (Some("Installatiebedrijf 't Hart"), Some(2)));
    let contents = store.raw_contents(source.id, &["none".to_owned(), "10000".to_owned()]).await.unwrap();
    assert!(contents[0].is_none() && contents[1].as_ref().unwrap()["name"] == "Hart", "{contents:?}");
    assert_eq!((store.without_raw(source.id).await.unwrap(), store.raw_batch(0).await.unwrap()), (0, None));
    assert!(store.raw_batches(source.id + 1, 0, 10).await.unwrap().is_empty());
}

async fn without_retention_no_rows_are_kept(engine: Engine) {
    let bridge = Bridge::empty(engine).await;
    let plan = bridge.plan_with("floor = 1000000", "[retention]\nraw = '0s'\n");
    bridge.pull(&plan).await;
    let source = bridge.source(&plan).await;
    assert_eq!(bridge.batches(&source).await, 0);
    let all = bridge.names().await.len() as u64;
    assert_eq!((bridge.diff(&plan).await.without_row, bridge.store.without_raw(source.id).await.unwrap()), (all, all));
    let refused = bridge.puller.pull_from_raw(&plan, &plan.pulls[0], false, |_| {}).await.unwrap_err();
    assert!(matches!(refused, SyncError::KeepsNone { .. }), "{refused}");

    // Kept from now on, and said how many have none.
    let plan = bridge.remapped(NAME, UPPER);
    let run = bridge.remap_kept(&plan).await.run;
    assert!(run.reason.as_ref().unwrap().contains(&format!("{all} records have no row any more")), "{run:#?}");
    assert_eq!(run.counts.read, 0);
    let parts = bridge.store.parts(Entity::Customer, &[Key::new("NL01", "10000")]).await.unwrap();
    assert_eq!(parts[0].content["name"], "Installatiebedrijf 't Hart");
}

#[test]
fn a_mapping_that_the_daemon_has_not_loaded_is_compared_beside_it() {
    let site = Site::new();
    let mapping = site.path(MAPPING);
    std::fs::create_dir_all(site.path("mappings/csv-export")).unwrap();
    for entry in std::fs::read_dir(root().join("mappings/csv-export")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, site.path("mappings/csv-export").join(path.file_name().unwrap())).unwrap();
    }
    let own = format!("mappings = [\"{}\", ", site.path("mappings").display());
    site.edit_config(|text| text.replacen("mappings = [", &own, 1));
    let _daemon = site.start();
    let (_, pulled) = site.ask(&["sync", "erp", "customer"]);
    assert!(pulled[0]["outcome"] == "done" || pulled[0]["outcome"] == "nothing", "{pulled:#}");

    let text = std::fs::read_to_string(&mapping).unwrap();
    std::fs::write(&mapping, text.replacen(NAME, UPPER, 1)).unwrap();
    let (code, diffs) = site.ask(&["map", "diff", "erp", "customer"]);
    assert_eq!((code, diffs[0]["fields"]["name"].as_u64()), (0, diffs[0]["changed"].as_u64()), "{diffs:#}");
    assert!(diffs[0]["changed"].as_u64().unwrap() > 100 && diffs[0]["examples"].as_array().unwrap().len() == 10);
    let page = String::from_utf8(site.command(&["map", "diff", "erp", "customer"]).output().unwrap().stdout).unwrap();
    assert!(page.contains("records looked at") && page.contains("INSTALLATIEBEDRIJF"), "{page}");

    let faulty = site.path("faulty.toml");
    std::fs::write(&faulty, text.replacen(NAME, "nmae = \"Naam\"", 1)).unwrap();
    let (code, problems) = site.ask(&["map", "diff", "erp", "customer", "--mapping", faulty.to_str().unwrap()]);
    let said = problems.to_string();
    assert!(code == 2 && said.contains("faulty.toml") && said.contains("'nmae'") && said.contains("line"), "{said}");
    let (_, refused) = site.ask(&["sync", "erp", "customer", "--from-raw", "--dry-run"]);
    assert_eq!(refused[0]["run"]["counts"]["updated"], 0, "the daemon has the old mapping in force: {refused:#}");
}
