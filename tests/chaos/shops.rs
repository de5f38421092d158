//! Shops that post orders: each order under the same reference, to whichever daemon, until one says that it is accepted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::draw::Draw;
use super::erp::{CUSTOMERS, PRODUCTS};
use super::fleet::Daemon;
use super::site;
use super::trouble::Class;

/// Shops that post at the same time.
const SHOPS: usize = 6;

/// How long a shop waits for an answer.
const ANSWER: Duration = Duration::from_secs(4);

/// How long a shop tries to get an order accepted.
pub(crate) const LONGEST: Duration = Duration::from_mins(4);

/// What the shops are told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By reference, what an accepted order is called here.
    pub accepted: BTreeMap<String, String>,
    /// Orders that were not accepted, and what was said last.
    pub refused: BTreeMap<String, String>,
}

/// The shops at work.
pub(crate) struct Shops {
    gate: watch::Sender<usize>,
    answered: watch::Receiver<usize>,
    told: Arc<Mutex<Told>>,
    tasks: JoinSet<()>,
}

/// What all of them share.
struct Work {
    seed: u64,
    orders: usize,
    next: AtomicUsize,
    daemons: Vec<Arc<Daemon>>,
    http: reqwest::Client,
    gate: watch::Receiver<usize>,
    answered: watch::Sender<usize>,
    told: Arc<Mutex<Told>>,
}

/// The reference of an order, and the shop that posts it.
pub(crate) fn reference(seed: u64, number: usize) -> (Class, String) {
    (Class::ALL[number % Class::ALL.len()], format!("W{seed}-{number}"))
}

impl Shops {
    /// Shops that post nothing until they are let.
    pub(crate) fn begin(seed: u64, orders: usize, daemons: Vec<Arc<Daemon>>) -> Self {
        let (gate, gated) = watch::channel(0);
        let (answers, answered) = watch::channel(0);
        let told = Arc::<Mutex<Told>>::default();
        let http = super::support::http().timeout(ANSWER).build().unwrap();
        let work = Arc::new(Work {
            seed,
            orders,
            next: AtomicUsize::new(0),
            daemons,
            http,
            gate: gated,
            answered: answers,
            told: Arc::clone(&told),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..SHOPS {
            tasks.spawn(post_all(Arc::clone(&work)));
        }
        Self { gate, answered, told, tasks }
    }

    /// Lets them post so many orders in all.
    pub(crate) fn let_post(&self, orders: usize) {
        self.gate.send_replace(orders);
    }

    /// Waits until so many orders have an answer.
    pub(crate) async fn answered(&mut self, orders: usize) {
        // An error is one of all having been posted.
        let _ = self.answered.wait_for(|answered| *answered >= orders).await;
    }

    /// Waits until every order has an answer.
    pub(crate) async fn end(mut self) -> Told {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

async fn post_all(work: Arc<Work>) {
    let mut gate = work.gate.clone();
    loop {
        let number = work.next.fetch_add(1, Ordering::SeqCst);
        if number >= work.orders || gate.wait_for(|gate| *gate > number).await.is_err() {
            return;
        }
        let (class, reference) = reference(work.seed, number);
        let mut draw = Draw::of(work.seed, &["shop", &reference]);
        let answer = post(&work, class, &reference, &mut draw).await;
        {
            let mut told = work.told.lock().unwrap();
            match answer {
                Ok(id) => told.accepted.insert(reference, id),
                Err(said) => told.refused.insert(reference, said),
            };
        }
        work.answered.send_modify(|answered| *answered += 1);
        // Orders come one after the other while something happens.
        tokio::time::sleep(draw.millis(20, 200)).await;
    }
}

/// Posts an order until it is accepted: what it is called here, or what was said last.
async fn post(work: &Work, class: Class, reference: &str, draw: &mut Draw) -> Result<String, String> {
    let lines: Vec<Value> = (0..=draw.below(3))
        .map(
            |_| json!({ "product": format!("P{}", draw.below(PRODUCTS)), "quantity": (1 + draw.below(9)).to_string() }),
        )
        .collect();
    let customer = format!("C{}", draw.below(CUSTOMERS));
    let order = json!({ "reference": reference, "customer": customer, "currency": "EUR", "lines": lines });
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        let daemon = &work.daemons[draw.below(work.daemons.len())];
        let request = work.http.post(format!("{}/v1/orders", daemon.address()));
        let said = match request.bearer_auth(site::key(class.name())).json(&order).send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                match response.json::<Value>().await {
                    Ok(answer) if status == 202 => return Ok(answer["id"].as_str().unwrap_or_default().to_owned()),
                    Ok(answer) if (400..500).contains(&status) && status != 408 && status != 429 => {
                        return Err(format!("{status}: {answer}"));
                    }
                    Ok(answer) => format!("{status}: {answer}"),
                    Err(error) => format!("{status}: {error}"),
                }
            }
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > LONGEST {
            return Err(said);
        }
        tries += 1;
        tokio::time::sleep(draw.millis(50, 200) * tries.min(5)).await;
    }
}
