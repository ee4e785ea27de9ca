//! Runs every 15 minutes: requests a sync of the feeds that are due, and only of those.

use shared::store::keys::DueKind;
use shared::sync::{ScheduleContext, SyncError, refresh_due};

/// Runs the job once. Returns the number of feeds that were due.
pub async fn run(context: ScheduleContext) -> Result<usize, SyncError> {
    refresh_due(&context, DueKind::Feed).await
}
