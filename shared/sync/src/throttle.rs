//! Throttling, across all workers: the cap on concurrent syncs of one account, and the pause that a provider has asked for
//! (`Retry-After`).

use std::time::Duration;

use calweave_domain::connection::Connection;
use calweave_providers::{CalendarProvider, ProviderError};
use calweave_store::leases::Lease;
use calweave_store::permits::PermitOutcome;
use chrono::TimeDelta;

use super::stop::{SyncResult, SyncStop};
use crate::SyncContext;

/// How often a worker tries to get a permit before it leaves the calendar to a later message.
const MAX_POLLS: u32 = 8;
/// How long it waits between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a calendar waits after no permit was available.
const EXHAUSTED_DELAY: TimeDelta = TimeDelta::seconds(3);

/// Attaches a permit to the lease, for providers that cap the concurrent calls of an account.
pub(super) async fn acquire_permit(
    context: &SyncContext,
    lease: &mut Lease,
    provider: &dyn CalendarProvider,
    connection: &Connection,
) -> SyncResult<()> {
    let Some(count) = provider
        .capabilities()
        .max_concurrent_syncs
        .filter(|_| !lease.has_permit())
    else {
        return Ok(());
    };
    for _ in 0..MAX_POLLS {
        match context
            .store
            .acquire_permit(connection.user_id, connection.id, count)
            .await?
        {
            PermitOutcome::Acquired(permit) => {
                lease.attach_permit(permit);
                return Ok(());
            }
            PermitOutcome::Paused(until) => {
                return Err(SyncStop::Later(until - context.clock.now()));
            }
            PermitOutcome::Exhausted => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(SyncStop::Later(EXHAUSTED_DELAY))
}

/// Makes all workers honor the pause that a failure asks for. Returns the result that it was given.
pub(super) async fn honor_retry_after<T>(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    connection: &Connection,
    result: SyncResult<T>,
) -> SyncResult<T> {
    if let Err(SyncStop::Provider(failure)) = &result {
        pause(context, provider, connection, failure).await?;
    }
    result
}

/// Makes all workers honor the pause that a failure asks for.
pub(super) async fn pause(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    connection: &Connection,
    failure: &ProviderError,
) -> SyncResult<()> {
    if let ProviderError::Throttled {
        retry_after: Some(after),
        ..
    } = failure
        && provider.capabilities().max_concurrent_syncs.is_some()
    {
        let until = context.clock.now() + TimeDelta::from_std(*after).unwrap_or(EXHAUSTED_DELAY);
        context
            .store
            .pause_calls(connection.user_id, connection.id, until)
            .await?;
    }
    Ok(())
}
