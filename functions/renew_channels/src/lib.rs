//! Runs every twelve hours: requests a sync of the calendars whose channel is due to be renewed before the next run.
//! The sync renews the channel.

use shared::calendar::Context;
use shared::sync::{SyncError, renew_channels};

/// Time until the next run.
const AHEAD: chrono::TimeDelta = chrono::TimeDelta::hours(12);

/// Runs the job once. Returns the number of calendars whose sync was requested.
pub async fn run(context: Context) -> Result<usize, SyncError> {
    renew_channels(&context, AHEAD).await
}
