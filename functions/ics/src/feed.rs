//! Looks at the feed behind an address, before anything is stored.

use chrono_tz::Tz;
use shared::app::App;
use shared::domain::calendar::Validators;
use shared::domain::ids::CalendarId;
use shared::egress::address::{self, Policy};
use shared::egress::fetch::{Fetched, fetch};
use shared::feeds::{self, Feed, ReadFor};
use url::Url;

/// Fetches and reads a feed. The error is in words for whoever gave the address.
pub async fn look_at(app: &App, address: &str) -> Result<(Url, Feed), String> {
    let policy = Policy {
        loopback: app.config.allow_loopback_feeds,
    };
    let url = address::parse(address, policy).map_err(|error| error.to_string())?;
    let fetched = fetch(&url, &Validators::default(), policy)
        .await
        .map_err(|error| error.to_string())?;
    let Fetched::Body { bytes, charset, .. } = fetched else {
        return Err("the server did not answer with a calendar".to_owned());
    };
    let now = app.clock.now();
    let target = ReadFor {
        calendar: CalendarId::new(&app.clock),
        zone: Tz::UTC,
        now,
    };
    let read =
        tokio::task::spawn_blocking(move || feeds::read(&bytes, charset.as_deref(), target)).await;
    let feed = read
        .map_err(|_| "the feed could not be read".to_owned())?
        .map_err(|error| error.to_string())?;
    Ok((url, feed))
}
