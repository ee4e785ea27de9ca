//! Work for later, as typed messages on SQS.

use aws_sdk_sqs::Client;
use calweave_domain::ids::{CalendarId, UserId};
use serde::{Deserialize, Serialize};

/// What the worker is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Job {
    /// Bring one calendar up to date.
    SyncCalendar {
        /// Whose it is.
        user_id: UserId,
        /// Which.
        calendar_id: CalendarId,
    },
    /// Remove the events of a calendar that was disconnected.
    EraseCalendar {
        /// Whose it was.
        user_id: UserId,
        /// Which.
        calendar_id: CalendarId,
    },
    /// Remove everything of a person.
    EraseAccount {
        /// Who it was.
        user_id: UserId,
    },
}

impl Job {
    /// What must not be worked on out of turn: the message group, which keeps one busy owner from delaying others.
    fn group(&self) -> String {
        match self {
            Self::SyncCalendar { user_id, .. }
            | Self::EraseCalendar { user_id, .. }
            | Self::EraseAccount { user_id } => user_id.to_string(),
        }
    }
}

/// A message could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("could not reach the queue")]
pub struct QueueError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The queue of sync work.
#[derive(Clone)]
pub struct Queue {
    sqs: Client,
    url: String,
}

impl Queue {
    /// The queue at this URL.
    pub fn new(sqs: Client, url: String) -> Self {
        Self { sqs, url }
    }

    /// Sends a job, to be seen after `delay` seconds (at most 900).
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
        // On a queue that serves groups fairly a delay of its own is only taken where there is one.
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

    /// Whether the queue answers.
    ///
    /// # Errors
    /// When it does not.
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
