//! The way of pages through a run: read, compared, stored, each while the next one is at the step before.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::draft::{Compared, Fresh};
use super::error::SyncError;
use super::keyed::Chunk;
use super::page::Comparer;
use super::progress::Progress;
use crate::store::{Lease, Run, RunCounts, Store};

/// Pages that are read, and pages that are compared, ahead of the next step.
pub(super) const AHEAD: usize = 2;

/// What pages go through.
pub(super) struct Flow<'a> {
    pub store: &'a Arc<dyn Store>,
    pub lease: &'a Lease,
    pub comparer: Comparer<'a>,
    /// Whether pages are stored, or only counted.
    pub stores: bool,
    /// True once the daemon stops: the run ends after the page in hand.
    pub stop: &'a watch::Receiver<bool>,
    /// From when on a run that can go on later makes room for another.
    pub pause: Option<Instant>,
}

impl Flow<'_> {
    /// Takes all pages. The run has the counts of all of them afterwards.
    pub(super) async fn execute(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        mut chunks: mpsc::Receiver<Chunk>,
    ) -> Result<(), SyncError> {
        // A page is committed with the run as of that page.
        let (done, pages) = mpsc::channel::<Compared>(AHEAD);
        let comparing = async {
            let done = done;
            let mut draft = self.comparer.begin(run);
            loop {
                // What was compared is not kept waiting by a source that takes its time.
                let next = match draft.left() {
                    Some(left) => tokio::time::timeout(left, chunks.recv()).await.ok(),
                    None => Some(chunks.recv().await),
                };
                let compared = match next {
                    Some(None) => break,
                    Some(Some(chunk)) if run.loading => self.comparer.take_as_new(run, progress, chunk).await?,
                    next => {
                        if let Some(Some(chunk)) = next {
                            self.comparer.compare(run, progress, &mut draft, chunk).await?;
                        }
                        if !draft.is_due(run) {
                            continue;
                        }
                        let due = std::mem::replace(&mut draft, self.comparer.begin(run));
                        self.comparer.end(run, progress, due).await?
                    }
                };
                draft.number(run);
                if done.send(compared).await.is_err() {
                    return Ok(());
                }
            }
            // What is absent is told from what all pages have seen, so a run that goes on must know it.
            if !draft.is_empty() {
                // Whoever stores the pages has ended with an error of its own.
                let _ = done.send(self.comparer.end(run, progress, draft).await?).await;
            }
            Ok::<(), SyncError>(())
        };
        let ((), moved) = tokio::try_join!(comparing, self.keep(pages))?;
        moved.apply(&mut run.counts);
        Ok(())
    }

    /// Stores pages in their order; how the counts come out otherwise than the pages were compared.
    async fn keep(&self, mut pages: mpsc::Receiver<Compared>) -> Result<Moved, SyncError> {
        let mut moved = Moved::default();
        while let Some(mut compared) = pages.recv().await {
            moved.apply(&mut compared.run.counts);
            if !self.stores {
                continue;
            }
            let reached = compared.run.reached.is_some();
            match compared.fresh.take() {
                Some(fresh) => self.load(compared, fresh, &mut moved).await?,
                None => self.store.commit_page(self.lease, &compared.run, &compared.page).await?,
            }
            if *self.stop.borrow() {
                return Err(SyncError::Interrupted);
            }
            if reached && self.pause.is_some_and(|due| Instant::now() >= due) {
                return Err(SyncError::Paused);
            }
        }
        Ok(moved)
    }

    /// Stores a page of a first load. Where something of it is stored already, it is compared after all.
    async fn load(&self, compared: Compared, fresh: Fresh, moved: &mut Moved) -> Result<(), SyncError> {
        if self.store.commit_fresh(self.lease, &compared.run, &compared.page).await? {
            return Ok(());
        }
        let taken = compared.run.counts;
        let mut run = Run { counts: fresh.before, pages: compared.page.number, ..compared.run };
        moved.apply(&mut run.counts);
        let mut progress = Progress::new(true);
        let mut draft = self.comparer.begin(&run);
        self.comparer.compare(&mut run, &mut progress, &mut draft, fresh.chunk).await?;
        let again = self.comparer.end(&mut run, &mut progress, draft).await?;
        let applied = self.store.commit_load(self.lease, &again.run, &again.page).await?;
        run.counts.superseded += applied.superseded;
        moved.note(taken, run.counts);
        Ok(())
    }
}

/// By how much counts come out otherwise than pages were compared, in arithmetic that wraps around.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    by: RunCounts,
}

impl Moved {
    /// A page came out with other counts than those it was compared to.
    fn note(&mut self, compared: RunCounts, stored: RunCounts) {
        self.by = self.by.zip(stored, u64::wrapping_add).zip(compared, u64::wrapping_sub);
    }

    fn apply(self, counts: &mut RunCounts) {
        *counts = counts.zip(self.by, u64::wrapping_add);
    }
}
