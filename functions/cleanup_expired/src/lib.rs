//! Runs every hour: resumes erasures whose queue message was lost. Items that only expire (sessions, lockouts,
//! counters, stored responses) are removed by DynamoDB TTL, and are not read once they have expired.

use shared::calendar::Context;
use shared::sync::{SyncError, resume_erasures};

/// Runs the job once. Returns the number of erasures that were resumed.
pub async fn run(context: Context) -> Result<usize, SyncError> {
    resume_erasures(&context).await
}
