//! A pull: whatever a stream offers now is read, a run each; and what one would come to, without storing.
//!
//! What does not live here: when (`schedule`), a single run (`run`), and a look at the first records (`preview`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::error::SyncError;
use super::keyed;
use super::lease::Held;
use super::plan::{Plan, Pull};
use super::run::{Job, Pass, Start};
use super::settle::{Ended, Read, approve, finish, held, is_same, refuse};
use crate::config::values::Interval;
use crate::connector::format::Reader;
use crate::connector::{Offer, Verify, Wanted};
use crate::store::{Lease, Run, RunState, Source, SourceId, Store};

/// What was read is remembered this long after it has gone.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Executes pulls, one of a source at a time.
#[derive(Debug)]
pub struct Puller {
    pub(super) store: Arc<dyn Store>,
    pub(super) stop: watch::Receiver<bool>,
    busy: Mutex<HashMap<SourceId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What of a source a pull is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What changed since the pull before; everything where that cannot be told.
    Changes,
    /// Everything, also what was taken already.
    Full,
    /// What changed since an instant, whatever was read before; how far the source was read stays as it is.
    Since(Timestamp),
}

impl From<bool> for Extent {
    fn from(full: bool) -> Self {
        if full { Self::Full } else { Self::Changes }
    }
}

/// A run of a pull and what it read.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// What was read, as messages name it.
    pub source: String,
    /// The run.
    pub run: Run,
}

impl Puller {
    /// Pulls into a store, until `stop` is true: then a run ends after its page.
    pub fn new(store: Arc<dyn Store>, stop: watch::Receiver<bool>) -> Self {
        Self { store, stop, busy: Mutex::default() }
    }

    /// Reads what the stream offers and was not taken yet; in full, a complete content that was taken is read again.
    /// Calls `ended` after each run.
    ///
    /// # Errors
    /// The first that a run fails with; runs before it stand.
    pub async fn pull(
        &self,
        plan: &Plan,
        pull: &Pull,
        extent: impl Into<Extent> + Send,
        mut ended: impl FnMut(&Pulled) + Send,
    ) -> Result<Vec<Pulled>, SyncError> {
        let extent = extent.into();
        let source = self.source(pull).await?;
        let busy = self.busy(source.id);
        let _turn = busy.lock().await;
        let held = Held::take(&self.store, source.id).await?;
        let pulled = self.pull_all(plan, pull, extent, &held.lease, &mut ended).await;
        held.end().await;
        pulled
    }

    async fn pull_all(
        &self,
        plan: &Plan,
        pull: &Pull,
        extent: Extent,
        lease: &Lease,
        ended: &mut (impl FnMut(&Pulled) + Send),
    ) -> Result<Vec<Pulled>, SyncError> {
        let source = self.source(pull).await?;
        let work = Work { puller: self, plan, pull, lease };
        let mut note = Notes { pulled: Vec::new(), ended };
        let mut unsettled = None;
        if let Some(Ended { run }) = finish(&self.store, lease, &plan.scopes, source.id).await? {
            note.add(source_name(&run), run);
        }
        let (store, guard, scopes) = (&self.store, &pull.guard, &*plan.scopes);
        let read = Read { store, lease, scopes, source: &source, guard, resumed: true };
        if let Some(Ended { run }) = Box::pin(read.keep(&pull.mapping)).await? {
            note.add(source_name(&run), run);
        }
        // What was begun is brought to its end.
        let source = self.source(pull).await?;
        let extent = match extent {
            Extent::Changes if self.is_left(&source, pull).await? => Extent::Full,
            extent => extent,
        };
        let full = extent == Extent::Full;
        let offers = pull.link.connector.offers(&pull.mapping.stream, &wanted(&source, pull, extent)).await?;
        let identities: Vec<Json> = offers.iter().map(|offer| identity(offer, pull)).collect();
        for (offer, identity) in offers.into_iter().zip(&identities) {
            // The run before it may have been the first: what it verified counts now.
            let source = self.source(pull).await?;
            if offer.once && self.is_taken(&source, &offer, identity).await? && !(full && offer.complete) {
                if offer.complete {
                    self.supersede(lease, &source, identity).await?;
                }
                unsettled = unsettled.or(self.settle(plan, pull, &offer.identity).await.err());
                continue;
            }
            if !full && self.is_held(&source, &offer, identity, pull).await? {
                // Deltas go on only once a person has decided.
                break;
            }
            let (name, content) = (offer.name.clone(), offer.identity.clone());
            let run = work.execute(&offer, identity, &mut note).await?;
            let done = run.state == RunState::Done;
            // Records whose key had belonged to rows that are gone now: a system that numbers its rows anew.
            let freed = done && offer.complete && run.counts.conflicts > 0 && run.counts.deleted > 0;
            note.add(name.clone(), run);
            if !done {
                break;
            }
            if freed {
                let run = work.execute(&offer, identity, &mut note).await?;
                note.add(name, run);
            }
            unsettled = unsettled.or(self.settle(plan, pull, &content).await.err());
        }
        let pulled = note.pulled;
        if !pulled.is_empty() {
            let before = Timestamp::now().checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
            self.store.forget_taken(source.id, before, &identities).await?;
        }
        // What cannot be put away keeps nothing from being read.
        unsettled.map_or(Ok(pulled), Err)
    }

    /// What a pull would come to: nothing is stored.
    ///
    /// # Errors
    /// The first that a run fails with.
    pub async fn rehearse(&self, plan: &Plan, pull: &Pull, extent: Extent) -> Result<Vec<Pulled>, SyncError> {
        let mut pulled = Vec::new();
        // Nothing is committed, so nobody has to be kept out.
        let nobody = Lease { name: String::new(), fence: 0 };
        let source = self.source(pull).await?;
        for offer in pull.link.connector.offers(&pull.mapping.stream, &wanted(&source, pull, extent)).await? {
            let source = self.source(pull).await?;
            let identity = identity(&offer, pull);
            let name = offer.name.clone();
            let job = self.job(plan, pull, &nobody, source, offer, identity, Start::Anew).await?;
            let Ended { run } = Box::pin(job.rehearse()).await?;
            pulled.push(Pulled { source: name, run });
        }
        Ok(pulled)
    }

    /// Applies a held run, once no other run of its source is under way.
    ///
    /// # Errors
    /// As of [`approve`].
    pub async fn approve(&self, plan: &Plan, run: &str) -> Result<Run, SyncError> {
        let source = self.source_of(run).await?;
        let busy = self.busy(source);
        let _turn = busy.lock().await;
        let held = Held::take(&self.store, source).await?;
        let approved = approve(&self.store, &held.lease, &plan.scopes, run).await;
        held.end().await;
        Ok(approved?.run)
    }

    /// Drops a held run, once no other run of its source is under way.
    ///
    /// # Errors
    /// As of [`refuse`].
    pub async fn refuse(&self, run: &str, reason: &str) -> Result<Run, SyncError> {
        let source = self.source_of(run).await?;
        let busy = self.busy(source);
        let _turn = busy.lock().await;
        let held = Held::take(&self.store, source).await?;
        let refused = refuse(&self.store, &held.lease, run, reason).await;
        held.end().await;
        refused
    }

    /// Waits until no run of a source is under way here, and keeps every other one out until what comes back has ended.
    ///
    /// # Errors
    /// [`SyncError::Elsewhere`] where another process is at the source; the store's.
    pub async fn alone(&self, source: SourceId) -> Result<(tokio::sync::OwnedMutexGuard<()>, Held), SyncError> {
        let turn = self.busy(source).lock_owned().await;
        Ok((turn, Held::take(&self.store, source).await?))
    }

    pub(super) async fn source(&self, pull: &Pull) -> Result<Source, SyncError> {
        Ok(self.store.source(&pull.link.name, &pull.mapping.stream, pull.mapping.kind).await?)
    }

    pub(super) fn busy(&self, source: SourceId) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(busy.entry(source).or_default())
    }

    async fn source_of(&self, run: &str) -> Result<SourceId, SyncError> {
        let run = self.store.run(run).await?.ok_or_else(|| SyncError::NoRun(run.to_owned()))?;
        Ok(run.source)
    }

    #[allow(clippy::too_many_arguments)]
    async fn job(
        &self,
        plan: &Plan,
        pull: &Pull,
        lease: &Lease,
        source: Source,
        offer: Offer,
        identity: Json,
        start: Start,
    ) -> Result<Job, SyncError> {
        let pass = match (offer.complete, offer.stable) {
            (false, _) => Pass::Changes,
            (true, true) => Pass::Complete,
            (true, false) => Pass::Shifting,
        };
        let offer = match &start {
            Start::At(place) => offer.behind(Some(place.clone())),
            Start::Counted | Start::Anew => offer,
        };
        let input = tokio::task::spawn_blocking(move || offer.open())
            .await
            .map_err(|_| SyncError::Stopped("the opening of the source"))??;
        Ok(Job { pass, start, ..self.job_over(plan, pull, lease, source, identity, input) })
    }

    /// A run over records, as the plan wants it; not a complete pass, and nothing is said of it.
    pub(super) fn job_over(
        &self,
        plan: &Plan,
        pull: &Pull,
        lease: &Lease,
        source: Source,
        identity: Json,
        (reader, verify): (Box<dyn Reader>, Verify),
    ) -> Job {
        Job {
            store: Arc::clone(&self.store),
            lease: lease.clone(),
            mapping: Arc::clone(&pull.mapping),
            setting: pull.link.setting.clone(),
            scopes: Arc::clone(&plan.scopes),
            source,
            guard: pull.guard,
            pass: Pass::Changes,
            start: Start::Counted,
            pause: None,
            keep_raw: plan.keep_raw,
            reason: None,
            identity,
            reader,
            verify,
            stop: self.stop.clone(),
        }
    }

    /// A complete content is taken where it is what was taken last, by this mapping and these settings; an older one
    /// that is back counts as new. A delta is never read twice: what came after it would be undone.
    async fn is_taken(&self, source: &Source, offer: &Offer, identity: &Json) -> Result<bool, SyncError> {
        if offer.complete {
            return Ok(source.place.as_ref() == Some(identity));
        }
        let taken = self.store.taken(source.id).await?;
        Ok(taken.iter().any(|t| content_of(&t.identity) == Some(&offer.identity)))
    }

    /// Where the newest content is one that was taken, runs over another that wait for approval are void.
    async fn supersede(&self, lease: &Lease, source: &Source, identity: &Json) -> Result<(), SyncError> {
        for held in held(&self.store, source).await?.into_iter().filter(|run| run.place.as_ref() != Some(identity)) {
            let reason = Some("what was read before it is the newest again".to_owned());
            self.store.end_run(lease, &Run { state: RunState::Superseded, reason, ..held }, false).await?;
        }
        Ok(())
    }

    /// Whether the guard holds a run over this very content, or over the changes that would be asked for again, made by this
    /// very mapping.
    async fn is_held(&self, source: &Source, offer: &Offer, identity: &Json, pull: &Pull) -> Result<bool, SyncError> {
        let again = |run: &Run| !offer.once && !offer.complete && !run.complete;
        let same =
            |run: &Run| (run.place.as_ref() == Some(identity) || again(run)) && run.mapping == pull.mapping.digest;
        Ok(held(&self.store, source).await?.iter().any(same))
    }

    /// Whether a complete pass broke off that can go on.
    async fn is_left(&self, source: &Source, pull: &Pull) -> Result<bool, SyncError> {
        let Some((run, _)) = self.store.unfinished(source.id, true).await? else { return Ok(false) };
        let as_now = setting_of(run.place.as_ref()) == Some(&setting(pull)) && run.mapping == pull.mapping.digest;
        Ok(as_now && run.reached.is_some())
    }

    /// From where on an offer is read.
    async fn start(&self, source: &Source, pull: &Pull, offer: &Offer, identity: &Json) -> Result<Start, SyncError> {
        if offer.is_counted() {
            return Ok(Start::Counted);
        }
        let left = self.store.unfinished(source.id, offer.complete).await?;
        let same = left.filter(|(run, _)| is_same(run, identity, &pull.mapping));
        Ok(same.and_then(|(run, _)| run.reached).map_or(Start::Anew, Start::At))
    }

    /// Archives or deletes what was read, once every pull that reads it has taken it.
    async fn settle(&self, plan: &Plan, pull: &Pull, content: &Json) -> Result<(), SyncError> {
        let connector = &pull.link.connector;
        for other in plan.pulls_of(&pull.link.name, None) {
            if other.mapping.stream == pull.mapping.stream && other.mapping.kind == pull.mapping.kind {
                continue;
            }
            if connector.same_files(&other.mapping.stream, &pull.mapping.stream) {
                let source = self.source(&other).await?;
                let taken = self.store.taken(source.id).await?;
                if !taken.iter().any(|t| content_of(&t.identity) == Some(content)) {
                    return Ok(());
                }
            }
        }
        Ok(connector.settle(&pull.mapping.stream, content).await?)
    }
}

/// What a pull has executed so far.
struct Notes<'a, F> {
    pulled: Vec<Pulled>,
    ended: &'a mut F,
}

impl<F: FnMut(&Pulled) + Send> Notes<'_, F> {
    fn add(&mut self, source: String, run: Run) {
        let pulled = Pulled { source, run };
        (self.ended)(&pulled);
        self.pulled.push(pulled);
    }
}

/// Runs of a pull under its lease.
struct Work<'a> {
    puller: &'a Puller,
    plan: &'a Plan,
    pull: &'a Pull,
    lease: &'a Lease,
}

impl Work<'_> {
    /// Executes a run over an offer. A complete pass that can go on between two pages makes room there for the changes that
    /// are due.
    async fn execute<F: FnMut(&Pulled) + Send>(
        &self,
        offer: &Offer,
        identity: &Json,
        notes: &mut Notes<'_, F>,
    ) -> Result<Run, SyncError> {
        let Self { puller, plan, pull, lease } = *self;
        loop {
            let source = puller.source(pull).await?;
            let start = puller.start(&source, pull, offer, identity).await?;
            if offer.complete && matches!(start, Start::At(_)) {
                self.catch_up(&source, notes).await?;
            }
            let changes = offer.complete && wanted(&source, pull, Extent::Changes).after.is_some();
            let every = pull.schedule.every.filter(|_| changes).map(Interval::duration);
            let pause = every.and_then(|every| Instant::now().checked_add(every));
            let job = puller.job(plan, pull, lease, source, offer.clone(), identity.clone(), start).await?;
            match Box::pin(Job { pause, ..job }.execute()).await {
                Err(SyncError::Paused) => {}
                ended => return Ok(ended?.run),
            }
        }
    }

    /// Pulls what changed, while a complete pass waits.
    async fn catch_up<F: FnMut(&Pulled) + Send>(
        &self,
        source: &Source,
        notes: &mut Notes<'_, F>,
    ) -> Result<(), SyncError> {
        let Self { puller, plan, pull, lease } = *self;
        let wanted = wanted(source, pull, Extent::Changes);
        if wanted.after.is_none() {
            return Ok(());
        }
        for offer in pull.link.connector.offers(&pull.mapping.stream, &wanted).await? {
            let identity = identity(&offer, pull);
            if offer.complete || puller.is_held(source, &offer, &identity, pull).await? {
                continue;
            }
            let name = offer.name.clone();
            let start = puller.start(source, pull, &offer, &identity).await?;
            let job = puller.job(plan, pull, lease, source.clone(), offer, identity, start).await?;
            let Ended { run } = Box::pin(job.execute()).await?;
            notes.add(name, run);
        }
        Ok(())
    }
}

/// What tells a run's input from another: the content, and whatever besides the mapping decides what it becomes.
fn identity(offer: &Offer, pull: &Pull) -> Json {
    json!({ "content": offer.identity, SETTING: setting(pull) })
}

/// Where an identity has what decides what records become.
const SETTING: &str = "setting";

fn setting_of(place: Option<&Json>) -> Option<&str> {
    place?.get(SETTING)?.as_str()
}

fn setting(pull: &Pull) -> String {
    let salt = keyed::salt(&pull.mapping, &pull.link.setting);
    blake3::hash(salt.as_bytes()).to_hex()[..32].to_owned()
}

/// What is to be read: changes, where it is known how far the source was read by this very mapping and these settings.
fn wanted(source: &Source, pull: &Pull, extent: Extent) -> Wanted {
    let same = setting_of(source.place.as_ref()) == Some(&setting(pull));
    let known = same && source.verified_at.is_some();
    match extent {
        Extent::Changes => Wanted { after: source.watermark.clone().filter(|_| known), since: None },
        Extent::Full => Wanted::default(),
        Extent::Since(since) => Wanted { after: None, since: Some(since) },
    }
}

fn content_of(identity: &Json) -> Option<&Json> {
    identity.get("content")
}

/// What a run read, as messages name it.
fn source_name(run: &Run) -> String {
    let file = run.place.as_ref().and_then(content_of).and_then(|content| content.get("file")).and_then(Json::as_str);
    file.map_or_else(|| run.stream.clone(), str::to_owned)
}
