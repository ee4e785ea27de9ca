//! Keeps to what a provider bears: so many syncs of one account at once, and none before the time that it has named. Both
//! hold across all workers.

use std::time::Duration;

use calweave_domain::connection::Connection;
use calweave_providers::{Provider, ProviderError};
use calweave_store::cursors::Lease;
use calweave_store::seats::Asked;
use chrono::TimeDelta;

use super::account::{Step, Stop};
use crate::SyncContext;

/// How often a worker looks for a free seat before it leaves the calendar to a later message.
const LOOKS: u32 = 8;
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a calendar waits for which there was no seat.
const FULL: TimeDelta = TimeDelta::seconds(3);

/// Takes a seat along with the lease, where the provider has only so many for an account.
pub(super) async fn take_seat(
    context: &SyncContext,
    lease: &mut Lease,
    provider: &dyn Provider,
    connection: &Connection,
) -> Step<()> {
    let Some(count) = provider.manners().at_once.filter(|_| !lease.has_seat()) else {
        return Ok(());
    };
    for _ in 0..LOOKS {
        match context
            .store
            .take_seat(connection.user_id, connection.id, count)
            .await?
        {
            Asked::Taken(seat) => {
                lease.sit(seat);
                return Ok(());
            }
            Asked::Paused(until) => return Err(Stop::Later(until - context.clock.now())),
            Asked::Full => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(Stop::Later(FULL))
}

/// Has all workers heed a pause that the provider has asked for.
pub(super) async fn heed<T>(
    context: &SyncContext,
    provider: &dyn Provider,
    connection: &Connection,
    done: Step<T>,
) -> Step<T> {
    if let Err(Stop::Provider(failure)) = &done {
        pause(context, provider, connection, failure).await?;
    }
    done
}

/// The same, for a failure.
pub(super) async fn pause(
    context: &SyncContext,
    provider: &dyn Provider,
    connection: &Connection,
    failure: &ProviderError,
) -> Step<()> {
    if let ProviderError::Throttled {
        retry_after: Some(after),
        ..
    } = failure
        && provider.manners().at_once.is_some()
    {
        let until = context.clock.now() + TimeDelta::from_std(*after).unwrap_or(FULL);
        context
            .store
            .pause_calls(connection.user_id, connection.id, until)
            .await?;
    }
    Ok(())
}
