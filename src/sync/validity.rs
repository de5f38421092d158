//! Days on which what is stored becomes valid or expires: which day that is, and bringing such a day into the feed
//! without a pull.
//!
//! Days are counted from 1970-01-01 in the zone of the connection. What does not live here: waiting for midnight
//! (`daemon`).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::lease::Held;
use super::plan::Plan;
use crate::config::values::Zone;
use crate::model::{Content, PartKind};
use crate::store::{Result, Store, StoreError, Turning};

/// Parts turned by one transaction.
const PAGE: u32 = 500;

/// 1970-01-01, the day that is counted from.
const FIRST: Date = Date::constant(1970, 1, 1);

/// Seconds of a civil day: days are counted on the calendar, not on the clock.
const DAY: i64 = 24 * 60 * 60;

/// The day of an instant in a zone.
pub fn today(at: Timestamp, zone: &TimeZone) -> i32 {
    day(at.to_zoned(zone.clone()).date())
}

fn day(date: Date) -> i32 {
    i32::try_from(date.duration_since(FIRST).as_secs() / DAY).unwrap_or(i32::MAX)
}

/// The next day after `today` on which a record of this content becomes valid or, having been valid, expires.
pub fn next_turn(kind: PartKind, content: &Content, today: i32) -> Option<i32> {
    if !has_validity(kind) {
        return None;
    }
    let on = |field: &str| content.text_of(field).and_then(|date| date.parse().ok()).map(day);
    let from = on("valid_from").filter(|from| *from > today);
    // Its last day still counts.
    let over = || on("valid_to").and_then(|to| to.checked_add(1)).filter(|over| *over > today);
    from.or_else(over)
}

/// Whether records of the kind are valid for a time.
fn has_validity(kind: PartKind) -> bool {
    kind == PartKind::PriceAgreement
}

/// The connections by the zone in which their days begin.
#[derive(Debug, Clone, Default)]
pub struct Zones(BTreeMap<String, (TimeZone, Vec<String>)>);

impl Zones {
    /// The zones of a plan's connections.
    pub fn of(plan: &Plan) -> Self {
        Self::new(plan.links.values().map(|link| (link.zone.clone(), link.name.clone())))
    }

    /// The zones of these connections.
    pub fn new(connections: impl IntoIterator<Item = (Zone, String)>) -> Self {
        let mut zones = Self::default();
        for (zone, connection) in connections {
            let entry = zones.0.entry(zone.name().to_owned());
            entry.or_insert_with(|| (zone.time_zone().clone(), Vec::new())).1.push(connection);
        }
        zones
    }

    /// The first beginning of a day in any of the zones after an instant: of a day whose midnight is skipped by the
    /// clocks, its first instant. None without a zone.
    pub fn next_midnight(&self, after: Timestamp) -> Option<Timestamp> {
        let next = |zone: &TimeZone| {
            let tomorrow = after.to_zoned(zone.clone()).tomorrow().and_then(|day| day.start_of_day());
            tomorrow.ok().map(|midnight| midnight.timestamp())
        };
        self.0.values().filter_map(|(zone, _)| next(zone)).min()
    }
}

/// Brings what became valid or expired by an instant into the feed, of each zone whose day is not done. Days that were
/// missed are caught up. Of several processes one does it; how many parts turned here.
///
/// # Errors
/// The store's; what was turned before stays turned.
pub async fn turn(store: &Arc<dyn Store>, zones: &Zones, at: Timestamp) -> Result<u64> {
    let mut turned = 0;
    for (name, (zone, connections)) in &zones.0 {
        let day = today(at, zone);
        // A clock that is set back begins an earlier day: that one is done once more, so that none is left out when the
        // day comes again.
        if store.turned(name).await? == Some(day) {
            continue;
        }
        let Some(held) = Held::hold(store, format!("turn/{name}")).await? else { continue };
        let done = turn_zone(store, &held, name, connections, day, &mut turned).await;
        held.end().await;
        match done {
            // Whoever took over goes on from here.
            Ok(()) | Err(StoreError::Fenced(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(turned)
}

/// Counts what it turns in `turned`, also where it does not come to the end.
async fn turn_zone(
    store: &Arc<dyn Store>,
    held: &Held,
    zone: &str,
    connections: &[String],
    day: i32,
    turned: &mut u64,
) -> Result<()> {
    // Another process may have done it before it gave the lease back.
    while store.turned(zone).await? != Some(day) {
        let due = store.due_turns(connections, day, PAGE).await?;
        if due.is_empty() {
            store.finish_turns(&held.lease, zone, day).await?;
            break;
        }
        let page: Vec<Turning> = due
            .into_iter()
            .map(|due| Turning {
                id: due.id,
                hash: due.hash,
                turn: due.turn,
                next: next_turn(due.kind, &due.content, day),
            })
            .collect();
        *turned += store.turn(&held.lease, &page).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape;
    use serde_json::json;

    fn on(text: &str) -> i32 {
        day(text.parse().unwrap())
    }

    #[test]
    fn it_turns_when_it_begins_and_on_the_day_after_its_last() {
        let dates = json!({ "valid_from": "2026-03-29", "valid_to": "2026-03-31" });
        let line = Content::of(PartKind::PriceAgreement, &dates);
        let next = |today: &str| next_turn(PartKind::PriceAgreement, &line, on(today));
        assert_eq!(next("2026-03-01"), Some(on("2026-03-29")));
        assert_eq!(next("2026-03-28"), Some(on("2026-03-29")));
        assert_eq!(next("2026-03-29"), Some(on("2026-04-01")));
        assert_eq!(next("2026-03-31"), Some(on("2026-04-01")));
        assert_eq!(next("2026-04-01"), None);
        assert_eq!(next_turn(PartKind::PriceAgreement, &Content::of(PartKind::PriceAgreement, &json!({})), 0), None);
        assert_eq!(next_turn(PartKind::Customer, &line, on("2026-03-01")), None);
    }

    #[test]
    fn every_kind_with_dates_of_validity_is_known() {
        for kind in PartKind::ALL {
            assert_eq!(has_validity(kind), shape::of(kind).field("valid_from").is_some(), "{kind}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_zone_whatever_the_clocks_do() {
        let zones = |names: &[&str]| Zones::new(names.iter().map(|name| (name.parse().unwrap(), (*name).to_owned())));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let next = |names: &[&str], after: &str| zones(names).next_midnight(at(after)).unwrap();
        assert_eq!(next(&["Europe/Amsterdam"], "2026-03-28T12:00:00Z"), at("2026-03-28T23:00:00Z"));
        assert_eq!(next(&["Europe/Amsterdam"], "2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z"), "23 hours later");
        // Chile's clocks jump from midnight to one.
        assert_eq!(next(&["America/Santiago"], "2026-09-05T20:00:00Z"), at("2026-09-06T04:00:00Z"));
        assert_eq!(next(&["Europe/Amsterdam", "Asia/Tokyo"], "2026-03-28T12:00:00Z"), at("2026-03-28T15:00:00Z"));
        assert_eq!(Zones::default().next_midnight(at("2026-03-28T12:00:00Z")), None);
        assert_eq!(today(at("2026-03-28T22:59:59Z"), &TimeZone::get("Europe/Amsterdam").unwrap()), on("2026-03-28"));
        assert_eq!(today(at("2026-03-28T23:00:00Z"), &TimeZone::get("Europe/Amsterdam").unwrap()), on("2026-03-29"));
    }
}
