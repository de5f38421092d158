//! What was exchanged with a system over one order: each request with its answer, or the file that was written. Secrets
//! are hidden, and what is too long is cut.
//!
//! What does not live here: hiding secrets (`http::traffic`), and how long it is kept (`store`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most bytes of a body that are kept.
pub const LONGEST_BODY: usize = 64 << 10;

/// The most bytes of all headers of a request or an answer that are kept, and of an address.
const LONGEST_HEAD: usize = 16 << 10;

/// The most exchanges of a trail; those that follow are not kept.
const MOST: usize = 20;

/// What was exchanged so far. Clones are the same trail: what was under way when a call was given up is still in it.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Mutex<Vec<Exchange>>>);

/// A request with its answer, or a file that was written or looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    /// When it began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// How long it took; absent where it did not end before the attempt was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// What was sent.
    pub request: Sent,
    /// What came back; absent where nothing did, and for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
    /// Why nothing came back, or what became of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The method; of a file `write` or `look for`.
    pub method: String,
    /// The address, or the file's path.
    pub address: String,
    /// The headers, each `name: value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The body, or the file's content. Bytes that are no UTF-8 are escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The headers, each `name: value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The body. Bytes that are no UTF-8 are escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// An exchange that is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    trail: Trail,
    at: Option<usize>,
    began: Instant,
}

impl Trail {
    /// What was exchanged so far, in the order in which it began.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.held().clone()
    }

    /// Notes what is sent now, without secrets.
    pub(super) fn begin(&self, request: Sent) -> UnderWay {
        let mut exchanges = self.held();
        let at = (exchanges.len() < MOST).then_some(exchanges.len());
        if at.is_some() {
            let (address, headers) = (cut(request.address, LONGEST_HEAD), head(request.headers));
            let request = Sent { address, headers, ..request };
            exchanges.push(Exchange { at: Timestamp::now(), milliseconds: None, request, answer: None, message: None });
        }
        drop(exchanges);
        UnderWay { trail: self.clone(), at, began: Instant::now() }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Exchange>> {
        // Nothing that panics runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Notes what came back, without secrets.
    pub fn answered(self, answer: Answered) {
        let headers = head(answer.headers);
        self.end(|exchange| exchange.answer = Some(Answered { headers, ..answer }));
    }

    /// Notes why nothing came back, or what became of a file; without secrets.
    pub fn came_to(self, message: String) {
        self.end(|exchange| exchange.message = Some(cut(message, LONGEST_HEAD)));
    }

    fn end(self, note: impl FnOnce(&mut Exchange)) {
        let took = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut exchanges = self.trail.held();
        if let Some(exchange) = self.at.and_then(|at| exchanges.get_mut(at)) {
            exchange.milliseconds = Some(took);
            note(exchange);
        }
    }
}

/// Bytes as they are shown, cut where they are too many; none where there are none.
pub(super) fn shown(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    // A little more than is kept, so that a character that is cut in two is not in what is left.
    let (most, all) = (bytes.get(..LONGEST_BODY + 4).unwrap_or(bytes), bytes.len());
    let mut text = String::with_capacity(most.len());
    for chunk in most.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    if most.len() == all && text.len() <= LONGEST_BODY {
        return Some(text);
    }
    truncate(&mut text, LONGEST_BODY);
    Some(format!("{text}… [cut: {all} bytes in all]"))
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        truncate(&mut text, most);
        text.push_str("… [cut]");
    }
    text
}

fn truncate(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
}

/// Headers, as many as may be kept.
fn head(headers: Vec<String>) -> Vec<String> {
    let (mut kept, mut size) = (Vec::with_capacity(headers.len()), 0);
    for header in headers {
        size += header.len();
        if size > LONGEST_HEAD {
            kept.push("… [cut]".to_owned());
            break;
        }
        kept.push(header);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(method: &str) -> Sent {
        Sent { method: method.to_owned(), address: "http://erp/".to_owned(), headers: Vec::new(), body: None }
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        assert_eq!(shown(b""), None);
        assert_eq!(shown("één".as_bytes()).as_deref(), Some("één"));
        assert_eq!(shown(b"caf\xe9\r\n").as_deref(), Some("caf\\xe9\r\n"));
        let long = "é".repeat(LONGEST_BODY);
        let cut = shown(long.as_bytes()).unwrap();
        assert!(cut.ends_with(&format!("é… [cut: {} bytes in all]", long.len())), "{}", &cut[cut.len() - 60..]);
        assert!(cut.len() < LONGEST_BODY + 64, "{}", cut.len());
        assert!(!cut.contains("\\x"), "no character is cut in two");
        let binary = shown(&vec![0xff; LONGEST_BODY]).unwrap();
        assert!(binary.len() < LONGEST_BODY + 64 && binary.ends_with("bytes in all]"), "{}", binary.len());
    }

    #[test]
    fn what_was_given_up_is_there_without_an_answer_and_no_trail_grows_without_end() {
        let trail = Trail::default();
        let first = trail.begin(sent("POST"));
        drop(trail.begin(sent("GET")));
        let answer = Answered { status: 201, headers: vec!["x: y".repeat(LONGEST_HEAD)], body: None };
        first.answered(answer);
        let exchanges = trail.exchanges();
        assert_eq!(exchanges[0].answer.as_ref().unwrap().headers, ["… [cut]"]);
        assert!(exchanges[0].milliseconds.is_some() && exchanges[1].milliseconds.is_none());
        assert_eq!((&exchanges[1].answer, &exchanges[1].message), (&None, &None));
        for _ in 0..2 * MOST {
            trail.begin(sent("GET")).came_to("no answer".to_owned());
        }
        assert_eq!(trail.exchanges().len(), MOST);
    }
}
