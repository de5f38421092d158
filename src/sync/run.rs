//! One run of a sync: read, stage by page, judge, apply by page.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use roaring::RoaringTreemap;
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use super::erased::Erased;
use super::error::SyncError;
use super::flow::Flow;
use super::guard::Verdict;
use super::keyed::Keyer;
use super::page::Comparer;
use super::progress::{Progress, bytes};
use super::scope::Scopes;
use super::settle::{Ended, Read, finish, held, held_for, is_from_raw_place, is_same, verdict};
use super::validity;
use crate::config::Guard;
use crate::connector::Verify;
use crate::connector::format::Reader;
use crate::mapping::{Mapping, Setting};
use crate::store::{Known, Lease, Operation, Page, Rejection, Run, RunCounts, RunState, Source, Store};

/// Pages that are read, and pages that are compared, ahead of the next stage.
const AHEAD: usize = 2;

/// What is walked through at once.
const STEP: u32 = 1000;

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
    /// What of the source is read.
    pub pass: Pass,
    /// From where on it is read.
    pub start: Start,
    /// From when on it makes room for another run, between two pages that it can go on from.
    pub pause: Option<Instant>,
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

/// What of a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// What changed.
    Changes,
    /// Everything: what it lacks is deleted.
    Complete,
    /// Everything, in pages that may shift: what it lacks is deleted where the pass before lacked it too.
    Shifting,
}

/// From where on a source is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// From its beginning: of a run that broke off, what was read is passed over, since the same comes again.
    Counted,
    /// From its beginning, whatever ran before.
    Anew,
    /// From the place on where the run that broke off stood.
    At(Json),
}

impl Pass {
    /// Whether everything is read.
    pub fn is_complete(self) -> bool {
        self != Self::Changes
    }
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
        let Self { store, lease, mapping, setting, scopes, source, guard, pass, .. } = self;
        let Self { start, pause, keep_raw, reason, identity, reader, verify, stop, .. } = self;
        let execution = Execution {
            store,
            lease,
            mapping,
            setting,
            scopes,
            source,
            guard,
            pass,
            start,
            pause,
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
    pass: Pass,
    start: Start,
    pause: Option<Instant>,
    keep_raw: bool,
    reason: Option<String>,
    identity: Json,
    /// Whether pages are stored, or only counted.
    stores: bool,
    stop: watch::Receiver<bool>,
}

impl Execution {
    async fn execute(self, reader: Box<dyn Reader>, verify: Verify) -> Result<Ended, SyncError> {
        let Begun { mut run, mut progress, skip, resumed, overtakes } = self.begin().await?;
        let pages = run.pages;
        // All that reading takes is kept apart: this future is held by many others.
        match Box::pin(self.read(&mut run, &mut progress, skip, &overtakes, reader, verify)).await {
            Ok(()) => {}
            Err(error @ (SyncError::Store(_) | SyncError::Interrupted | SyncError::Paused)) => return Err(error),
            // What it has is kept, as long as it comes any further.
            Err(error @ SyncError::Source { .. }) if run.pages > pages && goes_on(&run) => {
                run.reason = Some(format!("it broke off, and goes on from there: {error}"));
                self.store.save_run(&self.lease, &run).await?;
                return Err(error);
            }
            Err(error) => {
                run.state = RunState::Failed;
                run.reason = Some(error.to_string());
                run.ended_at = Some(Timestamp::now());
                self.store.end_run(&self.lease, &run, false).await?;
                return Err(error);
            }
        }
        let Self { store, lease, scopes, source, guard, stop, .. } = &self;
        let read = Read { store, lease, scopes, source, guard, resumed };
        read.settle(run, Some(stop)).await
    }

    async fn rehearse(mut self, reader: Box<dyn Reader>, verify: Verify) -> Result<Ended, SyncError> {
        self.stores = false;
        let mut run = self.run(false);
        let mut progress = Progress::new(self.has_rejections().await?);
        progress.missed = self.missed().await?;
        Box::pin(self.read(&mut run, &mut progress, 0, &[], reader, verify)).await?;
        run.state = RunState::Done;
        if let Verdict::Hold(reason) = verdict(&self.store, &self.guard, &self.source, &run).await? {
            run.state = RunState::Held;
            run.reason = Some(held_for(&run, &reason));
        }
        run.ended_at = Some(Timestamp::now());
        Ok(Ended { run })
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

    async fn begin(&self) -> Result<Begun, SyncError> {
        finish(&self.store, &self.lease, &self.scopes, self.source.id).await?;
        let rejections = self.has_rejections().await?;
        let complete = self.pass.is_complete();
        let overtakes = self.beside(complete).await?;
        if let Some((mut run, pages)) = self.store.unfinished(self.source.id, complete).await? {
            let begins = match &self.start {
                Start::Counted => true,
                Start::At(place) => run.reached.as_ref() == Some(place),
                Start::Anew => false,
            };
            if begins && is_same(&run, &self.identity, &self.mapping) {
                let skip = if self.start == Start::Counted { run.counts.read } else { 0 };
                let mut progress = Progress::resumed(&run, &pages, rejections)?;
                progress.missed = self.missed().await?;
                run.reason.clone_from(&self.reason);
                return Ok(Begun { run, progress, skip, resumed: true, overtakes });
            }
            self.give_up(run, "it broke off, and cannot go on from there").await?;
        }
        if matches!(self.start, Start::At(_)) {
            return Err(SyncError::Stopped("the run that was to go on"));
        }
        let loading = complete && self.source.verified_at.is_none() && self.store.count(self.source.id).await? == 0;
        let run = self.run(loading);
        self.store.begin_run(&self.lease, &run).await?;
        let mut progress = Progress::new(rejections);
        progress.missed = self.missed().await?;
        Ok(Begun { run, progress, skip: 0, resumed: false, overtakes })
    }

    /// Looks after a run of the other sort that broke off. Complete passes that can go on, or that wait for approval, are
    /// overtaken by a run over changes; any other that broke off is over.
    async fn beside(&self, complete: bool) -> Result<Vec<String>, SyncError> {
        let mut overtaken = Vec::new();
        if let Some((run, _)) = self.store.unfinished(self.source.id, !complete).await? {
            if run.complete && run.reached.is_some() && run.mapping == self.mapping.digest {
                overtaken.push(run.id);
            } else {
                self.give_up(run, "it broke off, and another run began").await?;
            }
        }
        // Kept rows are no newer than what was read.
        if complete || is_from_raw_place(&self.identity) {
            return Ok(Vec::new());
        }
        let held = held(&self.store, &self.source).await?.into_iter().filter(|run| run.complete);
        overtaken.extend(held.map(|run| run.id));
        Ok(overtaken)
    }

    async fn give_up(&self, run: Run, reason: &str) -> Result<(), SyncError> {
        let (reason, ended_at) = (Some(reason.to_owned()), Some(Timestamp::now()));
        let ended = Run { state: RunState::Superseded, reason, ended_at, ..run };
        Ok(self.store.end_run(&self.lease, &ended, false).await?)
    }

    fn run(&self, loading: bool) -> Run {
        Run {
            id: uuid::Uuid::now_v7().to_string(),
            source: self.source.id,
            connection: self.source.connection.clone(),
            stream: self.source.stream.clone(),
            kind: self.source.kind,
            complete: self.pass.is_complete(),
            state: RunState::Running,
            counts: RunCounts::default(),
            pages: 0,
            place: Some(self.identity.clone()),
            reached: None,
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
        overtakes: &[String],
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
            overtakes,
        };
        let Self { store, lease, stores, stop, pause, .. } = self;
        let flow = Flow { store, lease, comparer, stores: *stores, stop, pause: *pause };
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
            let rejections = self.store.rejections(Some(run.source), after, STEP).await?;
            let Some(last) = rejections.last() else { return Ok(()) };
            after = last.id;
            // A later run may have rejected what this one had read before.
            let over = |r: &&Rejection| r.run != run.id && r.at < run.started_at && !progress.has_rejection(r.id);
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
            let living = self.store.living(self.source.id, &after, STEP).await?;
            let Some(last) = living.last() else { return Ok(()) };
            after.clone_from(&last.source_key);
            let mut page = Page { number: run.pages, ..Page::default() };
            let mut seen = RoaringTreemap::new();
            for stored in living {
                // What a later run brought is there, wherever this one was by then.
                if progress.has_part(stored.id) || stored.changed_at >= run.started_at {
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
                let gone = self.pass == Pass::Complete || missed_before;
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
}

/// A run that was begun.
struct Begun {
    run: Run,
    progress: Progress,
    /// Records that are passed over.
    skip: u64,
    /// Whether one goes on that broke off.
    resumed: bool,
    /// The complete passes that wait meanwhile.
    overtakes: Vec<String>,
}

/// Whether what a run that broke off has read is of use: it can go on from there, or be taken for itself.
fn goes_on(run: &Run) -> bool {
    run.reached.is_some() || (!run.complete && run.watermark.is_some())
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("source", &self.source).field("pass", &self.pass).finish_non_exhaustive()
    }
}
