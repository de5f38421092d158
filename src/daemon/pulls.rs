//! Executing pulls when they are due: a task for each, renewed when the plan changes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::bridge::Bridge;
use super::scopes;
use crate::sync::{Plan, Pull, SyncError};

/// Pulls under way at once: each holds some pages in memory.
const AT_ONCE: usize = 4;

/// Complete passes among them: one can take hours, in which what changed elsewhere is still pulled.
const PASSES_AT_ONCE: usize = 2;

/// The wait after a pull that failed, doubled each time up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(30);
const LONGEST_RETRY: Duration = Duration::from_mins(15);

/// Executes the pulls of the plan in force until the daemon stops.
pub(super) async fn run(bridge: Arc<Bridge>, mut stop: watch::Receiver<bool>) {
    let (room, passes) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(PASSES_AT_ONCE)));
    let mut plans = bridge.plans();
    loop {
        let plan = Arc::clone(&plans.borrow_and_update());
        // Between two plans no pull is under way that would judge customers by the conditions of before.
        while let Err(error) = scopes::bring_up(&bridge.store, &plan.scopes).await {
            tracing::error!(%error, "the shops' scopes cannot be judged anew: shops are not served until they are");
            tokio::select! {
                () = tokio::time::sleep(FIRST_RETRY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
        let (replaced, gone) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for pull in &plan.pulls {
            let task = Task {
                bridge: Arc::clone(&bridge),
                plan: Arc::clone(&plan),
                pull: Arc::clone(pull),
                room: Arc::clone(&room),
                passes: Arc::clone(&passes),
                stop: stop.clone(),
                replaced: gone.clone(),
            };
            tasks.spawn(task.run());
        }
        let stopped = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => true,
            changed = plans.changed() => changed.is_err(),
            () = ended_early(&mut tasks) => false,
        };
        replaced.send_replace(true);
        // A run that is stopped goes on from its last page, under the next plan or at the next start.
        bridge.halt_pulls(true);
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
        if stopped {
            return;
        }
        bridge.halt_pulls(false);
    }
}

/// Comes back when a task panicked; one that has nothing scheduled may end.
async fn ended_early(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            report(ended);
            // A fault that comes at once each time must not turn into a busy loop.
            tokio::time::sleep(FIRST_RETRY).await;
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a pull broke off by a fault of the program; it is started again, please report it");
    }
}

struct Task {
    bridge: Arc<Bridge>,
    plan: Arc<Plan>,
    pull: Arc<Pull>,
    room: Arc<Semaphore>,
    passes: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    replaced: watch::Receiver<bool>,
}

impl Task {
    async fn run(mut self) {
        let mut begun = None;
        let mut failures = 0;
        // A complete pass that failed is still owed.
        let mut owed = false;
        // When the source was verified before another process was found at it.
        let mut elsewhere = None;
        loop {
            let now = Timestamp::now();
            let verified = self.bridge.verified_at(&self.pull).await.unwrap_or(None);
            let Some(due) = self.pull.schedule.next(now, begun, verified) else { return };
            let wait = match elsewhere {
                Some(_) => self.bridge.store.lease_time(),
                None if failures > 0 => retry_wait(failures),
                None => due.at.duration_since(now).unsigned_abs(),
            };
            self.bridge.note_next_run(&self.pull, now.checked_add(wait).ok());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
                _ = self.replaced.wait_for(|replaced| *replaced) => return,
            }
            let verified = self.bridge.verified_at(&self.pull).await.unwrap_or(verified);
            if elsewhere.take().is_some_and(|before| before != verified) {
                // The other process came to the end; what it did is not owed here any more.
                (failures, owed) = (0, false);
                continue;
            }
            owed |= due.full;
            // While too many others are at a complete pass, what changed is pulled, and the pass is still owed.
            let pass = match self.passes.try_acquire() {
                Ok(pass) if owed => Some(pass),
                Err(_) if owed && self.pull.schedule.every.is_none() => self.passes.acquire().await.ok(),
                _ => None,
            };
            let Ok(_room) = self.room.acquire().await else { return };
            begun = Some(Timestamp::now());
            let full = owed && pass.is_some();
            match self.bridge.pull(&self.plan, &self.pull, full).await {
                Ok(_) => (failures, owed) = (0, owed && !full),
                Err(SyncError::Interrupted) => return,
                // That is no failure. It is looked at again, for the other process may not come to the end.
                Err(SyncError::Elsewhere { .. }) => elsewhere = Some(verified),
                Err(_) => failures += 1,
            }
        }
    }
}

fn retry_wait(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(10))).min(LONGEST_RETRY)
}
