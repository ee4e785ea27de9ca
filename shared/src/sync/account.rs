//! One sync of one calendar of an account: what has changed at the provider is read and merged, then what has changed
//! here is written there. Both under the calendar's lease, so that neither meets the other half-way.
//!
//! Pages are stored as they come, the position last: wherever a run is interrupted, the next one reads the same changes
//! again and finds most of them stored.

use chrono::TimeDelta;
use tracing::{error, warn};

use super::SyncError;
use super::access::access_token;
use super::engine::spread;
use super::pull::Pull;
use super::push::{self, Pushed};
use super::{discover, throttle, watch};
use crate::app::App;
use crate::domain::calendar::{AccountCalendar, Calendar, ChannelState};
use crate::domain::connection::{Connection, ConnectionStatus};
use crate::domain::ids::{ConnectionId, UserId};
use crate::providers::{Provider, ProviderError, Remedy, Target};
use crate::store::cursors::{Ending, Lease, Success};
use crate::store::{Outcome, StoreError};
use crate::vault::VaultError;

/// After this long without a push a calendar is looked at all the same: a few pushes are lost by design.
const WATCHED: TimeDelta = TimeDelta::hours(1);
/// A calendar that is not pushed.
const POLLED: TimeDelta = TimeDelta::minutes(15);
/// A calendar whose owner has to do something first; the sync that follows it is asked for then.
const BROKEN: TimeDelta = TimeDelta::hours(12);
/// A calendar that has not been synced for so long, though nobody has to do anything first, is a matter for the operator.
const STALE: TimeDelta = TimeDelta::hours(6);
/// How often a failure is followed by another try within minutes; from then on the schedule decides.
const QUICK_TRIES: u32 = 6;

/// Why a run stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The provider's doing: noted with the calendar.
    Provider(ProviderError),
    /// The provider is not to be called just now: to be tried again after this long.
    Later(TimeDelta),
    /// Ours: the message comes again.
    Ours(SyncError),
}

pub(super) type Step<T> = Result<T, Stop>;

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<SyncError> for Stop {
    fn from(error: SyncError) -> Self {
        Self::Ours(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Ours(error.into())
    }
}

impl From<VaultError> for Stop {
    fn from(error: VaultError) -> Self {
        Self::Ours(error.into())
    }
}

/// Brings the copy of a calendar up to date, and the calendar with the copy.
///
/// # Errors
/// When a table or the vault does not answer.
pub(super) async fn run(
    app: &App,
    lease: &mut Lease,
    calendar: &Calendar,
    account: &AccountCalendar,
) -> Result<Ending, SyncError> {
    Ok(match attempt(app, lease, calendar, account).await {
        Ok((success, left)) => {
            let watched = success
                .channel
                .as_ref()
                .or(lease.cursor().channel.as_ref())
                .is_some_and(|channel| channel.id.is_some());
            let interval = spread(if watched { WATCHED } else { POLLED }, calendar);
            let again_in = left.and_then(|failure| soon(&failure, success.push_failures));
            Ending {
                success: Some(success),
                error: None,
                next_sync_at: app.clock.now() + interval,
                again_in,
            }
        }
        Err(Stop::Ours(error)) => return Err(error),
        Err(Stop::Later(pause)) => {
            let seconds = i32::try_from(pause.num_seconds() + 1)
                .unwrap_or(i32::MAX)
                .min(900);
            Ending {
                success: None,
                error: None,
                next_sync_at: app.clock.now() + POLLED,
                again_in: Some(seconds),
            }
        }
        Err(Stop::Provider(failure)) => {
            warn!(calendar.id = %calendar.id, "sync of {} failed: {failure}", calendar.id);
            let stale = lease
                .cursor()
                .last_synced_at
                .is_some_and(|last| app.clock.now() - last > STALE);
            if stale && matches!(failure.remedy(), Remedy::Retry(_)) {
                error!(calendar.id = %calendar.id, alarm = "stale-calendar", "{} has not been synced for hours: {failure}", calendar.id);
            }
            let failures = lease.cursor().failures;
            let pause = if failure.remedy() == Remedy::Reconnect {
                BROKEN
            } else {
                POLLED * (1 << failures.min(5))
            };
            let next_sync_at = app.clock.now() + pause;
            Ending {
                success: None,
                error: Some(failure.to_string()),
                next_sync_at,
                again_in: soon(&failure, failures),
            }
        }
    })
}

/// In how many seconds to try again after a failure that passes.
fn soon(failure: &ProviderError, failures: u32) -> Option<i32> {
    match failure.remedy() {
        Remedy::Retry(after) if failures < QUICK_TRIES => {
            let [jitter] = crate::clock::random_bytes::<1>();
            let backoff = (1 << (failures + 1)) + u64::from(jitter % 4);
            let seconds = after.map_or(backoff, |after| after.as_secs().max(backoff));
            Some(i32::try_from(seconds).unwrap_or(i32::MAX).min(900))
        }
        _ => None,
    }
}

/// Answers with what was done, and with the failure that keeps changes made here from being written.
async fn attempt(
    app: &App,
    lease: &mut Lease,
    calendar: &Calendar,
    account: &AccountCalendar,
) -> Step<(Success, Option<ProviderError>)> {
    let accounts = app.providers.of(calendar.provider)?;
    let provider = calendar.provider.label();
    let gone = || ProviderError::GrantGone {
        provider,
        reason: "the account is not linked".to_owned(),
    };
    let connection = app
        .store
        .connection(calendar.user_id, calendar.connection_id)
        .await?
        .ok_or_else(gone)?;
    let zone = match account.time_zone {
        Some(zone) => zone,
        None => app
            .store
            .user(calendar.user_id)
            .await?
            .map_or(chrono_tz::Tz::UTC, |user| user.timezone),
    };
    let target = Target {
        calendar: calendar.id,
        remote_id: &account.remote_id,
        zone,
    };
    let mut refused = None;
    loop {
        let token = access_token(app, &connection, refused.as_ref()).await??;
        let session = accounts.session(token.clone(), &connection.email);
        throttle::take_seat(app, lease, &*session, &connection).await?;
        match both_ways(app, &*session, lease, calendar, target, &connection).await {
            // A token may be taken back at any time: once, a new one may help.
            Err(Stop::Provider(failure))
                if failure.remedy() == Remedy::Renew && refused.is_none() =>
            {
                refused = Some(token);
            }
            other => return other,
        }
    }
}

async fn both_ways(
    app: &App,
    provider: &dyn Provider,
    lease: &mut Lease,
    calendar: &Calendar,
    target: Target<'_>,
    connection: &Connection,
) -> Step<(Success, Option<ProviderError>)> {
    throttle::heed(
        app,
        provider,
        connection,
        discover::run(app, provider, connection).await,
    )
    .await?;
    let pulled = Pull::new(app, provider, lease, target).run().await;
    let mut success = throttle::heed(app, provider, connection, pulled).await?;
    let Pushed {
        created,
        removed,
        left,
    } = push::run(app, provider, lease, target).await?;
    success.stats.total = (success.stats.total + created).saturating_sub(removed);
    if let Some(failure) = &left {
        warn!(calendar.id = %calendar.id, "changes of {} have to wait: {failure}", calendar.id);
        success.push_failures = lease.cursor().push_failures.saturating_add(1);
        throttle::pause(app, provider, connection, failure).await?;
    }
    if !matches!(left, Some(ProviderError::Throttled { .. })) {
        success.channel = watch::keep(app, provider, lease, calendar, connection, target).await?;
    }
    Ok((success, left))
}

/// Closes the channel of a calendar that was disconnected. Where the provider cannot be asked any more, the channel ends
/// by itself, and what it still says counts no longer.
///
/// # Errors
/// When a table or the vault does not answer.
pub(super) async fn leave(
    app: &App,
    calendar: &Calendar,
    channel: &ChannelState,
) -> Result<(), SyncError> {
    let connection = app
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
    let token = match &connection {
        Some(connection) => access_token(app, connection, None).await?.ok(),
        None => None,
    };
    let session = connection
        .as_ref()
        .zip(token)
        .and_then(|(connection, token)| {
            Some(
                app.providers
                    .of(connection.provider)
                    .ok()?
                    .session(token, &connection.email),
            )
        });
    watch::close(app, session.as_deref(), channel).await
}

/// Gives all grants of a person back, as far as the providers can be asked.
///
/// # Errors
/// When a table or the vault does not answer.
pub(super) async fn revoke_all(app: &App, user: UserId) -> Result<(), SyncError> {
    for connection in app.store.connections(user).await? {
        if connection.status == ConnectionStatus::Active {
            revoke(app, &connection).await?;
        }
    }
    Ok(())
}

/// Tells the provider that a grant is given back. Where it cannot be told, the grant ends here all the same.
async fn revoke(app: &App, connection: &Connection) -> Result<(), SyncError> {
    let (user, id) = (connection.user_id, connection.id);
    let (Ok(accounts), Some(held)) = (
        app.providers.of(connection.provider),
        app.vault.grant(user, id).await?,
    ) else {
        return Ok(());
    };
    if let Some(channel) = &connection.channel {
        let session = accounts.session(held.grant.access_token.clone(), &connection.email);
        watch::close(app, Some(&*session), channel).await?;
    }
    if let Err(failure) = accounts.revoke(&held.grant.refresh_token).await {
        warn!(connection.id = %id, "could not give the grant of {id} back: {failure}");
    }
    Ok(())
}

/// Gives the grant of an account back, unless one of its calendars is still connected. Answers whether that is settled: as
/// long as its owner is choosing calendars of it, it is not.
///
/// # Errors
/// When a table or the vault does not answer.
pub(super) async fn unlink_unused(
    app: &App,
    user: UserId,
    id: ConnectionId,
) -> Result<bool, SyncError> {
    if is_used(app, user, id).await? {
        return Ok(true);
    }
    // Linked again, its owner is choosing: the choice says what stays, if it comes to one.
    if app.store.is_choosing(user, id).await? {
        return Ok(false);
    }
    let Some(connection) = app.store.connection(user, id).await? else {
        return Ok(true);
    };
    let held = app.store.sealed_grant(user, id).await?;
    // Nothing is asked to be renewed from here on; the provider is told while the token can still be read.
    if app.store.end_connection(&connection).await? == Outcome::Refused {
        // Linked again at this very moment.
        return Ok(true);
    }
    if is_used(app, user, id).await? {
        // Chosen at this very moment.
        let _: Outcome = app.store.revive_connection(&connection).await?;
        return Ok(true);
    }
    revoke(app, &connection).await?;
    if let Some(held) = held {
        app.store.delete_grant(user, id, held.version).await?;
    }
    app.store.remove_seats(user, id).await?;
    app.store.release_account(&connection).await?;
    Ok(true)
}

/// Whether a calendar of an account is connected.
async fn is_used(app: &App, user: UserId, id: ConnectionId) -> Result<bool, SyncError> {
    let calendars = app.store.calendars(user).await?;
    Ok(calendars
        .iter()
        .any(|state| state.calendar.connection_id == id && state.calendar.is_connected))
}

/// Goes on holding the lease, or stops.
pub(super) async fn hold(app: &App, lease: &mut Lease) -> Step<()> {
    match app.store.keep_lease(lease).await? {
        Outcome::Done => Ok(()),
        Outcome::Refused => Err(SyncError::LeaseLost.into()),
    }
}
