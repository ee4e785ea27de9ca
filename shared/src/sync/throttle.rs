//! Keeps to what a provider bears: so many syncs of one account at once, and none before the time that it has named. Both
//! hold across all workers.

use std::time::Duration;

use chrono::TimeDelta;

use super::account::{Step, Stop};
use crate::app::App;
use crate::domain::connection::Connection;
use crate::providers::{Provider, ProviderError};
use crate::store::cursors::Lease;
use crate::store::seats::Asked;

/// How often a worker looks for a free seat before it leaves the calendar to a later message.
const LOOKS: u32 = 8;
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a calendar waits for which there was no seat.
const FULL: TimeDelta = TimeDelta::seconds(3);

/// Takes a seat along with the lease, where the provider has only so many for an account.
pub(super) async fn take_seat(
    app: &App,
    lease: &mut Lease,
    provider: &dyn Provider,
    connection: &Connection,
) -> Step<()> {
    let Some(count) = provider.manners().at_once.filter(|_| !lease.has_seat()) else {
        return Ok(());
    };
    for _ in 0..LOOKS {
        match app
            .store
            .take_seat(connection.user_id, connection.id, count)
            .await?
        {
            Asked::Taken(seat) => {
                lease.sit(seat);
                return Ok(());
            }
            Asked::Paused(until) => return Err(Stop::Later(until - app.clock.now())),
            Asked::Full => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(Stop::Later(FULL))
}

/// Has all workers heed a pause that the provider has asked for.
pub(super) async fn heed<T>(
    app: &App,
    provider: &dyn Provider,
    connection: &Connection,
    done: Step<T>,
) -> Step<T> {
    if let Err(Stop::Provider(failure)) = &done {
        pause(app, provider, connection, failure).await?;
    }
    done
}

/// The same, for a failure.
pub(super) async fn pause(
    app: &App,
    provider: &dyn Provider,
    connection: &Connection,
    failure: &ProviderError,
) -> Step<()> {
    if let ProviderError::Throttled {
        retry_after: Some(after),
        ..
    } = failure
        && provider.manners().at_once.is_some()
    {
        let until = app.clock.now() + TimeDelta::from_std(*after).unwrap_or(FULL);
        app.store
            .pause_calls(connection.user_id, connection.id, until)
            .await?;
    }
    Ok(())
}
