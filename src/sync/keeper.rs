//! The store as what connections keep things in.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::connector::{KeepError, Keeper, Kept};
use crate::store::{KeptValue, Store};

/// Keeps things for connections in a store.
#[derive(Debug, Clone)]
pub struct StoreKeeper(pub Arc<dyn Store>);

#[async_trait]
impl Keeper for StoreKeeper {
    async fn load(&self, connection: &str, name: &str) -> Result<(Option<Kept>, Timestamp), KeepError> {
        let (kept, now) = self.0.kept(connection, name).await.map_err(|error| KeepError(Box::new(error)))?;
        Ok((kept.map(|KeptValue { value, version }| Kept { value, version }), now))
    }

    async fn save(&self, connection: &str, name: &str, value: &[u8], over: Option<i64>) -> Result<bool, KeepError> {
        self.0.keep(connection, name, value, over).await.map_err(|error| KeepError(Box::new(error)))
    }
}
