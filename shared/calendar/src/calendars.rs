//! Calendars of a user.

use std::collections::{BTreeMap, HashSet};

use calweave_domain::account::User;
use calweave_domain::calendar::{Calendar, CalendarSource, CalendarState, normalise_color};
use calweave_domain::ids::{CalendarId, UserId};
use chrono_tz::Tz;

use crate::{Context, Error, Result};

/// Returns a connected calendar of a user.
///
/// # Errors
/// [`Error::NotFound`], also when the calendar belongs to another user or is disconnected.
pub async fn connected_calendar(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
) -> Result<CalendarState> {
    let state = context.store.calendar(user, calendar).await?;
    state
        .filter(|state| state.calendar.is_connected)
        .ok_or(Error::NotFound)
}

/// Returns a connected calendar whose events can be changed.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::ReadOnly`].
pub async fn writable_calendar(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
) -> Result<Calendar> {
    let calendar = connected_calendar(context, user, calendar).await?.calendar;
    if calendar.is_writable() {
        return Ok(calendar);
    }
    Err(Error::ReadOnly(format!("{:?} is read-only", calendar.name)))
}

/// Returns the connected calendars of a user, by id.
pub async fn connected_calendars(context: &Context, user: UserId) -> Result<CalendarsById> {
    let all = context.store.calendars(user).await?.into_iter();
    let connected = all.filter(|state| state.calendar.is_connected);
    Ok(connected.map(|state| (state.calendar.id, state)).collect())
}

/// Calendars with the state of their sync, in the order of their ids.
pub type CalendarsById = BTreeMap<CalendarId, CalendarState>;

/// Reduces calendars to those of a comma-separated list of ids. Without a list, all remain.
///
/// # Errors
/// [`Error::Invalid`] for an empty list, [`Error::NotFound`] for an id that is not in `calendars`.
pub fn choose_calendars(mut calendars: CalendarsById, list: Option<&str>) -> Result<CalendarsById> {
    let Some(list) = list else {
        return Ok(calendars);
    };
    let mut ids = list
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .peekable();
    if ids.peek().is_none() {
        let message = "must contain at least one calendar id; omit it for all calendars";
        return Err(Error::field("calendarIds", message));
    }
    let known = |id: &str| id.parse().ok().filter(|id| calendars.contains_key(id));
    let chosen: Result<HashSet<CalendarId>> =
        ids.map(|id| known(id).ok_or(Error::NotFound)).collect();
    let chosen = chosen?;
    calendars.retain(|id, _| chosen.contains(id));
    Ok(calendars)
}

/// Returns the reader's time zone: `name` if given, else the zone of the user's profile.
///
/// # Errors
/// [`Error::Invalid`] when `name` is not an IANA zone, [`Error::NotFound`] when the user does not exist.
pub async fn reader_zone(context: &Context, user: UserId, name: Option<&str>) -> Result<Tz> {
    match name {
        Some(name) => name.parse().map_err(|_| unknown_zone("timezone")),
        None => {
            let user = context.store.user(user).await?;
            Ok(user.ok_or(Error::NotFound)?.timezone)
        }
    }
}

/// As [`reader_zone`], for a user whose profile has been read.
///
/// # Errors
/// [`Error::Invalid`] when `name` is not an IANA zone.
pub fn zone_of(user: &User, name: Option<&str>) -> Result<Tz> {
    let named = |name: &str| name.parse().map_err(|_| unknown_zone("timezone"));
    name.map_or(Ok(user.timezone), named)
}

/// Returns the error for a field that is not an IANA zone.
pub(crate) fn unknown_zone(field: &str) -> Error {
    Error::field(field, NO_IANA_ZONE)
}

/// Field error message for a name that is not an IANA zone.
pub(crate) const NO_IANA_ZONE: &str = "is not an IANA time zone such as Europe/Berlin";

/// Returns the zone of a calendar's floating times, for a reader in `reader`.
pub(crate) fn calendar_zone(calendar: &Calendar, reader: Tz) -> Tz {
    match &calendar.source {
        CalendarSource::Account(account) => account.time_zone.unwrap_or(reader),
        CalendarSource::Feed(_) => reader,
    }
}

/// Changes the colour of a calendar.
///
/// # Errors
/// [`Error::Invalid`] when `color` is not a colour, or [`Error::NotFound`].
pub async fn change_color(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
    color: &str,
) -> Result<CalendarState> {
    let color = check_color(color)?;
    connected_calendar(context, user, calendar).await?;
    let store = &context.store;
    store
        .update_calendar(user, calendar, None, Some(&color))
        .await?;
    connected_calendar(context, user, calendar).await
}

/// Normalises a colour to `#RRGGBB`.
///
/// # Errors
/// [`Error::Invalid`] when `text` is not a colour.
pub(crate) fn check_color(text: &str) -> Result<String> {
    normalise_color(text).ok_or_else(|| Error::field("color", "must be #RGB or #RRGGBB"))
}
