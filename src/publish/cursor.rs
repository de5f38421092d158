//! Cursors: opaque to shops, bound to what they were handed out for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::PublishError;
use crate::model::Key;

/// The epochs under which cursors hold: of the store, another one after a restore, and of the shop's scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epochs(pub String, pub String);

/// A place in the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FeedCursor {
    #[serde(rename = "e")]
    pub epochs: Epochs,
    #[serde(rename = "f")]
    pub sequence: i64,
    /// Tombstones up to this sequence were gone when the feed was begun to be read from its beginning: whoever reads it
    /// has seen nothing of what they end.
    #[serde(rename = "p", default, skip_serializing_if = "is_zero")]
    pub begun: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListCursor {
    #[serde(rename = "e")]
    pub epochs: Epochs,
    /// The feed's sequence before the list's first page.
    #[serde(rename = "s")]
    pub snapshot: i64,
    /// The digest of what is listed.
    #[serde(rename = "l")]
    pub listed: String,
    /// The last key of the page before.
    #[serde(rename = "k")]
    pub after: Key,
}

pub(super) fn encode<T: Serialize>(cursor: &T) -> String {
    // Texts and numbers only: writing them cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

/// Reads a cursor that was handed out for `what`.
pub(super) fn decode<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, PublishError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PublishError::BadCursor(what))?;
    serde_json::from_slice(&bytes).map_err(|_| PublishError::BadCursor(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_one_kind_is_none_of_the_other() {
        let epochs = Epochs("a".to_owned(), "b".to_owned());
        let feed = encode(&FeedCursor { epochs: epochs.clone(), sequence: 7, begun: 0 });
        assert_eq!(decode::<FeedCursor>(&feed, "feed").unwrap().sequence, 7);
        assert!(matches!(decode::<ListCursor>(&feed, "list"), Err(PublishError::BadCursor("list"))));
        let after = Key::new("NL01", "1");
        let list = encode(&ListCursor { epochs, snapshot: 7, listed: "x".to_owned(), after });
        assert!(decode::<FeedCursor>(&list, "feed").is_err());
        for text in ["", "%%", "bm9uc2Vuc2U"] {
            assert!(decode::<FeedCursor>(text, "feed").is_err());
        }
    }
}
