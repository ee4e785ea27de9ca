//! Pagination cursors: opaque to the client, and valid only for the query that they were issued for.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::problem::Problem;

/// The position after the last item of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor {
    /// Start of the last item, in Unix milliseconds.
    #[serde(rename = "s")]
    pub start: i64,
    /// Id of the last item.
    #[serde(rename = "i")]
    pub id: String,
    /// Digest of the query.
    #[serde(rename = "q")]
    pub query: String,
    /// Digest of what had been read when the first page was listed; empty if that does not matter.
    #[serde(rename = "c", default, skip_serializing_if = "String::is_empty")]
    pub coverage: String,
}

/// Returns whether a cursor can have been issued: its start lies in the years from 1 to 9999, and its id is not too long.
fn is_plausible(cursor: &PageCursor) -> bool {
    (-62_135_596_800_000..=253_402_300_799_999).contains(&cursor.start) && cursor.id.len() <= 512
}

impl PageCursor {
    /// Encodes the cursor as base64url.
    pub fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Decodes a cursor of the query with this digest.
    ///
    /// # Errors
    /// When `text` is not a cursor, or belongs to another query.
    pub fn decode(text: &str, query: &str) -> Result<Self, Problem> {
        let cursor = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        match cursor {
            Some(cursor) if !is_plausible(&cursor) => {
                Err(Problem::field("cursor", "is not a valid cursor"))
            }
            Some(cursor) if cursor.query == query => Ok(cursor),
            Some(_) => Err(Problem::field(
                "cursor",
                "belongs to another query; request the first page again",
            )),
            None => Err(Problem::field("cursor", "is not a valid cursor")),
        }
    }
}
