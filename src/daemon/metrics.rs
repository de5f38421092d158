//! Reading off, when the metrics are asked for, what is a state and no event.

use async_trait::async_trait;
use jiff::Timestamp;

use super::bridge::Bridge;
use crate::api::Metrics;
use crate::store::{OrderState, Result, RunFilter, RunState};
use crate::telemetry::{self, Gauges};

#[async_trait]
impl Metrics for Bridge {
    async fn render(&self) -> String {
        let gauges = self.gauges().await.unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics of the store cannot be read");
            Gauges::default()
        });
        telemetry::render(&gauges)
    }
}

impl Bridge {
    async fn gauges(&self) -> Result<Gauges> {
        let now = Timestamp::now();
        let age = |at: Timestamp| now.duration_since(at).as_secs().max(0);
        let mut gauges = Gauges::default();
        let sources = self.store.sources().await?;
        for source in &sources {
            if let Some(verified) = source.verified_at {
                let name = source.kind.name().to_owned();
                gauges.run_ages.push((source.connection.clone(), name, age(verified)));
            }
        }
        for (id, count) in self.store.rejected().await? {
            if let Some(source) = sources.iter().find(|source| source.id == id) {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                gauges.rejected.push((source.connection.clone(), source.kind.name().to_owned(), count));
            }
        }
        for state in OrderState::ALL {
            gauges.orders.push((state.name().to_owned(), 0));
        }
        for counted in self.store.order_counts().await? {
            let count = i64::try_from(counted.count).unwrap_or(i64::MAX);
            if let Some((_, sum)) = gauges.orders.iter_mut().find(|(state, _)| state == counted.state.name()) {
                *sum += count;
            }
            match counted.state {
                OrderState::Queued | OrderState::Sending | OrderState::Unknown => {
                    gauges.order_ages.unsent = gauges.order_ages.unsent.max(age(counted.oldest_accepted_at));
                }
                OrderState::Submitted => {
                    let since = counted.oldest_submitted_at.unwrap_or(counted.oldest_accepted_at);
                    gauges.order_ages.unanswered = gauges.order_ages.unanswered.max(age(since));
                }
                OrderState::Dead => gauges.dead_letters += count,
                _ => {}
            }
        }
        let held = RunFilter { state: Some(RunState::Held), limit: 1000, ..RunFilter::default() };
        gauges.held_runs = i64::try_from(self.store.runs(&held).await?.len()).unwrap_or(i64::MAX);
        for connection in self.plan().routes.keys() {
            if let Ok(depth) = self.queue.depth(connection).await {
                gauges.queue_depths.push((connection.clone(), i64::try_from(depth).unwrap_or(i64::MAX)));
            }
        }
        gauges.connections =
            self.known().connections.iter().map(|(name, found)| (name.clone(), found.is_ok())).collect();
        Ok(gauges)
    }
}
