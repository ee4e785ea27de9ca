//! Discovery: once a day the account's list of calendars is read, and what it says about connected calendars is stored. No
//! sync token covers changes of access roles, names and colours.

use calweave_domain::calendar::{AccountCalendar, Calendar, CalendarSource};
use calweave_domain::connection::Connection;
use calweave_providers::{CalendarProvider, ProviderError, Remedy};
use calweave_store::WriteOutcome;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::stop::SyncResult;
use crate::SyncContext;

/// How often the list is read.
const EVERY: TimeDelta = TimeDelta::hours(24);

/// Reads the account's list, unless it was read within the last day or another worker has claimed it.
pub(super) async fn run(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    connection: &Connection,
) -> SyncResult<()> {
    let before: DateTime<Utc> = context.clock.now() - EVERY;
    if connection.listed_at.is_some_and(|listed| listed > before) {
        return Ok(());
    }
    let (user, id) = (connection.user_id, connection.id);
    if context.store.claim_listing(user, id, before).await? == WriteOutcome::ConditionFailed {
        return Ok(());
    }
    let listed = match provider.list_calendars().await {
        Ok(listed) => listed,
        Err(failure)
            if failure.remedy() == Remedy::RefreshToken
                || matches!(failure, ProviderError::Throttled { .. }) =>
        {
            return Err(failure.into());
        }
        Err(failure) => {
            // The events do not depend on it, and the list is read again tomorrow.
            warn!(connection.id = %id, "could not list the calendars of {id}: {failure}");
            return Ok(());
        }
    };
    for state in context.store.calendars(user).await? {
        let calendar = state.calendar;
        if calendar.connection_id != id {
            continue;
        }
        let now = listed
            .iter()
            .find(|listed| listed.remote_id == calendar.source.remote_id());
        if let Some(changed) = now.and_then(|now| changed(&calendar, now)) {
            info!(calendar.id = %calendar.id, "{} has changed in its account's list", calendar.id);
            // The condition fails when the calendar is gone.
            let _: WriteOutcome = context.store.update_source(&changed).await?;
        }
    }
    Ok(())
}

/// The calendar as the list has it; `None` when nothing has changed. A colour that its owner has chosen here stays.
fn changed(calendar: &Calendar, now: &AccountCalendar) -> Option<Calendar> {
    let CalendarSource::Account(before) = &calendar.source else {
        return None;
    };
    if before == now {
        return None;
    }
    let color = match &now.color {
        Some(color) if before.color.as_ref() == Some(&calendar.color) => color.clone(),
        _ => calendar.color.clone(),
    };
    Some(Calendar {
        name: now.name.clone(),
        color,
        source: CalendarSource::Account(now.clone()),
        ..calendar.clone()
    })
}
