//! Cursors of lists: opaque to the caller, bound to the query that they continue.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::problem::Problem;

/// Where a list goes on: behind this instant (Unix milliseconds) and id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor {
    /// Start of the last item.
    #[serde(rename = "s")]
    pub start: i64,
    /// Id of the last item.
    #[serde(rename = "i")]
    pub id: String,
    /// Digest of the query.
    #[serde(rename = "q")]
    pub query: String,
}

impl PageCursor {
    /// As the caller gets it.
    pub fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a cursor that belongs to the query with this digest.
    ///
    /// # Errors
    /// When it is none, or belongs to another query.
    pub fn decode(text: &str, query: &str) -> Result<Self, Problem> {
        let cursor = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        match cursor {
            Some(cursor) if cursor.query == query => Ok(cursor),
            Some(_) => Err(Problem::field(
                "cursor",
                "belongs to another query; ask for the first page again",
            )),
            None => Err(Problem::field(
                "cursor",
                "is not a cursor that was handed out",
            )),
        }
    }
}
