//! Keeps a channel open by which the provider says that a calendar has changed.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::account::Step;
use crate::app::App;
use crate::clock::random_bytes;
use crate::domain::calendar::{Calendar, ChannelState};
use crate::providers::{Provider, ProviderError, Remedy, Target};
use crate::store::channels::Channel;
use crate::store::cursors::Lease;
use crate::vault::secret_digest;

/// A calendar that cannot be watched is tried again after this long.
const UNWATCHABLE: TimeDelta = TimeDelta::days(7);
/// How long a channel's row is kept before the provider has said when the channel ends.
const UNOPENED: TimeDelta = TimeDelta::days(8);
/// The path that providers push to, below where this API is.
const PATH: &str = "/api/v1/calendar/webhooks/";

/// Opens a channel where there is none or it is about to end: the new one before the old one is closed, so that nothing
/// is missed in between. `None` leaves it as it is. A failure is no failure of the sync: until it works the calendar is
/// polled.
pub(super) async fn keep<P: Provider>(
    app: &App,
    provider: &P,
    lease: &Lease,
    calendar: &Calendar,
    target: Target<'_>,
) -> Step<Option<ChannelState>> {
    let now = app.clock.now();
    let known = lease.cursor().channel.clone();
    if calendar.is_unwatched {
        let Some(open) = known.filter(|channel| channel.id.is_some()) else { return Ok(None) };
        close(app, provider, calendar, &open).await?;
        return Ok(Some(ChannelState { id: None, resource_id: None, renew_at: now, expires_at: now }));
    }
    if known.as_ref().is_some_and(|channel| channel.renew_at > now) {
        return Ok(None);
    }
    let Some(base) = app.config.google.as_ref().map(|client| client.own_base().to_owned()) else { return Ok(None) };
    let address = format!("{base}{PATH}{}", P::PATH);
    let id = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let row = Channel {
        id: id.clone(),
        user_id: calendar.user_id,
        calendar_id: calendar.id,
        secret_digest: secret_digest(&secret),
        resource_id: None,
        renew_at: None,
        until: now + UNOPENED,
    };
    // The row first: the provider's first message may be there before its answer.
    app.store.put_channel(&row).await?;
    let opened = match provider.watch(target, &id, &secret, &address).await {
        Ok(opened) => opened,
        Err(failure) => {
            app.store.delete_channel(&row.id).await?;
            return match failure.remedy() {
                Remedy::GiveUp => {
                    if !matches!(failure, ProviderError::Unwatchable { .. }) {
                        warn!(calendar.id = %calendar.id, "{} cannot be watched and is polled: {failure}", calendar.id);
                    }
                    let at = now + UNWATCHABLE;
                    Ok(Some(ChannelState { id: None, resource_id: None, renew_at: at, expires_at: at }))
                }
                _ => {
                    warn!(calendar.id = %calendar.id, "could not watch {}: {failure}", calendar.id);
                    Ok(None)
                }
            };
        }
    };
    let renew_at = renewal(now, opened.expires_at);
    let row = Channel { resource_id: Some(opened.resource_id.clone()), renew_at: Some(renew_at), until: opened.expires_at, ..row };
    app.store.put_channel(&row).await?;
    if let Some(old) = known {
        close(app, provider, calendar, &old).await?;
    }
    Ok(Some(ChannelState { id: Some(id), resource_id: Some(opened.resource_id), renew_at, expires_at: opened.expires_at }))
}

/// Closes a channel. One that cannot be closed ends by itself; what it still says counts no longer.
pub(super) async fn close<P: Provider>(app: &App, provider: &P, calendar: &Calendar, channel: &ChannelState) -> Step<()> {
    let Some(id) = &channel.id else { return Ok(()) };
    if let Some(resource_id) = &channel.resource_id
        && let Err(failure) = provider.stop(id, resource_id).await
    {
        warn!(calendar.id = %calendar.id, "could not stop a channel of {}: {failure}", calendar.id);
    }
    Ok(app.store.delete_channel(id).await?)
}

/// When four fifths of a channel's life are over.
fn renewal(now: DateTime<Utc>, expires_at: DateTime<Utc>) -> DateTime<Utc> {
    now + (expires_at - now) * 4 / 5
}
