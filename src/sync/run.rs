//! One run of a sync: read, stage by page, judge, apply by page.

use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringTreemap;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};

use super::erased::Erased;
use super::error::SyncError;
use super::flow::Flow;
use super::guard::{Verdict, judge};
use super::keyed::Keyer;
use super::page::Comparer;
use super::progress::{Progress, bytes};
use super::scope::Scopes;
use super::validity;
use crate::config::Guard;
use crate::connector::Verify;
use crate::connector::format::Reader;
use crate::mapping::{Mapping, Setting};
use crate::model::PartKind;
use crate::store::{
    Known, Lease, Operation, Page, Rejection, Run, RunCounts, RunFilter, RunState, Source, SourceId, Store,
};

/// Pages that are read, and pages that are compared, ahead of the next stage.
const AHEAD: usize = 2;

/// Differences applied by one transaction.
const APPLY: u32 = 1000;

/// What a run is to do.
pub struct Job {
    /// Where parts, runs and the feed are kept.
    pub store: Arc<dyn Store>,
    /// The lease on the source.
    pub lease: Lease,
    /// What turns the records into parts.
    pub mapping: Arc<Mapping>,
    /// What the mapping needs to know of the connection.
    pub setting: Setting,
    /// Which shops customers belong to.
    pub scopes: Arc<Scopes>,
    /// What is fed.
    pub source: Source,
    /// The limits.
    pub guard: Guard,
    /// Whether the source is read as a whole: what it lacks is deleted.
    pub complete: bool,
    /// Whether what it lacks is deleted at once; otherwise only where the next complete pass lacks it too.
    pub stable: bool,
    /// Whether the source rows of what differs are kept.
    pub keep_raw: bool,
    /// What is to be said of the run from its beginning.
    pub reason: Option<String>,
    /// What tells this content of the source from another: a run that broke off goes on only where it is the same.
    pub identity: Json,
    /// The records.
    pub reader: Box<dyn Reader>,
    /// Says, after reading, whether the source is still the one that was opened.
    pub verify: Verify,
    /// True once the daemon stops: the run ends after the page in hand.
    pub stop: watch::Receiver<bool>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The run as it was recorded.
    pub run: Run,
}

impl Job {
    /// Executes the run; an earlier run over the same content that broke off is continued.
    ///
    /// # Errors
    /// The run is recorded as failed where the source is to blame; a failing store leaves it unfinished, and the next
    /// execution continues it.
    pub async fn execute(self) -> Result<Ended, SyncError> {
        let (execution, reader, verify) = self.open();
        execution.execute(reader, verify).await
    }

    /// Reads, maps and compares everything and stores nothing: what the run would come to.
    ///
    /// # Errors
    /// As of [`Job::execute`].
    pub async fn rehearse(self) -> Result<Ended, SyncError> {
        let (execution, reader, verify) = self.open();
        execution.rehearse(reader, verify).await
    }

    fn open(self) -> (Execution, Box<dyn Reader>, Verify) {
        let Self { store, lease, mapping, setting, scopes, source, guard, complete, stable, .. } = self;
        let Self { keep_raw, reason, identity, reader, verify, stop, .. } = self;
        let execution = Execution {
            store,
            lease,
            mapping,
            setting,
            scopes,
            source,
            guard,
            complete,
            stable,
            keep_raw,
            reason,
            identity,
            stores: true,
            stop,
        };
        (execution, reader, verify)
    }
}

/// A job without what can be read only once.
struct Execution {
    store: Arc<dyn Store>,
    lease: Lease,
    mapping: Arc<Mapping>,
    setting: Setting,
    scopes: Arc<Scopes>,
    source: Source,
    guard: Guard,
    complete: bool,
    stable: bool,
    keep_raw: bool,
    reason: Option<String>,
    identity: Json,
    /// Whether pages are stored, or only counted.
    stores: bool,
    stop: watch::Receiver<bool>,
}

impl Execution {
    async fn execute(self, reader: Box<dyn Reader>, verify: Verify) -> Result<Ended, SyncError> {
        let (mut run, mut progress, skip) = self.begin().await?;
        // All that reading takes is kept apart: this future is held by many others.
        match Box::pin(self.read(&mut run, &mut progress, skip, reader, verify)).await {
            Ok(()) => {}
            Err(error @ (SyncError::Store(_) | SyncError::Interrupted)) => return Err(error),
            Err(error) => {
                run.state = RunState::Failed;
                run.reason = Some(error.to_string());
                run.ended_at = Some(Timestamp::now());
                self.store.end_run(&self.lease, &run, false).await?;
                return Err(error);
            }
        }
        self.supersede(&run).await?;
        if let Verdict::Hold(reason) = self.judge(&run).await? {
            run.state = RunState::Held;
            run.reason = Some(self.held_for(&reason));
            run.ended_at = Some(Timestamp::now());
            self.store.save_run(&self.lease, &run).await?;
            return Ok(Ended { run });
        }
        if skip > 0 {
            rejudge(&self.store, &self.lease, &run, &self.scopes).await?;
        }
        run.state = RunState::Applying;
        self.store.save_run(&self.lease, &run).await?;
        apply(&self.store, &self.lease, run, Some(&self.stop)).await
    }

    async fn rehearse(mut self, reader: Box<dyn Reader>, verify: Verify) -> Result<Ended, SyncError> {
        self.stores = false;
        let mut run = self.run(false);
        let mut progress = Progress::new(self.has_rejections().await?);
        progress.missed = self.missed().await?;
        Box::pin(self.read(&mut run, &mut progress, 0, reader, verify)).await?;
        run.state = RunState::Done;
        if let Verdict::Hold(reason) = self.judge(&run).await? {
            run.state = RunState::Held;
            run.reason = Some(self.held_for(&reason));
        }
        run.ended_at = Some(Timestamp::now());
        Ok(Ended { run })
    }

    /// A first load is exempt, one that had failed before as well; but an empty answer never empties the shop.
    async fn judge(&self, run: &Run) -> Result<Verdict, SyncError> {
        if self.source.verified_at.is_none() && run.counts.read > 0 && !is_from_raw(run) {
            return Ok(Verdict::Apply);
        }
        // Counting millions takes as long as recognising some hundred thousand: only where those that the run met are too
        // few for its shares.
        let counts = run.counts;
        let met = counts.unchanged + counts.updated + counts.deleted;
        if counts.read > 0 && judge(&self.guard, &counts, met, run.complete) == Verdict::Apply {
            return Ok(Verdict::Apply);
        }
        Ok(judge(&self.guard, &counts, self.store.count(self.source.id).await?, run.complete))
    }

    /// Why the run is held, behind what is said of it anyway.
    fn held_for(&self, reason: &str) -> String {
        self.reason.as_ref().map_or_else(|| reason.to_owned(), |said| format!("{said}; {reason}"))
    }

    async fn has_rejections(&self) -> Result<bool, SyncError> {
        Ok(self.store.rejected().await?.iter().any(|(source, _)| *source == self.source.id))
    }

    /// The parts that the complete pass before missed. Kept rows prove nothing of what the source has.
    async fn missed(&self) -> Result<RoaringTreemap, SyncError> {
        if is_from_raw_place(&self.identity) {
            return Ok(RoaringTreemap::new());
        }
        let missed = self.store.missed(self.source.id).await?;
        Ok(missed.into_iter().map(i64::unsigned_abs).collect())
    }

    async fn begin(&self) -> Result<(Run, Progress, u64), SyncError> {
        finish(&self.store, &self.lease, &self.scopes, self.source.id).await?;
        let rejections = self.has_rejections().await?;
        if let Some((run, pages)) = self.store.unfinished(self.source.id).await? {
            let same = run.place.as_ref() == Some(&self.identity)
                && run.mapping == self.mapping.digest
                && run.complete == self.complete;
            if same {
                let skip = run.counts.read;
                let mut progress = Progress::resumed(&run, &pages, rejections)?;
                progress.missed = self.missed().await?;
                return Ok((run, progress, skip));
            }
            let ended = Run {
                state: RunState::Superseded,
                reason: Some("it broke off, and the source or the mapping is another now".to_owned()),
                ended_at: Some(Timestamp::now()),
                ..run
            };
            self.store.end_run(&self.lease, &ended, false).await?;
        }
        let loading =
            self.complete && self.source.verified_at.is_none() && self.store.count(self.source.id).await? == 0;
        let run = self.run(loading);
        self.store.begin_run(&self.lease, &run).await?;
        let mut progress = Progress::new(rejections);
        progress.missed = self.missed().await?;
        Ok((run, progress, 0))
    }

    fn run(&self, loading: bool) -> Run {
        Run {
            id: uuid::Uuid::now_v7().to_string(),
            source: self.source.id,
            connection: self.source.connection.clone(),
            stream: self.source.stream.clone(),
            kind: self.source.kind,
            complete: self.complete,
            state: RunState::Running,
            counts: RunCounts::default(),
            pages: 0,
            place: Some(self.identity.clone()),
            mapping: self.mapping.digest.clone(),
            reason: self.reason.clone(),
            loading,
            started_at: Timestamp::now(),
            ended_at: None,
            watermark: None,
        }
    }

    /// Reads the source to its end; what differs is staged, or loaded straight in a first load.
    async fn read(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        skip: u64,
        reader: Box<dyn Reader>,
        verify: Verify,
    ) -> Result<(), SyncError> {
        let (read, records) = mpsc::channel(AHEAD);
        let (mapping, setting) = (Arc::clone(&self.mapping), self.setting.clone());
        let rows = self.store.rows_of_a_page();
        let reading =
            tokio::task::spawn_blocking(move || Keyer::new(&mapping, &setting).read(reader, skip, rows, &read));
        let erased = Erased::load(&self.store).await?;
        let comparer = Comparer {
            store: &self.store,
            mapping: &self.mapping,
            setting: &self.setting,
            scopes: &self.scopes,
            price_change: self.guard.price_change,
            erased: &erased,
            today: validity::today(Timestamp::now(), &self.setting.zone),
            keep_raw: self.keep_raw,
        };
        let flow = Flow { store: &self.store, lease: &self.lease, comparer, stores: self.stores, stop: &self.stop };
        flow.execute(run, progress, records).await?;
        reading.await.map_err(|_| SyncError::Stopped("the reader"))??;
        let verified =
            tokio::task::spawn_blocking(verify).await.map_err(|_| SyncError::Stopped("the source's check"))?;
        run.watermark = verified.map_err(SyncError::Moved)?;
        if run.complete && !run.loading {
            if self.stores {
                self.end_rejections(run, progress).await?;
            }
            if run.counts.unkeyed == 0 {
                self.stage_absent(run, progress).await?;
            } else {
                // Any of the absent may be one of those: absence proves nothing.
                let unkeyed = run.counts.unkeyed;
                run.reason =
                    Some(format!("nothing absent was deleted, since the key of {unkeyed} records cannot be told"));
            }
        }
        Ok(())
    }

    /// After a complete pass that ended well, a rejection that was not found again is over.
    async fn end_rejections(&self, run: &mut Run, progress: &Progress) -> Result<(), SyncError> {
        let mut after = 0;
        loop {
            let rejections = self.store.rejections(Some(run.source), after, APPLY).await?;
            let Some(last) = rejections.last() else { return Ok(()) };
            after = last.id;
            let over = |r: &&Rejection| r.run != run.id && !progress.has_rejection(r.id);
            let mended: Vec<i64> = rejections.iter().filter(over).map(|r| r.id).collect();
            if !mended.is_empty() {
                let page = Page { number: run.pages, mended, ..Page::default() };
                run.pages += 1;
                self.store.commit_page(&self.lease, run, &page).await?;
            }
        }
    }

    /// After a complete pass that ended well, what the source lacks is gone; where its pages may have shifted, only what the
    /// pass before lacked as well.
    async fn stage_absent(&self, run: &mut Run, progress: &mut Progress) -> Result<(), SyncError> {
        // Mostly everything is there still: then counting tells, and nothing has to be walked through.
        let mut absent = self.store.count(self.source.id).await?.saturating_sub(progress.parts());
        let mut after = String::new();
        while absent > 0 {
            let living = self.store.living(self.source.id, &after, APPLY).await?;
            let Some(last) = living.last() else { return Ok(()) };
            after.clone_from(&last.source_key);
            let mut page = Page { number: run.pages, ..Page::default() };
            let mut seen = RoaringTreemap::new();
            for stored in living {
                if progress.has_part(stored.id) {
                    continue;
                }
                let known = Known {
                    id: stored.id,
                    source_hash: stored.hash,
                    hash: stored.hash,
                    key: stored.key,
                    part: stored.part,
                };
                let missed_before = progress.see_part(stored.id, &mut seen);
                let gone = self.stable || missed_before;
                let operation = if gone { Operation::Delete } else { Operation::Miss };
                run.counts.deleted += u64::from(gone);
                run.counts.missed += u64::from(!gone);
                page.differences.push(progress.absence(operation, stored.source_key, known.hash, &known));
            }
            if page.differences.is_empty() {
                continue;
            }
            let found = page.differences.len() as u64;
            absent = absent.saturating_sub(found);
            run.pages += 1;
            // A run that goes on from here does not stage them once more.
            page.seen = bytes(&seen)?;
            if self.stores {
                self.store.commit_page(&self.lease, run, &page).await?;
            }
        }
        Ok(())
    }

    /// A run that was read to its end takes the place of those that still wait for approval.
    async fn supersede(&self, run: &Run) -> Result<(), SyncError> {
        let filter = RunFilter {
            connection: Some(run.connection.clone()),
            kind: Some(run.kind),
            state: Some(RunState::Held),
            limit: 100,
        };
        // What the ERP offered is not answered by rows of before; made by another mapping it is void all the same.
        let stays = |held: &Run| is_from_raw(run) && !is_from_raw(held) && held.mapping == run.mapping;
        let void = |held: &Run| held.source == run.source && !stays(held);
        for held in self.store.runs(&filter).await?.into_iter().filter(void) {
            let reason = Some(format!("run {} took its place", run.id));
            self.store.end_run(&self.lease, &Run { state: RunState::Superseded, reason, ..held }, false).await?;
        }
        Ok(())
    }
}

/// The place of a run over kept source rows has this key.
const FROM_RAW: &str = "from_raw";

/// The place of a run over kept source rows. Each is another one: where such a run broke off, the next begins anew.
pub(super) fn from_raw_place() -> Json {
    json!({ FROM_RAW: uuid::Uuid::now_v7().to_string() })
}

/// Whether a run goes over kept source rows.
fn is_from_raw(run: &Run) -> bool {
    run.place.as_ref().is_some_and(is_from_raw_place)
}

fn is_from_raw_place(place: &Json) -> bool {
    place.get(FROM_RAW).is_some()
}

/// Judges the staged customers of a run anew: the shops' conditions may be others than when they were staged.
async fn rejudge(store: &Arc<dyn Store>, lease: &Lease, run: &Run, scopes: &Scopes) -> Result<(), SyncError> {
    if run.kind != PartKind::Customer {
        return Ok(());
    }
    let mut after = -1;
    loop {
        let staged = store.staged(&run.id, after, APPLY).await?;
        let Some(last) = staged.last() else { return Ok(()) };
        after = last.position;
        let judged: Vec<(i64, Vec<String>)> = staged
            .iter()
            .filter_map(|d| {
                Some((d.position, scopes.of(&run.connection, &d.key.company, &d.content.as_ref()?.value())))
            })
            .collect();
        store.restage_shops(lease, &run.id, &judged).await?;
    }
}

/// Applies what a person approved; differences against content that changed meanwhile are left out and counted.
///
/// # Errors
/// [`SyncError::NoRun`], [`SyncError::NotHeld`], and the store's.
pub async fn approve(store: &Arc<dyn Store>, lease: &Lease, scopes: &Scopes, id: &str) -> Result<Ended, SyncError> {
    let run = held(store, id).await?;
    rejudge(store, lease, &run, scopes).await?;
    let run = Run { state: RunState::Applying, ..run };
    store.save_run(lease, &run).await?;
    apply(store, lease, run, None).await
}

/// Applies the rest of a source's run that was broken off while it was being applied.
///
/// # Errors
/// The store's.
pub async fn finish(
    store: &Arc<dyn Store>,
    lease: &Lease,
    scopes: &Scopes,
    source: SourceId,
) -> Result<Option<Ended>, SyncError> {
    match store.unfinished(source).await? {
        Some((run, _)) if run.state == RunState::Applying => {
            rejudge(store, lease, &run, scopes).await?;
            apply(store, lease, run, None).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Drops what a run has staged; what it read counts as taken, and is not read again unless it changes.
///
/// # Errors
/// [`SyncError::NoRun`], [`SyncError::NotHeld`], and the store's.
pub async fn refuse(store: &Arc<dyn Store>, lease: &Lease, id: &str, reason: &str) -> Result<Run, SyncError> {
    let run = held(store, id).await?;
    let run =
        Run { state: RunState::Refused, reason: Some(reason.to_owned()), ended_at: Some(Timestamp::now()), ..run };
    store.end_run(lease, &run, !is_from_raw(&run)).await?;
    Ok(run)
}

async fn held(store: &Arc<dyn Store>, id: &str) -> Result<Run, SyncError> {
    let run = store.run(id).await?.ok_or_else(|| SyncError::NoRun(id.to_owned()))?;
    if run.state == RunState::Held { Ok(run) } else { Err(SyncError::NotHeld { id: run.id, state: run.state.name() }) }
}

async fn apply(
    store: &Arc<dyn Store>,
    lease: &Lease,
    mut run: Run,
    stop: Option<&watch::Receiver<bool>>,
) -> Result<Ended, SyncError> {
    loop {
        let applied = store.apply_page(lease, &run.id, APPLY).await?;
        if applied.applied + applied.superseded == 0 {
            break;
        }
        run.counts.superseded += applied.superseded;
        if stop.is_some_and(|stop| *stop.borrow()) {
            return Err(SyncError::Interrupted);
        }
    }
    run.state = RunState::Done;
    run.ended_at = Some(Timestamp::now());
    if is_from_raw(&run) {
        // The source was not asked: it is not verified, and nothing new of it is taken.
        store.end_run(lease, &run, false).await?;
    } else {
        store.finish_run(lease, &run).await?;
    }
    Ok(Ended { run })
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("source", &self.source).field("complete", &self.complete).finish_non_exhaustive()
    }
}
