//! Every quarter of an hour: requests a sync of the calendars of accounts that have not been verified for too long, whether
//! the provider pushes their changes or not.

use shared::calendar::Context;
use shared::store::keys::DueKind;
use shared::sync::{SyncError, refresh_due};

/// Runs once; answers with how many calendars were due.
pub async fn run(context: Context) -> Result<usize, SyncError> {
    refresh_due(&context, DueKind::Account).await
}
