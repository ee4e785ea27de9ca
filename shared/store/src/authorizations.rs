//! Pending OAuth authorizations, and the calendars that a user can choose from afterwards. Both can be used once and
//! expire after minutes. Expired items are ignored until DynamoDB removes them (TTL).

use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValue};
use calweave_domain::calendar::{AccountCalendar, ProviderKind};
use calweave_domain::ids::{ConnectionId, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Result, Store, from_item, keys, n, refused, s, to_item};

/// An OAuth authorization between the redirect to the provider and its callback.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingAuthorization {
    /// The user that began the authorization.
    pub user_id: UserId,
    /// The provider.
    pub provider: ProviderKind,
    /// Digest of the cookie value of the browser that began the authorization.
    pub browser: String,
    /// The PKCE code verifier (RFC 7636), sealed.
    pub verifier: String,
    /// The nonce that the ID token must contain.
    pub nonce: String,
    /// Whether the consent of an administrator for a whole organisation was asked for.
    #[serde(default)]
    pub is_admin_consent: bool,
    /// The URL that the browser is redirected to at the end.
    pub return_to: String,
    /// When the authorization expires.
    pub until: DateTime<Utc>,
}

/// The calendars of an account that a user can choose from after linking it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarSelection {
    /// The connection to the account.
    pub connection_id: ConnectionId,
    /// The provider of the account.
    pub provider: ProviderKind,
    /// The account's email address.
    pub email: String,
    /// The account's calendars.
    pub calendars: Vec<AccountCalendar>,
    /// When the selection expires.
    pub until: DateTime<Utc>,
}

impl Store {
    /// Stores a pending authorization under the digest of its `state`.
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

    /// Removes a pending authorization and returns it, so that its `state` can be used once. `None` when it does not
    /// exist, has expired, or was begun by none of these browsers, given by the digests of their secrets.
    pub async fn take_authorization(
        &self,
        state_digest: &str,
        browsers: &[String],
    ) -> Result<Option<PendingAuthorization>> {
        let operation = "end an authorization";
        if browsers.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = (0..browsers.len())
            .map(|index| format!(":b{index}"))
            .collect();
        let mut request = self
            .dynamo
            .delete_item()
            .table_name(&self.calendar)
            .set_key(Some(keys::authorization(state_digest).attributes()))
            .condition_expression(format!("browser IN ({})", names.join(", ")))
            .return_values(ReturnValue::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        for (name, browser) in names.into_iter().zip(browsers) {
            request = request.expression_attribute_values(name, s(browser));
        }
        let Some(answer) = refused(operation, request.send().await)? else {
            return Ok(None);
        };
        self.meter.writes(answer.consumed_capacity());
        let found: Option<PendingAuthorization> = answer
            .attributes
            .map(|item| from_item(operation, item))
            .transpose()?;
        Ok(found.filter(|authorization| authorization.until > self.clock.now()))
    }

    /// Stores the calendars that a user can choose from.
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

    /// Returns a selection; `None` when it does not exist or has expired.
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

    /// Returns whether the user has an unexpired selection for a connection.
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

    /// Removes a selection and returns it; `None` when it does not exist or has expired.
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
