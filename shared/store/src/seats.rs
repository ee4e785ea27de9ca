//! How many syncs may call about one account at once. Some providers refuse whoever asks too much at a time of one
//! mailbox, so an account has a few seats, and all workers together no more than these.

use calweave_domain::ids::{ConnectionId, UserId};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Outcome, Result, Store, keys, n};

/// How long a seat is kept without a sign of life. That of a killed worker is free after this long.
pub const SEAT: TimeDelta = TimeDelta::seconds(60);
/// How often a seat is tried for that somebody else is faster to take.
const TRIES: usize = 4;

/// The right to call about an account.
#[derive(Clone, Debug)]
pub struct Seat {
    connection: ConnectionId,
    number: usize,
    until: DateTime<Utc>,
}

/// What came of asking for a seat.
#[derive(Debug)]
pub enum Asked {
    /// It is there.
    Taken(Seat),
    /// None is free just now.
    Full,
    /// The provider wants to hear nothing about this account until then.
    Paused(DateTime<Utc>),
}

fn name(number: usize) -> String {
    format!("seat{number}")
}

impl Store {
    /// Takes one of an account's `count` seats.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn take_seat(
        &self,
        user: UserId,
        connection: ConnectionId,
        count: usize,
    ) -> Result<Asked> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let item: Option<serde_json::Map<String, serde_json::Value>> = self
                .get(
                    "look for a seat",
                    &self.calendar,
                    keys::seats(user, connection),
                    true,
                )
                .await?;
            let until = |name: &str| {
                item.as_ref()
                    .and_then(|item| DateTime::from_timestamp_millis(item.get(name)?.as_i64()?))
            };
            if let Some(paused) = until("notBefore").filter(|until| *until > now) {
                return Ok(Asked::Paused(paused));
            }
            let Some(number) =
                (0..count).find(|number| until(&name(*number)).is_none_or(|until| until < now))
            else {
                return Ok(Asked::Full);
            };
            let seat = Seat {
                connection,
                number,
                until: now + SEAT,
            };
            let request = self
                .change(&self.calendar, keys::seats(user, connection))
                .update_expression("SET #seat = :until")
                .condition_expression(
                    "(attribute_not_exists(#seat) OR #seat < :now) AND (attribute_not_exists(notBefore) OR notBefore <= :now)",
                )
                .expression_attribute_names("#seat", name(number))
                .expression_attribute_values(":until", n(seat.until.timestamp_millis()))
                .expression_attribute_values(":now", n(now.timestamp_millis()));
            if self.done("take a seat", request).await? == Outcome::Done {
                return Ok(Asked::Taken(seat));
            }
        }
        Ok(Asked::Full)
    }

    /// Shows that whoever has a seat is alive. Refused when somebody else has it by now.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn keep_seat(&self, user: UserId, seat: &mut Seat) -> Result<Outcome> {
        let until = self.clock.now() + SEAT;
        let request = self
            .change(&self.calendar, keys::seats(user, seat.connection))
            .update_expression("SET #seat = :until")
            .condition_expression("#seat = :mine")
            .expression_attribute_names("#seat", name(seat.number))
            .expression_attribute_values(":until", n(until.timestamp_millis()))
            .expression_attribute_values(":mine", n(seat.until.timestamp_millis()));
        let outcome = self.done("keep a seat", request).await?;
        if outcome == Outcome::Done {
            seat.until = until;
        }
        Ok(outcome)
    }

    /// Gives a seat back.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn leave_seat(&self, user: UserId, seat: &Seat) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::seats(user, seat.connection))
            .update_expression("REMOVE #seat")
            .condition_expression("#seat = :mine")
            .expression_attribute_names("#seat", name(seat.number))
            .expression_attribute_values(":mine", n(seat.until.timestamp_millis()));
        self.done("leave a seat", request).await.map(drop)
    }

    /// Lets nobody call about an account before `until`.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pause_calls(
        &self,
        user: UserId,
        connection: ConnectionId,
        until: DateTime<Utc>,
    ) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::seats(user, connection))
            .update_expression("SET notBefore = :until")
            .condition_expression("attribute_not_exists(notBefore) OR notBefore < :until")
            .expression_attribute_values(":until", n(until.timestamp_millis()));
        self.done("pause the calls about an account", request)
            .await
            .map(drop)
    }

    /// Removes an account's seats.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn remove_seats(&self, user: UserId, connection: ConnectionId) -> Result<()> {
        self.delete(
            "remove an account's seats",
            &self.calendar,
            keys::seats(user, connection),
        )
        .await
    }
}
