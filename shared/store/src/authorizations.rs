//! Sign-ins with a provider that are under way, and calendars to choose from afterwards. Both are good once and for
//! minutes; what has expired DynamoDB removes, and nothing reads it before.

use calweave_domain::calendar::{AccountCalendar, ProviderKind};
use calweave_domain::ids::{ConnectionId, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Result, Store, from_item, keys, n, to_item};

/// A sign-in with a provider, from the first link to the way back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingAuthorization {
    /// Who began it.
    pub user_id: UserId,
    /// With whom.
    pub provider: ProviderKind,
    /// Digest of what the browser that began it was given to keep.
    pub browser: String,
    /// Sealed: the code verifier of PKCE (RFC 7636).
    pub verifier: String,
    /// What the id token has to repeat.
    pub nonce: String,
    /// Where the browser is sent in the end.
    pub return_to: String,
    /// Until when it is good.
    pub until: DateTime<Utc>,
}

/// What somebody may choose from after a sign-in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarSelection {
    /// Which account.
    pub connection_id: ConnectionId,
    /// With whom.
    pub provider: ProviderKind,
    /// Its address.
    pub email: String,
    /// Its calendars.
    pub calendars: Vec<AccountCalendar>,
    /// Until when it is good.
    pub until: DateTime<Utc>,
}

impl Store {
    /// Stores a sign-in under the digest of its state.
    pub async fn begin_authorization(
        &self,
        state_digest: &str,
        authorization: &PendingAuthorization,
    ) -> Result<()> {
        let operation = "begin an authorization";
        let mut item = to_item(operation, keys::authorization(state_digest), authorization)?;
        item.insert(keys::TTL.to_owned(), n(authorization.until.timestamp()));
        self.put_item(operation, &self.calendar, item).await
    }

    /// Takes a sign-in, so that its state is good once. `None` when there is none or it is too old.
    pub async fn take_authorization(
        &self,
        state_digest: &str,
    ) -> Result<Option<PendingAuthorization>> {
        let found: Option<PendingAuthorization> = self
            .take(
                "end an authorization",
                &self.calendar,
                keys::authorization(state_digest),
            )
            .await?;
        Ok(found.filter(|authorization| authorization.until > self.clock.now()))
    }

    /// Stores what a person may choose from.
    pub async fn put_selection(
        &self,
        user: UserId,
        id: &str,
        selection: &CalendarSelection,
    ) -> Result<()> {
        let operation = "store a selection";
        let mut item = to_item(operation, keys::selection(user, id), selection)?;
        item.insert(keys::TTL.to_owned(), n(selection.until.timestamp()));
        self.put_item(operation, &self.calendar, item).await
    }

    /// What this person may choose from; `None` when there is nothing or it is too old.
    pub async fn selection(&self, user: UserId, id: &str) -> Result<Option<CalendarSelection>> {
        let found: Option<CalendarSelection> = self
            .get(
                "read a selection",
                &self.calendar,
                keys::selection(user, id),
                true,
            )
            .await?;
        Ok(found.filter(|selection| selection.until > self.clock.now()))
    }

    /// Whether this person is choosing calendars of an account just now.
    pub async fn is_choosing(&self, user: UserId, connection: ConnectionId) -> Result<bool> {
        let operation = "list selections";
        let query = self
            .query(
                &self.calendar,
                keys::user_partition(user),
                keys::SELECTION_PREFIX,
            )
            .consistent_read(true);
        let now = self.clock.now();
        let found: Vec<CalendarSelection> = self
            .all(operation, query)
            .await?
            .into_iter()
            .map(|item| from_item(operation, item))
            .collect::<Result<_>>()?;
        Ok(found
            .iter()
            .any(|selection| selection.connection_id == connection && selection.until > now))
    }

    /// The same, and it is gone afterwards.
    pub async fn take_selection(
        &self,
        user: UserId,
        id: &str,
    ) -> Result<Option<CalendarSelection>> {
        let found: Option<CalendarSelection> = self
            .take("end a selection", &self.calendar, keys::selection(user, id))
            .await?;
        Ok(found.filter(|selection| selection.until > self.clock.now()))
    }
}
