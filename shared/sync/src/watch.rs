//! Keeps a channel open by which the provider says that a calendar, or any of an account's, has changed.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calweave_base::clock::random_bytes;
use calweave_calendar::accounts::close_channel;
use calweave_domain::calendar::{Calendar, CalendarSource, ChannelState};
use calweave_domain::connection::{Connection, ConnectionStatus};
use calweave_domain::ids::UserId;
use calweave_domain::secret::secret_digest;
use calweave_providers::{CalendarProvider, ChannelScope, ProviderError, Remedy, RemoteCalendar};
use calweave_store::WriteOutcome;
use calweave_store::channels::{Channel, WatchedResource};
use calweave_store::leases::Lease;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::account::SyncResult;
use crate::SyncContext;

/// A calendar that cannot be watched is tried again after this long.
const UNWATCHABLE: TimeDelta = TimeDelta::days(7);
/// How long a channel's row is kept before the provider has said when the channel ends.
const UNOPENED: TimeDelta = TimeDelta::days(8);
/// The path that providers push to, below where this API is.
const PATH: &str = "/api/v1/calendar/webhooks/";

/// Opens a channel where there is none or it is about to end: the new one before the old one is closed, so that nothing
/// is missed in between. `None` leaves it as it is. A failure is no failure of the sync: until it works the calendar is
/// polled.
pub(super) async fn ensure_channel(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    lease: &Lease,
    calendar: &Calendar,
    connection: &Connection,
    target: RemoteCalendar<'_>,
) -> SyncResult<Option<ChannelState>> {
    let now = context.clock.now();
    let known = lease.cursor().channel.clone();
    let is_account = provider.capabilities().channel_scope == ChannelScope::Account;
    let is_out_of_reach = is_account
        && matches!(&calendar.source, CalendarSource::Account(account) if account.is_shared);
    if calendar.is_unwatched || is_out_of_reach {
        let Some(open) = known.filter(|channel| channel.id.is_some()) else {
            return Ok(None);
        };
        if !is_account {
            close_channel(&context.store, Some(provider), &open).await?;
        }
        return Ok(Some(ChannelState {
            id: None,
            resource_id: None,
            renew_at: now,
            expires_at: now,
        }));
    }
    if is_account {
        let open = ensure_account_channel(context, provider, connection, target).await?;
        return Ok(open.filter(|open| known.as_ref() != Some(open)));
    }
    if known.as_ref().is_some_and(|channel| channel.renew_at > now) {
        return Ok(None);
    }
    open(
        context,
        provider,
        calendar.user_id,
        WatchedResource::Calendar {
            calendar_id: calendar.id,
        },
        known.as_ref(),
        target,
    )
    .await
}

/// The channel of an account, as it is now.
async fn ensure_account_channel(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    connection: &Connection,
    target: RemoteCalendar<'_>,
) -> SyncResult<Option<ChannelState>> {
    let (user, id, now) = (connection.user_id, connection.id, context.clock.now());
    let is_due = |known: Option<&ChannelState>| known.is_none_or(|channel| channel.renew_at <= now);
    if !is_due(connection.channel.as_ref())
        || context.store.claim_channel_renewal(user, id).await? == WriteOutcome::ConditionFailed
    {
        return Ok(connection.channel.clone());
    }
    // Somebody else may have been faster, before the turn was ours.
    let latest = context.store.connection(user, id).await?;
    if latest
        .as_ref()
        .is_none_or(|latest| latest.status != ConnectionStatus::Active)
    {
        // Its grant was given back meanwhile: nobody would close what is opened now.
        context.store.finish_channel_renewal(user, id, None).await?;
        return Ok(None);
    }
    let latest = latest.and_then(|connection| connection.channel);
    let known = latest.as_ref();
    if !is_due(known) {
        context.store.finish_channel_renewal(user, id, None).await?;
        return Ok(latest);
    }
    let extended = match known.and_then(|channel| channel.resource_id.as_ref()) {
        Some(resource_id) => provider.extend_channel(resource_id).await,
        None => Ok(None),
    };
    let kept = match (extended, known.and_then(|channel| channel.id.as_ref())) {
        (Ok(Some(opened)), Some(channel)) => {
            let renew_at = renewal(now, opened.expires_at);
            context
                .store
                .extend_channel(user, channel, renew_at, opened.expires_at)
                .await?;
            let (channel, resource_id) = (Some(channel.clone()), Some(opened.resource_id));
            Some(ChannelState {
                id: channel,
                resource_id,
                renew_at,
                expires_at: opened.expires_at,
            })
        }
        (Err(failure), _) if failure.remedy() != Remedy::GiveUp => {
            warn!(connection.id = %id, "could not extend the channel of {id}: {failure}");
            None
        }
        // It is gone, or does not live longer.
        _ => {
            open(
                context,
                provider,
                user,
                WatchedResource::Account { connection_id: id },
                known,
                target,
            )
            .await?
        }
    };
    context
        .store
        .finish_channel_renewal(user, id, kept.as_ref())
        .await?;
    Ok(kept.or_else(|| known.cloned()))
}

/// Opens a channel in place of the one that is known.
async fn open(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    watched: WatchedResource,
    known: Option<&ChannelState>,
    target: RemoteCalendar<'_>,
) -> SyncResult<Option<ChannelState>> {
    let now = context.clock.now();
    let Ok(registered) = context.providers.of(provider.capabilities().kind) else {
        return Ok(None);
    };
    let address = format!(
        "{}{PATH}{}",
        registered.public_url(),
        provider.capabilities().kind.path()
    );
    let id = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let secret_digest = secret_digest(&secret);
    let row = Channel {
        id: id.clone(),
        user_id: user,
        watched,
        secret_digest,
        resource_id: None,
        renew_at: None,
        until: now + UNOPENED,
    };
    // The row first: the provider's first message may be there before its answer.
    context.store.put_channel(&row).await?;
    let opened = match provider.open_channel(target, &id, &secret, &address).await {
        Ok(opened) => opened,
        Err(failure) => {
            context.store.delete_channel(&row.id).await?;
            return match failure.remedy() {
                Remedy::GiveUp => {
                    if !matches!(failure, ProviderError::PushUnsupported { .. }) {
                        warn!(calendar.id = %target.calendar, "{} cannot be watched and is polled: {failure}", target.calendar);
                    }
                    let at = now + UNWATCHABLE;
                    Ok(Some(ChannelState {
                        id: None,
                        resource_id: None,
                        renew_at: at,
                        expires_at: at,
                    }))
                }
                _ => {
                    warn!(calendar.id = %target.calendar, "could not watch {}: {failure}", target.calendar);
                    Ok(None)
                }
            };
        }
    };
    let renew_at = renewal(now, opened.expires_at);
    let row = Channel {
        resource_id: Some(opened.resource_id.clone()),
        renew_at: Some(renew_at),
        until: opened.expires_at,
        ..row
    };
    context.store.put_channel(&row).await?;
    if let Some(old) = known {
        close_channel(&context.store, Some(provider), old).await?;
    }
    Ok(Some(ChannelState {
        id: Some(id),
        resource_id: Some(opened.resource_id),
        renew_at,
        expires_at: opened.expires_at,
    }))
}

/// When four fifths of a channel's life are over.
fn renewal(now: DateTime<Utc>, expires_at: DateTime<Utc>) -> DateTime<Utc> {
    now + (expires_at - now) * 4 / 5
}
