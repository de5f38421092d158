//! What a shop sees of the store, whatever engine stands behind it: who enters and leaves its scope, its lists, its feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};
use tradebridge::config::Scope;
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Content, Entity, Key, PartKind, identity};
use tradebridge::store::{Condition, Difference, Judged, Listing, Operation, Page, RunState, Store, StoredKey, View};

use crate::support::conformance;
use crate::support::store::{Engine, TestStore, lease, run};

conformance!(
    a_customer_enters_and_leaves_a_scope_with_all_that_is_about_him,
    what_moves_to_another_customer_or_connection_vanishes_for_who_had_it,
    a_changed_scope_is_judged_anew_and_its_cursors_are_void,
    lists_walk_in_the_order_of_keys_through_what_the_shop_sees,
    an_order_status_without_a_customer_is_nobodys,
    a_key_is_found_by_its_hash_and_revoked_by_its_name,
);

pub(crate) struct Erp {
    pub store: Arc<dyn Store>,
    _place: TestStore,
    runs: AtomicU32,
}

/// A record to be stored: its kind, its content as a mapping yields it, the shops that have it in scope.
pub(crate) type Upsert<'a> = (PartKind, Value, Option<&'a [&'a str]>);

impl Erp {
    pub(crate) async fn new(engine: Engine) -> Self {
        let store = TestStore::new(engine).await;
        Self { store: store.shared(), _place: store, runs: AtomicU32::new(0) }
    }

    async fn apply(&self, connection: &str, kind: PartKind, differences: Vec<Difference>) -> u64 {
        let source = self.store.source(connection, kind.name(), kind).await.unwrap();
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let mut run = run(format!("run-{number:04}"), &source);
        self.store.begin_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        self.store
            .commit_page(&lease(&*self.store, run.source).await, &run, &Page { differences, ..Page::default() })
            .await
            .unwrap();
        let applied = self.store.apply_page(&lease(&*self.store, run.source).await, &run.id, 100_000).await.unwrap();
        run.state = RunState::Done;
        self.store.finish_run(&lease(&*self.store, run.source).await, &run).await.unwrap();
        applied.applied
    }

    /// Stores a record of the company NL01, new or changed.
    pub(crate) async fn put(&self, connection: &str, upsert: Upsert<'_>) {
        let kind = upsert.0;
        let difference = self.difference(upsert).await;
        assert_eq!(self.apply(connection, kind, vec![difference]).await, 1);
    }

    /// Stores records of one kind at once.
    pub(crate) async fn put_all(&self, connection: &str, kind: PartKind, contents: Vec<Value>) {
        let mut differences = Vec::new();
        for (position, content) in (0..).zip(contents) {
            let difference = self.difference((kind, content, None)).await;
            differences.push(Difference { position, ..difference });
        }
        let all = differences.len() as u64;
        assert_eq!(self.apply(connection, kind, differences).await, all);
    }

    async fn difference(&self, (kind, content, shops): Upsert<'_>) -> Difference {
        let mut content = content;
        let place = identity::of(kind, &mut content).unwrap();
        let key = Key::new("NL01", &place.number);
        let before = self.stored(kind, &key, &place.part).await;
        Difference {
            raw: None,
            turn: None,
            position: 0,
            operation: Operation::Upsert,
            source_key: format!("{}/{}", place.number, place.part),
            key,
            part: place.part,
            who: place.who,
            what: place.what,
            before,
            after: Some(content_hash(&content)),
            source_hash: content_hash(&content),
            content: Some(Content::of_text(content.to_string())),
            shops: shops.map(|s| s.iter().map(|s| (*s).to_owned()).collect()),
        }
    }

    async fn stored(&self, kind: PartKind, key: &Key, part: &str) -> Option<[u8; 16]> {
        let parts = self.store.parts(kind.entity(), std::slice::from_ref(key)).await.unwrap();
        parts.into_iter().find(|p| p.kind == kind && p.part == part).map(|p| p.hash)
    }

    pub(crate) async fn delete(&self, connection: &str, kind: PartKind, number: &str) {
        let key = Key::new("NL01", number);
        let before = self.stored(kind, &key, "").await;
        let difference = Difference {
            raw: None,
            turn: None,
            position: 0,
            operation: Operation::Delete,
            source_key: format!("{number}/"),
            key,
            part: String::new(),
            who: None,
            what: None,
            content: None,
            before,
            after: None,
            source_hash: [0; 16],
            shops: None,
        };
        assert_eq!(self.apply(connection, kind, vec![difference]).await, 1);
    }

    pub(crate) async fn head(&self) -> i64 {
        self.store.head().await.unwrap().sequence
    }

    /// What a shop that follows the feed hears after a sequence: `+` appears or changed, `-` vanished.
    async fn feed(&self, view: &View, after: i64) -> Vec<String> {
        let page = self.store.visible_changes(view, after, &[], 1000).await.unwrap();
        assert!(!page.more);
        assert_eq!(page.sequence, self.head().await.max(after));
        page.changes
            .iter()
            .map(|c| format!("{}{} {}", if c.visible { '+' } else { '-' }, c.entity, c.key.number))
            .collect()
    }

    /// How many parts of the product P the shop sees.
    async fn product_parts(&self, view: &View) -> usize {
        self.store.visible(view, Entity::Product, &[Key::new("NL01", "P")]).await.unwrap().len()
    }

    async fn list(&self, view: &View, listing: &Listing) -> Vec<String> {
        self.store.visible_keys(view, listing).await.unwrap().into_iter().map(|k| k.number).collect()
    }
}

pub(crate) fn view(shop: &str) -> View {
    View {
        shop: shop.to_owned(),
        companies: vec!["NL01".to_owned()],
        connections: vec!["erp".to_owned()],
        warehouses: None,
    }
}

fn listing(entity: Entity) -> Listing {
    Listing {
        entity,
        company: None,
        who: Vec::new(),
        what: Vec::new(),
        conditions: Vec::new(),
        after: None,
        limit: 100,
    }
}

fn customer<'a>(number: &str, name: &str, shops: &'a [&'a str]) -> Upsert<'a> {
    (PartKind::Customer, json!({"number": number, "name": name, "groups": ["INSTAL"]}), Some(shops))
}

fn price<'a>(id: &str, who: (&str, &str), value: &str) -> Upsert<'a> {
    let content = json!({"id": id, who.0: who.1, "product": "P", "kind": "net_price", "value": value});
    (PartKind::PriceAgreement, content, None)
}

async fn a_customer_enters_and_leaves_a_scope_with_all_that_is_about_him(engine: Engine) {
    let erp = Erp::new(engine).await;
    let (a, b) = (view("a"), view("b"));
    erp.put("erp", price("7", ("customer", "10"), "1")).await;
    erp.put("erp", (PartKind::Product, json!({"number": "P"}), None)).await;
    let article = json!({"id": "x", "customer": "10", "number": "HART-1", "product": "P"});
    erp.put("erp", (PartKind::CustomerArticle, article, None)).await;
    assert_eq!(erp.feed(&a, 0).await, ["+product P"], "his price came before him: nobody has it in scope");
    let before = erp.head().await;

    erp.put("erp", customer("10", "one", &["a"])).await;
    let entered = erp.head().await;
    assert_eq!(erp.feed(&a, before).await, ["+customer 10", "+price_agreement 7", "+product P"]);
    assert_eq!(erp.feed(&b, before).await, ["+product P"], "not even the key is known to the other shop");
    assert_eq!(erp.product_parts(&a).await, 2, "with the customer's own number");
    assert_eq!(erp.product_parts(&b).await, 1);

    erp.put("erp", customer("10", "two", &["b"])).await;
    let left = erp.head().await;
    assert_eq!(erp.feed(&a, entered).await, ["-customer 10", "-price_agreement 7", "+product P"]);
    assert_eq!(erp.feed(&b, entered).await, ["+customer 10", "+price_agreement 7", "+product P"]);
    assert_eq!(erp.product_parts(&a).await, 1);

    erp.put("erp", price("8", ("customer", "10"), "1")).await;
    erp.put("erp", price("7", ("customer", "10"), "2")).await;
    assert_eq!(erp.feed(&a, left).await, ["-price_agreement 7"], "8 came when he had left: it never was a's");
    assert_eq!(erp.feed(&b, left).await, ["+price_agreement 8", "+price_agreement 7"]);
    erp.delete("erp", PartKind::PriceAgreement, "8").await;
    let before = erp.head().await;

    erp.put("erp", customer("10", "three", &["a", "b"])).await;
    assert_eq!(erp.feed(&a, before).await, ["+customer 10", "+price_agreement 7", "+product P"]);
    assert_eq!(
        erp.feed(&a, 0).await,
        ["+customer 10", "+price_agreement 7", "+product P"],
        "8 was born and died while he was away: its tombstone is not a's either"
    );
    assert!(erp.feed(&b, 0).await.contains(&"-price_agreement 8".to_owned()));

    erp.delete("erp", PartKind::Customer, "10").await;
    assert_eq!(erp.feed(&b, before).await, ["-customer 10", "-price_agreement 7", "+product P"]);
    assert!(erp.list(&b, &listing(Entity::PriceAgreement)).await.is_empty());
    assert_eq!(erp.store.membership("b", &[Key::new("NL01", "10")]).await.unwrap(), [false]);
}

async fn what_moves_to_another_customer_or_connection_vanishes_for_who_had_it(engine: Engine) {
    let erp = Erp::new(engine).await;
    let (a, b) = (view("a"), view("b"));
    erp.put("erp", customer("10", "one", &["a"])).await;
    erp.put("erp", customer("20", "two", &["b"])).await;
    erp.put("erp", price("7", ("customer", "10"), "1")).await;
    let before = erp.head().await;
    erp.put("erp", price("7", ("customer", "20"), "1")).await;
    assert_eq!(erp.feed(&a, before).await, ["-price_agreement 7"]);
    assert_eq!(erp.feed(&b, before).await, ["+price_agreement 7"]);
    let after = erp.head().await;
    erp.put("erp", price("7", ("customer", "20"), "2")).await;
    assert_eq!(erp.feed(&a, before).await, ["-price_agreement 7"], "also for who did not look in between");
    erp.delete("erp", PartKind::PriceAgreement, "7").await;
    erp.put("hidden", price("7", ("customer_group", "INSTAL"), "3")).await;
    assert_eq!(
        erp.feed(&b, after).await,
        ["-price_agreement 7"],
        "another connection has it now, which b does not see"
    );
    erp.put("hidden", price("9", ("customer_group", "INSTAL"), "3")).await;
    assert!(!erp.feed(&b, 0).await.contains(&"+price_agreement 9".to_owned()));
    assert!(erp.list(&b, &listing(Entity::PriceAgreement)).await.is_empty());
}

async fn a_changed_scope_is_judged_anew_and_its_cursors_are_void(engine: Engine) {
    let erp = Erp::new(engine).await;
    let a = view("a");
    for number in ["10", "20", "30"] {
        erp.put("erp", customer(number, "x", &["a"])).await;
        erp.put("erp", price(number, ("customer", number), "1")).await;
    }
    let keys: Vec<Key> = ["10", "20", "30", "40"].iter().map(|n| Key::new("NL01", *n)).collect();
    assert_eq!(erp.store.scope("a").await.unwrap(), None);
    let mut epochs = Vec::new();
    for (digest, members) in
        [("one", [true, false, true]), ("two", [false, true, true]), ("three", [true, false, true])]
    {
        let mut page = Vec::new();
        for (key, member) in keys.iter().zip(members) {
            let hash = erp.stored(PartKind::Customer, key, "").await.unwrap();
            page.push(Judged { key: key.clone(), hash, member });
        }
        erp.store.rescope("a", &page[..2]).await.unwrap();
        erp.store.rescope("a", &page[2..]).await.unwrap();
        erp.store.finish_rescope("a", digest).await.unwrap();
        let scope = erp.store.scope("a").await.unwrap().unwrap();
        assert_eq!(scope.digest, digest);
        assert!(!epochs.contains(&scope.epoch));
        epochs.push(scope.epoch);
        assert_eq!(erp.store.membership("a", &keys).await.unwrap(), [members[0], members[1], members[2], false]);
    }
    let left = erp.feed(&a, 0).await;
    assert!(left.iter().all(|c| c.starts_with('+')) && left.len() == 4, "{left:?}");
    let stale = Judged { key: keys[0].clone(), hash: [9; 16], member: false };
    erp.store.rescope("a", &[stale]).await.unwrap();
    assert!(erp.store.membership("a", &keys[..1]).await.unwrap()[0], "judged on other content: left as it is");
}

async fn lists_walk_in_the_order_of_keys_through_what_the_shop_sees(engine: Engine) {
    let erp = Erp::new(engine).await;
    let a = view("a");
    for n in 10..30 {
        let shops: &[&str] = if n % 2 == 0 { &["a"] } else { &["b"] };
        let mut one = customer(&n.to_string(), "x", shops);
        one.1["groups"] = if n < 20 { json!(["INSTAL", "B2B"]) } else { json!(["BOUW"]) };
        erp.put("erp", one).await;
        erp.put("erp", price(&format!("c{n}"), ("customer", &n.to_string()), "1")).await;
    }
    for (id, who) in [("a1", "INSTAL"), ("d1", "INSTAL"), ("d2", "BOUW")] {
        erp.put("erp", price(id, ("customer_group", who), "1")).await;
    }
    let mut walked = Vec::new();
    let mut wanted = Listing { limit: 3, ..listing(Entity::PriceAgreement) };
    wanted.who = vec!["1:12".to_owned(), "g:INSTAL".to_owned(), "*".to_owned()];
    loop {
        let page = erp.store.visible_keys(&a, &wanted).await.unwrap();
        walked.extend(page.iter().map(|k| k.number.clone()));
        let Some(last) = page.last() else { break };
        wanted.after = Some(last.clone());
    }
    assert_eq!(walked, ["a1", "c12", "d1"]);
    let whole = erp.list(&a, &listing(Entity::PriceAgreement)).await;
    assert_eq!(whole.len(), 13);
    assert!(whole.is_sorted());

    let by = |entity, condition| Listing { conditions: vec![condition], ..listing(entity) };
    let group = |group: &str| by(Entity::Customer, Condition::Group(group.to_owned()));
    assert_eq!(erp.list(&a, &group("B2B")).await, ["10", "12", "14", "16", "18"]);
    let mut changed = customer("10", "x", &["a"]);
    changed.1["groups"] = json!(["BOUW"]);
    erp.put("erp", changed).await;
    assert_eq!(erp.list(&a, &group("B2B")).await, ["12", "14", "16", "18"]);
    assert_eq!(erp.list(&a, &by(Entity::Customer, Condition::Number("11".to_owned()))).await, [""; 0]);

    let tap = json!({"number": "T", "gtin": "8710000000011", "groups": ["KRAAN"],
        "units": [{"unit": "BX", "factor": "10", "gtin": "8710000000028"}, {"unit": "EA", "factor": "1", "gtin": "8710000000011"}]});
    erp.put("erp", (PartKind::Product, tap, None)).await;
    erp.put("erp", (PartKind::Product, json!({"number": "U", "groups": ["KRAAN"], "status": "phase_out"}), None)).await;
    for gtin in ["8710000000011", "8710000000028"] {
        assert_eq!(erp.list(&a, &by(Entity::Product, Condition::Gtin(gtin.to_owned()))).await, ["T"]);
    }
    assert_eq!(erp.list(&a, &by(Entity::Product, Condition::Status("active".to_owned()))).await, ["T"]);
    assert_eq!(erp.list(&a, &by(Entity::Product, Condition::Group("KRAAN".to_owned()))).await, ["T", "U"]);
    erp.delete("erp", PartKind::Product, "T").await;
    assert_eq!(erp.list(&a, &by(Entity::Product, Condition::Gtin("8710000000011".to_owned()))).await, [""; 0]);

    for warehouse in ["MAIN", "OUTLET"] {
        let stock = json!({"product": "U", "warehouse": warehouse, "available": "1"});
        erp.put("erp", (PartKind::Stock, stock, None)).await;
    }
    let narrow = View { warehouses: Some(vec!["MAIN".to_owned()]), ..view("a") };
    assert_eq!(erp.list(&narrow, &listing(Entity::Stock)).await, ["U~MAIN"]);
    erp.delete("erp", PartKind::Stock, "U~OUTLET").await;
    assert!(!erp.feed(&narrow, 0).await.contains(&"-stock U~OUTLET".to_owned()));
    assert!(erp.feed(&a, 0).await.contains(&"-stock U~OUTLET".to_owned()));
}

async fn an_order_status_without_a_customer_is_nobodys(engine: Engine) {
    let erp = Erp::new(engine).await;
    let a = view("a");
    erp.put("erp", customer("10", "x", &["a"])).await;
    erp.put("erp", (PartKind::OrderStatus, json!({"id": "1", "state": "accepted", "number": "1"}), None)).await;
    let named = json!({"id": "2", "state": "accepted", "number": "2", "customer": "10"});
    erp.put("erp", (PartKind::OrderStatus, named, None)).await;
    assert_eq!(erp.list(&a, &listing(Entity::OrderStatus)).await, ["2"]);
    assert_eq!(erp.feed(&a, 0).await, ["+customer 10", "+order_status 2"]);
}

async fn a_key_is_found_by_its_hash_and_revoked_by_its_name(engine: Engine) {
    let erp = Erp::new(engine).await;
    let key = StoredKey {
        name: "web".to_owned(),
        shop: "a".to_owned(),
        scopes: vec![Scope::Read, Scope::Orders],
        hash: [7; 32],
        created_at: Timestamp::from_second(1_800_000_000).unwrap(),
        last_used: None,
        revoked_at: None,
    };
    assert!(erp.store.add_key(&key).await.unwrap());
    assert!(!erp.store.add_key(&StoredKey { hash: [8; 32], ..key.clone() }).await.unwrap(), "the name is taken");
    assert_eq!(erp.store.key(&[7; 32]).await.unwrap(), Some(key.clone()));
    assert_eq!(erp.store.key(&[8; 32]).await.unwrap(), None);
    assert!(erp.store.revoke_key("web", key.created_at).await.unwrap());
    assert!(!erp.store.revoke_key("web", key.created_at).await.unwrap());
    assert!(erp.store.key(&[7; 32]).await.unwrap().unwrap().revoked_at.is_some());
    assert!(erp.store.add_key(&StoredKey { hash: [8; 32], ..key }).await.unwrap(), "its name is free again");
    assert_eq!(erp.store.keys().await.unwrap().len(), 2);
}
