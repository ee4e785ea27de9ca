//! Runs every 15 minutes: requests a sync of the account calendars whose next sync is due, whether or not the provider
//! pushes their changes.

use shared::calendar::Context;
use shared::store::keys::DueKind;
use shared::sync::{SyncError, refresh_due};

/// Runs the job once. Returns the number of calendars that were due.
pub async fn run(context: Context) -> Result<usize, SyncError> {
    refresh_due(&context, DueKind::Account).await
}
