//! Every quarter of an hour: asks for a sync of the calendars of accounts that nothing was heard of for too long, whether
//! they are pushed or not.

use shared::app::App;
use shared::store::keys::DueKind;
use shared::sync::{SyncError, refresh_due};

/// Runs once; answers with how many calendars were due.
///
/// # Errors
/// When a table or the queue does not answer.
pub async fn run(app: App) -> Result<usize, SyncError> {
    refresh_due(&app, DueKind::Account).await
}
