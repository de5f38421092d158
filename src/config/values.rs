//! The kinds of values a TOML file of this project writes as text: durations, percentages, sizes,
//! schedules, time zones, addresses. Each is parsed by its `FromStr`, whose message is what the
//! author of the file reads, and is read and described (serde, JSON Schema) through it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use cronexpr::{FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp};
use rust_decimal::Decimal;

/// Why a text is not a value of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAValue(pub String);

fn not(message: impl Into<String>) -> NotAValue {
    NotAValue(message.into())
}

/// Reads, writes and describes a type by its text: `FromStr`, `Display` and a named format.
macro_rules! by_text {
    ($type:ident, $format:literal, $description:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format, "description": $description })
            }
        }
    };
}

pub(super) use by_text;

/// A length of time above zero, such as `5s`, `10m`, `1h30m`, `72h` or `1d` (24 hours).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(Duration);

by_text!(Interval, "interval", "A length of time such as `5s`, `10m`, `1h30m` or `1d` (24 hours).");

impl Interval {
    /// A length of time in whole seconds; at least one.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(if seconds == 0 { 1 } else { seconds }))
    }

    /// The same as the standard library's duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Interval> for Duration {
    fn from(interval: Interval) -> Self {
        interval.0
    }
}

impl FromStr for Interval {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let wrong = || not(format!("`{text}` is no length of time; write it like `30s`, `10m`, `1h30m` or `1d`"));
        let span: jiff::Span = text.trim().parse().map_err(|_| wrong())?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(not(format!("`{text}`: months and years differ in length; use days (`30d`)")));
        }
        let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        match Duration::try_from(duration) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(not(format!("`{text}`: a length of time must be above zero"))),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            if rest >= seconds {
                write!(f, "{}{unit}", rest / seconds)?;
                rest %= seconds;
            }
        }
        match self.0.subsec_nanos() {
            0 => Ok(()),
            nanos if nanos % 1_000_000 == 0 => write!(f, "{}ms", nanos / 1_000_000),
            nanos => write!(f, "{nanos}ns"),
        }
    }
}

/// How long something is kept, such as `90d` or `12h`; `0s` keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

by_text!(Period, "period", "How long something is kept, such as `90d` or `12h`; `0s` keeps nothing.");

impl Period {
    /// A length of time in whole seconds; zero keeps nothing.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The same as the standard library's duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Whether nothing is kept.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl FromStr for Period {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        if text.trim() == "0s" {
            return Ok(Self(Duration::ZERO));
        }
        let Interval(duration) =
            text.parse().map_err(|NotAValue(message)| not(format!("{message}; `0s` keeps nothing")))?;
        Ok(Self(duration))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() { f.write_str("0s") } else { Interval(self.0).fmt(f) }
    }
}

/// A share, written `5%` or `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(Decimal);

by_text!(Percent, "percent", "A share such as `5%` or `0.5%`.");

impl Percent {
    /// `number` percent.
    pub fn from_percentage(number: u32) -> Self {
        Self(Decimal::from(number))
    }

    /// The number before the sign: 5 for `5%`.
    pub fn percentage(self) -> Decimal {
        self.0
    }

    /// Whether `part` of `whole` is more than this share; exact, and never for an empty part.
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        // The largest counts times 100 stay far inside a Decimal's 96 bits.
        part > 0 && Decimal::from(part) * Decimal::ONE_HUNDRED > self.0.saturating_mul(Decimal::from(whole))
    }
}

impl FromStr for Percent {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let wrong = || not(format!("`{text}` is no share; write it like `5%` or `0.5%`"));
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?;
        let number = Decimal::from_str_exact(number.trim_end()).map_err(|_| wrong())?;
        if number.is_sign_negative() && !number.is_zero() {
            return Err(not(format!("`{text}`: a share cannot be below zero")));
        }
        Ok(Self(number.normalize()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A number of bytes, written with a unit: `512kB`, `10MB`, `1GB` (powers of 1,000) or `64KiB`,
/// `16MiB`, `1GiB` (powers of 1,024).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

by_text!(Size, "size", "A number of bytes such as `512kB`, `10MB` or `16MiB`.");

const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let wrong = || not(format!("`{text}` is no size; write it like `512kB`, `10MB` or `16MiB`"));
        let text = text.trim();
        let (number, factor) =
            UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor))).ok_or_else(wrong)?;
        let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
        match number.checked_mul(factor) {
            Some(0) => Err(not(format!("`{text}`: a size must be above zero"))),
            Some(bytes) => Ok(Self(bytes)),
            None => Err(not(format!("`{text}` is more than can be counted"))),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in UNITS {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A schedule in the syntax of cron, five fields: minute, hour, day of month, month, day of week.
/// It carries no time zone; that is the connection's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron(String);

by_text!(
    Cron,
    "cron",
    "A schedule in the syntax of cron, such as `0 3 * * *`: minute, hour, day of month, month, day of week."
);

impl Cron {
    /// The first moment after `after` that the schedule names, on the clocks of `zone`; `None` where
    /// none comes within four years.
    ///
    /// A local time that daylight saving skips is passed over.
    pub fn next_after(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let schedule = cronexpr::parse_crontab(&format!("{} {}", self.0, zone.name())).ok()?;
        schedule.find_next(MakeTimestamp(after)).ok().map(|zoned| zoned.timestamp())
    }

    /// The schedule as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cron {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        let normal = cronexpr::normalize_crontab(text);
        if normal.split(' ').count() > 5 {
            return Err(not(format!(
                "`{text}` has more than five fields; seconds are not possible and the time zone is the connection's"
            )));
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        match cronexpr::parse_crontab_with(&normal, options) {
            Ok(_) => Ok(Self(normal)),
            Err(error) => {
                // The last line of the library's message is a caret and the reason.
                let message = error.to_string();
                let reason = message.lines().last().unwrap_or_default().trim_start_matches([' ', '^']).to_owned();
                Err(not(format!(
                    "`{text}` is no schedule ({reason}); write minute, hour, day of month, month and day of week, like `0 3 * * *`"
                )))
            }
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time zone by its name in the IANA database, such as `Europe/Amsterdam`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

by_text!(Zone, "time-zone", "A time zone of the IANA database, such as `Europe/Amsterdam`.");

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// The name as in the IANA database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone's rules.
    pub fn time_zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl FromStr for Zone {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        if let Ok(zone) = TimeZone::get(text) {
            return Ok(Self { name: zone.iana_name().unwrap_or(text).to_owned(), zone });
        }
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let example = super::suggest::nearest(text, names.iter().map(String::as_str)).map_or_else(
            || "; write it like `Europe/Amsterdam`".to_owned(),
            |near| format!("; did you mean `{near}`?"),
        );
        Err(not(format!("`{text}` is no time zone of the IANA database{example}")))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// An address and port to listen on, such as `127.0.0.1:8080` or `[::1]:8080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

by_text!(ListenAddress, "listen-address", "An IP address and port to listen on, such as `127.0.0.1:8080`.");

impl ListenAddress {
    /// Port `port` of this machine alone (`127.0.0.1`).
    pub fn local(port: u16) -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// The socket address.
    pub const fn socket(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for ListenAddress {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        text.trim().parse().map(Self).map_err(|_| {
            not(format!("`{text}` is no address to listen on; write an IP address and a port, like `127.0.0.1:8080`"))
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the store is: a `SQLite` file or a database of a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A file, relative to the directory the command is started in unless it begins with `/`.
    Sqlite(PathBuf),
    /// A server's database.
    Postgres(PostgresUrl),
}

/// A database of a PostgreSQL server, without a password: it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

by_text!(
    StoreUrl,
    "store-url",
    "Where the store is: `sqlite://` and the path of a file, such as `sqlite://data/tradebridge.db`, or a database of a \
     PostgreSQL server, such as `postgres://tradebridge@db.example/tradebridge`."
);

impl StoreUrl {
    /// The `SQLite` store in the file at `path`.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::Sqlite(path.into())
    }

    /// The file of a `SQLite` store.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl PostgresUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StoreUrl {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        match text.split_once("://") {
            Some(("sqlite", "")) => Err(not("`sqlite://` names no file; write it like `sqlite://data/tradebridge.db`")),
            Some(("sqlite", path)) if path.contains(['?', '#']) => {
                Err(not(format!("`{text}`: parameters are not possible; write the path of the file alone")))
            }
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            // What is refused may hold a password, so it is not repeated.
            Some(("postgres" | "postgresql", rest)) => {
                let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
                let user = address.rsplit_once('@').map_or("", |(user, _)| user);
                if user.contains(':') || parameters.split('&').any(|p| p.starts_with("password=")) {
                    return Err(not("a password does not belong in the URL; write `password = { env = \"…\" }` or \
                         `password = { file = \"…\" }` beside it"));
                }
                if !address.contains('/') || address.ends_with('/') {
                    return Err(not(
                        "the URL names no database; write it like `postgres://tradebridge@db.example/tradebridge`",
                    ));
                }
                Ok(Self::Postgres(PostgresUrl(text.to_owned())))
            }
            _ => Err(not(
                "this is no store; write `sqlite://` and the path of a file, like `sqlite://data/tradebridge.db`, or a \
                 database like `postgres://tradebridge@db.example/tradebridge`",
            )),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Which log lines are written: a level, and exceptions by module, such as `info,tradebridge::sync=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

by_text!(
    LogFilter,
    "log-filter",
    "Which log lines are written: a level (`error`, `warn`, `info`, `debug`, `trace`) and exceptions, such as `info,tradebridge::sync=debug`."
);

impl LogFilter {
    /// Everything from `info` on.
    pub fn info() -> Self {
        Self("info".to_owned())
    }

    /// The filter in the syntax of `tracing`'s `EnvFilter`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogFilter {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        // A bare word is taken as the name of a module by the library, which would silence everything.
        let bare = text.split(',').map(str::trim).find(|part| {
            !part.contains(['=', ':', '[']) && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part))
        });
        if let Some(word) = bare {
            return Err(not(format!("`{word}` is no log level; use {}", super::suggest::one_of(LEVELS))));
        }
        tracing_subscriber::EnvFilter::try_new(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|error| not(format!("`{text}` is no log filter: {error}")))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: FromStr<Err = NotAValue> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }

    #[test]
    fn lengths_of_time() {
        for (text, seconds) in [("5s", 5), ("10m", 600), ("1h30m", 5_400), ("72h", 259_200), ("1d", 86_400)] {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.duration(), Duration::from_secs(seconds), "{text}");
            assert_eq!(interval.to_string().parse::<Interval>().unwrap(), interval);
        }
        for text in ["", "5", "five minutes", "0s", "-5m", "1mo", "99999999999999999999d"] {
            refused::<Interval>(text);
        }
        assert!(refused::<Interval>("1mo").contains("use days"));
    }

    #[test]
    fn shares_are_exact() {
        let share: Percent = "0.1%".parse().unwrap();
        assert!(!share.is_exceeded_by(1, 1_000));
        assert!(share.is_exceeded_by(1, 999));
        assert!("0%".parse::<Percent>().unwrap().is_exceeded_by(1, u64::MAX));
        assert!(!"0%".parse::<Percent>().unwrap().is_exceeded_by(0, 0));
        for text in ["5", "%", "-1%", "five%", "1,5%"] {
            refused::<Percent>(text);
        }
    }

    #[test]
    fn sizes() {
        assert_eq!("10MB".parse::<Size>().unwrap().bytes(), 10_000_000);
        assert_eq!("16 MiB".parse::<Size>().unwrap().bytes(), 16 << 20);
        assert_eq!(Size::from_bytes(10_000_000).to_string(), "10MB");
        for text in ["10", "10M", "-1MB", "1.5MB", "0B", "99999999999999GB"] {
            refused::<Size>(text);
        }
    }

    #[test]
    fn schedules_run_on_the_clocks_of_their_zone() {
        let cron: Cron = "0 3 * * *".parse().unwrap();
        let zone: Zone = "Europe/Amsterdam".parse().unwrap();
        let next = |after: &str| cron.next_after(after.parse().unwrap(), &zone).unwrap().to_string();
        assert_eq!(next("2026-01-10T12:00:00Z"), "2026-01-11T02:00:00Z");
        assert_eq!(next("2026-07-10T12:00:00Z"), "2026-07-11T01:00:00Z");
        assert!(
            refused::<Cron>("0 25 * * *").contains("`0 25 * * *` is no schedule"),
            "{}",
            refused::<Cron>("0 25 * * *")
        );
        assert!(refused::<Cron>("0 3 * * * UTC").contains("connection's"));
        assert!(!refused::<Cron>("0 3 *").contains('\n'));
    }

    #[test]
    fn other_kinds() {
        assert!(refused::<Zone>("Europe/Amsterdm").contains("did you mean `Europe/Amsterdam`"));
        let password = refused::<StoreUrl>("postgres://u:secret@db/x");
        assert!(password.contains("password =") && !password.contains("secret"), "{password}");
        assert!(refused::<StoreUrl>("postgres://u@db/x?password=secret").contains("password ="));
        assert!(refused::<StoreUrl>("postgres://u@db").contains("names no database"));
        let server = "postgres://u@db/x?sslmode=require";
        assert_eq!(server.parse::<StoreUrl>().unwrap().to_string(), server);
        assert!(!refused::<StoreUrl>("mysql://u:secret@db/x").contains("secret"));
        assert_eq!(
            "sqlite:///var/lib/t.db".parse::<StoreUrl>().unwrap().sqlite_path(),
            Some(Path::new("/var/lib/t.db"))
        );
        assert!(refused::<ListenAddress>("8080").contains("127.0.0.1:8080"));
        assert!(refused::<LogFilter>("inof").contains("`inof` is no log level"));
        "warn,tradebridge::sync=debug".parse::<LogFilter>().unwrap();
    }
}
