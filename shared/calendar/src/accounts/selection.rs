//! Choosing calendars of a linked account.

use calweave_domain::calendar::{
    AccountCalendar, Calendar, CalendarSource, CalendarState, DEFAULT_COLOR, ProviderKind,
};
use calweave_domain::connection::{Connection, ConnectionStatus};
use calweave_domain::ids::{CalendarId, ConnectionId, UserId};
use calweave_store::WriteOutcome;
use calweave_store::authorizations::CalendarSelection;

use crate::calendars::{connected_calendar, connected_calendars};
use crate::quotas::check_calendars;
use crate::sync_requests::request_sync;
use crate::{Context, Error, LinkContext, Result};

/// The calendars that a user can choose from.
#[derive(Debug)]
pub struct OfferedCalendars {
    /// The selection with the account's calendars.
    pub selection: CalendarSelection,
    /// The connection to the account.
    pub connection: Connection,
    /// The provider's ids of the calendars that are connected already.
    pub connected: Vec<String>,
}

/// Returns the calendars that a user can choose from. The selection stays valid.
///
/// # Errors
/// [`Error::NotFound`] when the selection does not exist or has expired.
pub async fn offered_calendars(
    context: &Context,
    user: UserId,
    session: &str,
) -> Result<OfferedCalendars> {
    let selection = context.store.selection(user, session).await?;
    let selection = selection.ok_or(Error::NotFound)?;
    let id = selection.connection_id;
    let connection = context.store.connection(user, id).await?;
    let connection = connection.ok_or(Error::NotFound)?;
    let calendars = context.store.calendars(user).await?.into_iter();
    let connected = calendars
        .map(|state| state.calendar)
        .filter(|calendar| calendar.is_connected && calendar.connection_id == id)
        .map(|calendar| calendar.source.remote_id().to_owned())
        .collect();
    Ok(OfferedCalendars {
        selection,
        connection,
        connected,
    })
}

/// The calendars that a user has chosen.
#[derive(Debug)]
pub struct SelectedCalendars {
    /// The chosen calendars, which are now connected.
    pub calendars: Vec<CalendarState>,
    /// Whether the account's grant was revoked in the meantime. The account then has to be linked again.
    pub is_revoked: bool,
}

/// Connects calendars of a selection, which is then used up. Calendars that are connected already do not change; a
/// calendar that was disconnected is connected again under its old id. `provider` is the path segment of the
/// selection's provider.
///
/// # Errors
/// [`Error::NotFound`] when the selection does not exist or has expired, [`Error::Invalid`] for an id that it does not
/// offer.
pub async fn select_calendars(
    context: &LinkContext,
    user: UserId,
    provider: &str,
    session: &str,
    ids: &[String],
) -> Result<SelectedCalendars> {
    let store = &context.store;
    let offered = store.selection(user, session).await?;
    let offered = offered
        .filter(|offered| offered.provider.path() == provider)
        .ok_or(Error::NotFound)?;
    let chosen = choose(&offered, ids)?;
    let connected = connected_calendars(context, user).await?;
    let is_connected = |one: &AccountCalendar| {
        let mut known = connected.values().map(|state| &state.calendar);
        known.any(|calendar| {
            calendar.connection_id == offered.connection_id
                && calendar.source.remote_id() == one.remote_id
        })
    };
    let new = chosen.iter().filter(|one| !is_connected(one)).count();
    check_calendars(&context.quotas, &connected, new)?;
    // Atomic: of two concurrent requests, the second one finds no selection.
    let taken = store.take_selection(user, session).await?;
    let taken = taken.ok_or(Error::NotFound)?;
    let mut calendars = Vec::with_capacity(chosen.len());
    for calendar in chosen {
        let (provider, connection) = (taken.provider, taken.connection_id);
        let id = connect(context, user, provider, connection, calendar).await?;
        request_sync(context, user, id, 0).await?;
        calendars.push(connected_calendar(context, user, id).await?);
    }
    let connection = store.connection(user, taken.connection_id).await?;
    let is_ended = |connection: Connection| connection.status == ConnectionStatus::Disconnected;
    Ok(SelectedCalendars {
        calendars,
        is_revoked: connection.is_none_or(is_ended),
    })
}

fn choose<'a>(offered: &'a CalendarSelection, ids: &[String]) -> Result<Vec<&'a AccountCalendar>> {
    const FIELD: &str = "selectedCalendarIds";
    if ids.is_empty() {
        return Err(Error::field(FIELD, "must contain at least one calendar"));
    }
    let mut ids: Vec<&String> = ids.iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let find = |id: &&String| {
        let mut calendars = offered.calendars.iter();
        calendars.find(|calendar| calendar.remote_id == **id)
    };
    let unknown = || {
        Error::field(
            FIELD,
            "contains a calendar that this session does not offer",
        )
    };
    ids.iter().map(|id| find(id).ok_or_else(unknown)).collect()
}

/// Connects a calendar of an account. Returns its id.
pub(super) async fn connect(
    context: &Context,
    user: UserId,
    provider: ProviderKind,
    connection_id: ConnectionId,
    chosen: &AccountCalendar,
) -> Result<CalendarId> {
    let color = chosen.color.clone();
    let calendar = Calendar {
        id: CalendarId::new(&context.clock),
        user_id: user,
        connection_id,
        provider,
        name: chosen.name.clone(),
        color: color.unwrap_or_else(|| DEFAULT_COLOR.to_owned()),
        is_connected: true,
        is_unwatched: false,
        created_at: context.clock.now(),
        connected_at: None,
        source: CalendarSource::Account(chosen.clone()),
    };
    if context.store.create_calendar(&calendar).await? == WriteOutcome::Written {
        return Ok(calendar.id);
    }
    let key = calendar.source.key(connection_id);
    let known = context.store.calendar_of(user, &key).await?;
    let id = known.ok_or(Error::NotFound)?;
    // The condition fails when the calendar is connected already.
    let _: WriteOutcome = context.store.connect_again(user, id).await?;
    Ok(id)
}
