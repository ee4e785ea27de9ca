//! Once a day: what an account's list of calendars says of those that are connected. Changes of rights and the like come by
//! no sync token.

use calweave_domain::calendar::{AccountCalendar, Calendar, CalendarSource};
use calweave_domain::connection::Connection;
use calweave_providers::{CalendarProvider, ProviderError, Remedy};
use calweave_store::WriteOutcome;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::account::SyncResult;
use crate::SyncContext;

/// How often the list is read.
const EVERY: TimeDelta = TimeDelta::hours(24);

/// Follows the account's list, if its day is over and nobody else is at it.
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
            // The events do not wait for it; tomorrow is another day.
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
        if let Some(changed) = now.and_then(|now| followed(&calendar, now)) {
            info!(calendar.id = %calendar.id, "{} has changed in its account's list", calendar.id);
            // Refused when it is gone by now.
            let _: WriteOutcome = context.store.update_source(&changed).await?;
        }
    }
    Ok(())
}

/// The calendar as the list has it now; `None` when that is as before. A colour that its owner has chosen here stays.
fn followed(calendar: &Calendar, now: &AccountCalendar) -> Option<Calendar> {
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
