//! Leases while what they are on is being done, such as the runs of a source: taken, renewed in the background, given back.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::error::SyncError;
use crate::store::{Lease, SourceId, Store, StoreError};

/// A lease that is renewed for as long as this lives. Dropped without [`Held::end`] it runs out by itself.
#[derive(Debug)]
pub struct Held {
    /// The lease.
    pub lease: Lease,
    store: Arc<dyn Store>,
    renewal: JoinHandle<()>,
}

impl Held {
    /// Takes the lease on a source.
    ///
    /// # Errors
    /// [`SyncError::Elsewhere`] where another process holds it; the store's.
    pub(super) async fn take(store: &Arc<dyn Store>, source: SourceId) -> Result<Self, SyncError> {
        let name = Lease::on_source(source);
        let Some(held) = Self::hold(store, name.clone()).await? else {
            let held = store.leases().await?.into_iter().find(|held| held.name == name);
            let (holder, until) =
                held.map_or_else(|| ("another process".to_owned(), None), |h| (h.holder, Some(h.expires_at)));
            return Err(SyncError::Elsewhere { holder, until });
        };
        Ok(held)
    }

    /// Takes the lease of this name; nothing where another process holds it.
    ///
    /// # Errors
    /// The store's.
    pub async fn hold(store: &Arc<dyn Store>, name: String) -> Result<Option<Self>, StoreError> {
        let Some(lease) = store.take_lease(&name).await? else { return Ok(None) };
        let renewal = tokio::spawn(renew(Arc::clone(store), lease.clone()));
        Ok(Some(Self { lease, store: Arc::clone(store), renewal }))
    }

    /// Gives the lease back.
    pub async fn end(self) {
        self.renewal.abort();
        if let Err(error) = self.store.release_lease(&self.lease).await {
            tracing::debug!(%error, lease = self.lease.name, "a lease could not be given back: it runs out by itself");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews a lease three times in its length. What is committed under a lease that was lost is refused by the store, so
/// nothing else has to notice.
async fn renew(store: Arc<dyn Store>, lease: Lease) {
    let every = store.lease_time() / 3;
    loop {
        tokio::time::sleep(every).await;
        match store.renew_lease(&lease).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(
                    lease = lease.name,
                    "another process has taken over: this one's run ends at its next page"
                );
                return;
            }
            Err(error) => tracing::warn!(%error, lease = lease.name, "a lease could not be renewed; it is tried again"),
        }
    }
}
