//! Waking those who wait for changes.

use tokio::sync::watch;

/// Says that the feed has moved on. Clones are the same notifier.
///
/// Whoever commits changes announces the feed's new end; those who wait look at the feed themselves, so an
/// announcement that is missed, late or repeated does no harm.
#[derive(Debug, Clone)]
pub struct Notifier(watch::Sender<i64>);

impl Notifier {
    /// A notifier of a feed that ends at this sequence.
    pub fn new(sequence: i64) -> Self {
        Self(watch::Sender::new(sequence))
    }

    /// Announces the feed's end. An earlier one than is known wakes nobody.
    pub fn announce(&self, sequence: i64) {
        self.0.send_if_modified(|known| {
            let newer = sequence > *known;
            if newer {
                *known = sequence;
            }
            newer
        });
    }

    /// What announces, for those who know nothing of this room: sending a sequence is announcing it.
    pub fn sender(&self) -> watch::Sender<i64> {
        self.0.clone()
    }

    /// What hears of announcements from now on.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.0.subscribe()
    }
}
