//! Time as the order path sees it: what is due, and waiting for it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// A clock that can be waited for.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Waits until an instant has come. May return earlier; the caller looks at the time again.
    async fn until(&self, instant: Timestamp);

    /// Waits for a length of time.
    async fn sleep(&self, duration: Duration) {
        let end = after(self.now(), duration);
        while self.now() < end {
            self.until(end).await;
        }
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The longest wait without looking at the clock, which may be set meanwhile.
const LOOK: Duration = Duration::from_mins(1);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn until(&self, instant: Timestamp) {
        let wait = Duration::try_from(instant.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::time::sleep(wait.min(LOOK)).await;
    }
}

/// The instant a length of time after another; the end of time where there is none.
pub fn after(instant: Timestamp, duration: Duration) -> Timestamp {
    instant.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// The instant a length of time before another; the beginning of time where there is none.
pub fn before(instant: Timestamp, duration: Duration) -> Timestamp {
    instant.checked_sub(duration).unwrap_or(Timestamp::MIN)
}
