//! Erasing a person: gone from records, history, what is staged and rejected, and from the bytes of the file; left out
//! from then on; and let in again. Business documents stay.

use jiff::Timestamp;
use serde_json::{Value, json};
use tradebridge::model::{Entity, Key, PartKind};
use tradebridge::record::Place;
use tradebridge::store::{CallKind, OrderCall, Page, Person, Rejection, Store, StoredOrder};
use tradebridge::sync::{erase_rows, raw};

use crate::daemon::Site;
use crate::orders_store;
use crate::shops::Erp;
use crate::support::conformance;
use crate::support::store::{Engine, lease, new_id, run};

const EMAIL: &str = "jeanne.dubois@example.org";

conformance!(
    a_contact_of_its_own_is_gone_and_its_customer_changed,
    a_nested_contact_is_taken_out_of_the_customer,
    a_whole_customer_keeps_what_business_rests_on,
    what_is_rejected_goes_too,
    kept_source_rows_go_whatever_their_fields_are_called,
    what_was_exchanged_over_the_customers_orders_goes,
);

fn person(contact: Option<&str>) -> Person {
    Person { customer: Key::new("NL01", "1"), contact: contact.map(str::to_owned) }
}

fn jeanne(phone: &str) -> Value {
    json!({ "id": "7", "name": "Jeanne Dubois", "email": EMAIL, "phone": phone })
}

async fn put_customer(erp: &Erp, more: Value) {
    let mut content =
        json!({ "number": "1", "name": "Dubois Sanitair", "vat_number": "NL123456789B01", "groups": ["B2B"] });
    content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    erp.put("erp", (PartKind::Customer, content, Some(&["b2b"]))).await;
}

async fn put_contact(erp: &Erp, contact: Value) {
    let mut contact = contact;
    contact["customer"] = json!("1");
    erp.put("erp", (PartKind::Contact, contact, None)).await;
}

async fn contents(store: &dyn Store) -> Vec<(PartKind, Value)> {
    let parts = store.parts(Entity::Customer, &[Key::new("NL01", "1")]).await.unwrap();
    parts.into_iter().map(|part| (part.kind, part.content)).collect()
}

async fn a_contact_of_its_own_is_gone_and_its_customer_changed(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    put_customer(&erp, json!({})).await;
    put_contact(&erp, jeanne("0301234567")).await;
    put_contact(&erp, jeanne("0307654321")).await;
    put_contact(&erp, json!({ "id": "8", "name": "Piet Jansen" })).await;
    let found = store.persons_by_email("Jeanne.Dubois@Example.org").await.unwrap();
    assert_eq!(found.iter().map(|known| &known.person).collect::<Vec<_>>(), [&person(Some("7"))]);
    assert_eq!(found[0].name, "Jeanne Dubois");
    let before = erp.head().await;
    let erased = store.erase(&[], &person(Some("7"))).await.unwrap();
    assert_eq!((erased.records, erased.versions), (1, 1));
    let changes = store.changes(before, &[], 10).await.unwrap();
    assert_eq!(changes.iter().map(|c| (c.entity, c.deleted)).collect::<Vec<_>>(), [(Entity::Customer, false)]);
    let left = contents(store).await;
    assert!(!format!("{left:?}").contains("Jeanne") && format!("{left:?}").contains("Piet Jansen"), "{left:?}");
    assert!(store.persons_by_email(EMAIL).await.unwrap().is_empty(), "history does not know her either");
    assert_eq!(store.erased().await.unwrap(), [person(Some("7"))]);
    assert!(store.readmit(&person(Some("7"))).await.unwrap());
    assert!(!store.readmit(&person(Some("7"))).await.unwrap());
    assert!(store.erased().await.unwrap().is_empty());
}

async fn a_nested_contact_is_taken_out_of_the_customer(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    put_customer(&erp, json!({ "contacts": [jeanne("0301234567"), { "id": "8", "name": "Piet Jansen" }] })).await;
    put_customer(&erp, json!({ "contacts": [jeanne("0307654321"), { "id": "8", "name": "Piet Jansen" }] })).await;
    let before = erp.head().await;
    let erased = store.erase(&[], &person(Some("7"))).await.unwrap();
    assert_eq!((erased.records, erased.versions), (1, 1));
    assert_eq!(store.changes(before, &[], 10).await.unwrap().len(), 1);
    let left = contents(store).await;
    assert_eq!(left[0].1["contacts"], json!([{ "id": "8", "name": "Piet Jansen" }]));
    let hash = store.parts(Entity::Customer, &[Key::new("NL01", "1")]).await.unwrap()[0].hash;
    let rest = tradebridge::model::Content::of(PartKind::Customer, &left[0].1);
    assert_eq!(hash, rest.hash(), "the hash is that of what is left");
    assert!(store.persons_by_email(EMAIL).await.unwrap().is_empty());
}

async fn a_whole_customer_keeps_what_business_rests_on(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    put_customer(&erp, json!({ "addresses": [{ "id": "1", "street": "Steenweg" }] })).await;
    put_contact(&erp, jeanne("0301234567")).await;
    let price = json!({ "id": "p", "customer": "1", "product": "P", "value": "2" });
    erp.put("erp", (PartKind::PriceAgreement, price, None)).await;
    let digest_of_prices = store.parts(Entity::PriceAgreement, &[Key::new("NL01", "p")]).await.unwrap();
    let erased = store.erase(&[], &person(None)).await.unwrap();
    assert_eq!(erased.records, 2);
    let left = contents(store).await;
    assert_eq!(left, [(PartKind::Customer, json!({ "number": "1", "name": "(erased)", "groups": ["B2B"] }))]);
    assert_eq!(store.parts(Entity::PriceAgreement, &[Key::new("NL01", "p")]).await.unwrap(), digest_of_prices);
    assert_eq!(store.membership("b2b", &[Key::new("NL01", "1")]).await.unwrap(), [true], "the shop still has it");
}

async fn what_is_rejected_goes_too(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    put_customer(&erp, json!({})).await;
    put_contact(&erp, jeanne("0301234567")).await;
    let source = store.source("erp", "contact", PartKind::Contact).await.unwrap();
    let others = store.source("erp", "stock", PartKind::Stock).await.unwrap();
    for (source, text) in [(&source, EMAIL), (&source, "piet@example.org"), (&others, "stock")] {
        let run = run(new_id(), source);
        let rejection = Rejection {
            id: 0,
            source: source.id,
            run: run.id.clone(),
            source_key: text.to_owned(),
            digest: [7; 16],
            place: "line 2".to_owned(),
            reason: "name: is empty".to_owned(),
            record: json!({ "E-mail": text.to_uppercase() }),
            at: Timestamp::now(),
        };
        let page = Page { rejections: vec![rejection], ..Page::default() };
        store.commit_page(&lease(store, source.id).await, &run, &page).await.unwrap();
    }
    let erased = store.erase(&[], &person(Some("7"))).await.unwrap();
    assert_eq!(erased.rejected, 1);
    let kept = store.rejections(Some(source.id), 0, 10).await.unwrap();
    assert_eq!(kept.len(), 2, "it is still known as rejected");
    assert_eq!(kept.iter().map(|r| r.record.to_string().len() > 2).collect::<Vec<_>>(), [false, true]);
}

async fn kept_source_rows_go_whatever_their_fields_are_called(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    put_customer(&erp, json!({})).await;
    put_contact(&erp, jeanne("0301234567")).await;
    let source = store.source("erp", "contact", PartKind::Contact).await.unwrap();
    let place = Place { source: None, record: 1, line: Some(2) };
    let mut builder = raw::Builder::default();
    for (key, row) in [
        ("a", json!({ "Van": "JEANNE.DUBOIS@EXAMPLE.ORG" })),
        ("b", json!({ "Klant": "1", "Wie": ["Mevr. Jeanne Dubois"] })),
        ("c", json!({ "Klant": "22", "Wie": "Jeanne Dubois, een naamgenote" })),
        ("1/7", json!({ "geen": "spoor" })),
        ("d", json!({ "Klant": "1", "Wie": "Piet Jansen" })),
    ] {
        assert!(builder.push(key, &place, row.to_string().as_bytes()).unwrap());
    }
    let run = run(new_id(), &source);
    let page = Page { raw: builder.finish().unwrap(), ..Page::default() };
    store.commit_page(&lease(store, source.id).await, &run, &page).await.unwrap();
    let traces = store.traces(&[], &person(Some("7"))).await.unwrap();
    assert_eq!(contents(store).await.len(), 2, "to look is not to erase");
    assert_eq!(erase_rows(&erp.store, &[], &traces).await.unwrap(), 3);
    let batches = store.raw_batches(source.id, 0, 10).await.unwrap();
    let batch = store.raw_batch(batches[0].id).await.unwrap().unwrap();
    assert_eq!((raw::keys(&batch).unwrap(), batch.records), (vec!["c".to_owned(), "d".to_owned()], 2));
}

async fn what_was_exchanged_over_the_customers_orders_goes(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    put_customer(&erp, json!({})).await;
    put_contact(&erp, jeanne("0301234567")).await;
    let mut ids = Vec::new();
    for (reference, customer) in [("A-1", "1"), ("A-2", "22")] {
        let order = StoredOrder { customer: customer.to_owned(), ..orders_store::order(reference) };
        store.accept(&orders_store::new(order.clone())).await.unwrap();
        let exchanges = json!([{ "request": { "body": format!("<contact>{EMAIL}</contact>") } }]);
        let call = OrderCall { exchanges, ..orders_store::call(CallKind::Create, 1, 1) };
        store.note_calls(&order.id, &[call]).await.unwrap();
        ids.push(order.id);
    }
    let erased = store.erase(&[], &person(Some("7"))).await.unwrap();
    assert_eq!(erased.calls, 1);
    assert!(store.calls(&ids[0]).await.unwrap().is_empty());
    assert!(store.order(&ids[0]).await.unwrap().is_some(), "the order is a business document");
    assert_eq!(store.calls(&ids[1]).await.unwrap().len(), 1, "another customer's");
}

/// Whether any file of the store has a text in its bytes.
fn on_disk(site: &Site, text: &str) -> bool {
    let files = std::fs::read_dir(site.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let stores = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("tradebridge.db"));
    stores.into_iter().any(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn an_erased_person_is_gone_from_the_file_and_no_pull_brings_it_back() {
    let site = Site::new();
    let email = "noor.terbraak@klant10000.example";
    for entity in ["customer", "contact"] {
        assert_eq!(site.ask(&["sync", "erp", entity]).0, 0);
    }
    assert!(on_disk(&site, email));
    let (code, found) = site.ask(&["store", "erase-person", "--email", "Noor.terBraak@klant10000.example"]);
    assert_eq!((code, &found["found"][0]["contact"], &found["erased"]), (0, &json!("80002"), &json!([])), "{found:#}");
    assert!(on_disk(&site, email), "nothing is done that was not confirmed");
    let (code, erased) = site.ask(&["store", "erase-person", "--customer", "10000", "--contact", "80002", "--yes"]);
    assert_eq!((code, &erased["erased"][0]["records"]), (0, &json!(1)), "{erased:#}");
    assert_eq!(erased["erased"][0]["source_rows"], json!(1), "as it was read, and nobody else's");
    assert!(!on_disk(&site, email), "not even in what the file has free");
    assert!(on_disk(&site, "cem.thart@klant10000.example"), "others are still there");

    // The ERP still has the row, and changes it.
    site.edit_export("contacten.csv", |lines| {
        let at = lines.iter().position(|line| line.starts_with(b"80002;")).unwrap();
        lines[at] = String::from_utf8(lines[at].clone()).unwrap().replace("2.500,00", "3.500,00").into_bytes();
    });
    let (code, reports) = site.ask(&["sync", "erp", "contact", "--full"]);
    assert_eq!((code, &reports[0]["run"]["counts"]["erased"]), (0, &json!(1)), "{reports:#}");
    assert!(!on_disk(&site, email));
    let (_, found) = site.ask(&["store", "erase-person", "--email", email]);
    assert_eq!(found["found"], json!([]));

    let forget =
        ["store", "erase-person", "--customer", "10000", "--contact", "80002", "--company", "NL01", "--forget"];
    assert_eq!(site.ask(&forget).1["readmitted"], json!(1));
    assert_eq!(site.ask(&["sync", "erp", "contact", "--full"]).0, 0);
    let (_, found) = site.ask(&["store", "erase-person", "--email", email]);
    assert_eq!(found["found"][0]["contact"], json!("80002"));
}
