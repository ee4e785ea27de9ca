//! Every quarter of an hour: asks for a sync of the feeds that are due, and only of those.

use shared::calendar::Context;
use shared::store::keys::DueKind;
use shared::sync::{SyncError, refresh_due};

/// Runs once; answers with how many feeds were due.
pub async fn run(context: Context) -> Result<usize, SyncError> {
    refresh_due(&context, DueKind::Feed).await
}
