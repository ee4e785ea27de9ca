//! Runs every five minutes: renews the access tokens that are about to expire.

use shared::calendar::AccountContext;
use shared::sync::{SyncError, refresh_tokens};

/// Runs the job once. Returns the number of access tokens that were renewed.
pub async fn run(context: AccountContext) -> Result<usize, SyncError> {
    refresh_tokens(&context).await
}
