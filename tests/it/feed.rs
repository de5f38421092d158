//! The feed while many write: whoever follows it misses nothing for good, and hears everything in order.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Content, Entity, Key, PartKind, identity};
use tradebridge::store::{Difference, Operation, Page, Run, RunState, Source, Store, View};

use crate::support::conformance;
use crate::support::store::{Engine, TestStore, lease, run};

/// Sources of price agreements, each written by a task of its own.
const PRICES: usize = 6;
/// What each of them loads at first, in records.
const LOADED: usize = 14_000;
/// What each of them changes afterwards, and of that what vanishes.
const CHANGED: usize = 2_500;
const VANISHED: usize = 500;
/// Records of a page.
const PAGE: usize = 1_000;
/// Customers who enter and leave the shop's scope meanwhile, and how often.
const CUSTOMERS: usize = 100;
const MOVES: usize = 8;

/// What a follower learns of an entity: its newest sequence, and whether it is there.
type Known = HashMap<(Entity, Key), (i64, bool)>;

/// How far the writers are: every committed page is a new value, and the last one says that all are done.
type Progress = watch::Sender<bool>;

/// Writes as a source: runs, pages and what belongs to them.
struct Writer {
    store: Arc<dyn Store>,
    source: Source,
    committed: Progress,
    runs: usize,
}

impl Writer {
    async fn new(store: &Arc<dyn Store>, stream: &str, kind: PartKind, committed: &Progress) -> Self {
        let source = store.source("erp", stream, kind).await.unwrap();
        Self { store: Arc::clone(store), source, committed: committed.clone(), runs: 0 }
    }

    async fn begin(&mut self, loading: bool) -> Run {
        self.runs += 1;
        let run =
            Run { complete: loading, loading, ..run(format!("{}-{:04}", self.source.stream, self.runs), &self.source) };
        self.store.begin_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        run
    }

    /// Writes pages straight to the parts, as a first load does.
    async fn load(&mut self, differences: Vec<Difference>) {
        let mut run = self.begin(true).await;
        for (number, page) in (0..).zip(differences.chunks(PAGE)) {
            let page = Page { number, differences: page.to_vec(), ..Page::default() };
            let applied = self.store.commit_load(&lease(&*self.store, run.source).await, &run, &page).await.unwrap();
            assert_eq!(applied.applied, page.differences.len() as u64);
            run.pages += 1;
            self.committed.send_modify(|_| ());
        }
        self.end(run).await;
    }

    /// Stages pages and applies them, as a run over known records does.
    async fn change(&mut self, differences: Vec<Difference>) {
        let mut run = self.begin(false).await;
        let wanted = differences.len() as u64;
        let differences: Vec<Difference> =
            (0..).zip(differences).map(|(position, difference)| Difference { position, ..difference }).collect();
        for (number, page) in (0..).zip(differences.chunks(PAGE)) {
            let page = Page { number, differences: page.to_vec(), ..Page::default() };
            self.store.commit_page(&lease(&*self.store, run.source).await, &run, &page).await.unwrap();
            run.pages += 1;
        }
        run.state = RunState::Applying;
        self.store.save_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        let mut all = 0;
        loop {
            let applied = self.store.apply_page(&lease(&*self.store, run.source).await, &run.id, 500).await.unwrap();
            assert_eq!(applied.superseded, 0, "nobody else writes this source");
            if applied.applied == 0 {
                break;
            }
            all += applied.applied;
            self.committed.send_modify(|_| ());
        }
        assert_eq!(all, wanted);
        self.end(run).await;
    }

    async fn end(&self, run: Run) {
        let run = Run { state: RunState::Done, ended_at: Some(Timestamp::now()), ..run };
        self.store.finish_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
    }
}

/// The difference that brings content, or takes what was there away.
fn difference(kind: PartKind, before: Option<&Value>, after: Option<&Value>) -> Difference {
    let mut content = after.or(before).unwrap().clone();
    let place = identity::of(kind, &mut content).unwrap();
    let stored = |content: &Value| {
        let mut content = content.clone();
        identity::of(kind, &mut content).unwrap();
        content_hash(&content)
    };
    Difference {
        raw: None,
        turn: None,
        position: 0,
        operation: if after.is_some() { Operation::Upsert } else { Operation::Delete },
        source_key: format!("{}/{}", place.number, place.part),
        key: Key::new("NL01", &place.number),
        part: place.part,
        who: place.who,
        what: place.what,
        before: before.map(stored),
        after: after.map(stored),
        source_hash: content_hash(&content),
        content: after.is_some().then(|| Content::of_text(content.to_string())),
        shops: None,
    }
}

/// Every tenth line is about a customer, the rest about a group.
fn price(writer: usize, number: usize, value: usize) -> Value {
    let who = if number.is_multiple_of(10) { "customer" } else { "customer_group" };
    let whom = if number.is_multiple_of(10) { (number / 10 % CUSTOMERS).to_string() } else { "INSTAL".to_owned() };
    json!({"id": format!("{writer}-{number:05}"), who: whom, "product": "P", "kind": "net_price", "value": value.to_string()})
}

async fn write_prices(mut writer: Writer, number: usize) {
    let kind = PartKind::PriceAgreement;
    let load = (0..LOADED).map(|n| difference(kind, None, Some(&price(number, n, 1)))).collect();
    writer.load(load).await;
    let changes = (0..CHANGED).map(|n| difference(kind, Some(&price(number, n, 1)), Some(&price(number, n, 2))));
    let vanished = (LOADED - VANISHED..LOADED).map(|n| difference(kind, Some(&price(number, n, 1)), None));
    writer.change(changes.chain(vanished).collect()).await;
}

/// Customers that enter the shop's scope and leave it, with all that is about them.
async fn write_customers(mut writer: Writer) {
    let customer = |n: usize, round: usize| json!({"number": n.to_string(), "name": round.to_string()});
    for round in 0..MOVES {
        let page = (0..CUSTOMERS).map(|n| Difference {
            raw: None,
            turn: None,
            shops: Some(if (n + round).is_multiple_of(3) { vec!["a".to_owned()] } else { Vec::new() }),
            ..difference(
                PartKind::Customer,
                round.checked_sub(1).map(|before| customer(n, before)).as_ref(),
                Some(&customer(n, round)),
            )
        });
        writer.change(page.collect()).await;
    }
}

/// Contacts, whose changes are changes of their customers.
async fn write_contacts(mut writer: Writer) {
    let contact =
        |n: usize, round: usize| json!({"customer": n.to_string(), "id": n.to_string(), "name": round.to_string()});
    for round in 0..MOVES {
        let page = (0..CUSTOMERS).map(|n| {
            difference(
                PartKind::Contact,
                round.checked_sub(1).map(|before| contact(n, before)).as_ref(),
                Some(&contact(n, round)),
            )
        });
        writer.change(page.collect()).await;
    }
}

fn view() -> View {
    View {
        shop: "a".to_owned(),
        companies: vec!["NL01".to_owned()],
        connections: vec!["erp".to_owned()],
        warehouses: None,
    }
}

/// Who reads the feed by a cursor: all of it, or as a shop sees it.
struct Follower {
    store: Arc<dyn Store>,
    shop: bool,
    cursor: i64,
    known: Known,
    pages: usize,
}

impl Follower {
    fn new(store: &Arc<dyn Store>, shop: bool) -> Self {
        Self { store: Arc::clone(store), shop, cursor: 0, known: Known::new(), pages: 0 }
    }

    /// Takes a page; false where there was nothing more.
    async fn read(&mut self) -> bool {
        if self.shop { self.read_visible().await } else { self.read_all().await }
    }

    async fn read_all(&mut self) -> bool {
        let page = self.store.changes(self.cursor, &[], 1500).await.unwrap();
        for change in &page {
            assert!(change.sequence > self.cursor, "{change:?} after {}", self.cursor);
            self.cursor = change.sequence;
            self.known.insert((change.entity, change.key.clone()), (change.sequence, !change.deleted));
        }
        self.pages += usize::from(!page.is_empty());
        !page.is_empty()
    }

    async fn read_visible(&mut self) -> bool {
        let page = self.store.visible_changes(&view(), self.cursor, &[], 1500).await.unwrap();
        let mut last = self.cursor;
        for change in &page.changes {
            assert!(change.sequence > last, "{change:?} after {last}");
            last = change.sequence;
            self.known.insert((change.entity, change.key.clone()), (change.sequence, change.visible));
        }
        assert!(page.sequence >= last, "the cursor goes back from {last} to {}", page.sequence);
        let moved = page.sequence > self.cursor;
        self.cursor = page.sequence;
        self.pages += usize::from(!page.changes.is_empty());
        moved || page.more
    }

    /// Reads until the writers are done and nothing is left.
    async fn follow(mut self, mut committed: watch::Receiver<bool>) -> Self {
        loop {
            // Looked at before reading: what is committed until then is read.
            let done = *committed.borrow_and_update();
            if self.read().await {
                continue;
            }
            if done {
                return self;
            }
            committed.changed().await.unwrap();
        }
    }

    /// Reads what there is, from the beginning.
    async fn whole(store: &Arc<dyn Store>, shop: bool) -> Self {
        let mut follower = Self::new(store, shop);
        while follower.read().await {}
        follower
    }

    /// What is there.
    fn present(&self) -> Known {
        self.known.iter().filter(|(_, (_, there))| *there).map(|(key, known)| (key.clone(), *known)).collect()
    }
}

conformance!(in threads: followers_miss_nothing_while_many_write);

async fn followers_miss_nothing_while_many_write(engine: Engine) {
    let place = TestStore::for_many(engine).await;
    let store = place.shared();
    let (committed, commits) = watch::channel(false);

    let mut writers = JoinSet::new();
    for number in 0..PRICES {
        let stream = format!("prices-{number}");
        writers.spawn(write_prices(Writer::new(&store, &stream, PartKind::PriceAgreement, &committed).await, number));
    }
    writers.spawn(write_customers(Writer::new(&store, "customers", PartKind::Customer, &committed).await));
    writers.spawn(write_contacts(Writer::new(&store, "contacts", PartKind::Contact, &committed).await));
    let reading = tokio::spawn(Follower::new(&store, false).follow(commits.clone()));
    let shopping = tokio::spawn(Follower::new(&store, true).follow(commits));
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    committed.send_replace(true);
    let (reader, shop) = (reading.await.unwrap(), shopping.await.unwrap());

    let head = store.head().await.unwrap().sequence;
    assert!(head >= 100_000, "{head}");
    assert_eq!((reader.cursor, shop.cursor), (head, head), "both are at the end");
    let whole = Follower::whole(&store, false).await;
    assert_eq!(whole.known.len(), PRICES * LOADED + CUSTOMERS);
    assert_same(&reader.known, &whole.known);
    assert!(reader.pages > whole.pages, "it read while they wrote");

    let fresh = Follower::whole(&store, true).await;
    assert_same(&shop.present(), &fresh.present());
    for (key, (sequence, _)) in fresh.known.iter().filter(|(_, (_, there))| !there) {
        let told = shop.known.get(key);
        assert!(told.is_none_or(|told| told == &(*sequence, false)), "{key:?} is gone since {sequence}: {told:?}");
    }
}

/// Says only how they differ: there are tens of thousands.
fn assert_same(followed: &Known, stored: &Known) {
    let missed: Vec<_> = stored.iter().filter(|(key, known)| followed.get(*key) != Some(*known)).take(5).collect();
    let told: Vec<_> = missed.iter().map(|(key, _)| followed.get(*key)).collect();
    assert!(missed.is_empty(), "stored {missed:?}, told {told:?}");
    assert_eq!(followed.len(), stored.len());
}
