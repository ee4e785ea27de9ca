//! The SQS queue of background jobs, with typed messages.

use aws_sdk_sqs::Client;
use calweave_domain::ids::{CalendarId, UserId};
use serde::{Deserialize, Serialize};

/// A job for the sync worker: the body of a message, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Job {
    /// Sync one calendar.
    SyncCalendar {
        /// The owner of the calendar.
        user_id: UserId,
        /// The calendar.
        calendar_id: CalendarId,
    },
    /// Remove the events of a disconnected calendar.
    EraseCalendar {
        /// The owner of the calendar.
        user_id: UserId,
        /// The calendar.
        calendar_id: CalendarId,
    },
    /// Remove all data of a closed account.
    EraseAccount {
        /// The user that owned the account.
        user_id: UserId,
    },
}

impl Job {
    /// Returns the message group id: the owner, so that the queue serves owners fairly and a busy one does not delay
    /// others.
    fn group(&self) -> String {
        match self {
            Self::SyncCalendar { user_id, .. }
            | Self::EraseCalendar { user_id, .. }
            | Self::EraseAccount { user_id } => user_id.to_string(),
        }
    }
}

/// A call to SQS failed.
#[derive(Debug, thiserror::Error)]
#[error("could not reach the queue")]
pub struct QueueError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// A client of the queue.
#[derive(Clone)]
pub struct Queue {
    sqs: Client,
    url: String,
}

impl Queue {
    /// Creates a client of the queue at this URL.
    pub fn new(sqs: Client, url: String) -> Self {
        Self { sqs, url }
    }

    /// Sends a job that becomes visible after `delay` seconds; more than 900 counts as 900.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub async fn send(&self, job: &Job, delay: i32) -> Result<(), QueueError> {
        let body = serde_json::to_string(job).map_err(|error| QueueError(error.into()))?;
        let request = self
            .sqs
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .message_group_id(job.group());
        // A queue with message groups accepts `DelaySeconds` only when it is above 0.
        let request = if delay > 0 {
            request.delay_seconds(delay.min(900))
        } else {
            request
        };
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| QueueError(error.into()))
    }

    /// Checks that the queue can be reached.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub async fn ping(&self) -> Result<(), QueueError> {
        use aws_sdk_sqs::types::QueueAttributeName::QueueArn;
        let request = self
            .sqs
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueArn);
        request
            .send()
            .await
            .map(drop)
            .map_err(|error| QueueError(error.into()))
    }
}
