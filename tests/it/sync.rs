//! Pulling real files into a real store: the demo's export, and what goes wrong with files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tradebridge::config::{Document, Guard};
use tradebridge::connector::file::OpenFile;
use tradebridge::connector::format::csv::{CsvReader, Format};
use tradebridge::connector::format::{Encoding, ReadError, Reader};
use tradebridge::mapping::{Mapping, Setting};
use tradebridge::model::{Entity, Key};
use tradebridge::record::{Map, Record, Value};
use tradebridge::store::{Run, RunFilter, RunState, Store};
use tradebridge::sync::{Job, Pass, Scopes, Start, SyncError, approve, refuse};

use crate::support::conformance;
use crate::support::store::{Engine, TestStore, lease};

conformance!(
    the_demo_is_pulled_and_the_second_time_nothing_happens,
    one_changed_price_is_exactly_one_change,
    an_emptied_export_is_held_and_a_good_one_takes_its_place,
    an_approved_run_is_applied_and_a_refused_one_is_not,
    a_bad_record_is_rejected_and_taken_once_it_is_mended,
    a_bad_record_is_known_as_such_and_nothing_is_written_again,
    a_first_load_that_failed_is_made_good_by_the_next,
    two_records_with_one_canonical_key_are_not_both_taken,
    a_record_that_is_there_twice_is_found_over_any_distance_in_a_first_load,
    a_file_that_grows_while_it_is_read_does_not_count,
    another_zone_maps_every_record_again_and_changes_nothing,
    another_connection_does_not_take_what_one_owns,
    a_run_that_broke_off_is_continued_and_nothing_happens_twice,
    a_run_that_is_stopped_ends_after_its_page_and_goes_on_later,
    a_run_that_broke_off_is_not_continued_on_another_file,
);

struct Bridge {
    store: Arc<dyn Store>,
    export: PathBuf,
    _directory: TempDir,
    _place: TestStore,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Bridge {
    /// A store and a working copy of the demo's export.
    async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let export = directory.path().join("export");
        std::fs::create_dir(&export).unwrap();
        for entry in std::fs::read_dir(root().join("config/demo/export")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, export.join(path.file_name().unwrap())).unwrap();
        }
        let store = TestStore::new(engine).await;
        Self { store: store.shared(), export, _directory: directory, _place: store }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.export.join(name)
    }

    /// Rewrites an exported file, which is windows-1252: the bytes of its lines are kept but for the edit.
    fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let bytes = std::fs::read(self.file(name)).unwrap();
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        edit(&mut lines);
        std::fs::write(self.file(name), lines.concat()).unwrap();
    }

    async fn job(&self, mapping: &str, file: &str) -> Job {
        let path = root().join(format!("mappings/csv-export/{mapping}.toml"));
        let mapping = Mapping::compile(&Document::load(&path).unwrap()).unwrap_or_else(|e| panic!("{e}"));
        let setting = Setting {
            company: "NL01".to_owned(),
            zone: TimeZone::get("Europe/Amsterdam").unwrap(),
            settings: Value::Map(Map::default()),
        };
        let open = OpenFile::open(&self.file(file)).unwrap();
        let format = Format { delimiter: b';', encoding: Encoding::of("windows-1252").unwrap(), ..Format::default() };
        let reader = CsvReader::new(Box::new(open.bytes().unwrap()), file, &format).unwrap();
        let source = self.store.source("erp", &mapping.stream, mapping.kind).await.unwrap();
        Job {
            lease: lease(&*self.store, source.id).await,
            store: Arc::clone(&self.store),
            source,
            mapping: Arc::new(mapping),
            setting,
            scopes: Arc::default(),
            guard: Guard::default(),
            pass: Pass::Complete,
            start: Start::Counted,
            pause: None,
            keep_raw: true,
            reason: None,
            identity: open.identity(),
            reader: Box::new(reader),
            verify: Box::new(move || open.verify().map(|()| None).map_err(|e| e.to_string())),
            stop: tokio::sync::watch::channel(false).1,
        }
    }

    async fn pull(&self, mapping: &str, file: &str) -> Run {
        self.job(mapping, file).await.execute().await.unwrap().run
    }

    async fn sequence(&self) -> i64 {
        self.store.head().await.unwrap().sequence
    }
}

async fn the_demo_is_pulled_and_the_second_time_nothing_happens(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let sources = [
        ("customer", "klanten.csv", 240),
        ("address", "adressen.csv", 572),
        ("contact", "contacten.csv", 606 - 17),
        ("price_agreement", "prijsafspraken.csv", 7629),
        ("stock", "voorraad.csv", 1532),
        ("credit", "kredieten.csv", 240),
    ];
    for (mapping, file, count) in sources {
        let run = bridge.pull(mapping, file).await;
        let rejections = bridge.store.rejections(Some(run.source), 0, 3).await.unwrap();
        assert_eq!(
            (run.state, run.counts.rejected, run.counts.created),
            (RunState::Done, 0, count),
            "{mapping}: {rejections:?}"
        );
    }
    let sequence = bridge.sequence().await;
    for (mapping, file, count) in sources {
        let run = bridge.pull(mapping, file).await;
        assert_eq!((run.counts.unchanged, run.counts.updated, run.counts.deleted), (count, 0, 0), "{mapping}");
    }
    assert_eq!(bridge.sequence().await, sequence, "an unchanged source is not fed again");

    let parts = bridge.store.parts(Entity::Customer, &[Key::new("NL01", "10000")]).await.unwrap();
    assert_eq!(parts[0].content["name"], "Installatiebedrijf 't Hart");
    assert!(parts.len() > 3, "addresses and contacts stand beside their customer");
    let line = bridge.store.parts(Entity::PriceAgreement, &[Key::new("NL01", "100001")]).await.unwrap();
    assert_eq!(line[0].content["value"], "0.7125");
}

async fn one_changed_price_is_exactly_one_change(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("price_agreement", "prijsafspraken.csv").await;
    let sequence = bridge.sequence().await;
    bridge.edit("prijsafspraken.csv", |lines| {
        let line = lines.iter_mut().find(|l| l.starts_with(b"100001;")).unwrap();
        *line = String::from_utf8(line.clone()).unwrap().replace("0,7125", "0,72").into_bytes();
    });
    let run = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!((run.state, run.counts.updated, run.counts.deleted), (RunState::Done, 1, 0));
    let changes = bridge.store.changes(sequence, &[], 10).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].key, Key::new("NL01", "100001"));
    assert_eq!(changes[0].who.as_deref(), Some("1:10000"));
}

async fn an_emptied_export_is_held_and_a_good_one_takes_its_place(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("price_agreement", "prijsafspraken.csv").await;
    let sequence = bridge.sequence().await;
    let whole = std::fs::read(bridge.file("prijsafspraken.csv")).unwrap();
    bridge.edit("prijsafspraken.csv", |lines| lines.truncate(1));
    let held = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!(held.state, RunState::Held);
    assert!(held.reason.unwrap().contains("no records at all, 7629 are stored"));
    assert_eq!(bridge.sequence().await, sequence, "nothing was deleted");

    std::fs::write(bridge.file("prijsafspraken.csv"), whole).unwrap();
    assert_eq!(bridge.pull("price_agreement", "prijsafspraken.csv").await.state, RunState::Done);
    let old = bridge.store.run(&held.id).await.unwrap().unwrap();
    assert_eq!(old.state, RunState::Superseded);
    assert!(matches!(
        approve(&bridge.store, &lease(&*bridge.store, held.source).await, &Scopes::default(), &held.id).await,
        Err(SyncError::NotHeld { .. })
    ));
}

async fn an_approved_run_is_applied_and_a_refused_one_is_not(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("customer", "klanten.csv").await;
    bridge.edit("klanten.csv", |lines| lines.truncate(101));
    let held = bridge.pull("customer", "klanten.csv").await;
    assert_eq!((held.state, held.counts.deleted), (RunState::Held, 140));
    refuse(&bridge.store, &lease(&*bridge.store, held.source).await, &held.id, "the export was cut off").await.unwrap();
    assert_eq!(bridge.store.count(held.source).await.unwrap(), 240);

    let held = bridge.pull("customer", "klanten.csv").await;
    let done = approve(&bridge.store, &lease(&*bridge.store, held.source).await, &Scopes::default(), &held.id)
        .await
        .unwrap()
        .run;
    assert_eq!((done.state, done.counts.superseded), (RunState::Done, 0));
    assert_eq!(bridge.store.count(held.source).await.unwrap(), 100);
    let tombstones = bridge.store.changes(0, &[Entity::Customer], 1000).await.unwrap();
    assert_eq!(tombstones.iter().filter(|c| c.deleted).count(), 140);
}

async fn a_bad_record_is_rejected_and_taken_once_it_is_mended(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("credit", "kredieten.csv").await;
    let good = std::fs::read(bridge.file("kredieten.csv")).unwrap();
    bridge.edit("kredieten.csv", |lines| {
        lines[1] = b"10000;EUX;1,00;0,00;0,00;0,00;N\r\n".to_vec();
        lines[2] = b"too;short\r\n".to_vec();
        let twice = lines[5].clone();
        lines.push(twice);
    });
    let run = bridge.pull("credit", "kredieten.csv").await;
    assert_eq!(run.counts.rejected, 3);
    assert_eq!(run.counts.deleted, 0, "a record whose key cannot be told may be any of the absent");
    assert!(run.reason.unwrap().contains("nothing absent was deleted"));
    let rejections = bridge.store.rejections(Some(run.source), 0, 10).await.unwrap();
    let reasons: Vec<&str> = rejections.iter().map(|r| r.reason.as_str()).collect();
    assert!(reasons.iter().any(|r| r.starts_with("currency: 'EUX'") && r.contains("credit.toml:8")), "{reasons:?}");
    assert!(rejections.iter().any(|r| r.place == "kredieten.csv, line 2, record 1"), "{rejections:?}");
    assert!(reasons.iter().any(|r| r.contains("2 fields")), "{reasons:?}");
    assert!(reasons.iter().any(|r| r.contains("there twice")), "{reasons:?}");
    let kept = bridge.store.parts(Entity::Credit, &[Key::new("NL01", "10000")]).await.unwrap();
    assert_eq!(kept[0].content["currency"], "EUR", "what was good stays");

    std::fs::write(bridge.file("kredieten.csv"), good).unwrap();
    let run = bridge.pull("credit", "kredieten.csv").await;
    assert_eq!((run.counts.rejected, run.counts.created, run.counts.updated), (0, 0, 0));
    let left = bridge.store.rejections(Some(run.source), 0, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

async fn a_bad_record_is_known_as_such_and_nothing_is_written_again(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.edit("kredieten.csv", |lines| {
        lines[1] = b"10000;EUX;1,00;0,00;0,00;0,00;N\r\n".to_vec();
        lines[2] = b"too;short\r\n".to_vec();
    });
    let first = bridge.pull("credit", "kredieten.csv").await;
    let kept = bridge.store.rejections(Some(first.source), 0, 10).await.unwrap();
    let second = bridge.pull("credit", "kredieten.csv").await;
    assert_eq!((first.counts.rejected, second.counts.rejected), (2, 2));
    assert_eq!(bridge.store.rejections(Some(first.source), 0, 10).await.unwrap(), kept);
}

async fn a_first_load_that_failed_is_made_good_by_the_next(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let whole = std::fs::read(bridge.file("prijsafspraken.csv")).unwrap();
    let job = bridge.job("price_agreement", "prijsafspraken.csv").await;
    bridge.edit("prijsafspraken.csv", |lines| lines.truncate(3000));
    let error = job.execute().await.unwrap_err();
    assert!(matches!(error, SyncError::Moved(_)), "{error}");
    std::fs::write(bridge.file("prijsafspraken.csv"), whole).unwrap();
    let run = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!((run.state, run.counts.rejected), (RunState::Done, 0));
    assert_eq!(bridge.store.count(run.source).await.unwrap(), 7629);
}

async fn two_records_with_one_canonical_key_are_not_both_taken(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.edit("klanten.csv", |lines| {
        let mut twin = lines[1].clone();
        twin.insert(0, b' ');
        lines.push(twin);
    });
    let mut job = bridge.job("customer", "klanten.csv").await;
    let text = std::fs::read_to_string(root().join("mappings/csv-export/customer.toml")).unwrap();
    let text = text.replacen("key = \"Klantnummer\"", "key = \"Klantnummer + '#'\"", 1);
    let text = text.split("[[test]]").next().unwrap().to_owned();
    let document = Document::parse("customer.toml", &text);
    job.mapping = Arc::new(Mapping::compile(&document).unwrap_or_else(|e| panic!("{e}")));
    let run = job.execute().await.unwrap().run;
    assert_eq!((run.counts.created, run.counts.rejected), (240, 1));
    let reason = bridge.store.rejections(Some(run.source), 0, 1).await.unwrap().remove(0).reason;
    assert!(reason.contains("another record of this run is customer NL01~10000 already"), "{reason}");
}

async fn a_record_that_is_there_twice_is_found_over_any_distance_in_a_first_load(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.edit("prijsafspraken.csv", |lines| {
        let rows = lines[1..].to_vec();
        for copy in 1..6 {
            lines.extend(rows.iter().map(|row| [copy.to_string().as_bytes(), row].concat()));
        }
        lines.push(rows[0].clone());
        lines.push(rows[4000].clone());
    });
    let run = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!((run.counts.created, run.counts.rejected, run.counts.superseded), (6 * 7629, 2, 0));
    let reasons = bridge.store.rejections(Some(run.source), 0, 5).await.unwrap();
    assert!(reasons.iter().all(|r| r.reason.contains("is there twice")), "{reasons:?}");
}

async fn a_file_that_grows_while_it_is_read_does_not_count(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("credit", "kredieten.csv").await;
    let sequence = bridge.sequence().await;
    bridge.edit("kredieten.csv", |lines| lines.truncate(3));
    let job = bridge.job("credit", "kredieten.csv").await;
    bridge.edit("kredieten.csv", |lines| lines.truncate(2));
    let error = job.execute().await.unwrap_err();
    assert!(matches!(error, SyncError::Moved(_)), "{error}");
    assert_eq!(bridge.sequence().await, sequence);
    let runs = bridge.store.runs(&RunFilter { limit: 1, ..RunFilter::default() }).await.unwrap();
    assert_eq!(runs[0].state, RunState::Failed);
}

async fn another_zone_maps_every_record_again_and_changes_nothing(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("stock", "voorraad.csv").await;
    let sequence = bridge.sequence().await;
    let mut job = bridge.job("stock", "voorraad.csv").await;
    job.setting.zone = TimeZone::get("Europe/London").unwrap();
    let run = job.execute().await.unwrap().run;
    assert_eq!((run.counts.unchanged, run.counts.updated), (1532, 0));
    assert_eq!(bridge.sequence().await, sequence, "equal content is no change");
}

async fn another_connection_does_not_take_what_one_owns(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("customer", "klanten.csv").await;
    let mut job = bridge.job("customer", "klanten.csv").await;
    job.source = bridge.store.source("second", "customers", job.source.kind).await.unwrap();
    let run = job.execute().await.unwrap().run;
    assert_eq!((run.counts.created, run.counts.rejected), (0, 240));
    let reason = bridge.store.rejections(Some(run.source), 0, 1).await.unwrap().remove(0).reason;
    assert!(reason.contains("of connection 'erp' already"), "{reason}");
}

/// Hands on the records of another reader and stops dead after some of them, as a process that is killed does.
struct Stalling {
    inner: Box<dyn Reader>,
    left: u32,
    gone: std::sync::mpsc::Receiver<()>,
}

impl Reader for Stalling {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        if self.left == 0 {
            // Ends when the test lets go of its side.
            let _ = self.gone.recv();
            return None;
        }
        self.left -= 1;
        self.inner.next()
    }
}

/// Breaks a run off after its first committed page.
async fn break_off(bridge: &Bridge, mapping: &str, file: &str) -> Run {
    let mut job = bridge.job(mapping, file).await;
    let (let_go, gone) = std::sync::mpsc::channel();
    let kind = job.source.kind;
    let page = u32::try_from(bridge.store.rows_of_a_page()).unwrap();
    job.reader = Box::new(Stalling { inner: job.reader, left: page + page / 2, gone });
    let task = tokio::spawn(job.execute());
    let filter = RunFilter { kind: Some(kind), state: Some(RunState::Running), limit: 1, ..RunFilter::default() };
    let run = loop {
        let runs = bridge.store.runs(&filter).await.unwrap();
        if let Some(run) = runs.into_iter().find(|run| run.pages == 1) {
            break run;
        }
        tokio::task::yield_now().await;
    };
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(let_go);
    run
}

/// Changes lines of every page, so that each is committed at once.
fn change_some(lines: &mut [Vec<u8>]) {
    for line in lines.iter_mut().skip(1).step_by(10) {
        *line = String::from_utf8(line.clone()).unwrap().replace(";10;N", ";11;N").into_bytes();
    }
}

async fn a_run_that_broke_off_is_continued_and_nothing_happens_twice(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let broken = break_off(&bridge, "price_agreement", "prijsafspraken.csv").await;
    assert_eq!(broken.counts.read, bridge.store.rows_of_a_page() as u64);
    let run = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!((run.id == broken.id, run.counts.read, run.counts.created), (true, 7629, 7629));
    assert_eq!(bridge.sequence().await, 7629, "each line was fed once");

    bridge.edit("prijsafspraken.csv", |lines| {
        change_some(lines);
        lines.truncate(lines.len() - 5);
    });
    let broken = break_off(&bridge, "price_agreement", "prijsafspraken.csv").await;
    assert_eq!(bridge.sequence().await, 7629, "staged is not fed");
    let run = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!((run.id == broken.id, run.state, run.counts.deleted), (true, RunState::Done, 5));
    let changed = run.counts.updated + run.counts.deleted;
    assert_eq!(bridge.sequence().await, 7629 + i64::try_from(changed).unwrap());
    assert_eq!(bridge.store.count(run.source).await.unwrap(), 7624);
}

async fn a_run_that_is_stopped_ends_after_its_page_and_goes_on_later(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let mut job = bridge.job("price_agreement", "prijsafspraken.csv").await;
    job.stop = tokio::sync::watch::channel(true).1;
    let error = job.execute().await.unwrap_err();
    assert!(matches!(error, SyncError::Interrupted), "{error}");
    let page = i64::try_from(bridge.store.rows_of_a_page()).unwrap();
    assert_eq!(bridge.sequence().await, page, "the page in hand was committed");
    let run = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!((run.counts.read, run.counts.created), (7629, 7629));
    assert_eq!(bridge.sequence().await, 7629);

    bridge.edit("prijsafspraken.csv", |lines| lines.truncate(7000));
    let mut job = bridge.job("price_agreement", "prijsafspraken.csv").await;
    job.guard.delete = tradebridge::config::values::Percent::from_percentage(50);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    job.stop = stopped;
    drop(stop);
    assert_eq!(job.execute().await.unwrap().run.counts.deleted, 630);
}

async fn a_run_that_broke_off_is_not_continued_on_another_file(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    bridge.pull("price_agreement", "prijsafspraken.csv").await;
    bridge.edit("prijsafspraken.csv", |lines| {
        change_some(lines);
        lines.truncate(7628);
    });
    let broken = break_off(&bridge, "price_agreement", "prijsafspraken.csv").await;
    bridge.edit("prijsafspraken.csv", |lines| lines.truncate(7627));
    let run = bridge.pull("price_agreement", "prijsafspraken.csv").await;
    assert_eq!((run.id == broken.id, run.counts.deleted), (false, 3));
    let old = bridge.store.run(&broken.id).await.unwrap().unwrap();
    assert_eq!(old.state, RunState::Superseded);
}
