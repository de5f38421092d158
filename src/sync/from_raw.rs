//! The present mapping applied to the source rows that are kept, without asking the ERP: which rows these are, and the run
//! over them.
//!
//! The newest row of each living part counts; where a later row of its key was rejected, that one. A row whose key could
//! not be told, or that was the second of its key, is left to a pull. What does not live here: the form of kept rows
//! (`raw`), and what a candidate mapping would change (`map_diff`).

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::error::SyncError;
use super::lease::Held;
use super::plan::{Plan, Pull};
use super::pull::{Pulled, Puller};
use super::raw::{self, Rows};
use super::run::Job;
use super::settle::{Ended, finish, from_raw_place};
use crate::connector::Verify;
use crate::connector::format::{ReadError, Reader};
use crate::mapping::{Mapping, Setting};
use crate::record::{Fields, Place, Record};
use crate::store::{Lease, RawBatch, Rejection, Source, Store, Stored};

/// What runs over kept rows say that they read.
const KEPT: &str = "kept source rows";

/// Batches whose names are looked up at once.
const BATCHES: u32 = 100;

/// Rejections looked up at once.
const REJECTIONS: u32 = 500;

/// What broke off where the portions end without an end.
pub(super) const LOOKUP: SyncError = SyncError::Stopped("the lookup of kept rows");

/// Portions that are looked up ahead of their use.
const AHEAD: usize = 1;

/// Rows that a mapping is applied to again.
pub(super) enum Portion {
    /// Of a batch: the rows of these keys, with the parts they belong to.
    Batch { id: i64, batch: RawBatch, current: HashMap<String, Stored> },
    /// Records that were rejected before.
    Rejected(Vec<Rejection>),
    /// There are no more.
    End,
}

/// Looks up the rows of a source, in the order of batches, and then what was rejected; ends early where nobody takes
/// them any more.
pub(super) async fn walk(
    store: Arc<dyn Store>,
    source: Source,
    portions: mpsc::Sender<Result<Portion, SyncError>>,
) -> Result<(), SyncError> {
    let began = Timestamp::now();
    let mut after = 0;
    loop {
        let batches = store.raw_batches(source.id, after, BATCHES).await?;
        let Some(last) = batches.last() else { break };
        after = last.id;
        for kept in batches {
            // One that is pruned meanwhile has no rows any more.
            let Some(batch) = store.raw_batch(kept.id).await? else { continue };
            let (batch, keys) = tokio::task::spawn_blocking(move || raw::keys(&batch).map(|keys| (batch, keys)))
                .await
                .map_err(|_| SyncError::Stopped("the reading of kept rows"))??;
            let current = store.raw_current(source.id, kept.id, &keys).await?;
            if current.is_empty() {
                continue;
            }
            let keys: Vec<String> = current.iter().map(|part| part.source_key.clone()).collect();
            let rejected = store.known_rejections(source.id, &keys).await?;
            let newest = current.into_iter().zip(rejected).filter(|(_, rejected)| rejected.is_none());
            let current: HashMap<_, _> = newest.map(|(part, _)| (part.source_key.clone(), part)).collect();
            if portions.send(Ok(Portion::Batch { id: kept.id, batch, current })).await.is_err() {
                return Ok(());
            }
        }
    }
    let mut after = 0;
    loop {
        let rejections = store.rejections(Some(source.id), after, REJECTIONS).await?;
        let Some(last) = rejections.last() else {
            // Whoever took the portions has ended with an error of its own.
            let _ = portions.send(Ok(Portion::End)).await;
            return Ok(());
        };
        after = last.id;
        // What was rejected since then was rejected by this very mapping.
        let before = rejections.into_iter().filter(|r| r.at < began && has_key(r)).collect();
        if portions.send(Ok(Portion::Rejected(before))).await.is_err() {
            return Ok(());
        }
    }
}

/// Looks up the rows of a source in a task of its own. An error ends the portions.
pub(super) fn portions(store: &Arc<dyn Store>, source: &Source) -> mpsc::Receiver<Result<Portion, SyncError>> {
    let (send, receive) = mpsc::channel(AHEAD);
    let (store, source) = (Arc::clone(store), source.clone());
    tokio::spawn(async move {
        if let Err(error) = walk(store, source, send.clone()).await {
            // Whoever took the portions has ended with an error of its own.
            let _ = send.send(Err(error)).await;
        }
    });
    receive
}

/// Whether a rejected record is the newest of its key: otherwise it is noted under its place.
fn has_key(rejection: &Rejection) -> bool {
    rejection.source_key != rejection.place
}

/// A place as [`Place`] writes it.
fn place(text: &str) -> Place {
    let Some((head, record)) = text.rsplit_once("record ") else { return Place::default() };
    let head = head.strip_suffix(", ").unwrap_or(head);
    let (source, line) = match head.rsplit_once("line ") {
        Some((source, line)) if line.parse::<u64>().is_ok() => {
            (source.strip_suffix(", ").unwrap_or(source), line.parse().ok())
        }
        _ => (head, None),
    };
    let source = (!source.is_empty()).then(|| source.into());
    Place { source, record: record.parse().unwrap_or_default(), line }
}

/// The record of a rejection as it was read.
pub(super) fn rejected_record(rejection: &Rejection) -> Option<Record> {
    let fields = Fields::from_json_text(rejection.record.to_string().as_bytes()).ok()?;
    Some(Record { fields, place: place(&rejection.place) })
}

/// A batch that is being read.
struct Batch {
    id: i64,
    rows: Rows<Cursor<Vec<u8>>>,
    /// The parts whose rows are given.
    current: HashMap<String, Stored>,
}

/// Gives kept rows as records.
struct Kept {
    portions: mpsc::Receiver<Result<Portion, SyncError>>,
    mapping: Arc<Mapping>,
    setting: Setting,
    advice: String,
    rows: Option<Batch>,
    rejected: std::vec::IntoIter<Rejection>,
    batch: Option<i64>,
}

impl Kept {
    /// The next row with its key.
    fn take(&mut self) -> Result<Option<(String, Record)>, SyncError> {
        loop {
            if let Some(batch) = &mut self.rows {
                for row in &mut batch.rows {
                    let row = row?;
                    if batch.current.contains_key(&row.source_key) {
                        self.batch = Some(batch.id);
                        return Ok(Some((row.source_key.clone(), Record { fields: row.fields()?, place: row.place })));
                    }
                }
                self.rows = None;
            }
            self.batch = None;
            for rejection in self.rejected.by_ref() {
                if let Some(record) = rejected_record(&rejection) {
                    return Ok(Some((rejection.source_key, record)));
                }
            }
            match self.portions.blocking_recv() {
                None => return Err(LOOKUP),
                Some(portion) => match portion? {
                    Portion::End => return Ok(None),
                    Portion::Batch { id, batch, current } => {
                        self.rows = Some(Batch { id, rows: raw::into_rows(batch)?, current });
                    }
                    Portion::Rejected(rejected) => self.rejected = rejected.into_iter(),
                },
            }
        }
    }
}

impl Reader for Kept {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        let fatal = |place, message, hint| Some(Err(ReadError::Fatal { place, message, hint }));
        match self.take() {
            Ok(None) => None,
            Err(error) => {
                let place = Place { source: Some(KEPT.into()), ..Place::default() };
                fatal(place, error.to_string(), Some(self.advice.clone()))
            }
            Ok(Some((key, record))) => match self.mapping.key(&record.fields, &self.setting) {
                Ok(new) if new != key => {
                    let message = format!("the mapping makes the key '{new}' of the row that is kept as '{key}'");
                    fatal(record.place, message, Some(self.advice.clone()))
                }
                // A row whose key cannot be told any more is rejected as in any run.
                _ => Some(Ok(record)),
            },
        }
    }

    fn batch(&self) -> Option<i64> {
        self.batch
    }
}

impl Puller {
    /// Applies the present mapping to the kept source rows of a pull. The source counts as neither taken nor verified by
    /// it. With `dry_run` nothing is stored. Calls `ended` after each run.
    ///
    /// # Errors
    /// [`SyncError::KeepsNone`]; [`SyncError::Source`] where the mapping makes other keys, or rows are damaged; as of
    /// [`Puller::pull`].
    pub async fn pull_from_raw(
        &self,
        plan: &Plan,
        pull: &Pull,
        dry_run: bool,
        mut ended: impl FnMut(&Pulled) + Send,
    ) -> Result<Vec<Pulled>, SyncError> {
        if !plan.keep_raw {
            return Err(SyncError::KeepsNone { connection: pull.link.name.clone(), entity: pull.entity() });
        }
        let source = self.source(pull).await?;
        let name = |run| Pulled { source: KEPT.to_owned(), run };
        if dry_run {
            // Nothing is committed, so nobody has to be kept out.
            let nobody = Lease { name: String::new(), fence: 0 };
            let Ended { run } = Box::pin(self.job_from_raw(plan, pull, &nobody, source).await?.rehearse()).await?;
            return Ok(vec![name(run)]);
        }
        let busy = self.busy(source.id);
        let _turn = busy.lock().await;
        let held = Held::take(&self.store, source.id).await?;
        let executed = async {
            let mut pulled = Vec::new();
            if let Some(Ended { run }) = finish(&self.store, &held.lease, &plan.scopes, source.id).await? {
                pulled.push(Pulled { source: run.stream.clone(), run });
                pulled.iter().for_each(&mut ended);
            }
            let source = self.source(pull).await?;
            let Ended { run } = Box::pin(self.job_from_raw(plan, pull, &held.lease, source).await?.execute()).await?;
            pulled.push(name(run));
            pulled.last().into_iter().for_each(&mut ended);
            Ok(pulled)
        };
        let executed = executed.await;
        held.end().await;
        executed
    }

    async fn job_from_raw(&self, plan: &Plan, pull: &Pull, lease: &Lease, source: Source) -> Result<Job, SyncError> {
        let advice =
            format!("`tradebridge sync {} {} --full` reads the rows from the ERP", pull.link.name, pull.entity());
        let without = match self.store.without_raw(source.id).await? {
            0 => String::new(),
            1 => format!("; 1 record has no row any more: {advice}"),
            many => format!("; {many} records have no row any more: {advice}"),
        };
        let reason =
            format!("the mapping was applied to the source rows that are kept; the ERP was not asked{without}");
        let reader = Kept {
            portions: portions(&self.store, &source),
            mapping: Arc::clone(&pull.mapping),
            setting: pull.link.setting.clone(),
            advice,
            rows: None,
            rejected: Vec::new().into_iter(),
            batch: None,
        };
        let input: (Box<dyn Reader>, Verify) = (Box::new(reader), Box::new(|| Ok(None)));
        let job = self.job_over(plan, pull, lease, source, from_raw_place(), input);
        Ok(Job { keep_raw: true, reason: Some(reason), ..job })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for source in [None, Some("klanten, line 9, 2024.csv"), Some("prices.xml")] {
            for line in [None, Some(12)] {
                let written = Place { source: source.map(Into::into), record: 7, line };
                assert_eq!(place(&written.to_string()), written);
            }
        }
    }
}
