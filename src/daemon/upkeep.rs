//! Pruning beside normal work: in small steps with pauses, of several processes by one; and erasing persons.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::bridge::Bridge;
use crate::api::control::{ControlError, ErasePerson, ErasureReport, Pruned};
use crate::model::{Entity, Key};
use crate::store::{Erasure, KnownPerson, Lease, Person, StoreError, Surplus};
use crate::sync::{self, Held, SyncError};
use crate::telemetry;
use crate::telemetry::event::SurplusPruned;

/// After the start, what needs the disk more is done first.
const FIRST: Duration = Duration::from_mins(2);

/// Between two times that everything is looked through.
const EVERY: Duration = Duration::from_mins(30);

/// The shortest pause after a step. After a long one it is twice the step: others get the greater part of the time.
const PAUSE: Duration = Duration::from_millis(10);

/// The lease on it.
const LEASE: &str = "upkeep";

/// Prunes again and again until the daemon stops.
pub(super) async fn run(bridge: Arc<Bridge>, mut stop: watch::Receiver<bool>) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        wait = EVERY;
        let pruned = tokio::select! {
            pruned = bridge.prune() => pruned,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match pruned {
            // Another process does it.
            Ok(_) | Err(ControlError::Conflict(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "what is beyond its retention could not be dropped; it is tried again");
            }
        }
    }
}

impl Bridge {
    /// Drops everything that is beyond its retention, in small steps.
    pub(super) async fn prune(&self) -> Result<Vec<Pruned>, ControlError> {
        let held = Held::hold(&self.store, LEASE.to_owned()).await?;
        let held = held.ok_or_else(|| ControlError::Conflict("another process is pruning the store".to_owned()))?;
        let pruned = self.prune_all(&held.lease).await;
        held.end().await;
        match pruned {
            Err(StoreError::Fenced(_)) => Err(ControlError::Conflict("somebody else has begun to prune".to_owned())),
            pruned => Ok(pruned?),
        }
    }

    async fn prune_all(&self, lease: &Lease) -> Result<Vec<Pruned>, StoreError> {
        let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (what, before) in Surplus::all(&self.config().retention, Timestamp::now()) {
            let mut rows = 0;
            let mut from = Some(String::new());
            while let Some(at) = from {
                let begun = Instant::now();
                let step = self.store.prune(lease, what, before, &at).await?;
                rows += step.rows;
                from = step.next;
                if from.is_some() {
                    tokio::time::sleep((begun.elapsed() * 2).max(PAUSE)).await;
                }
            }
            if rows > 0 {
                telemetry::emit(SurplusPruned { what: what.name(), rows });
            }
            *sums.entry(what.name()).or_default() += rows;
        }
        Ok(sums.into_iter().map(|(what, rows)| Pruned { what: what.to_owned(), rows }).collect())
    }

    /// Finds persons and, where that is confirmed, erases them or lets them in again.
    pub(super) async fn erase_person(&self, request: ErasePerson) -> Result<ErasureReport, ControlError> {
        let found = self.persons(&request).await?;
        let mut report = ErasureReport { found, ..ErasureReport::default() };
        if !request.yes {
            return Ok(report);
        }
        let persons: Vec<Person> = match named(&request, &report.found)? {
            Some(person) => vec![person],
            None => report.found.iter().map(|known| known.person.clone()).collect(),
        };
        if request.forget {
            for person in &persons {
                report.readmitted += u64::from(self.store.readmit(person).await?);
            }
            return Ok(report);
        }
        report.erased = self.erase(&persons).await?;
        self.announce().await?;
        if let Err(error) = self.store.scrub().await {
            tracing::warn!(%error, "the store's file could not be written anew");
            report.left = Some(format!(
                "the store's file could not be written anew ({error}): what was erased may still be read from its free \
                 pages; make room and erase again"
            ));
        }
        Ok(report)
    }

    async fn persons(&self, request: &ErasePerson) -> Result<Vec<KnownPerson>, ControlError> {
        match (&request.email, &request.customer) {
            (Some(email), None) if request.contact.is_none() && !request.all && !request.forget => {
                Ok(self.store.persons_by_email(email).await?)
            }
            (None, Some(customer)) if request.contact.is_some() != request.all => {
                Ok(self.store.persons(request.company.as_deref(), customer, request.contact.as_deref()).await?)
            }
            _ => Err(ControlError::Invalid(
                "name a person by customer and contact, a whole customer by customer and all, or find one by e-mail; \
                 whoever is to be let in again is named by number"
                    .to_owned(),
            )),
        }
    }

    /// Source rows first: what they are told by is known only as long as the records say it. Broken off, it is done once
    /// more.
    async fn erase_one(&self, leases: &[Lease], person: &Person) -> Result<Erasure, SyncError> {
        let traces = self.store.traces(leases, person).await?;
        let source_rows = sync::erase_rows(&self.store, leases, &traces).await?;
        Ok(Erasure { source_rows, ..self.store.erase(leases, person).await? })
    }

    /// Nothing is pulled from the sources of customers meanwhile.
    async fn erase(&self, persons: &[Person]) -> Result<Vec<Erasure>, ControlError> {
        let mut alone = Vec::new();
        let sources = self.store.sources().await?;
        let mut taken = Ok(());
        for source in sources.iter().filter(|source| source.kind.entity() == Entity::Customer) {
            match self.puller.alone(source.id).await {
                Ok(one) => alone.push(one),
                Err(error) => {
                    taken = Err(match error {
                        SyncError::Store(error) => error.into(),
                        error => ControlError::Conflict(format!("{error}; try again when its run has ended")),
                    });
                    break;
                }
            }
        }
        let leases: Vec<Lease> = alone.iter().map(|(_, held)| held.lease.clone()).collect();
        let mut erased = Ok(Vec::new());
        if taken.is_ok() {
            for person in persons {
                match (self.erase_one(&leases, person).await, &mut erased) {
                    (Ok(one), Ok(erased)) => erased.push(one),
                    (Err(error), _) => {
                        erased = Err(error);
                        break;
                    }
                    (Ok(_), Err(_)) => break,
                }
            }
        }
        for (_turn, held) in alone {
            held.end().await;
        }
        taken?;
        erased.map_err(|error: SyncError| match error {
            SyncError::Store(error) => error.into(),
            error => ControlError::Unavailable(error.to_string()),
        })
    }
}

/// The one person that is named by number.
fn named(request: &ErasePerson, found: &[KnownPerson]) -> Result<Option<Person>, ControlError> {
    let Some(customer) = &request.customer else { return Ok(None) };
    let company = match (&request.company, found) {
        (Some(company), _) => company.clone(),
        (None, [one]) => one.person.customer.company.clone(),
        (None, []) => {
            return Err(ControlError::NotFound(
                "nobody like that is known; with the company named, whoever comes is left out".to_owned(),
            ));
        }
        (None, _) => {
            let companies: Vec<&str> = found.iter().map(|one| one.person.customer.company.as_str()).collect();
            let names = companies.join(", ");
            return Err(ControlError::Conflict(format!("several companies have that customer ({names}); name one")));
        }
    };
    Ok(Some(Person { customer: Key::new(company, customer), contact: request.contact.clone() }))
}
