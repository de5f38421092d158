//! Parameters of a query: each is declared once, for checking requests and for the published document.

use axum::extract::Query;
use axum::http::Uri;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use std::str::FromStr as _;
use std::time::Duration;

use super::problem::Problem;
use crate::config::suggest::{nearest, one_of};
use crate::config::values::Interval;
use crate::model::Entity;

/// A parameter that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
    /// What it means.
    pub help: &'static str,
}

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text,
    /// A whole number from 1 to this.
    Count {
        /// The largest.
        most: u32,
        /// What it is where it is left out.
        usual: u32,
    },
    /// A date, `2026-11-24`.
    Date,
    /// An instant of the past as in RFC 3339, `2026-11-24T17:00:00Z`.
    Past,
    /// A truth value.
    Flag,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// Entities, separated by commas.
    Entities,
    /// A length of time, at most this many seconds.
    Wait(u64),
}

/// Parameters of a request that are as they are declared.
#[derive(Debug)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    faults: Vec<(String, String)>,
}

impl Parameters {
    /// Reads the parameters of a request. What is wrong with them is gathered, [`Self::finish`] tells.
    pub fn read(uri: &Uri, declared: &[Parameter]) -> Result<Self, Problem> {
        let Query(pairs): Query<Vec<(String, String)>> = Query::try_from_uri(uri).map_err(|error| {
            Problem::parameters(vec![(String::new(), format!("the query cannot be read: {error}"))])
        })?;
        let mut faults = Vec::new();
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !declared.iter().any(|p| p.name == name) {
                let names = declared.iter().map(|p| p.name);
                let hint = match nearest(name, names.clone()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if declared.is_empty() => "there are none here".to_owned(),
                    None => format!("there are {}", one_of(names)),
                };
                faults.push((name.clone(), format!("there is no parameter `{name}` here; {hint}")));
            } else if pairs.iter().take(at).any(|(earlier, _)| earlier == name) {
                faults.push((name.clone(), format!("`{name}` is given twice")));
            }
        }
        Ok(Self { pairs, faults })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Everything that is wrong with the parameters, at once.
    pub fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::parameters(self.faults)) }
    }

    /// Whether a parameter is given.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| n == name)
    }

    /// A text; empty counts as given, since an empty filter would let everything through unnoticed.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let found = self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        if found.as_deref().is_some_and(|value| value.is_empty() || value.contains('\0')) {
            self.fault(name, format!("`{name}` is empty or contains a NUL character"));
            return None;
        }
        found
    }

    pub fn count(&mut self, name: &str, declared: &[Parameter]) -> u32 {
        let (most, usual) = declared
            .iter()
            .find_map(|p| match p.form {
                Form::Count { most, usual } if p.name == name => Some((most, usual)),
                _ => None,
            })
            .unwrap_or((1, 1));
        self.parsed(name, |text| match text.parse::<u32>() {
            Ok(count) if (1..=most).contains(&count) => Ok(count),
            _ => Err(format!("`{name}` must be a whole number from 1 to {most}, not '{text}'")),
        })
        .unwrap_or(usual)
    }

    pub fn date(&mut self, name: &str) -> Option<Date> {
        self.parsed(name, |text| {
            text.parse().map_err(|_| format!("`{name}` must be a date such as 2026-11-24, not '{text}'"))
        })
    }

    /// An instant of the past.
    pub fn past(&mut self, name: &str) -> Option<Timestamp> {
        self.parsed(name, |text| {
            let example = "such as 2026-11-24T17:00:00Z or 2026-11-24T18:00:00%2B01:00";
            let at: Timestamp = text.parse().map_err(|_| {
                if text.parse::<DateTime>().is_ok() {
                    format!("`{name}` must be an instant {example}; '{text}' does not say which, give the time and its offset too")
                } else if text.contains(' ') {
                    format!("`{name}` must be an instant {example}, not '{text}'; a + is written %2B in an address")
                } else {
                    format!("`{name}` must be an instant {example}, not '{text}'")
                }
            })?;
            if at > Timestamp::now() {
                return Err(format!("`{name}` must be past; '{text}' is in the future"));
            }
            Ok(at)
        })
    }

    pub fn flag(&mut self, name: &str) -> bool {
        self.parsed(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("`{name}` must be `true` or `false`, not '{text}'")),
        })
        .unwrap_or_default()
    }

    pub fn choice(&mut self, name: &str, words: &[&str]) -> Option<String> {
        self.parsed(
            name,
            |text| {
                if words.contains(&text) { Ok(text.to_owned()) } else { Err(unknown(name, text, words)) }
            },
        )
    }

    pub fn entities(&mut self, name: &str) -> Vec<Entity> {
        let names = Entity::ALL.map(Entity::name);
        let entities = self.parsed(name, |text| {
            text.split(',').map(|word| Entity::from_name(word).ok_or_else(|| unknown(name, word, &names))).collect()
        });
        entities.unwrap_or_default()
    }

    pub fn wait(&mut self, name: &str, most: Duration) -> Option<Duration> {
        self.parsed(name, |text| match Interval::from_str(text) {
            Ok(interval) if interval.duration() <= most => Ok(interval.duration()),
            Ok(_) => Err(format!("`{name}` must be at most {}s", most.as_secs())),
            Err(error) => Err(format!("`{name}`: {error}")),
        })
    }

    pub fn fault(&mut self, name: &str, detail: String) {
        self.faults.push((name.to_owned(), detail));
    }

    fn parsed<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.fault(name, detail);
                None
            }
        }
    }
}

fn unknown(name: &str, word: &str, words: &[&str]) -> String {
    let hint = nearest(word, words.iter().copied()).map(|meant| format!("; did you mean `{meant}`?"));
    format!("`{name}` cannot be '{word}', but {}{}", one_of(words.iter().copied()), hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;

    const DECLARED: &[Parameter] = &[
        Parameter { name: "limit", form: Form::Count { most: 1000, usual: 100 }, help: "" },
        Parameter { name: "entity", form: Form::Entities, help: "" },
        Parameter { name: "date", form: Form::Date, help: "" },
    ];

    fn read(query: &str) -> Parameters {
        Parameters::read(&format!("/v1/x?{query}").parse().unwrap(), DECLARED).unwrap()
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let mut given = read("limt=5&limit=0&limit=3&entity=customer,prise_agreement&date=2026-13-01");
        assert_eq!(given.count("limit", DECLARED), 100);
        given.entities("entity");
        given.date("date");
        let faults = given.finish().unwrap_err().details().errors;
        let details: Vec<&str> = faults.iter().map(|f| f.detail.as_str()).collect();
        assert_eq!(details.len(), 5, "{details:?}");
        assert!(details[0].contains("did you mean `limit`?"));
        assert!(details[1].contains("twice"));
        assert!(details[3].contains("did you mean `price_agreement`?"));
    }

    #[test]
    fn what_is_right_is_read() {
        let mut given = read("limit=1000&entity=stock,credit&date=2026-11-24");
        assert_eq!(given.count("limit", DECLARED), 1000);
        assert_eq!(given.entities("entity"), [Entity::Stock, Entity::Credit]);
        assert_eq!(given.date("date").unwrap().to_string(), "2026-11-24");
        given.finish().unwrap();
        assert_eq!(read("wait=").finish().unwrap_err().into_response().status(), 400);
    }
}
