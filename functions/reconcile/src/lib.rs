//! Runs every 15 minutes: requests a sync of the account calendars whose next sync is due, whether or not the provider
//! pushes their changes.

use shared::store::keys::DueKind;
use shared::sync::{ScheduleContext, SyncError, refresh_due};

/// Runs the job once. Returns the number of calendars that were due.
pub async fn run(context: ScheduleContext) -> Result<usize, SyncError> {
    refresh_due(&context, DueKind::Account).await
}
