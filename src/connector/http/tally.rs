//! The way to the ledger that all processes of a store share: claims are kept before they are used, and what became of them is
//! told soon.
//!
//! While the keeper fails, what was claimed is used up in its time, and nothing more: a limit is not exceeded because nobody
//! can be asked.
//!
//! What does not live here: what counts (`ledger`, `claims`), and waiting for a turn (`limit`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::budget::{Refusal, Urgency};
use super::claims::{Claims, Visit};
use super::ledger::{Clock, Ledger, Terms};
use crate::connector::keep::{KeepError, Keeper};

/// What the ledger is kept under.
const NAME: &str = "limit";

/// The longest that one visit may take.
const KEEPING: Duration = Duration::from_secs(5);

/// How often a visit is tried while others keep theirs, and how much longer is waited each time.
const VISITS: u32 = 50;
const APART: Duration = Duration::from_millis(1);

/// Between two tries to tell what became of claims while the keeper fails.
const AGAIN: Duration = Duration::from_secs(1);

/// Claims, and the way to the ledger.
#[derive(Debug)]
pub struct Tally {
    keeper: Arc<dyn Keeper>,
    connection: String,
    claims: Mutex<Claims>,
    /// Whoever visits the ledger holds it.
    visiting: tokio::sync::Mutex<()>,
    /// Something is to be told.
    owing: Notify,
}

/// A tally with a task that tells what became of claims. When this is dropped, the task tells the last of it and ends. Should
/// it end before, or not come to it, the claims run out in the ledger by themselves.
#[derive(Debug)]
pub struct Tended {
    tally: Arc<Tally>,
    /// Dropped, it ends the task.
    _end: oneshot::Sender<()>,
}

impl Tended {
    /// A tally of the connection of this name.
    pub fn new(keeper: &Arc<dyn Keeper>, connection: &str, terms: Terms) -> Self {
        let claims = Claims::new(uuid::Uuid::now_v7().to_string(), terms);
        let tally = Arc::new(Tally {
            keeper: Arc::clone(keeper),
            connection: connection.to_owned(),
            claims: Mutex::new(claims),
            visiting: tokio::sync::Mutex::default(),
            owing: Notify::new(),
        });
        let (end, ended) = oneshot::channel();
        tokio::spawn(tend(Arc::clone(&tally), ended));
        Self { tally, _end: end }
    }

    /// The tally.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Tally {
    /// Uses a claim, as [`Claims::take`].
    ///
    /// # Errors
    /// The same.
    pub fn take(&self, now: Instant, urgency: Urgency) -> Result<(), Refusal> {
        self.claims().take(now, urgency)
    }

    /// A request has its answer, or is given up.
    pub fn answered(&self, now: Instant) {
        self.claims().answered(now);
        self.owing.notify_one();
    }

    /// The system wants no request before this instant.
    pub fn pause(&self, until: Instant) {
        self.claims().pause(until);
        self.owing.notify_one();
    }

    /// How much was left of each rate, of all processes together.
    pub fn left(&self) -> Vec<u32> {
        self.claims().left().to_vec()
    }

    /// Claims requests, and says before when the system wants none. Where none may be claimed, [`Claims::take`] says until
    /// when.
    ///
    /// # Errors
    /// Where the ledger cannot be read or kept.
    pub async fn claim(&self, urgency: Urgency) -> Result<Option<Instant>, KeepError> {
        self.visit(Some(urgency)).await
    }

    async fn visit(&self, wanted: Option<Urgency>) -> Result<Option<Instant>, KeepError> {
        let visits = async {
            let _visiting = self.visiting.lock().await;
            for tried in 1..=VISITS {
                // Whoever waited may find that another one claimed for him.
                let unclaimed = |urgency| self.claims().look(Instant::now(), urgency) == Err(Refusal::Unclaimed);
                if !wanted.is_none_or(unclaimed) {
                    return Ok(None);
                }
                match self.try_visit(wanted).await? {
                    Some(visit) => return Ok(visit.pause),
                    None => tokio::time::sleep(APART * tried).await,
                }
            }
            Err(KeepError("others save what the connection keeps all the time".into()))
        };
        let visited = tokio::time::timeout(KEEPING, visits).await;
        visited.unwrap_or_else(|_| Err(KeepError(format!("no answer within {KEEPING:?}").into())))
    }

    /// Visits the ledger; nothing where another one kept it meanwhile.
    async fn try_visit(&self, wanted: Option<Urgency>) -> Result<Option<Visit>, KeepError> {
        let before = Instant::now();
        let (kept, now) = self.keeper.load(&self.connection, NAME).await?;
        let clock = Clock { before, after: Instant::now(), now: now.as_millisecond() };
        let mut ledger = kept.as_ref().map_or_else(Ledger::default, |kept| self.read(&kept.value));
        let visit = self.claims().visit(&mut ledger, clock, wanted);
        if visit.changes {
            // Should nobody wait for it any more, it is told that nothing came of it.
            self.owing.notify_one();
            let bytes = ledger.to_bytes().map_err(|error| KeepError(Box::new(error)))?;
            if !self.keeper.save(&self.connection, NAME, &bytes, kept.map(|kept| kept.version)).await? {
                return Ok(None);
            }
        }
        self.claims().settled(&visit);
        Ok(Some(visit))
    }

    /// A ledger that cannot be read would stop the connection for ever.
    fn read(&self, bytes: &[u8]) -> Ledger {
        Ledger::of_bytes(bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, connection = self.connection, "what was used of the limit cannot be read; it is counted anew");
            Ledger::default()
        })
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what became of claims, soon but not each by itself.
async fn tend(tally: Arc<Tally>, mut ended: oneshot::Receiver<()>) {
    let settle = tally.claims().settle();
    let mut wait = settle;
    let mut goes_on = true;
    while goes_on {
        goes_on = tokio::select! {
            () = tally.owing.notified() => tokio::time::timeout(wait, &mut ended).await.is_err(),
            _ = &mut ended => false,
        };
        if !goes_on {
            tally.claims().end();
        }
        if !tally.claims().owes() {
            continue;
        }
        wait = match tally.visit(None).await {
            Ok(_) => settle,
            Err(error) => {
                tracing::debug!(%error, connection = tally.connection, "what became of requests cannot be told yet");
                AGAIN.max(settle)
            }
        };
        if tally.claims().owes() {
            tally.owing.notify_one();
        }
    }
}
