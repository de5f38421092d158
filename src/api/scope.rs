//! Whether a shop may order for a customer: where the customer is in its scope.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::Shop;
use crate::model::Key;
use crate::orders::CustomerScope;
use crate::store::{Store, StoreError};

/// The memberships that the store keeps.
#[derive(Debug, Clone)]
pub struct Memberships(pub Arc<dyn Store>);

#[async_trait]
impl CustomerScope for Memberships {
    async fn sees(&self, shop: &Shop, customer: &Key) -> Result<bool, StoreError> {
        let members = self.0.membership(&shop.name, std::slice::from_ref(customer)).await?;
        Ok(members.first().copied().unwrap_or_default())
    }
}
