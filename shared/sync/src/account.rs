//! One sync of one calendar of an account: a pull, then a push, both under the calendar's lease, so that a pull never reads
//! what a push has written half.

use calweave_calendar::accounts::credentials;
use calweave_domain::calendar::{AccountCalendar, Calendar};
use calweave_domain::connection::Connection;
use calweave_providers::{CalendarProvider, Connect, ProviderError, Remedy, RemoteCalendar};
use calweave_store::cursors::{MAX_DELAY, SyncReport, SyncSuccess};
use calweave_store::leases::Lease;
use chrono::TimeDelta;
use chrono_tz::Tz;
use tracing::{error, warn};

use super::SyncError;
use super::pull::Pull;
use super::push::{self, PushReport};
use super::schedule::with_jitter;
use super::stop::{SyncResult, SyncStop};
use super::{discover, throttle, watch};
use crate::SyncContext;

/// How often a calendar is synced whose changes the provider pushes: a few notifications are lost by design.
const WATCHED_INTERVAL: TimeDelta = TimeDelta::hours(1);
/// How often a calendar is synced whose changes the provider does not push.
const POLL_INTERVAL: TimeDelta = TimeDelta::minutes(15);
/// How often a calendar is tried whose account has to be linked again. Linking it requests a sync at once.
const REVOKED_INTERVAL: TimeDelta = TimeDelta::hours(12);
/// A calendar that fails for this long, though its owner has nothing to do, is a matter for the operator.
pub(super) const STALE_AFTER: TimeDelta = TimeDelta::hours(6);
/// How many failures in a row are each followed by another try within minutes; from then on the schedule decides.
const MAX_QUICK_RETRIES: u32 = 6;

/// Syncs a calendar. A failure of the provider is part of the report and no error.
pub(super) async fn run(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    account: &AccountCalendar,
) -> Result<SyncReport, SyncError> {
    match attempt(context, lease, calendar, account).await {
        Ok((success, left)) => Ok(succeeded(context, lease, calendar, success, left.as_ref())),
        Err(SyncStop::Backend(error)) => Err(error),
        Err(SyncStop::Later(delay)) => Ok(SyncReport::postponed(context.clock.now(), delay)),
        Err(SyncStop::Provider(failure)) => Ok(failed(context, lease, calendar, &failure)),
    }
}

fn succeeded(
    context: &SyncContext,
    lease: &Lease,
    calendar: &Calendar,
    success: SyncSuccess,
    left: Option<&ProviderError>,
) -> SyncReport {
    let channel = success.channel.as_ref().or(lease.cursor().channel.as_ref());
    let is_watched = channel.is_some_and(|channel| channel.id.is_some());
    let interval = if is_watched {
        WATCHED_INTERVAL
    } else {
        POLL_INTERVAL
    };
    SyncReport {
        again_in: match left {
            _ if success.is_unfinished => Some(0),
            Some(failure) => retry_delay(failure, success.push_failures),
            None => None,
        },
        success: Some(success),
        error: None,
        next_sync_at: context.clock.now() + with_jitter(interval, calendar),
        hold_until: None,
        interruptions: 0,
        written: None,
    }
}

fn failed(
    context: &SyncContext,
    lease: &Lease,
    calendar: &Calendar,
    failure: &ProviderError,
) -> SyncReport {
    let (id, now, cursor) = (calendar.id, context.clock.now(), lease.cursor());
    warn!(calendar.id = %id, "sync of {id} failed: {failure}");
    let last = cursor.last_synced_at;
    let is_stale = last.is_some_and(|last| now - last > STALE_AFTER);
    if is_stale && matches!(failure.remedy(), Remedy::Retry(_)) {
        error!(calendar.id = %id, alarm = "stale-calendar", "{id} has not been synced for hours: {failure}");
    }
    let interval = if failure.remedy() == Remedy::Reconnect {
        REVOKED_INTERVAL
    } else {
        POLL_INTERVAL * (1 << cursor.failures.min(5))
    };
    SyncReport {
        success: None,
        error: Some(failure.to_string()),
        next_sync_at: now + interval,
        again_in: retry_delay(failure, cursor.failures),
        hold_until: hold(failure, cursor.failures).map(|hold| now + hold),
        interruptions: 0,
        written: None,
    }
}

/// For how long requests wait after a transient failure: from the second one in a row, so that a request after a short outage
/// is carried out at once, and each notification during a long one is not.
fn hold(failure: &ProviderError, failures: u32) -> Option<TimeDelta> {
    let is_transient = matches!(failure.remedy(), Remedy::Retry(_));
    let seconds = 1 << (failures + 1).min(MAX_QUICK_RETRIES);
    Some(TimeDelta::seconds(seconds)).filter(|_| is_transient && failures > 0)
}

/// In how many seconds to try again after a transient failure.
fn retry_delay(failure: &ProviderError, failures: u32) -> Option<i32> {
    match failure.remedy() {
        Remedy::Retry(after) if failures < MAX_QUICK_RETRIES => {
            let [jitter] = calweave_base::clock::random_bytes::<1>();
            let backoff = (1 << (failures + 1)) + u64::from(jitter % 4);
            let seconds = after.map_or(backoff, |after| after.as_secs().max(backoff));
            Some(i32::try_from(seconds).unwrap_or(MAX_DELAY).min(MAX_DELAY))
        }
        _ => None,
    }
}

/// Returns what was done, and the failure that keeps local changes from being written.
async fn attempt(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    account: &AccountCalendar,
) -> SyncResult<(SyncSuccess, Option<ProviderError>)> {
    let (user, id) = (calendar.user_id, calendar.connection_id);
    let provider = context.providers.of(calendar.provider)?;
    let not_linked = || ProviderError::GrantRevoked {
        provider: calendar.provider.label(),
        reason: "the account is not linked".to_owned(),
    };
    let connection = context.store.connection(user, id).await?;
    let connection = connection.ok_or_else(not_linked)?;
    throttle::check_pause(context, &connection).await?;
    let zone = match account.time_zone {
        Some(zone) => zone,
        None => {
            let user = context.store.user(user).await?;
            user.map_or(Tz::UTC, |user| user.timezone)
        }
    };
    let target = RemoteCalendar {
        calendar: calendar.id,
        remote_id: &account.remote_id,
        zone,
        is_primary: account.is_primary,
        is_shared: account.is_shared,
    };
    authorized(context, lease, calendar, provider, &connection, target).await
}

/// Syncs with credentials that the provider accepts: where it rejects them, once more with renewed ones, because an access
/// token may be revoked at any time.
async fn authorized(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    provider: &dyn Connect,
    connection: &Connection,
    target: RemoteCalendar<'_>,
) -> SyncResult<(SyncSuccess, Option<ProviderError>)> {
    let mut rejected = None;
    loop {
        let credentials = credentials(context, connection, rejected.as_ref()).await??;
        let session = provider.session(credentials.clone(), &connection.email)?;
        throttle::acquire_permit(context, lease, &*session, connection).await?;
        let synced = pull_and_push(context, &*session, lease, calendar, target, connection).await;
        match synced {
            Err(SyncStop::Provider(failure))
                if failure.remedy() == Remedy::RefreshToken && rejected.is_none() =>
            {
                rejected = Some(credentials);
            }
            synced => return synced,
        }
    }
}

async fn pull_and_push(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    lease: &mut Lease,
    calendar: &Calendar,
    target: RemoteCalendar<'_>,
    connection: &Connection,
) -> SyncResult<(SyncSuccess, Option<ProviderError>)> {
    let listed = discover::run(context, provider, connection).await;
    throttle::honor_retry_after(context, provider, connection, listed).await?;
    let pulled = Pull::new(context, provider, lease, target).run().await;
    let mut success = throttle::honor_retry_after(context, provider, connection, pulled).await?;
    let PushReport {
        created,
        removed,
        left,
        is_unfinished,
    } = push::run(context, provider, lease, target).await?;
    success.is_unfinished |= is_unfinished;
    success.stats.total = (success.stats.total + created).saturating_sub(removed);
    if let Some(failure) = &left {
        warn!(calendar.id = %calendar.id, "changes of {} have to wait: {failure}", calendar.id);
        success.push_failures = lease.cursor().push_failures.saturating_add(1);
        throttle::pause(context, provider, connection, failure).await?;
    }
    if !matches!(left, Some(ProviderError::Throttled { .. })) {
        success.channel = watch::ensure_channel(context, provider, lease, calendar, target).await?;
    }
    Ok((success, left))
}
