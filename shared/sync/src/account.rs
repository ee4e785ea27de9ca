//! One sync of one calendar of an account: what has changed at the provider is read and merged, then what has changed
//! here is written there. Both under the calendar's lease, so that neither meets the other half-way.
//!
//! Pages are stored as they come, the position last: wherever a run is interrupted, the next one reads the same changes
//! again and finds most of them stored.

use calweave_calendar::BackendError;
use calweave_calendar::accounts::{close_channel, credentials, revoke};
use calweave_domain::calendar::{AccountCalendar, Calendar, ChannelState};
use calweave_domain::connection::Connection;
use calweave_domain::ids::{ConnectionId, UserId};
use calweave_providers::{CalendarProvider, ProviderError, Remedy, RemoteCalendar};
use calweave_store::cursors::{SyncReport, SyncSuccess};
use calweave_store::leases::Lease;
use calweave_store::{StoreError, WriteOutcome};
use chrono::TimeDelta;
use tracing::{error, warn};

use super::SyncError;
use super::engine::with_jitter;
use super::pull::Pull;
use super::push::{self, PushReport};
use super::{discover, throttle, watch};
use crate::SyncContext;

/// After this long without a push a calendar is looked at all the same: a few pushes are lost by design.
const WATCHED_INTERVAL: TimeDelta = TimeDelta::hours(1);
/// A calendar that is not pushed.
const POLL_INTERVAL: TimeDelta = TimeDelta::minutes(15);
/// A calendar whose owner has to do something first; the sync that follows it is asked for then.
const REVOKED_INTERVAL: TimeDelta = TimeDelta::hours(12);
/// A calendar that has not been synced for so long, though nobody has to do anything first, is a matter for the operator.
const STALE_AFTER: TimeDelta = TimeDelta::hours(6);
/// How often a failure is followed by another try within minutes; from then on the schedule decides.
const MAX_QUICK_RETRIES: u32 = 6;

/// Why a run stops.
#[derive(Debug)]
pub(super) enum SyncStop {
    /// The provider's doing: noted with the calendar.
    CalendarProvider(ProviderError),
    /// The provider is not to be called just now: to be tried again after this long.
    Later(TimeDelta),
    /// Ours: the message comes again.
    Ours(SyncError),
}

pub(super) type SyncResult<T> = Result<T, SyncStop>;

impl From<ProviderError> for SyncStop {
    fn from(error: ProviderError) -> Self {
        Self::CalendarProvider(error)
    }
}

impl From<SyncError> for SyncStop {
    fn from(error: SyncError) -> Self {
        Self::Ours(error)
    }
}

impl From<StoreError> for SyncStop {
    fn from(error: StoreError) -> Self {
        Self::Ours(error.into())
    }
}

impl From<BackendError> for SyncStop {
    fn from(error: BackendError) -> Self {
        Self::Ours(error.into())
    }
}

/// Brings the copy of a calendar up to date, and the calendar with the copy.
pub(super) async fn run(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    account: &AccountCalendar,
) -> Result<SyncReport, SyncError> {
    Ok(match attempt(context, lease, calendar, account).await {
        Ok((success, left)) => {
            let watched = success
                .channel
                .as_ref()
                .or(lease.cursor().channel.as_ref())
                .is_some_and(|channel| channel.id.is_some());
            let interval = with_jitter(
                if watched {
                    WATCHED_INTERVAL
                } else {
                    POLL_INTERVAL
                },
                calendar,
            );
            let again_in = left.and_then(|failure| retry_delay(&failure, success.push_failures));
            SyncReport {
                success: Some(success),
                error: None,
                next_sync_at: context.clock.now() + interval,
                again_in,
            }
        }
        Err(SyncStop::Ours(error)) => return Err(error),
        Err(SyncStop::Later(pause)) => {
            let seconds = i32::try_from(pause.num_seconds() + 1)
                .unwrap_or(i32::MAX)
                .min(900);
            SyncReport {
                success: None,
                error: None,
                next_sync_at: context.clock.now() + POLL_INTERVAL,
                again_in: Some(seconds),
            }
        }
        Err(SyncStop::CalendarProvider(failure)) => {
            warn!(calendar.id = %calendar.id, "sync of {} failed: {failure}", calendar.id);
            let stale = lease
                .cursor()
                .last_synced_at
                .is_some_and(|last| context.clock.now() - last > STALE_AFTER);
            if stale && matches!(failure.remedy(), Remedy::Retry(_)) {
                error!(calendar.id = %calendar.id, alarm = "stale-calendar", "{} has not been synced for hours: {failure}", calendar.id);
            }
            let failures = lease.cursor().failures;
            let pause = if failure.remedy() == Remedy::Reconnect {
                REVOKED_INTERVAL
            } else {
                POLL_INTERVAL * (1 << failures.min(5))
            };
            let next_sync_at = context.clock.now() + pause;
            SyncReport {
                success: None,
                error: Some(failure.to_string()),
                next_sync_at,
                again_in: retry_delay(&failure, failures),
            }
        }
    })
}

/// In how many seconds to try again after a failure that passes.
fn retry_delay(failure: &ProviderError, failures: u32) -> Option<i32> {
    match failure.remedy() {
        Remedy::Retry(after) if failures < MAX_QUICK_RETRIES => {
            let [jitter] = calweave_base::clock::random_bytes::<1>();
            let backoff = (1 << (failures + 1)) + u64::from(jitter % 4);
            let seconds = after.map_or(backoff, |after| after.as_secs().max(backoff));
            Some(i32::try_from(seconds).unwrap_or(i32::MAX).min(900))
        }
        _ => None,
    }
}

/// Answers with what was done, and with the failure that keeps changes made here from being written.
async fn attempt(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    account: &AccountCalendar,
) -> SyncResult<(SyncSuccess, Option<ProviderError>)> {
    let provider = context.providers.of(calendar.provider)?;
    let gone = || ProviderError::GrantRevoked {
        provider: calendar.provider.label(),
        reason: "the account is not linked".to_owned(),
    };
    let connection = context
        .store
        .connection(calendar.user_id, calendar.connection_id)
        .await?
        .ok_or_else(gone)?;
    let zone = match account.time_zone {
        Some(zone) => zone,
        None => context
            .store
            .user(calendar.user_id)
            .await?
            .map_or(chrono_tz::Tz::UTC, |user| user.timezone),
    };
    let target = RemoteCalendar {
        calendar: calendar.id,
        remote_id: &account.remote_id,
        zone,
    };
    let mut refused = None;
    loop {
        let credentials = credentials(context, &connection, refused.as_ref()).await??;
        let session = provider.session(credentials.clone(), &connection.email)?;
        throttle::acquire_permit(context, lease, &*session, &connection).await?;
        match both_ways(context, &*session, lease, calendar, target, &connection).await {
            // A token may be taken back at any time: once, a new one may help.
            Err(SyncStop::CalendarProvider(failure))
                if failure.remedy() == Remedy::RefreshToken && refused.is_none() =>
            {
                refused = Some(credentials);
            }
            other => return other,
        }
    }
}

async fn both_ways(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    lease: &mut Lease,
    calendar: &Calendar,
    target: RemoteCalendar<'_>,
    connection: &Connection,
) -> SyncResult<(SyncSuccess, Option<ProviderError>)> {
    throttle::honor_retry_after(
        context,
        provider,
        connection,
        discover::run(context, provider, connection).await,
    )
    .await?;
    let pulled = Pull::new(context, provider, lease, target).run().await;
    let mut success = throttle::honor_retry_after(context, provider, connection, pulled).await?;
    let PushReport {
        created,
        removed,
        left,
    } = push::run(context, provider, lease, target).await?;
    success.stats.total = (success.stats.total + created).saturating_sub(removed);
    if let Some(failure) = &left {
        warn!(calendar.id = %calendar.id, "changes of {} have to wait: {failure}", calendar.id);
        success.push_failures = lease.cursor().push_failures.saturating_add(1);
        throttle::pause(context, provider, connection, failure).await?;
    }
    if !matches!(left, Some(ProviderError::Throttled { .. })) {
        success.channel =
            watch::ensure_channel(context, provider, lease, calendar, connection, target).await?;
    }
    Ok((success, left))
}

/// Closes the channel of a calendar that was disconnected. Where the provider cannot be asked any more, the channel ends
/// by itself, and what it still says counts no longer.
pub(super) async fn close_calendar_channel(
    context: &SyncContext,
    calendar: &Calendar,
    channel: &ChannelState,
) -> Result<(), SyncError> {
    let connection = context
        .store
        .connection(calendar.user_id, calendar.connection_id)
        .await?;
    if connection
        .as_ref()
        .and_then(|connection| connection.channel.as_ref())
        .is_some_and(|all| all.id == channel.id)
    {
        // It is the account's, and goes with it.
        return Ok(());
    }
    let session = match &connection {
        Some(connection) => open_session(context, connection).await?,
        None => None,
    };
    Ok(close_channel(&context.store, session.as_deref(), channel).await?)
}

/// A session with the provider of an account, where its credentials still serve.
async fn open_session(
    context: &SyncContext,
    connection: &Connection,
) -> Result<Option<Box<dyn CalendarProvider>>, SyncError> {
    let credentials = credentials(context, connection, None).await?.ok();
    let provider = context.providers.of(connection.provider).ok();
    let opened = provider.zip(credentials);
    Ok(opened
        .and_then(|(provider, credentials)| provider.session(credentials, &connection.email).ok()))
}

/// Gives the grant of an account back, unless one of its calendars is still connected. Answers whether that is settled: as
/// long as its owner is choosing calendars of it, it is not.
pub(super) async fn unlink_unused(
    context: &SyncContext,
    user: UserId,
    id: ConnectionId,
) -> Result<bool, SyncError> {
    if is_used(context, user, id).await? {
        return Ok(true);
    }
    // Linked again, its owner is choosing: the choice says what stays, if it comes to one.
    if context.store.is_choosing(user, id).await? {
        return Ok(false);
    }
    let Some(connection) = context.store.connection(user, id).await? else {
        return Ok(true);
    };
    let held = context.store.sealed_grant(user, id).await?;
    // Nothing is asked to be renewed from here on; the provider is told while the token can still be read.
    if context.store.end_connection(&connection).await? == WriteOutcome::ConditionFailed {
        // Linked again at this very moment.
        return Ok(true);
    }
    if is_used(context, user, id).await? {
        // Chosen at this very moment.
        let _: WriteOutcome = context.store.revive_connection(&connection).await?;
        return Ok(true);
    }
    revoke(context, &connection).await?;
    if let Some(held) = held {
        context.store.delete_grant(user, id, held.version).await?;
    }
    context.store.delete_permits(user, id).await?;
    context.store.release_account(&connection).await?;
    Ok(true)
}

/// Whether a calendar of an account is connected.
async fn is_used(context: &SyncContext, user: UserId, id: ConnectionId) -> Result<bool, SyncError> {
    let calendars = context.store.calendars(user).await?;
    Ok(calendars
        .iter()
        .any(|state| state.calendar.connection_id == id && state.calendar.is_connected))
}

/// Goes on holding the lease, or stops.
pub(super) async fn renew_lease(context: &SyncContext, lease: &mut Lease) -> SyncResult<()> {
    match context.store.renew_lease(lease).await? {
        WriteOutcome::Written => Ok(()),
        WriteOutcome::ConditionFailed => Err(SyncError::LeaseLost.into()),
    }
}
