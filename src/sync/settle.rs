//! What becomes of a run once its source is read: judged, held, approved or refused, applied by page.
//!
//! What does not live here: reading (`run`), and the rules of judging (`guard`).

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::error::SyncError;
use super::guard::{Verdict, judge};
use super::scope::Scopes;
use crate::config::Guard;
use crate::connector::is_since;
use crate::mapping::Mapping;
use crate::model::PartKind;
use crate::store::{Lease, Run, RunFilter, RunState, Source, SourceId, Store};

/// Differences applied by one transaction.
const APPLY: u32 = 1000;

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

pub(super) fn is_from_raw_place(place: &Json) -> bool {
    place.get(FROM_RAW).is_some()
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The run as it was recorded.
    pub run: Run,
}

/// Whether a run was made of the same by the same mapping.
pub(super) fn is_same(run: &Run, identity: &Json, mapping: &Mapping) -> bool {
    run.place.as_ref() == Some(identity) && run.mapping == mapping.digest
}

/// A source that was read, as far as a run wanted it.
pub(super) struct Read<'a> {
    pub store: &'a Arc<dyn Store>,
    pub lease: &'a Lease,
    pub scopes: &'a Scopes,
    pub source: &'a Source,
    pub guard: &'a Guard,
    /// Whether some of it was staged while other conditions of shops may have been in force.
    pub resumed: bool,
}

impl Read<'_> {
    /// Judges a run, and holds or applies it.
    pub(super) async fn settle(&self, mut run: Run, stop: Option<&watch::Receiver<bool>>) -> Result<Ended, SyncError> {
        let Self { store, lease, scopes, source, guard, resumed } = *self;
        self.supersede(&run).await?;
        if let Verdict::Hold(reason) = verdict(store, guard, source, &run).await? {
            run.state = RunState::Held;
            run.reason = Some(held_for(&run, &reason));
            run.ended_at = Some(Timestamp::now());
            store.save_run(lease, &run).await?;
            return Ok(Ended { run });
        }
        if resumed {
            rejudge(store, lease, &run, scopes).await?;
        }
        run.state = RunState::Applying;
        store.save_run(lease, &run).await?;
        apply(store, lease, run, stop).await
    }

    /// Takes for itself what a run over an ordered stream had read before it broke off, where it cannot go on: changes come in
    /// their order, so nothing is left out.
    pub(super) async fn keep(&self, mapping: &Mapping) -> Result<Option<Ended>, SyncError> {
        let Some((run, _)) = self.store.unfinished(self.source.id, false).await? else { return Ok(None) };
        let of_use = run.state == RunState::Running && run.watermark.is_some() && run.reached.is_none();
        if !of_use || run.mapping != mapping.digest || run.pages == 0 {
            return Ok(None);
        }
        let reason = Some("it broke off; what it had read by then is kept".to_owned());
        self.settle(Run { reason, ..run }, None).await.map(Some)
    }

    /// A run that was read to its end takes the place of those that still wait for approval. A complete pass is no answer to
    /// itself while only changes come: it stays, without what they tell anew.
    async fn supersede(&self, run: &Run) -> Result<(), SyncError> {
        // What the ERP offered is not answered by rows of before; made by another mapping it is void all the same.
        let stays = |held: &Run| {
            let kept = is_from_raw(run) && !is_from_raw(held);
            (kept || (!run.complete && held.complete)) && held.mapping == run.mapping
        };
        for held in held(self.store, self.source).await?.into_iter().filter(|held| !stays(held)) {
            let reason = Some(format!("run {} took its place", run.id));
            self.store.end_run(self.lease, &Run { state: RunState::Superseded, reason, ..held }, false).await?;
        }
        Ok(())
    }
}

/// Runs of a source that wait for approval.
pub(super) async fn held(store: &Arc<dyn Store>, source: &Source) -> Result<Vec<Run>, SyncError> {
    let filter = RunFilter {
        connection: Some(source.connection.clone()),
        kind: Some(source.kind),
        state: Some(RunState::Held),
        limit: 100,
    };
    let held = store.runs(&filter).await?;
    Ok(held.into_iter().filter(|run| run.source == source.id).collect())
}

/// What the guard says of a run. A first load is exempt, one that had failed before as well; but an empty answer never empties
/// the shop.
pub(super) async fn verdict(
    store: &Arc<dyn Store>,
    guard: &Guard,
    source: &Source,
    run: &Run,
) -> Result<Verdict, SyncError> {
    if source.verified_at.is_none() && run.counts.read > 0 && !is_from_raw(run) {
        return Ok(Verdict::Apply);
    }
    // Counting millions takes as long as recognising some hundred thousand: only where those that the run met are too
    // few for its shares.
    let counts = run.counts;
    let met = counts.unchanged + counts.updated + counts.deleted;
    if counts.read > 0 && judge(guard, &counts, met, run.complete) == Verdict::Apply {
        return Ok(Verdict::Apply);
    }
    Ok(judge(guard, &counts, store.count(source.id).await?, run.complete))
}

/// Why a run is held, behind what is said of it anyway.
pub(super) fn held_for(run: &Run, reason: &str) -> String {
    run.reason.as_ref().map_or_else(|| reason.to_owned(), |said| format!("{said}; {reason}"))
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
    let run = waiting(store, id).await?;
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
    for complete in [false, true] {
        if let Some((run, _)) = store.unfinished(source, complete).await?
            && run.state == RunState::Applying
        {
            rejudge(store, lease, &run, scopes).await?;
            return apply(store, lease, run, None).await.map(Some);
        }
    }
    Ok(None)
}

/// Drops what a run has staged; what it read counts as taken, and is not read again unless it changes.
///
/// # Errors
/// [`SyncError::NoRun`], [`SyncError::NotHeld`], and the store's.
pub async fn refuse(store: &Arc<dyn Store>, lease: &Lease, id: &str, reason: &str) -> Result<Run, SyncError> {
    let run = waiting(store, id).await?;
    let run =
        Run { state: RunState::Refused, reason: Some(reason.to_owned()), ended_at: Some(Timestamp::now()), ..run };
    store.end_run(lease, &run, !is_from_raw(&run)).await?;
    Ok(run)
}

async fn waiting(store: &Arc<dyn Store>, id: &str) -> Result<Run, SyncError> {
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
    let since = run.place.as_ref().and_then(|place| place.get("content")).is_some_and(is_since);
    if is_from_raw(&run) || since {
        // The source was not asked, or not for all that it was due: it is not verified, and its watermark stays.
        store.end_run(lease, &run, false).await?;
    } else {
        store.finish_run(lease, &run).await?;
    }
    Ok(Ended { run })
}
