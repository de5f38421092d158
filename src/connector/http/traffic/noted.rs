//! Noting an exchange in the trail of an order, with what is secret hidden as in a recording.

use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::HIDDEN;
use super::mask::Mask;
use crate::config::Secret;
use crate::connector::http::answer::{Answer, Failure};
use crate::connector::http::request::Request;
use crate::connector::http::vault::Proof;
use crate::connector::trail::{Answered, Sent, Trail, UnderWay, shown};

/// Notes the exchanges of a connection in the trails of orders.
#[derive(Debug)]
pub struct Noter(Mask);

/// An exchange that is under way.
#[derive(Debug)]
pub struct Noted {
    mask: Mask,
    under_way: UnderWay,
}

impl Noter {
    /// Hides these secrets wherever they are, beside what each exchange shows to be one.
    pub fn new(secrets: &[Secret]) -> Self {
        let mask = Mask::default();
        for secret in secrets {
            mask.learn(secret.reveal());
        }
        Self(mask)
    }

    /// Notes what is sent now.
    pub fn begin(&self, trail: &Trail, request: &Request, headers: &HeaderMap, proof: &Proof) -> Noted {
        // What one exchange shows to be secret is learned for it alone: tokens come and go as long as the daemon runs.
        let mask = self.0.copied();
        proof.0.iter().for_each(|(_, value)| mask.learn_proof(value));
        request.hidden.iter().for_each(|secret| mask.learn(secret.reveal()));
        let proofs = proof.0.iter().map(|(name, _)| format!("{name}: {HIDDEN}"));
        let sent = Sent {
            method: request.method.to_string(),
            address: mask.address(&request.url, false).to_string(),
            headers: told(&mask, headers).chain(proofs).collect(),
            body: request.body.as_ref().and_then(|(media, bytes)| shown(&mask.body(bytes, media, None))),
        };
        Noted { under_way: trail.begin(sent), mask }
    }
}

impl Noted {
    /// Notes what it came to.
    pub fn end(self, outcome: &Result<Answer, Failure>) {
        let Self { mask, under_way } = self;
        match outcome {
            Ok(answer) => {
                mask.learn_answer(&answer.headers);
                let media = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
                under_way.answered(Answered {
                    status: answer.status.as_u16(),
                    headers: told(&mask, &answer.headers).collect(),
                    body: shown(&mask.body(&answer.body, media, None)),
                });
            }
            Err(failure) => under_way.came_to(mask.text(&failure.to_string())),
        }
    }
}

fn told<'a>(mask: &'a Mask, headers: &'a HeaderMap) -> impl Iterator<Item = String> + 'a {
    headers.iter().map(|(name, value)| {
        let value = mask.header(name, value);
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    })
}
