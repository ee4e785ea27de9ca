//! Every hour: goes on with removals whose message was lost. What merely expires (sessions, lockouts, counters, kept
//! answers) DynamoDB removes by itself, and nothing reads it once its time is over.

use shared::calendar::Context;
use shared::sync::{SyncError, resume_erasures};

/// Runs once; answers with how many removals were resumed.
pub async fn run(context: Context) -> Result<usize, SyncError> {
    resume_erasures(&context).await
}
