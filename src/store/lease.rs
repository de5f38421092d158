//! Leases: what only one may do at a time, until when, and the fence that keeps out whoever was taken over.
//!
//! A lease ends by the clock of the store, never by a process's own. Each holder has a higher fence than the one before;
//! what is committed under a lease checks it, so a process that was frozen beyond its lease and wakes writes nothing.
//!
//! What does not live here: who takes which lease, and when it is renewed (`sync`).

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Result, SourceId, Store};

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is on.
    pub name: String,
    /// Higher than that of any holder before.
    pub fence: i64,
}

/// A lease as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldLease {
    /// What it is on.
    pub name: String,
    /// Who holds it: machine and process.
    pub holder: String,
    /// Until when, unless it is renewed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Timestamp,
}

impl Lease {
    /// The name of the lease on a source: whoever holds it executes and decides its runs.
    pub fn on_source(source: SourceId) -> String {
        format!("source/{source}")
    }
}

/// A lease that is taken once it is needed, and kept as long as it is.
#[derive(Debug)]
pub struct Tenure {
    name: &'static str,
    held: Option<Lease>,
}

impl Tenure {
    /// A tenure that has not begun.
    pub fn new(name: &'static str) -> Self {
        Self { name, held: None }
    }

    /// The lease, taken or renewed; nothing where another process holds it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn hold(&mut self, store: &dyn Store) -> Result<Option<Lease>> {
        if let Some(lease) = self.held.take()
            && store.renew_lease(&lease).await?
        {
            self.held = Some(lease);
        }
        if self.held.is_none() {
            self.held = store.take_lease(self.name).await?;
        }
        Ok(self.held.clone())
    }

    /// Gives the lease back, so that another process need not wait for its end.
    ///
    /// # Errors
    /// The store fails; the lease runs out.
    pub async fn end(self, store: &dyn Store) -> Result<()> {
        match self.held {
            Some(lease) => store.release_lease(&lease).await,
            None => Ok(()),
        }
    }
}

/// Taking, renewing and giving back leases.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes a lease for as long as the store is configured to give one; nothing where another process holds it.
    async fn take_lease(&self, name: &str) -> Result<Option<Lease>>;

    /// Renews a lease. False where somebody else has taken it over.
    async fn renew_lease(&self, lease: &Lease) -> Result<bool>;

    /// Gives a lease back; one that somebody else has taken over stays his.
    async fn release_lease(&self, lease: &Lease) -> Result<()>;

    /// The leases that are held now.
    async fn leases(&self) -> Result<Vec<HeldLease>>;

    /// How long a lease lasts that is not renewed.
    fn lease_time(&self) -> std::time::Duration;
}
