//! Throttling, across all workers: the cap on concurrent syncs of one account, and the pause that a provider has asked for
//! (`Retry-After`).

use std::time::Duration;

use calweave_domain::connection::Connection;
use calweave_providers::{CalendarProvider, ProviderError};
use calweave_store::leases::Lease;
use calweave_store::permits::PermitOutcome;
use chrono::TimeDelta;
use tracing::error;

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

/// Makes all workers honor the pause that a failure asks for: for the account, or for all accounts of the provider where its
/// limit is one of this deployment.
pub(super) async fn pause(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    connection: &Connection,
    failure: &ProviderError,
) -> SyncResult<()> {
    let ProviderError::Throttled {
        retry_after: Some(after),
        is_project_wide,
        ..
    } = failure
    else {
        return Ok(());
    };
    let (store, user, id) = (&context.store, connection.user_id, connection.id);
    let until = context.clock.now() + TimeDelta::from_std(*after).unwrap_or(EXHAUSTED_DELAY);
    if *is_project_wide {
        let kind = connection.provider.path();
        error!(
            alarm = "provider-quota",
            "all syncs with {kind} rest until {until}: {failure}"
        );
        store.pause_provider(kind, until).await?;
    }
    store.pause_connection(user, id, until).await?;
    if provider.capabilities().max_concurrent_syncs.is_some() {
        store.pause_calls(user, id, until).await?;
    }
    Ok(())
}

/// Postpones the sync while the account, or its whole provider, is paused.
pub(super) async fn check_pause(context: &SyncContext, connection: &Connection) -> SyncResult<()> {
    let now = context.clock.now();
    let own = connection.paused_until;
    let all = context
        .store
        .provider_pause(connection.provider.path())
        .await?;
    match own.max(all) {
        Some(until) if until > now => Err(SyncStop::Later(until - now)),
        _ => Ok(()),
    }
}
