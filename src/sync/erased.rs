//! Persons whose data was erased: what a source still says of them is left out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::SyncError;
use super::raw::{self, RawError};
use crate::mapping::{Mapped, Outcome};
use crate::model::{Content, Key, PartKind, person};
use crate::store::{Lease, Person, RawBatch, Store, StoreError, Traces};

/// Who is left out.
#[derive(Debug, Default)]
pub(super) struct Erased {
    whole: HashSet<Key>,
    contacts: HashMap<Key, HashSet<String>>,
}

impl Erased {
    /// Everybody whom the store remembers to leave out.
    pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut erased = Self::default();
        for Person { customer, contact } in store.erased().await? {
            match contact {
                None => {
                    erased.whole.insert(customer);
                }
                Some(contact) => {
                    erased.contacts.entry(customer).or_default().insert(contact);
                }
            }
        }
        Ok(erased)
    }

    /// Leaves them out of what a record became; whether there was anything to leave out.
    pub(super) fn leave_out(&self, kind: PartKind, outcome: &mut Outcome) -> bool {
        if self.whole.is_empty() && self.contacts.is_empty() {
            return false;
        }
        let Outcome::Part(part) = outcome else { return false };
        let Mapped { company, identity, content, .. } = &mut **part;
        let customer = Key::new(company.clone(), identity.number.clone());
        let whole = self.whole.contains(&customer);
        let contacts = self.contacts.get(&customer);
        let gone = match kind {
            PartKind::Address => whole,
            PartKind::Contact => whole || contacts.is_some_and(|contacts| contacts.contains(&identity.part)),
            PartKind::Customer => {
                if !whole && contacts.is_none() {
                    return false;
                }
                let mut value = content.value();
                let mut changed = whole && person::leave_out_everything(&mut value);
                for contact in contacts.into_iter().flatten() {
                    changed |= person::leave_out_contact(&mut value, contact);
                }
                if changed {
                    *content = Content::of(kind, &value);
                }
                return changed;
            }
            _ => false,
        };
        if gone {
            *outcome = Outcome::Skipped;
        }
        gone
    }
}

/// Batches looked up at once.
const BATCHES: u32 = 50;

/// Takes the rows of a person out of the kept batches of the sources that named it, whatever the names of their fields;
/// how many rows. A batch that cannot be read is dropped.
///
/// # Errors
/// The store's; done once more it goes on.
pub async fn erase_rows(store: &Arc<dyn Store>, leases: &[Lease], traces: &Traces) -> Result<u64, SyncError> {
    let traces = Arc::new(traces.clone());
    let mut erased = 0;
    for source in traces.sources.iter().copied() {
        let mut after = 0;
        loop {
            let batches = store.raw_batches(source, after, BATCHES).await?;
            let Some(last) = batches.last() else { break };
            after = last.id;
            for kept in batches {
                let Some(batch) = store.raw_batch(kept.id).await? else { continue };
                let (traces, before) = (Arc::clone(&traces), kept.records);
                let rest = tokio::task::spawn_blocking(move || without(&batch, source, &traces))
                    .await
                    .map_err(|_| SyncError::Stopped("the reading of kept rows"))?;
                let rest = rest.unwrap_or_else(|error| {
                    tracing::warn!(%error, batch = kept.id, "kept rows cannot be read; they are dropped with the person's");
                    None
                });
                let left = rest.as_ref().map_or(0, |batch| batch.records);
                if left < before {
                    store.replace_raw(leases, kept.id, rest.as_ref()).await?;
                    erased += u64::from(before - left);
                }
            }
        }
    }
    Ok(erased)
}

/// A batch without the rows that name a person.
fn without(batch: &RawBatch, source: i64, traces: &Traces) -> Result<Option<RawBatch>, RawError> {
    raw::rewrite(batch, |key, row| {
        let named = traces.rows.contains(&(source, key.to_owned()));
        !named && !traces.are_in(&row.to_string().to_lowercase())
    })
}
