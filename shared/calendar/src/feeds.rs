//! Connecting and changing ICS feeds.

use calweave_domain::calendar::{
    Calendar, CalendarSource, CalendarState, Cursor, DEFAULT_COLOR, FeedSource, ProviderKind,
    Validators,
};
use calweave_domain::ids::{CalendarId, ConnectionId, UserId};
use calweave_domain::secret::Secret;
use calweave_egress::address::{self, masked};
use calweave_egress::fetch::{FOR_A_REQUEST, FetchOptions, Fetched, fetch};
use calweave_feeds::{Feed, FeedTarget};
use calweave_store::WriteOutcome;
use calweave_vault::{FEED_URL, SecretLocation};
use chrono_tz::Tz;
use url::Url;

use crate::calendars::{check_color, connected_calendar, connected_calendars};
use crate::quotas::{check_calendars, count_feed_connect};
use crate::sync_requests::request_sync;
use crate::{Context, Error, FeedContext, Result};

/// Maximum length of a calendar's name, in characters.
const MAX_NAME: usize = 255;

/// Name and colour that a user gives a feed's calendar. `None` keeps the stored value; for a new calendar, the feed's
/// value.
#[derive(Clone, Debug, Default)]
pub struct FeedDetails {
    name: Option<String>,
    color: Option<String>,
}

impl FeedDetails {
    /// Validates a name and a colour. A name that is blank counts as `None`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is too long, or `color` is not a colour.
    pub fn new(name: Option<String>, color: Option<&str>) -> Result<Self> {
        let plain = |name: String| name.chars().filter(|c| !c.is_control()).collect::<String>();
        let name = name.map(|name| plain(name).trim().to_owned());
        let name = name.filter(|name| !name.is_empty());
        let is_long = |name: &String| name.chars().count() > MAX_NAME;
        if name.as_ref().is_some_and(is_long) {
            let message = format!("must have at most {MAX_NAME} characters");
            return Err(Error::field("displayName", message));
        }
        let color = color.map(check_color).transpose()?;
        Ok(Self { name, color })
    }
}

/// Fetches and parses the feed at an address without storing anything.
///
/// # Errors
/// [`Error::FeedUnusable`], with the reason for the caller.
pub async fn preview_feed(context: &FeedContext, address: &str) -> Result<(Url, Feed)> {
    let unusable = |error: &dyn std::fmt::Display| Error::FeedUnusable(error.to_string());
    let policy = context.policy;
    let url = address::parse(address, policy).map_err(|error| unusable(&error))?;
    let now = context.clock.now();
    let options = FetchOptions {
        policy,
        now,
        timeout: FOR_A_REQUEST,
    };
    let fetched = fetch(&url, &Validators::default(), options).await;
    let Fetched::Body { bytes, charset, .. } = fetched.map_err(|error| unusable(&error))? else {
        return Err(unusable(&"the server did not return a calendar"));
    };
    let target = FeedTarget {
        calendar: CalendarId::new(&context.clock),
        zone: Tz::UTC,
        now,
    };
    let read = move || calweave_feeds::read(&bytes, charset.as_deref(), target);
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|_| unusable(&"the feed could not be read"))?;
    Ok((url, read.map_err(|error| unusable(&error))?))
}

/// Connects a feed and requests its first sync. A feed that was disconnected is connected again under its old calendar
/// id.
///
/// # Errors
/// [`Error::FeedUnusable`], [`Error::Conflict`] when the user has connected the feed already, or [`Error::Quota`].
pub async fn connect_feed(
    context: &FeedContext,
    user: UserId,
    address: &str,
    details: FeedDetails,
) -> Result<CalendarState> {
    check_calendars(
        &context.quotas,
        &connected_calendars(context, user).await?,
        1,
    )?;
    count_feed_connect(context, &context.quotas, user).await?;
    let (url, feed) = preview_feed(context, address).await?;
    let fingerprint = context.vault.fingerprint(user, url.as_str()).await?;
    let known = context.store.calendar_of(user, &fingerprint).await?;
    let calendar = match known {
        Some(known) => revive(context, user, known, &url, &details).await?,
        None => create(context, user, &url, feed, fingerprint, details).await?,
    };
    request_sync(context, user, calendar.id, 0).await?;
    let state = context.store.calendar(user, calendar.id).await?;
    Ok(state.unwrap_or(CalendarState {
        calendar,
        cursor: Cursor::default(),
    }))
}

async fn create(
    context: &FeedContext,
    user: UserId,
    url: &Url,
    feed: Feed,
    fingerprint: String,
    details: FeedDetails,
) -> Result<Calendar> {
    let host = || url.host_str().unwrap_or("Calendar").to_owned();
    let color = details.color.or(feed.color);
    let calendar = Calendar {
        id: CalendarId::new(&context.clock),
        user_id: user,
        connection_id: ConnectionId::new(&context.clock),
        provider: ProviderKind::Ics,
        name: details.name.or(feed.name).unwrap_or_else(host),
        color: color.unwrap_or_else(|| DEFAULT_COLOR.to_owned()),
        is_connected: true,
        is_unwatched: false,
        created_at: context.clock.now(),
        connected_at: None,
        source: CalendarSource::Feed(FeedSource {
            masked_url: masked(url),
            fingerprint,
        }),
    };
    // The address is stored first: a calendar without an address could never be synced, an address without a calendar
    // is harmless.
    let (location, address) = (location(&calendar), Secret::new(url.to_string()));
    context.vault.put(location, &address).await?;
    if context.store.create_calendar(&calendar).await? == WriteOutcome::ConditionFailed {
        context.vault.remove(location).await?;
        return Err(already_connected());
    }
    Ok(calendar)
}

async fn revive(
    context: &FeedContext,
    user: UserId,
    calendar: CalendarId,
    url: &Url,
    details: &FeedDetails,
) -> Result<Calendar> {
    let store = &context.store;
    let state = store.calendar(user, calendar).await?;
    let state = state
        .filter(|state| !state.calendar.is_connected)
        .ok_or_else(already_connected)?;
    let (location, address) = (location(&state.calendar), Secret::new(url.to_string()));
    context.vault.put(location, &address).await?;
    if store.connect_again(user, calendar).await? == WriteOutcome::ConditionFailed {
        return Err(already_connected());
    }
    let (name, color) = (details.name.as_deref(), details.color.as_deref());
    let updated = store.update_calendar(user, calendar, name, color).await?;
    updated.ok_or(Error::NotFound)
}

/// Returns a connected calendar that is a feed.
///
/// # Errors
/// [`Error::NotFound`], also for a calendar of an account.
pub async fn connected_feed(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
) -> Result<CalendarState> {
    let state = connected_calendar(context, user, calendar).await?;
    if state.calendar.provider == ProviderKind::Ics {
        Ok(state)
    } else {
        Err(Error::NotFound)
    }
}

/// Changes the name, colour or address of a connected feed.
///
/// # Errors
/// [`Error::NotFound`], [`Error::FeedUnusable`], or [`Error::Conflict`] when the user has connected that address
/// already.
pub async fn change_feed(
    context: &FeedContext,
    user: UserId,
    calendar: CalendarId,
    address: Option<&str>,
    details: &FeedDetails,
) -> Result<CalendarState> {
    let known = connected_feed(context, user, calendar).await?.calendar;
    if let Some(address) = address {
        move_feed(context, &known, address).await?;
    }
    let (name, color) = (details.name.as_deref(), details.color.as_deref());
    let store = &context.store;
    store.update_calendar(user, calendar, name, color).await?;
    connected_calendar(context, user, calendar).await
}

async fn move_feed(context: &FeedContext, calendar: &Calendar, address: &str) -> Result<()> {
    let (store, user) = (&context.store, calendar.user_id);
    let (url, _) = preview_feed(context, address).await?;
    let fingerprint = context.vault.fingerprint(user, url.as_str()).await?;
    let is_another = fingerprint != calendar.source.key(calendar.connection_id);
    let feed = FeedSource {
        masked_url: masked(&url),
        fingerprint,
    };
    if is_another && store.move_feed(calendar, feed).await? == WriteOutcome::ConditionFailed {
        return Err(already_connected());
    }
    // Stored even if the fingerprint is unchanged: an earlier move may have been interrupted before this write.
    let address = Secret::new(url.to_string());
    context.vault.put(location(calendar), &address).await?;
    if is_another {
        store.reset_sync_status(user, calendar.id).await?;
    } else {
        store.end_hold(user, calendar.id).await?;
    }
    request_sync(context, user, calendar.id, 0).await?;
    Ok(())
}

fn already_connected() -> Error {
    Error::Conflict("this feed is connected already".to_owned())
}

/// Returns the location of a feed's address in the vault.
pub fn location(calendar: &Calendar) -> SecretLocation {
    SecretLocation {
        user: calendar.user_id,
        connection: calendar.connection_id,
        field: FEED_URL,
    }
}
