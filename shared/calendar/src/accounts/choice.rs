//! Choosing more or fewer calendars of an account that is linked already.

use std::collections::BTreeSet;

use calweave_domain::calendar::{AccountCalendar, Calendar, CalendarState};
use calweave_domain::connection::{Connection, ConnectionStatus};
use calweave_domain::ids::{CalendarId, ConnectionId, UserId};
use calweave_providers::{Credentials, ProviderError, Remedy};
use calweave_store::WriteOutcome;
use chrono::TimeDelta;
use tracing::warn;

use super::access::credentials;
use super::link::configured;
use super::selection::connect;
use crate::calendars::connected_calendars;
use crate::quotas::check_calendars;
use crate::removal::disconnect_calendar;
use crate::sync_requests::request_sync;
use crate::{AccountContext, Error, LinkContext, Result};

/// The calendars of an account, as the provider lists them now.
#[derive(Debug)]
pub struct ListedCalendars {
    /// The connection to the account.
    pub connection: Connection,
    /// The calendars, in the provider's order.
    pub calendars: Vec<AccountCalendar>,
    /// The provider's ids of those that are connected.
    pub connected: Vec<String>,
}

/// Asks the provider for the calendars of an account.
///
/// # Errors
/// [`Error::NotFound`] when the user has no such connection, [`Error::Conflict`] when its account has to be linked again,
/// [`Error::Unavailable`] when the provider does not answer or its calls are paused.
pub async fn listed_calendars(
    context: &AccountContext,
    user: UserId,
    id: ConnectionId,
) -> Result<ListedCalendars> {
    let connection = context.store.connection(user, id).await?;
    let connection = connection
        .filter(|connection| connection.status != ConnectionStatus::Disconnected)
        .ok_or(Error::NotFound)?;
    let now = context.clock.now();
    if connection.paused_until.is_some_and(|until| until > now) {
        return Err(unavailable(&connection));
    }
    let calendars = ask(context, &connection).await?;
    let connected = connected_calendars(context, user).await?;
    let of_account = of_account(connected.values(), id);
    Ok(ListedCalendars {
        connected: of_account
            .map(|calendar| calendar.source.remote_id().to_owned())
            .collect(),
        connection,
        calendars,
    })
}

async fn ask(context: &AccountContext, connection: &Connection) -> Result<Vec<AccountCalendar>> {
    let (_, provider) = configured(&context.providers, connection.provider.path())?;
    let mut refused: Option<Credentials> = None;
    loop {
        let fresh = credentials(context, connection, refused.as_ref()).await?;
        let fresh = fresh.map_err(|error| failure(connection, &error))?;
        let listed = match provider.session(fresh.clone(), &connection.email) {
            Ok(session) => session.list_calendars().await,
            Err(error) => Err(error),
        };
        match listed {
            Err(error) if error.remedy() == Remedy::RefreshToken && refused.is_none() => {
                refused = Some(fresh);
            }
            listed => return listed.map_err(|error| failure(connection, &error)),
        }
    }
}

fn failure(connection: &Connection, error: &ProviderError) -> Error {
    if let ProviderError::GrantRevoked { .. } = error {
        let message = "the account has to be linked again before its calendars can be listed";
        return Error::Conflict(message.to_owned());
    }
    warn!(connection.id = %connection.id, "could not list the calendars of {}: {error}", connection.id);
    unavailable(connection)
}

fn unavailable(connection: &Connection) -> Error {
    let provider = connection.provider.label();
    Error::Unavailable(format!("{provider} cannot be asked now; try again later"))
}

fn of_account<'a>(
    calendars: impl Iterator<Item = &'a CalendarState>,
    id: ConnectionId,
) -> impl Iterator<Item = &'a Calendar> {
    let calendars = calendars.map(|state| &state.calendar);
    calendars.filter(move |calendar| calendar.connection_id == id)
}

/// How long a choice holds up others if it does not end.
const CHOICE_LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// What a choice of calendars has changed.
#[derive(Debug)]
pub struct ChangedChoice {
    /// The calendars of the account that are connected now.
    pub calendars: Vec<CalendarState>,
    /// The ids of those that have been connected.
    pub added: Vec<CalendarId>,
    /// The ids of those that have been disconnected.
    pub removed: Vec<CalendarId>,
}

/// Connects and disconnects calendars of an account, until exactly those with these ids of the provider are connected. A calendar
/// that is connected and chosen does not change.
///
/// # Errors
/// As [`listed_calendars`]; [`Error::Invalid`] for an id that the account does not have, or for none at all;
/// [`Error::Quota`]; [`Error::Conflict`] while another request chooses: two different choices at once could leave none of the
/// calendars connected, and the account's grant would go.
pub async fn choose_calendars(
    context: &LinkContext,
    user: UserId,
    id: ConnectionId,
    remote_ids: &[String],
) -> Result<ChangedChoice> {
    let store = &context.store;
    store.connection(user, id).await?.ok_or(Error::NotFound)?;
    let until = context.clock.now() + CHOICE_LIFETIME;
    if store.begin_choice(user, id, until).await? == WriteOutcome::ConditionFailed {
        let message = "another request is choosing calendars of this account; try again";
        return Err(Error::Conflict(message.to_owned()));
    }
    let chosen = Box::pin(choose(context, user, id, remote_ids)).await;
    store.end_choice(user, id).await?;
    chosen
}

async fn choose(
    context: &LinkContext,
    user: UserId,
    id: ConnectionId,
    remote_ids: &[String],
) -> Result<ChangedChoice> {
    const FIELD: &str = "selectedCalendarIds";
    if remote_ids.is_empty() {
        let message = "must contain at least one calendar; disconnect the calendars one by one to end the link";
        return Err(Error::field(FIELD, message));
    }
    let wanted: BTreeSet<&String> = remote_ids.iter().collect();
    let listed = listed_calendars(context, user, id).await?;
    let connected = connected_calendars(context, user).await?;
    let is_connected = |remote_id: &String| listed.connected.contains(remote_id);
    let new = wanted.iter().filter(|remote_id| !is_connected(remote_id));
    let new: Option<Vec<&AccountCalendar>> = new
        .map(|wanted| {
            let mut listed = listed.calendars.iter();
            listed.find(|one| one.remote_id == **wanted)
        })
        .collect();
    let unknown = || Error::field(FIELD, "contains a calendar that the account does not have");
    let new = new.ok_or_else(unknown)?;
    let unwanted: Vec<CalendarId> = of_account(connected.values(), id)
        .filter(|calendar| {
            let remote_id = calendar.source.remote_id();
            !wanted.iter().any(|wanted| *wanted == remote_id)
        })
        .map(|calendar| calendar.id)
        .collect();
    check_calendars(
        &context.quotas,
        &connected,
        new.len().saturating_sub(unwanted.len()),
    )?;
    let mut added = Vec::with_capacity(new.len());
    // First the new ones: with its last calendar, the account's grant would go.
    for calendar in new {
        let provider = listed.connection.provider;
        let calendar = connect(context, user, provider, id, calendar).await?;
        request_sync(context, user, calendar, 0).await?;
        added.push(calendar);
    }
    for calendar in &unwanted {
        match disconnect_calendar(context, user, *calendar).await {
            // Another request was first.
            Ok(()) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let now = connected_calendars(context, user).await?.into_values();
    Ok(ChangedChoice {
        calendars: now
            .filter(|state| state.calendar.connection_id == id)
            .collect(),
        added,
        removed: unwanted,
    })
}
