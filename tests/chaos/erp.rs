//! An ERP that takes orders over HTTP, has them and everything it was asked in memory, and has troubles.
//!
//! What does not live here: which trouble a request meets with (`trouble`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::server::{Asked, Reply, Server};
use super::trouble::{Class, REFUSAL, Refusal, Step, Trouble};

/// Customers and products that it has.
pub(crate) const CUSTOMERS: usize = 10;
pub(crate) const PRODUCTS: usize = 10;

/// An order that it has.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Its number.
    pub number: String,
    /// Our reference.
    pub reference: String,
    /// The shop's.
    pub shop_reference: String,
    customer: String,
    /// From when on it is there.
    from: Instant,
    pub confirmed: bool,
}

#[derive(Debug, Default)]
struct Books {
    documents: Vec<Document>,
    made: usize,
    /// How often it was asked, by step and the shop's reference.
    asked: HashMap<(Step, String), usize>,
    /// The shop's reference by ours.
    references: HashMap<String, String>,
    /// What it was asked and did, by the shop's reference.
    history: HashMap<String, Vec<String>>,
}

/// An ERP. Dropped, it is gone.
pub(crate) struct Erp {
    class: Class,
    seed: u64,
    begun: Instant,
    port: u16,
    books: Mutex<Books>,
    calm: AtomicBool,
    server: Mutex<Option<Server>>,
}

impl Erp {
    /// Opens an ERP on a port of its own.
    pub(crate) async fn open(class: Class, seed: u64) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", super::support::ports::free())).await.unwrap();
        let erp = Arc::new(Self {
            class,
            seed,
            begun: Instant::now(),
            port: listener.local_addr().unwrap().port(),
            books: Mutex::default(),
            calm: AtomicBool::new(true),
            server: Mutex::new(None),
        });
        erp.serve(listener);
        erp
    }

    fn serve(self: &Arc<Self>, listener: TcpListener) {
        let erp = Arc::downgrade(self);
        let server = Server::at(listener, move |asked| erp.upgrade().map_or(Reply::Nothing, |erp| erp.answer(asked)));
        *self.server.lock().unwrap() = Some(server);
    }

    /// The port of this machine on which it answers.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Goes down: every connection breaks off, and none can be made.
    pub(crate) fn go_down(&self) {
        *self.server.lock().unwrap() = None;
    }

    /// Comes back, with what it has.
    pub(crate) async fn come_back(self: &Arc<Self>) {
        loop {
            // The one before may not be gone yet.
            match TcpListener::bind(("127.0.0.1", self.port)).await {
                Ok(listener) => return self.serve(listener),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Whether requests meet with no trouble from now on.
    pub(crate) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::SeqCst);
    }

    /// What it has, and what is still to take effect.
    pub(crate) fn documents(&self) -> Vec<Document> {
        self.books().documents.clone()
    }

    /// Until when something is still to take effect.
    pub(crate) fn settled_at(&self) -> Option<Instant> {
        self.books().documents.iter().map(|document| document.from).max()
    }

    /// What it was asked about a shop's order, and what it did.
    pub(crate) fn history(&self, shop_reference: &str) -> Vec<String> {
        self.books().history.get(shop_reference).cloned().unwrap_or_default()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let id = |tail: &str| asked.path.strip_prefix("/orders/")?.strip_suffix(tail).map(str::to_owned);
        let mut books = self.books();
        match asked.method.as_str() {
            "GET" if asked.path == "/customers" => {
                Reply::json(json!((0..CUSTOMERS).map(|n| named("C", n)).collect::<Vec<_>>()))
            }
            "GET" if asked.path == "/products" => {
                Reply::json(json!((0..PRODUCTS).map(|n| named("P", n)).collect::<Vec<_>>()))
            }
            "POST" if asked.path == "/orders" => {
                let order = asked.json();
                let shop_reference = text(&order["shop_reference"]);
                books.references.insert(text(&order["reference"]), shop_reference.clone());
                self.meet(&mut books, Step::Create, &shop_reference, |books, later| self.create(books, &order, later))
            }
            "GET" if asked.path == "/orders" => {
                let reference = asked.query.get("reference").cloned().unwrap_or_default();
                let Some(shop_reference) = books.references.get(&reference).cloned() else {
                    // It never heard of it.
                    return Reply::json(json!({ "items": [] }));
                };
                self.meet(&mut books, Step::Find, &shop_reference, |books, _| find(books, &reference))
            }
            "PUT" | "DELETE" => {
                let (step, id) = match id("/confirm") {
                    Some(id) => (Step::Confirm, id),
                    None => (Step::Undo, id("").unwrap_or_default()),
                };
                let now = Instant::now();
                let there = |document: &&Document| document.number == id && document.from <= now;
                let Some(document) = books.documents.iter().find(there) else { return Reply::status(404) };
                let shop_reference = document.shop_reference.clone();
                self.meet(&mut books, step, &shop_reference, |books, _| match step {
                    Step::Confirm => self.confirm(books, &id),
                    _ => undo(books, &id),
                })
            }
            _ => Reply::status(404),
        }
    }

    /// Executes a request, with the trouble that it meets with. What is executed later is told how much.
    fn meet(
        &self,
        books: &mut Books,
        step: Step,
        shop_reference: &str,
        execute: impl FnOnce(&mut Books, Duration) -> Reply,
    ) -> Reply {
        let asked = books.asked.entry((step, shop_reference.to_owned())).or_default();
        let nth = *asked;
        *asked += 1;
        let calm = self.calm.load(Ordering::SeqCst);
        let trouble = if calm { None } else { Trouble::of(self.seed, self.class, step, shop_reference, nth) };
        let now = Duration::ZERO;
        let reply = match trouble {
            None => execute(books, now),
            Some(Trouble::Late(by)) => late(by, execute(books, now)),
            Some(Trouble::Dropped { executed }) => {
                if executed {
                    execute(books, now);
                }
                Reply::Nothing
            }
            Some(Trouble::Delayed(by)) => {
                execute(books, by);
                if nth.is_multiple_of(2) { Reply::status(504) } else { Reply::Nothing }
            }
            Some(Trouble::Failed { status, executed }) => {
                if executed {
                    execute(books, now);
                }
                Reply::status(status)
            }
            Some(Trouble::Limited(None)) => Reply::status(429),
            Some(Trouble::Limited(Some(seconds))) => Reply::status(429).with("retry-after", seconds),
            Some(Trouble::Garbage) => {
                execute(books, now);
                if nth.is_multiple_of(2) {
                    Reply::of(200, "text/html", "<html><body>Please sign in</body></html>")
                } else {
                    Reply::Bytes(b"HTTP/1.1 200 -\r\ncontent-length: 900\r\n\r\n{\"id\": \"SO".into())
                }
            }
        };
        let at = self.begun.elapsed();
        let have = books.documents.iter().filter(|document| document.shop_reference == shop_reference).count();
        let told = format!("{at:8.3?} {} {nth}: {trouble:?}; has {have} of it", step.name());
        books.history.entry(shop_reference.to_owned()).or_default().push(told);
        reply
    }

    fn create(&self, books: &mut Books, order: &Value, later: Duration) -> Reply {
        let (reference, shop_reference) = (text(&order["reference"]), text(&order["shop_reference"]));
        if Refusal::of(self.seed, &shop_reference) == Some(Refusal::AtCreate) {
            return refused();
        }
        let now = Instant::now();
        if self.class == Class::Unique {
            if books.documents.iter().any(|d| d.reference == reference && d.from <= now) {
                return Reply::of(
                    409,
                    "application/json",
                    json!({ "message": format!("{reference} is there already") }),
                );
            }
            // Whichever of the two is executed first, the other one is refused.
            let from = now + later;
            if books.documents.iter().any(|d| d.reference == reference && d.from <= from) {
                return Reply::status(504);
            }
            books.documents.retain(|d| d.reference != reference);
        }
        books.made += 1;
        let number = format!("SO-{}-{}", self.class.name(), books.made);
        let customer = text(&order["customer"]);
        let from = now + later;
        let document = Document { number: number.clone(), reference, shop_reference, customer, from, confirmed: false };
        books.documents.push(document);
        Reply::of(201, "application/json", json!({ "id": number }))
    }

    fn confirm(&self, books: &mut Books, id: &str) -> Reply {
        let Some(document) = books.documents.iter_mut().find(|document| document.number == id) else {
            return Reply::status(404);
        };
        if Refusal::of(self.seed, &document.shop_reference) == Some(Refusal::AtConfirm) {
            return refused();
        }
        document.confirmed = true;
        Reply::json(shown(document))
    }
}

fn find(books: &Books, reference: &str) -> Reply {
    let now = Instant::now();
    let found = books.documents.iter().filter(|document| document.reference == reference && document.from <= now);
    Reply::json(json!({ "items": found.map(shown).collect::<Vec<_>>() }))
}

fn undo(books: &mut Books, id: &str) -> Reply {
    books.documents.retain(|document| document.number != id);
    Reply::status(204)
}

fn shown(document: &Document) -> Value {
    let state = if document.confirmed { "confirmed" } else { "draft" };
    let number = document.confirmed.then_some(&document.number);
    json!({ "id": document.number, "number": number, "state": state, "customer": document.customer })
}

fn named(letter: &str, number: usize) -> Value {
    json!({ "number": format!("{letter}{number}"), "name": format!("Number {number}") })
}

fn refused() -> Reply {
    Reply::of(422, "application/json", json!({ "message": REFUSAL }))
}

/// A reply that comes so much later.
fn late(by: Duration, reply: Reply) -> Reply {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    tokio::spawn(async move {
        tokio::time::sleep(by).await;
        opened.add_permits(1);
    });
    Reply::Behind(gate, Box::new(reply))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
