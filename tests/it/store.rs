//! The store's semantics: whatever engine stands behind the traits must pass these.

use jiff::Timestamp;
use serde_json::{Value, json};
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Content, Entity, Key, PartKind};
use tradebridge::store::SqlStore;
use tradebridge::store::{
    Difference, KeptValue, KnownRejection, ListQuery, Operation, Page, Recognised, Rejection, Run, RunFilter, RunState,
    Source, StoreError,
};

use crate::support::conformance;
use crate::support::store::{Engine, TestStore, lease, run};

struct Fixture {
    store: TestStore,
    source: Source,
    runs: std::cell::Cell<u32>,
}

conformance!(
    an_entity_stands_in_the_feed_once_at_its_newest_sequence,
    a_difference_against_other_content_is_superseded,
    a_living_key_is_not_taken_from_its_owner,
    a_change_of_a_part_is_a_change_of_its_customer,
    a_run_goes_on_from_its_last_committed_page_after_a_crash,
    known_keys_come_back_in_the_order_asked,
    lists_walk_by_key_and_keep_to_companies_connections_and_targets,
    a_rejected_record_is_kept_until_it_is_taken,
    what_was_taken_is_known_until_it_is_forgotten,
    whoever_was_taken_over_writes_nothing,
    what_connections_keep_is_saved_only_over_what_was_read,
);

impl Fixture {
    async fn new(engine: Engine, kind: PartKind) -> Self {
        let store = TestStore::new(engine).await;
        let source = store.source("erp", kind.name(), kind).await.unwrap();
        Self { store, source, runs: std::cell::Cell::new(0) }
    }

    async fn reopen(self) -> Self {
        Self { store: self.store.reopen().await, ..self }
    }

    fn run(&self, source: &Source) -> Run {
        self.runs.set(self.runs.get() + 1);
        Run { complete: true, ..run(format!("run-{:04}", self.runs.get()), source) }
    }

    /// Stages and applies differences as a run of their own.
    async fn apply(&self, source: &Source, differences: Vec<Difference>) -> (u64, u64) {
        let mut run = self.run(source);
        self.store.begin_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        let differences = differences
            .into_iter()
            .zip(0..)
            .map(|(difference, position)| Difference { position, ..difference })
            .collect();
        self.store
            .commit_page(&lease(&*self.store, run.source).await, &run, &Page { differences, ..Page::default() })
            .await
            .unwrap();
        let applied = self.store.apply_page(&lease(&*self.store, run.source).await, &run.id, 1000).await.unwrap();
        run.state = RunState::Done;
        self.store.finish_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        (applied.applied, applied.superseded)
    }
}

fn upsert(source_key: &str, number: &str, part: &str, content: &Value, before: Option<&Value>) -> Difference {
    Difference {
        raw: None,
        turn: None,
        position: 0,
        operation: Operation::Upsert,
        source_key: source_key.to_owned(),
        key: Key::new("NL01", number),
        part: part.to_owned(),
        who: None,
        what: None,
        content: Some(Content::of_text(content.to_string())),
        before: before.map(content_hash),
        after: Some(content_hash(content)),
        source_hash: content_hash(content),
        shops: None,
    }
}

fn delete(source_key: &str, number: &str, before: &Value) -> Difference {
    Difference {
        raw: None,
        turn: None,
        operation: Operation::Delete,
        content: None,
        after: None,
        ..upsert(source_key, number, "", before, Some(before))
    }
}

fn customer(number: &str, name: &str) -> Value {
    json!({"number": number, "name": name})
}

async fn an_entity_stands_in_the_feed_once_at_its_newest_sequence(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let (one, two) = (customer("1", "A"), customer("2", "B"));
    assert_eq!(
        f.apply(&f.source, vec![upsert("a", "1", "", &one, None), upsert("b", "2", "", &two, None)]).await,
        (2, 0)
    );
    let first = f.store.head().await.unwrap();
    let renamed = customer("1", "A2");
    assert_eq!(f.apply(&f.source, vec![upsert("a", "1", "", &renamed, Some(&one))]).await, (1, 0));

    let changes = f.store.changes(0, &[], 10).await.unwrap();
    let seen: Vec<_> = changes.iter().map(|c| (c.key.number.as_str(), c.deleted)).collect();
    assert_eq!(seen, [("2", false), ("1", false)]);
    let newer = f.store.changes(first.sequence, &[Entity::Customer], 10).await.unwrap();
    assert_eq!(newer.len(), 1);
    assert!(f.store.changes(first.sequence, &[Entity::Product], 10).await.unwrap().is_empty());

    assert_eq!(f.apply(&f.source, vec![delete("b", "2", &two)]).await, (1, 0));
    let last = f.store.changes(0, &[], 10).await.unwrap().pop().unwrap();
    assert_eq!((last.key.number.as_str(), last.deleted), ("2", true));
    assert!(f.store.parts(Entity::Customer, &[Key::new("NL01", "2")]).await.unwrap().is_empty());
    assert_eq!(f.store.count(f.source.id).await.unwrap(), 1);

    assert_eq!(f.apply(&f.source, vec![upsert("new", "2", "", &two, None)]).await, (1, 0), "a tombstone is taken over");
    assert_eq!(f.store.changes(0, &[], 10).await.unwrap().len(), 2);
}

async fn a_difference_against_other_content_is_superseded(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let (shown, now) = (customer("1", "shown"), customer("1", "now"));
    f.apply(&f.source, vec![upsert("a", "1", "", &now, None)]).await;
    let head = f.store.head().await.unwrap();
    assert_eq!(f.apply(&f.source, vec![upsert("a", "1", "", &customer("1", "x"), Some(&shown))]).await, (0, 1));
    assert_eq!(f.apply(&f.source, vec![delete("a", "1", &shown)]).await, (0, 1));
    let parts = f.store.parts(Entity::Customer, &[Key::new("NL01", "1")]).await.unwrap();
    assert_eq!(parts[0].content, now);
    assert!(f.store.changes(head.sequence, &[], 10).await.unwrap().is_empty(), "nothing was changed, nothing is fed");
}

async fn a_living_key_is_not_taken_from_its_owner(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let other = f.store.source("other", "customer", PartKind::Customer).await.unwrap();
    f.apply(&f.source, vec![upsert("a", "1", "", &customer("1", "ours"), None)]).await;
    assert_eq!(f.apply(&other, vec![upsert("z", "1", "", &customer("1", "theirs"), None)]).await, (0, 1));
    let owner = f.store.owners(PartKind::Customer, &[(Key::new("NL01", "1"), String::new())]).await.unwrap();
    assert_eq!(owner[0].as_ref().unwrap().connection, "erp");
}

async fn a_change_of_a_part_is_a_change_of_its_customer(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    f.apply(&f.source, vec![upsert("a", "1", "", &customer("1", "A"), None)]).await;
    let head = f.store.head().await.unwrap();
    let contacts = f.store.source("erp", "contact", PartKind::Contact).await.unwrap();
    let contact = json!({"id": "7", "name": "Jeanne"});
    assert_eq!(f.apply(&contacts, vec![upsert("7", "1", "7", &contact, None)]).await, (1, 0));
    let changes = f.store.changes(head.sequence, &[], 10).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].entity, Entity::Customer);
    let parts = f.store.parts(Entity::Customer, &[Key::new("NL01", "1")]).await.unwrap();
    let kinds: Vec<_> = parts.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [PartKind::Customer, PartKind::Contact]);
}

async fn a_run_goes_on_from_its_last_committed_page_after_a_crash(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let mut run = f.run(&f.source);
    f.store.begin_run(&lease(&*f.store, run.source).await, &run).await.unwrap();
    run.pages = 1;
    run.counts.read = 1;
    run.place = Some(json!({"record": 1}));
    let page = Page {
        seen: vec![1, 2, 3],
        differences: vec![upsert("a", "1", "", &customer("1", "A"), None)],
        ..Page::default()
    };
    f.store.commit_page(&lease(&*f.store, run.source).await, &run, &page).await.unwrap();

    let f = f.reopen().await;
    let (found, seen) = f.store.unfinished(f.source.id, true).await.unwrap().unwrap();
    assert_eq!((found.pages, found.counts.read, found.place.clone()), (1, 1, Some(json!({"record": 1}))));
    assert_eq!(seen, [vec![1, 2, 3]]);
    assert_eq!(f.store.count(f.source.id).await.unwrap(), 0, "staged is not applied");
    assert_eq!(f.store.apply_page(&lease(&*f.store, run.source).await, &run.id, 10).await.unwrap().applied, 1);
    assert_eq!(
        f.store.apply_page(&lease(&*f.store, run.source).await, &run.id, 10).await.unwrap().applied,
        0,
        "applied once"
    );

    let mut done = found;
    done.state = RunState::Done;
    done.ended_at = Some(Timestamp::now());
    f.store.finish_run(&lease(&*f.store, done.source).await, &done).await.unwrap();
    assert!(f.store.unfinished(f.source.id, true).await.unwrap().is_none());
    assert!(f.store.source("erp", "customer", PartKind::Customer).await.unwrap().verified_at.is_some());
    let listed =
        f.store.runs(&RunFilter { state: Some(RunState::Done), limit: 5, ..RunFilter::default() }).await.unwrap();
    assert_eq!(listed.len(), 1);
}

async fn known_keys_come_back_in_the_order_asked(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let many: Vec<_> =
        (0..5000).map(|n| upsert(&format!("k{n}"), &n.to_string(), "", &customer(&n.to_string(), "A"), None)).collect();
    let mut run = f.run(&f.source);
    f.store.begin_run(&lease(&*f.store, run.source).await, &run).await.unwrap();
    let loaded = f
        .store
        .commit_load(&lease(&*f.store, run.source).await, &run, &Page { differences: many, ..Page::default() })
        .await
        .unwrap();
    assert_eq!(loaded.applied, 5000);
    run.state = RunState::Done;
    f.store.finish_run(&lease(&*f.store, run.source).await, &run).await.unwrap();
    let digest = f.store.recognise(f.source.id, &[("k7", [0; 16])]).await.unwrap();
    let Recognised::Other(seventh) = &digest[0] else { panic!("{digest:?}") };
    let asked = [("k4999", [0; 16]), ("absent", [0; 16]), ("k7", seventh.source_hash), ("k0", [0; 16])];
    let found = f.store.recognise(f.source.id, &asked).await.unwrap();
    assert!(matches!(&found[0], Recognised::Other(known) if known.key.number == "4999"), "{:?}", found[0]);
    assert_eq!(found[1], Recognised::New);
    assert_eq!(found[2], Recognised::Same(seventh.id));
    let hash = content_hash(&customer("0", "A"));
    assert!(matches!(&found[3], Recognised::Other(known) if known.hash == hash), "{:?}", found[3]);

    let page = f.store.living(f.source.id, "", 3000).await.unwrap();
    let rest = f.store.living(f.source.id, &page.last().unwrap().source_key, 3000).await.unwrap();
    assert_eq!(page.len() + rest.len(), 5000);
}

async fn lists_walk_by_key_and_keep_to_companies_connections_and_targets(engine: Engine) {
    let f = Fixture::new(engine, PartKind::PriceAgreement).await;
    let line = |n: u32, who: &str| Difference {
        raw: None,
        turn: None,
        who: Some(who.to_owned()),
        what: Some("1:P".to_owned()),
        ..upsert(&n.to_string(), &n.to_string(), "", &json!({"id": n.to_string()}), None)
    };
    f.apply(&f.source, vec![line(1, "1:10000"), line(2, "g:INSTAL"), line(3, "*"), line(4, "1:20000")]).await;
    let mut query = ListQuery {
        entity: Entity::PriceAgreement,
        companies: vec!["NL01".to_owned()],
        connections: vec!["erp".to_owned()],
        who: vec!["1:10000".to_owned(), "g:INSTAL".to_owned(), "*".to_owned()],
        what: Vec::new(),
        after: None,
        limit: 2,
    };
    let page = f.store.list(&query).await.unwrap();
    assert_eq!(page.iter().map(|p| p.key.number.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    query.after = Some(page[1].key.clone());
    let page = f.store.list(&query).await.unwrap();
    assert_eq!(page.iter().map(|p| p.key.number.as_str()).collect::<Vec<_>>(), ["3"]);
    query.after = None;
    query.connections = vec!["another".to_owned()];
    assert!(f.store.list(&query).await.unwrap().is_empty());
}

async fn a_rejected_record_is_kept_until_it_is_taken(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let run = f.run(&f.source);
    let rejection = Rejection {
        id: 0,
        source: f.source.id,
        run: run.id.clone(),
        source_key: "a".to_owned(),
        digest: [7; 16],
        place: "klanten.csv, line 2, record 1".to_owned(),
        reason: "name: is empty".to_owned(),
        record: json!({"Klantnr": "1"}),
        at: Timestamp::now(),
    };
    let page = Page { rejections: vec![rejection.clone()], ..Page::default() };
    f.store.commit_page(&lease(&*f.store, run.source).await, &run, &page).await.unwrap();
    let again = Rejection { reason: "name: is missing".to_owned(), ..rejection.clone() };
    f.store
        .commit_page(&lease(&*f.store, run.source).await, &run, &Page { rejections: vec![again], ..Page::default() })
        .await
        .unwrap();
    let kept = f.store.rejections(Some(f.source.id), 0, 10).await.unwrap();
    assert_eq!((kept.len(), kept[0].reason.as_str()), (1, "name: is missing"), "one key, one rejection");
    assert_eq!(f.store.rejected().await.unwrap(), [(f.source.id, 1)]);
    let known = f.store.known_rejections(f.source.id, &["b".to_owned(), "a".to_owned()]).await.unwrap();
    assert_eq!(known, [None, Some(KnownRejection { id: kept[0].id, digest: [7; 16] })]);
    f.store
        .commit_page(&lease(&*f.store, run.source).await, &run, &Page { mended: vec![kept[0].id], ..Page::default() })
        .await
        .unwrap();
    assert!(f.store.rejections(None, 0, 10).await.unwrap().is_empty());
}

async fn what_was_taken_is_known_until_it_is_forgotten(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let identity = |n: u32| json!({"file": format!("klanten-{n}.csv"), "length": "1"});
    let run = Run { place: Some(identity(1)), ..f.run(&f.source) };
    f.store.begin_run(&lease(&*f.store, run.source).await, &run).await.unwrap();
    assert!(f.store.taken(f.source.id).await.unwrap().is_empty());
    f.store.finish_run(&lease(&*f.store, run.source).await, &run).await.unwrap();
    let refused = Run { id: "refused".to_owned(), place: Some(identity(2)), ..f.run(&f.source) };
    f.store
        .end_run(&lease(&*f.store, f.source.id).await, &Run { place: Some(identity(3)), ..f.run(&f.source) }, false)
        .await
        .unwrap();
    f.store.end_run(&lease(&*f.store, refused.source).await, &refused, true).await.unwrap();
    let taken = f.store.taken(f.source.id).await.unwrap();
    assert_eq!(taken.iter().map(|t| &t.identity).collect::<Vec<_>>(), [&identity(1), &identity(2)]);
    assert_eq!(taken[0].mapping, run.mapping);
    f.store.forget_taken(f.source.id, run.started_at, &[]).await.unwrap();
    assert_eq!(f.store.taken(f.source.id).await.unwrap().len(), 2, "both are newer");
    f.store.forget_taken(f.source.id, Timestamp::MAX, &[identity(2)]).await.unwrap();
    assert_eq!(f.store.taken(f.source.id).await.unwrap().len(), 1);
}

async fn whoever_was_taken_over_writes_nothing(engine: Engine) {
    let f = Fixture::new(engine, PartKind::Customer).await;
    let run = f.run(&f.source);
    let old = lease(&*f.store, f.source.id).await;
    assert!(f.store.renew_lease(&old).await.unwrap());
    f.store.begin_run(&old, &run).await.unwrap();
    let staged = Page { differences: vec![upsert("a", "1", "", &customer("1", "A"), None)], ..Page::default() };
    f.store.commit_page(&old, &run, &staged).await.unwrap();

    let f = f.reopen().await;
    let new = lease(&*f.store, f.source.id).await;
    assert!(new.fence > old.fence, "{new:?} after {old:?}");
    let more = Page {
        number: 1,
        differences: vec![Difference { position: 1, ..upsert("b", "2", "", &customer("2", "B"), None) }],
        ..Page::default()
    };
    let done = Run { state: RunState::Done, ..run.clone() };
    let store = &f.store;
    assert!(!store.renew_lease(&old).await.unwrap());
    assert_fenced(&store.begin_run(&old, &f.run(&f.source)).await);
    assert_fenced(&store.commit_page(&old, &run, &more).await);
    assert_fenced(&store.commit_load(&old, &run, &more).await);
    assert_fenced(&store.commit_fresh(&old, &run, &more).await);
    assert_fenced(&store.restage_shops(&old, &run.id, &[(0, vec!["b2b".to_owned()])]).await);
    assert_fenced(&store.apply_page(&old, &run.id, 10).await);
    assert_fenced(&store.save_run(&old, &done).await);
    assert_fenced(&store.end_run(&old, &done, true).await);
    assert_fenced(&store.finish_run(&old, &done).await);

    assert_eq!(store.run(&run.id).await.unwrap().unwrap().state, RunState::Running);
    assert_eq!(store.staged(&run.id, -1, 10).await.unwrap().len(), 1, "what was staged before stands, and no more");
    assert!(store.taken(f.source.id).await.unwrap().is_empty());
    assert!(store.changes(0, &[], 10).await.unwrap().is_empty());
    assert_eq!(store.apply_page(&new, &run.id, 10).await.unwrap().applied, 1, "whoever took over goes on");
}

async fn what_connections_keep_is_saved_only_over_what_was_read(engine: Engine) {
    let store = TestStore::new(engine).await;
    let kept = |value: &[u8], version| Some(KeptValue { value: value.to_vec(), version });
    assert_eq!(store.kept("erp", "token").await.unwrap().0, None);
    assert!(!store.keep("erp", "token", b"lost", Some(1)).await.unwrap(), "there is nothing to save it over");
    assert!(store.keep("erp", "token", b"one", None).await.unwrap());
    assert!(!store.keep("erp", "token", b"lost", None).await.unwrap(), "another was first");
    assert!(store.keep("erp", "token", b"two", Some(1)).await.unwrap());
    assert!(!store.keep("erp", "token", b"lost", Some(1)).await.unwrap(), "another was saved since");
    assert!(store.keep("crm", "token", b"\0\xff", None).await.unwrap());
    let store = store.reopen().await;
    assert_eq!(store.kept("erp", "token").await.unwrap().0, kept(b"two", 2));
    assert_eq!(store.kept("erp", "budget").await.unwrap().0, None);
    assert_eq!(store.kept("crm", "token").await.unwrap().0, kept(b"\0\xff", 1));
    let (before, after) = (store.kept("erp", "x").await.unwrap().1, store.kept("erp", "x").await.unwrap().1);
    assert!(before <= after, "the store's clock goes on: {before}, {after}");
}

fn assert_fenced<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Fenced(_))), "{result:?}");
}

#[tokio::test]
async fn a_second_process_a_damaged_file_and_an_old_schema_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let _first = SqlStore::open_file(&path, true).await.unwrap();
    assert!(matches!(SqlStore::open_file(&path, true).await, Err(StoreError::Locked(_))));

    let damaged = directory.path().join("damaged.db");
    std::fs::write(&damaged, b"this is no database, but it is long enough to look like one".repeat(40)).unwrap();
    let error = SqlStore::open_file(&damaged, true).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("restore it from a backup"));

    let empty = directory.path().join("empty.db");
    assert!(matches!(SqlStore::open_file(&empty, false).await, Err(StoreError::NotMigrated { found: 0, .. })));
}
