//! Every five minutes: renews the access tokens that are about to expire.

use shared::app::App;
use shared::sync::{SyncError, refresh_tokens};

/// Runs once; answers with how many were renewed.
///
/// # Errors
/// When a table or the vault does not answer.
pub async fn run(app: App) -> Result<usize, SyncError> {
    refresh_tokens(&app).await
}
