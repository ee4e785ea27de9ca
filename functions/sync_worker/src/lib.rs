//! Processes the messages of the queue: syncs and erasures.

use shared::clock::Deadline;
use shared::queue::Job;
use shared::sync::{SyncContext, SyncError, erase_account, erase_calendar, sync_calendar};

/// Processes one message. After an error, the message is received again. A sync that is not finished by the deadline goes on
/// with the next message.
pub async fn handle(context: SyncContext, job: Job, deadline: Deadline) -> Result<(), SyncError> {
    let context = SyncContext {
        deadline,
        ..context
    };
    match job {
        Job::SyncCalendar {
            user_id,
            calendar_id,
        } => Box::pin(sync_calendar(&context, user_id, calendar_id))
            .await
            .map(drop),
        Job::EraseCalendar {
            user_id,
            calendar_id,
        } => erase_calendar(&context, user_id, calendar_id).await,
        Job::EraseAccount { user_id } => erase_account(&context, user_id).await,
    }
}
