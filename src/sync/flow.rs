//! The way of pages through a run: read, compared, stored, each while the next one is at the step before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roaring::RoaringTreemap;
use tokio::sync::{mpsc, watch};

use super::draft::{Compared, Fresh};
use super::error::SyncError;
use super::keyed::Keyed;
use super::page::Comparer;
use super::progress::{Progress, bytes};
use crate::store::{Lease, Page, Run, RunCounts, Store};

/// Pages that are read, and pages that are compared, ahead of the next step.
pub(super) const AHEAD: usize = 2;

/// How long a run over what is known goes on without noting how far it is.
const NOTED: Duration = Duration::from_secs(1);

/// What pages go through.
pub(super) struct Flow<'a> {
    pub store: &'a Arc<dyn Store>,
    pub lease: &'a Lease,
    pub comparer: Comparer<'a>,
    /// Whether pages are stored, or only counted.
    pub stores: bool,
    /// True once the daemon stops: the run ends after the page in hand.
    pub stop: &'a watch::Receiver<bool>,
}

impl Flow<'_> {
    /// Takes all pages. The run has the counts of all of them afterwards.
    pub(super) async fn execute(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        mut records: mpsc::Receiver<Vec<Keyed>>,
    ) -> Result<(), SyncError> {
        // A page is committed with the run as of that page.
        let (done, pages) = mpsc::channel::<Compared>(AHEAD);
        let comparing = async {
            let done = done;
            while let Some(records) = records.recv().await {
                let compared = if run.loading {
                    self.comparer.take_as_new(run, progress, records).await?
                } else {
                    self.comparer.compare(run, progress, records).await?
                };
                if done.send(compared).await.is_err() {
                    break;
                }
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
        let mut waiting = Waiting::default();
        while let Some(mut compared) = pages.recv().await {
            moved.apply(&mut compared.run.counts);
            if !self.stores {
                continue;
            }
            match compared.fresh.take() {
                Some(fresh) => self.load(compared, fresh, &mut moved).await?,
                None => self.stage(compared, &mut waiting).await?,
            }
            if *self.stop.borrow() {
                self.note(&mut waiting).await?;
                return Err(SyncError::Interrupted);
            }
        }
        // What is absent is told from what all pages have seen, so a run that goes on must know it.
        self.note(&mut waiting).await?;
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
        let again = self.comparer.compare(&mut run, &mut progress, fresh.records).await?;
        let applied = self.store.commit_load(self.lease, &again.run, &again.page).await?;
        run.counts.superseded += applied.superseded;
        moved.note(taken, run.counts);
        Ok(())
    }

    /// Stages a page. One in which nothing differs only notes how far the run is, and that not each time.
    async fn stage(&self, compared: Compared, waiting: &mut Waiting) -> Result<(), SyncError> {
        let Compared { run, mut page, seen, .. } = compared;
        waiting.seen |= seen;
        let differs = !(page.differences.is_empty()
            && page.rejections.is_empty()
            && page.replaced.is_empty()
            && page.mended.is_empty());
        if differs {
            page.seen = bytes(&std::mem::take(waiting).seen)?;
            return Ok(self.store.commit_page(self.lease, &run, &page).await?);
        }
        waiting.page = Some((run, page.number));
        if waiting.since.elapsed() >= NOTED { self.note(waiting).await } else { Ok(()) }
    }

    async fn note(&self, waiting: &mut Waiting) -> Result<(), SyncError> {
        let Waiting { page, seen, .. } = std::mem::take(waiting);
        let Some((run, number)) = page else { return Ok(()) };
        let page = Page { number, seen: bytes(&seen)?, ..Page::default() };
        Ok(self.store.commit_page(self.lease, &run, &page).await?)
    }
}

/// Pages in which nothing differs and that are not noted yet.
struct Waiting {
    since: Instant,
    seen: RoaringTreemap,
    /// The run as of the last of them, and that one's number.
    page: Option<(Run, u32)>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { since: Instant::now(), seen: RoaringTreemap::new(), page: None }
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
