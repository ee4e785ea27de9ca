//! Push channels: keeps one open by which the provider notifies of changes to a calendar.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calweave_base::clock::random_bytes;
use calweave_calendar::accounts::close_channel;
use calweave_domain::calendar::{Calendar, ChannelState};
use calweave_domain::ids::UserId;
use calweave_domain::secret::secret_digest;
use calweave_providers::{CalendarProvider, ProviderError, Remedy, RemoteCalendar};
use calweave_store::channels::Channel;
use calweave_store::leases::Lease;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::stop::SyncResult;
use crate::SyncContext;

/// A calendar that the provider does not push changes of is tried again after this long.
const UNWATCHABLE: TimeDelta = TimeDelta::days(7);
/// How long a channel's row is kept while the provider has not said when the channel expires.
const UNOPENED: TimeDelta = TimeDelta::days(8);
/// The path of notifications, below this deployment's public URL.
const PATH: &str = "/api/v1/calendar/webhooks/";

/// Ensures that a channel of the calendar is open. One that is about to expire is extended; where the provider cannot extend
/// it, a new one is opened before the old one is closed, so that no change is missed. Returns the channel's new state, or
/// `None` when it has not changed. A failure does not fail the sync: without a channel the calendar is polled.
pub(super) async fn ensure_channel(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    lease: &Lease,
    calendar: &Calendar,
    target: RemoteCalendar<'_>,
) -> SyncResult<Option<ChannelState>> {
    let now = context.clock.now();
    let known = lease.cursor().channel.as_ref();
    if calendar.is_unwatched {
        let Some(open) = known.filter(|channel| channel.id.is_some()) else {
            return Ok(None);
        };
        close_channel(&context.store, Some(provider), open).await?;
        return Ok(Some(no_channel(now)));
    }
    if known.is_some_and(|channel| channel.renew_at > now) {
        return Ok(None);
    }
    renew(context, provider, calendar, known, target).await
}

/// No channel; watching is tried again at `renew_at`.
fn no_channel(renew_at: DateTime<Utc>) -> ChannelState {
    ChannelState {
        id: None,
        resource_id: None,
        renew_at,
        expires_at: renew_at,
    }
}

/// Extends a channel, or opens another where there is none, it is lost or it cannot be extended. `None` after a transient
/// failure.
async fn renew(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    calendar: &Calendar,
    known: Option<&ChannelState>,
    target: RemoteCalendar<'_>,
) -> SyncResult<Option<ChannelState>> {
    let (user, id) = (calendar.user_id, calendar.id);
    let extended = match known.and_then(|channel| channel.resource_id.as_ref()) {
        Some(resource_id) => provider.extend_channel(resource_id).await,
        None => Ok(None),
    };
    match (extended, known.and_then(|channel| channel.id.as_ref())) {
        (Ok(Some(opened)), Some(channel)) => {
            let (renew_at, expires_at) = (
                renewal(context.clock.now(), opened.expires_at),
                opened.expires_at,
            );
            let store = &context.store;
            store
                .extend_channel(user, channel, renew_at, expires_at)
                .await?;
            Ok(Some(ChannelState {
                id: Some(channel.clone()),
                resource_id: Some(opened.resource_id),
                renew_at,
                expires_at,
            }))
        }
        (Err(failure), _) if failure.remedy() != Remedy::GiveUp => {
            warn!(calendar.id = %id, "could not extend the channel of {id}: {failure}");
            Ok(None)
        }
        _ => open(context, provider, user, known, target).await,
    }
}

/// Opens a channel in place of the one that is known.
async fn open(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    known: Option<&ChannelState>,
    target: RemoteCalendar<'_>,
) -> SyncResult<Option<ChannelState>> {
    let (store, now) = (&context.store, context.clock.now());
    let kind = provider.capabilities().kind;
    let Ok(registered) = context.providers.of(kind) else {
        return Ok(None);
    };
    let address = format!("{}{PATH}{}", registered.public_url(), kind.path());
    let id = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let row = Channel {
        id: id.clone(),
        user_id: user,
        calendar_id: target.calendar,
        secret_digest: secret_digest(&secret),
        resource_id: None,
        renew_at: None,
        until: now + UNOPENED,
    };
    // The row first: the provider's first notification may come before its response.
    store.put_channel(&row).await?;
    let opened = match provider.open_channel(target, &id, &secret, &address).await {
        Ok(opened) => opened,
        Err(failure) => {
            store.delete_channel(&row.id).await?;
            return Ok(not_opened(&failure, target, now));
        }
    };
    let renew_at = renewal(now, opened.expires_at);
    let row = Channel {
        resource_id: Some(opened.resource_id.clone()),
        renew_at: Some(renew_at),
        until: opened.expires_at,
        ..row
    };
    store.put_channel(&row).await?;
    if let Some(old) = known {
        close_channel(store, Some(provider), old).await?;
    }
    Ok(Some(ChannelState {
        id: Some(id),
        resource_id: Some(opened.resource_id),
        renew_at,
        expires_at: opened.expires_at,
    }))
}

/// What a calendar's channel is when it could not be opened; `None` where the next sync tries again.
fn not_opened(
    failure: &ProviderError,
    target: RemoteCalendar<'_>,
    now: DateTime<Utc>,
) -> Option<ChannelState> {
    let calendar = target.calendar;
    if failure.remedy() != Remedy::GiveUp {
        warn!(calendar.id = %calendar, "could not watch {calendar}: {failure}");
        return None;
    }
    if !matches!(failure, ProviderError::PushUnsupported { .. }) {
        warn!(calendar.id = %calendar, "{calendar} cannot be watched and is polled: {failure}");
    }
    Some(no_channel(now + UNWATCHABLE))
}

/// When to renew a channel: after four fifths of its lifetime.
fn renewal(now: DateTime<Utc>, expires_at: DateTime<Utc>) -> DateTime<Utc> {
    now + (expires_at - now) * 4 / 5
}
