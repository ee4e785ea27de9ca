//! Every twelve hours: has the channels renewed that would end, or should be renewed, before the next run.

use shared::calendar::Context;
use shared::sync::{SyncError, renew_channels};

/// Until the next run.
const AHEAD: chrono::TimeDelta = chrono::TimeDelta::hours(12);

/// Runs once; answers with how many calendars were asked for.
pub async fn run(context: Context) -> Result<usize, SyncError> {
    renew_channels(&context, AHEAD).await
}
