//! What simulations of limits stand on: scattered times, and counting as a system does.

use std::ops::Sub;
use std::time::Duration;

/// Steps of an even but scattered series, so that runs are alike.
pub struct Scatter(pub u64);

impl Scatter {
    /// The next time below a bound.
    pub fn below(&mut self, bound: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bound.mul_f64(f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX))
    }
}

/// The most requests within any span of so long, of those that were counted at these times, in their order.
pub fn most_within<T: Copy + Sub<Output = Duration>>(span: Duration, counted: &[T]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (at, time) in counted.iter().enumerate() {
        while *time - counted[first] >= span {
            first += 1;
        }
        most = most.max(at + 1 - first);
    }
    most
}
