//! What a person's consent gave, as it is kept and shared by all processes: tokens, who is renewing them, and how far they
//! can be used. All instants are of the keeper's clock.
//!
//! What does not live here: renewing them (`grant`), and keeping them (`connector::keep`).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::login::used;
use super::oauth::Given;

/// How long a refresh token that was refused is not tried again.
const REFUSED: Duration = Duration::from_mins(10);

/// What a consent gave.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// The refresh token.
    pub refresh: String,
    /// The access token, where there is one.
    pub access: Option<Access>,
    /// Who is renewing them.
    pub claim: Option<Claim>,
    /// When a renewal began of which nobody knows how it ended; what it gave is lost.
    pub lost: Option<Timestamp>,
    /// Why the refresh token is refused.
    pub refused: Option<Refused>,
}

/// An access token.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// The token.
    pub token: String,
    /// Until when it is valid, where the system said so.
    pub until: Option<Timestamp>,
    /// When it is to be renewed, where that is known.
    pub renew: Option<Timestamp>,
    /// From when on the system renews it.
    pub renewable: Timestamp,
}

/// The right to renew, of one at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Who has it.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// Why the refresh token is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The system's own words.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// What can be done with tokens now.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// The access token can be used, and is to be looked at again after so long, where that is known.
    Usable(Option<Duration>),
    /// They are to be renewed.
    Due,
    /// Somebody else is renewing them.
    Claimed,
    /// The access token cannot be used, and not be renewed before so long.
    TooYoung(Duration),
    /// The system refuses the refresh token.
    Refused(String),
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("claim", &self.claim).finish_non_exhaustive()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Tokens {
    /// What an answer gave. It was asked for at `asked` and arrived `took` later; a refresh token that it has not is the one
    /// before it. Nothing where there is none at all.
    pub fn of(
        given: &Given,
        before: Option<&str>,
        asked: Timestamp,
        took: Duration,
        renew_after: Duration,
    ) -> Option<Self> {
        let refresh = given.refresh.clone().or_else(|| before.map(str::to_owned))?;
        // The system may have given it out as early as it was asked, or as late as it answered.
        let renewable = later(asked, took + renew_after);
        let access = Access {
            token: given.access.clone(),
            until: given.lifetime.map(|lifetime| later(asked, lifetime)),
            renew: given.lifetime.map(|lifetime| later(asked, used(lifetime)).max(renewable)),
            renewable,
        };
        Some(Self { refresh, access: Some(access), claim: None, lost: None, refused: None })
    }

    /// What can be done with them now by who is called `who`, where the system refused the access token `refused`.
    pub fn standing(&self, now: Timestamp, refused: Option<&str>, who: &str) -> Standing {
        let claimed = self.claim.as_ref().is_some_and(|claim| claim.by != who && claim.until > now);
        if let Some(access) = &self.access {
            let valid = refused != Some(&access.token) && access.until.is_none_or(|until| until > now);
            if valid && access.renew.is_none_or(|renew| renew > now) {
                return Standing::Usable(access.renew.map(|renew| until(now, renew)));
            }
            // Near its end it still serves while somebody else renews it.
            if valid && claimed {
                return Standing::Usable(Some(Duration::from_secs(1)));
            }
            if access.renewable > now {
                return Standing::TooYoung(until(now, access.renewable));
            }
        }
        match &self.refused {
            Some(refused) if later(refused.at, REFUSED) > now => Standing::Refused(refused.reason.clone()),
            _ if claimed => Standing::Claimed,
            _ => Standing::Due,
        }
    }

    /// The same, claimed by who is called `by`, for so long.
    pub fn claimed(&self, by: &str, now: Timestamp, term: Duration) -> Self {
        let claim = Claim { by: by.to_owned(), since: now, until: later(now, term) };
        Self { lost: self.begun(), claim: Some(claim), ..self.clone() }
    }

    /// The same, free to be claimed. `lost` is when a renewal began that had no answer.
    pub fn free(&self, lost: Option<Timestamp>, refused: Option<Refused>) -> Self {
        Self { claim: None, lost: self.lost.or(lost), refused, ..self.clone() }
    }

    /// When the renewal began of which nobody knows how it ended.
    fn begun(&self) -> Option<Timestamp> {
        self.lost.or_else(|| self.claim.as_ref().map(|claim| claim.since))
    }
}

fn later(at: Timestamp, span: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(span).ok().and_then(|span| at.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Tokens that were asked for at 0 and are valid for ten minutes.
    fn tokens(renew_after: u64) -> Tokens {
        let lifetime = Some(Duration::from_mins(10));
        let given = Given { access: "access".to_owned(), refresh: Some("refresh".to_owned()), lifetime };
        let (took, renew_after) = (Duration::from_secs(2), Duration::from_secs(renew_after));
        Tokens::of(&given, None, at(0), took, renew_after).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let tokens = tokens(0);
        assert_eq!(tokens.standing(at(100), None, "me"), Standing::Usable(Some(seconds(440))));
        assert_eq!(tokens.standing(at(540), None, "me"), Standing::Due);
        assert_eq!(tokens.standing(at(100), Some("access"), "me"), Standing::Due);
        assert_eq!(tokens.standing(at(100), Some("another"), "me"), Standing::Usable(Some(seconds(440))));
    }

    #[test]
    fn a_token_is_as_old_as_the_system_wants_before_it_is_renewed() {
        let tokens = tokens(570);
        assert_eq!(tokens.standing(at(560), None, "me"), Standing::Usable(Some(seconds(12))));
        assert_eq!(tokens.standing(at(572), None, "me"), Standing::Due);
        assert_eq!(tokens.standing(at(100), Some("access"), "me"), Standing::TooYoung(seconds(472)));
    }

    #[test]
    fn while_somebody_else_renews_a_valid_token_serves_on() {
        let claimed = tokens(0).claimed("another", at(550), seconds(60));
        assert_eq!(claimed.standing(at(560), None, "me"), Standing::Usable(Some(seconds(1))));
        assert_eq!(claimed.standing(at(560), Some("access"), "me"), Standing::Claimed);
        assert_eq!(claimed.standing(at(605), None, "me"), Standing::Claimed, "it is over");
        assert_eq!(claimed.standing(at(560), None, "another"), Standing::Due);
        assert_eq!(claimed.standing(at(610), None, "me"), Standing::Due, "the claim is over");
        assert_eq!(claimed.claimed("me", at(610), seconds(60)).lost, Some(at(550)), "and nobody knows how it ended");
    }

    #[test]
    fn a_refused_refresh_token_rests() {
        let refused = Refused { reason: "gone".to_owned(), at: at(600) };
        let tokens = tokens(0).free(None, Some(refused));
        assert_eq!(tokens.standing(at(700), None, "me"), Standing::Refused("gone".to_owned()));
        assert_eq!(tokens.standing(at(1200), None, "me"), Standing::Due);
        assert_eq!(tokens.standing(at(100), None, "me"), Standing::Usable(Some(seconds(440))), "what is valid is used");
    }

    #[test]
    fn nothing_prints_a_token() {
        let printed = format!("{:?} {:?}", tokens(0), tokens(0).access);
        assert!(!printed.contains("\"access\"") && !printed.contains("refresh"), "{printed}");
    }
}
