//! Every quarter of an hour: asks for a sync of the feeds that are due, and only of those.

use shared::app::App;
use shared::store::keys::DueKind;
use shared::sync::{SyncError, refresh_due};

/// Runs once; answers with how many feeds were due.
///
/// # Errors
/// When a table or the queue does not answer.
pub async fn run(app: App) -> Result<usize, SyncError> {
    refresh_due(&app, DueKind::Feed).await
}
