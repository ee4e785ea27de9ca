//! Users and their email addresses.

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, ReturnValue, TransactWriteItem};
use calweave_domain::account::{Session, User};
use calweave_domain::ids::UserId;
use chrono_tz::Tz;
use serde::Deserialize;

use super::expression::UpdateExpression;
use super::{Item, Result, Store, StoreError, WriteOutcome, from_item, keys, s, to_item};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmailMarker {
    user_id: UserId,
}

impl Store {
    /// Creates a user together with the first session. The condition fails when another user has the address. The
    /// address is an item of its own, so that only one of several concurrent sign-ups succeeds.
    pub async fn create_user(&self, user: &User, session: &Session) -> Result<WriteOutcome> {
        let operation = "create a user";
        let marker = Item::from([("userId".to_owned(), s(user.id.to_string()))]);
        let marker = marker
            .into_iter()
            .chain(keys::email(&user.email).attributes())
            .collect();
        let writes = vec![
            put(&self.identity, marker, Some("attribute_not_exists(pk)"))?,
            put(
                &self.identity,
                to_item(operation, keys::user(user.id), user)?,
                None,
            )?,
            put(
                &self.identity,
                to_item(operation, keys::session(user.id, session.id), session)?,
                None,
            )?,
        ];
        self.transact(operation, writes).await
    }

    /// Returns the user with this id.
    pub async fn user(&self, user: UserId) -> Result<Option<User>> {
        self.get("read a user", &self.identity, keys::user(user), true)
            .await
    }

    /// Returns the user with this normalised email address.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        let marker: Option<EmailMarker> = self
            .get(
                "find a user by address",
                &self.identity,
                keys::email(email),
                true,
            )
            .await?;
        match marker {
            Some(marker) => self.user(marker.user_id).await,
            None => Ok(None),
        }
    }

    /// Updates the profile of a user; a field that is `None` keeps its value. Returns the updated user, or `None` when
    /// the user does not exist.
    pub async fn update_profile(
        &self,
        user: UserId,
        full_name: Option<&str>,
        timezone: Option<Tz>,
    ) -> Result<Option<User>> {
        let operation = "change a profile";
        let mut update = UpdateExpression::default();
        if let Some(name) = full_name {
            update.set("fullName", s(name));
        }
        if let Some(zone) = timezone {
            update.set("timezone", s(zone.name()));
        }
        if update.is_empty() {
            return self.user(user).await;
        }
        let request = update
            .apply(self.change(&self.identity, keys::user(user)))
            .condition_expression("attribute_exists(pk)")
            .return_values(ReturnValue::AllNew);
        self.update(operation, request)
            .await?
            .map(|item| from_item(operation, item))
            .transpose()
    }

    /// Removes a user's profile and address: the address can be used again, and no new session can be created. All
    /// other data is erased afterwards, in steps.
    pub async fn close_account(&self, user: &User) -> Result<()> {
        let operation = "close an account";
        let writes = [keys::user(user.id), keys::email(&user.email)]
            .into_iter()
            .map(|key| {
                let delete = Delete::builder()
                    .table_name(&self.identity)
                    .set_key(Some(key.attributes()))
                    .build();
                delete
                    .map(|delete| TransactWriteItem::builder().delete(delete).build())
                    .map_err(|error| StoreError::new(operation, error))
            });
        match self
            .transact(operation, writes.collect::<Result<_>>()?)
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }
}

/// Builds a put for a transaction.
pub(super) fn put(table: &str, item: Item, condition: Option<&str>) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .set_condition_expression(condition.map(str::to_owned));
    let put = put
        .build()
        .map_err(|error| StoreError::new("build a transaction", error))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Builds a condition on an item that the transaction does not write.
pub(super) fn check(table: &str, key: keys::Key, condition: &str) -> Result<TransactWriteItem> {
    let check = ConditionCheck::builder()
        .table_name(table)
        .set_key(Some(key.attributes()))
        .condition_expression(condition);
    let check = check
        .build()
        .map_err(|error| StoreError::new("build a transaction", error))?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}
