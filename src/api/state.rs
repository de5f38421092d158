//! What the routes work with.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::control::Control;
use crate::config::{Config, Secret};
use crate::orders::{Desk, Intake};
use crate::publish::Notifier;
use crate::store::Store;

/// What the routes work with.
#[derive(Clone)]
pub struct ApiState {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// What takes in orders.
    pub intake: Arc<Intake>,
    /// The desk where orders are looked after.
    pub desk: Arc<Desk>,
    /// The daemon, for operators.
    pub control: Arc<dyn Control>,
    /// Wakes those who wait for changes.
    pub notifier: Notifier,
    /// The metrics.
    pub metrics: Arc<dyn Metrics>,
    /// The key of the operator on this machine: it has the scope `admin`, no shop, and lives as long as the process.
    pub operator: Option<Secret>,
    /// Whether the daemon is stopping: who waits or streams ends.
    pub shutdown: watch::Receiver<bool>,
}

/// Writes the metrics in the text format of Prometheus.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// The metrics as they are now.
    async fn render(&self) -> String;
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("store", &self.store).finish_non_exhaustive()
    }
}
