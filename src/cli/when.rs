//! Instants as people read them: on the clocks of this machine, and how long ago.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The instant on the clocks of this machine, to the second, with the zone's own short name.
pub(super) fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// An instant, or the beginning of a day on the clocks of this machine.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::system()).ok();
    text.parse()
        .ok()
        .or_else(|| day().map(|day| day.timestamp()))
        .ok_or_else(|| format!("`{text}` is no instant like 2026-11-24T17:00:00Z and no day like 2026-11-24"))
}

/// How long ago an instant was, or how soon it will be, in the two largest units that say something.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let words = length(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{words} ago"),
        _ => format!("in {words}"),
    }
}

/// A length of time in seconds, in the two largest units that say something.
pub(super) fn length(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = UNITS.iter().position(|(size, _)| seconds >= *size) else { return "0 s".to_owned() };
    let (size, unit) = UNITS[first];
    let mut words = format!("{} {unit}", seconds / size);
    if let Some((smaller, unit)) = UNITS.get(first + 1) {
        let rest = seconds % size / smaller;
        if rest > 0 && seconds / size < 10 {
            words = format!("{words} {rest} {unit}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_say_what_matters() {
        let said: Vec<String> = [0, 7, 61, 3_600, 5_400, 90_061, 3_000_000].into_iter().map(length).collect();
        assert_eq!(said, ["0 s", "7 s", "1 min 1 s", "1 h", "1 h 30 min", "1 d 1 h", "34 d"]);
        let now = Timestamp::from_second(1_000).unwrap();
        assert_eq!(ago(Timestamp::from_second(880).unwrap(), now), "2 min ago");
        assert_eq!(ago(Timestamp::from_second(1_005).unwrap(), now), "in 5 s");
    }
}
