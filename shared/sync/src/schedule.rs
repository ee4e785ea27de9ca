//! The scheduled jobs: each finds what is due, and requests it.

use calweave_calendar::accounts::renew_early;
use calweave_calendar::sync_requests::request_sync;
use calweave_calendar::{AccountContext, Context};
use calweave_domain::calendar::Calendar;
use calweave_store::keys::{DUE_SHARDS, DueKind};
use calweave_store::queue::Job;
use chrono::TimeDelta;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use tracing::error;

use super::SyncError;
use crate::ScheduleContext;

/// How many due calendars are read at once.
const CALENDARS_PER_PAGE: i32 = 500;
/// How many calendars of a shard are requested at once.
const CONCURRENT_REQUESTS: usize = 16;
/// How many channels one run renews per shard.
const CHANNELS_PER_SHARD: i32 = 500;
/// How many grants one run renews per shard, one after the other.
const GRANTS_PER_SHARD: i32 = 50;
/// When a grant whose renewal has failed is tried again.
const RETRIED: TimeDelta = TimeDelta::hours(1);
/// How many erasures one run resumes per shard.
const ERASURES_PER_SHARD: i32 = 100;
/// The seconds over which the syncs of one run are spread.
const SPREAD_SECONDS: usize = 300;
/// How long a calendar that was requested is not due, even if no worker has synced it yet.
const POSTPONED: TimeDelta = TimeDelta::minutes(30);

/// Requests a sync of every calendar of this kind that is due, all shards at once. Idempotent: a calendar has at most one
/// message in flight. Returns how many were requested: as many as one run may, and in each shard those that are longest overdue.
pub async fn refresh_due(context: &ScheduleContext, kind: DueKind) -> Result<usize, SyncError> {
    let shards = usize::try_from(DUE_SHARDS).unwrap_or(1);
    let limit = context.config.calendars_per_run.div_ceil(shards);
    let shards = (0..DUE_SHARDS).map(|shard| refresh_shard(context, kind, shard, limit));
    Ok(try_join_all(shards).await?.into_iter().sum())
}

async fn refresh_shard(
    context: &Context,
    kind: DueKind,
    shard: u32,
    limit: usize,
) -> Result<usize, SyncError> {
    let now = context.clock.now();
    let mut requested = 0;
    loop {
        let left = i32::try_from(limit - requested).unwrap_or(CALENDARS_PER_PAGE);
        let page = left.min(CALENDARS_PER_PAGE);
        let due = context.store.due(kind, shard, now, page).await?;
        let count = due.len();
        let spread = |index: usize| i32::try_from(index * SPREAD_SECONDS / count).unwrap_or(0);
        let requests = due.into_iter().enumerate().filter_map(|(index, due)| {
            let calendar = due.calendar_id?;
            Some(async move {
                request_sync(context, due.user_id, calendar, spread(index)).await?;
                // It is not due any more, so the next page begins behind it.
                context.store.postpone(&due, now + POSTPONED).await?;
                Ok::<_, SyncError>(())
            })
        });
        let done: Vec<()> = stream::iter(requests)
            .buffer_unordered(CONCURRENT_REQUESTS)
            .try_collect()
            .await?;
        requested += done.len();
        let is_last = count < usize::try_from(page).unwrap_or(usize::MAX);
        if is_last || requested >= limit {
            return Ok(requested);
        }
    }
}

/// Requests a sync of every calendar whose channel expires `within` this time: the sync extends the channel, or opens a new one
/// before it closes the old one. Returns how many were requested.
pub async fn renew_channels(context: &Context, within: TimeDelta) -> Result<usize, SyncError> {
    let until = context.clock.now() + within;
    let mut asked = 0;
    for shard in 0..DUE_SHARDS {
        for due in context
            .store
            .channels_due(shard, until, CHANNELS_PER_SHARD)
            .await?
        {
            let request = request_sync(context, due.user, due.calendar, 0).await?;
            asked += usize::from(request.is_some());
        }
    }
    Ok(asked)
}

/// Renews the access tokens that are about to expire, so that no sync has to wait for one. After a transient failure the next
/// run tries again. Returns how many were renewed.
pub async fn refresh_tokens(context: &AccountContext) -> Result<usize, SyncError> {
    let now = context.clock.now();
    let mut renewed = 0;
    for shard in 0..DUE_SHARDS {
        for due in context
            .store
            .grants_due(shard, now, GRANTS_PER_SHARD)
            .await?
        {
            let Some(connection) = context
                .store
                .connection(due.user_id, due.connection_id)
                .await?
            else {
                continue;
            };
            match renew_early(context, &connection).await {
                Ok(is_renewed) => renewed += usize::from(is_renewed),
                // Such as a grant that cannot be opened: the others are renewed all the same, and this one comes last.
                Err(failure) => {
                    let (user, id) = (connection.user_id, connection.id);
                    error!(connection.id = %id, "could not renew the grant of {id}: {failure}");
                    context
                        .store
                        .renew_grant_at(user, id, now + RETRIED)
                        .await?;
                }
            }
        }
    }
    Ok(renewed)
}

/// Resumes erasures whose message was lost. Idempotent: each step removes what is still there. Returns how many were
/// resumed.
pub async fn resume_erasures(context: &Context) -> Result<usize, SyncError> {
    // An erasure that has just begun still has its message.
    let until = context.clock.now() - TimeDelta::minutes(10);
    let mut resumed = 0;
    for shard in 0..DUE_SHARDS {
        for due in context
            .store
            .due(DueKind::Erasure, shard, until, ERASURES_PER_SHARD)
            .await?
        {
            let job = match due.calendar_id {
                Some(calendar_id) => Job::EraseCalendar {
                    user_id: due.user_id,
                    calendar_id,
                },
                None => Job::EraseAccount {
                    user_id: due.user_id,
                },
            };
            context.queue.send(&job, 0).await?;
            resumed += 1;
        }
    }
    Ok(resumed)
}

/// `interval` and up to a tenth more. The share is fixed for a calendar, so that calendars are not due all at once.
pub(super) fn with_jitter(interval: TimeDelta, calendar: &Calendar) -> TimeDelta {
    let share = calendar
        .id
        .to_bytes()
        .iter()
        .fold(0_i32, |sum, byte| (sum * 31 + i32::from(*byte)) % 1000);
    interval + interval * share / 10_000
}
