//! One sync of one feed: fetched and read whole, and compared with what is stored.

use std::collections::HashMap;

use calweave_domain::calendar::{Calendar, FeedSource, SyncStats, Validators};
use calweave_egress::address::{self, AddressError, EgressPolicy};
use calweave_egress::fetch::{FetchError, Fetched, fetch};
use calweave_feeds::{Feed, FeedTarget};
use calweave_store::WriteOutcome;
use calweave_store::cursors::{SyncReport, SyncSuccess};
use calweave_store::events::{BATCH, EventWrite};
use calweave_store::leases::Lease;
use calweave_vault::{FEED_URL, SecretLocation};
use chrono::TimeDelta;
use chrono_tz::Tz;
use tracing::warn;

use super::SyncError;
use super::engine::with_jitter;
use super::plan::{Plan, RemoteEvents, plan};
use crate::SyncContext;

/// The shortest and the longest time between two syncs of a feed, whatever its producer says.
const MIN_INTERVAL: TimeDelta = TimeDelta::minutes(15);
const MAX_INTERVAL: TimeDelta = TimeDelta::hours(24);

/// Brings the copy of a feed up to date.
pub(super) async fn run(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    feed: &FeedSource,
) -> Result<SyncReport, SyncError> {
    let zone = context
        .store
        .user(calendar.user_id)
        .await?
        .map_or(Tz::UTC, |user| user.timezone);
    let started = context.clock.now();
    let known = Some(lease.cursor().validators.clone())
        .filter(|known| known.feed.as_ref() == Some(&feed.fingerprint));
    let known = known.unwrap_or_default();
    match pull(context, calendar, zone, &known).await? {
        Ok(None) => {
            let interval = lease
                .cursor()
                .refresh_seconds
                .map_or(MIN_INTERVAL, TimeDelta::seconds);
            let stats = unchanged(lease);
            let success = SyncSuccess {
                stats,
                ..SyncSuccess::default()
            };
            Ok(SyncReport {
                success: Some(success),
                error: None,
                again_in: None,
                next_sync_at: started + with_jitter(interval, calendar),
            })
        }
        Ok(Some((read, validators))) => {
            let validators = Validators {
                feed: Some(feed.fingerprint.clone()),
                ..validators
            };
            write(context, lease, calendar, read, validators).await
        }
        Err(failure) => {
            let next = started + retry_in(&failure, lease.cursor().failures);
            warn!(calendar.id = %calendar.id, "sync of {} failed: {failure}", calendar.id);
            Ok(SyncReport {
                success: None,
                error: Some(failure.to_string()),
                again_in: None,
                next_sync_at: next,
            })
        }
    }
}

/// Why a feed could not be read, in words for its owner.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    EventContent(#[from] calweave_feeds::NotACalendar),
    #[error("the feed's address is not stored any more; connect it again")]
    AddressLost,
    #[error("{0}")]
    Address(#[from] AddressError),
    #[error("the feed could not be read")]
    Crashed,
}

type Pulled = Result<Option<(Feed, Validators)>, Failure>;

/// Fetches and reads the feed; `Ok(None)` when it is as it was.
async fn pull(
    context: &SyncContext,
    calendar: &Calendar,
    zone: Tz,
    known: &Validators,
) -> Result<Pulled, SyncError> {
    let location = SecretLocation {
        user: calendar.user_id,
        connection: calendar.connection_id,
        field: FEED_URL,
    };
    let Some(address) = context.vault.get(location).await? else {
        return Ok(Err(Failure::AddressLost));
    };
    let policy = context.policy;
    let target = FeedTarget {
        calendar: calendar.id,
        zone,
        now: context.clock.now(),
    };
    Ok(read_feed(address.expose(), known, policy, target).await)
}

async fn read_feed(
    address: &str,
    known: &Validators,
    policy: EgressPolicy,
    target: FeedTarget,
) -> Pulled {
    let url = address::parse(address, policy)?;
    let Fetched::Body {
        bytes,
        charset,
        mut validators,
    } = fetch(&url, known, policy).await?
    else {
        return Ok(None);
    };
    // Reading ten megabytes takes a moment; other messages go on meanwhile, and a panic stays in there.
    let feed = tokio::task::spawn_blocking(move || {
        calweave_feeds::read(&bytes, charset.as_deref(), target)
    })
    .await
    .map_err(|_| Failure::Crashed)??;
    validators.content_hash = Some(feed.content_hash());
    Ok(Some((feed, validators)))
}

/// Writes what has changed.
async fn write(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    feed: Feed,
    mut validators: Validators,
) -> Result<SyncReport, SyncError> {
    let interval = feed
        .refresh
        .unwrap_or(MIN_INTERVAL)
        .clamp(MIN_INTERVAL, MAX_INTERVAL);
    let refresh_seconds = Some(interval.num_seconds());
    let next_sync_at = context.clock.now() + with_jitter(interval, calendar);
    let content_hash = validators.content_hash.clone().unwrap_or_default();
    let known = &lease.cursor().validators;
    let mut warnings = feed.warnings.into_vec();
    if feed.complete && known.content_hash.as_ref() == Some(&content_hash) {
        // Another file, but the same events: a producer that stamps or shuffles them anew on each fetch.
        let stats = unchanged(lease);
        let success = SyncSuccess {
            validators: Some(validators),
            refresh_seconds,
            warnings: Some(warnings),
            stats,
            ..SyncSuccess::default()
        };
        return Ok(SyncReport {
            success: Some(success),
            error: None,
            again_in: None,
            next_sync_at,
        });
    }
    let stored = context
        .store
        .stored_event_hashes(calendar.user_id, calendar.id)
        .await?;
    let stored: HashMap<_, _> = stored
        .into_iter()
        .map(|stored| (stored.id, stored.content_hash))
        .collect();
    let remote = RemoteEvents {
        events: &feed.events,
        complete: feed.complete,
        content_hash: &content_hash,
    };
    let plan = plan(stored, remote, lease.cursor().suspect.as_deref());
    carry_out(context, lease, &plan).await?;
    if plan.suspect.is_some() {
        warnings.push("The feed suddenly lacks most of its events; they are kept until it says so a second time.".to_owned());
    }
    if plan.suspect.is_some() || !feed.complete {
        // Ask again in full next time.
        validators = Validators::default();
    }
    let success = SyncSuccess {
        validators: Some(validators),
        refresh_seconds,
        suspect: plan.suspect,
        warnings: Some(warnings),
        stats: plan.stats,
        ..SyncSuccess::default()
    };
    Ok(SyncReport {
        success: Some(success),
        error: None,
        again_in: None,
        next_sync_at,
    })
}

async fn carry_out(
    context: &SyncContext,
    lease: &mut Lease,
    plan: &Plan<'_>,
) -> Result<(), SyncError> {
    let puts = plan.puts.iter().map(|event| EventWrite::Put(event));
    let writes: Vec<EventWrite<'_>> = puts
        .chain(plan.deletes.iter().map(EventWrite::Delete))
        .collect();
    if writes.is_empty() {
        return Ok(());
    }
    if context.store.begin_writes(lease).await? == WriteOutcome::ConditionFailed {
        return Err(SyncError::LeaseLost);
    }
    // A few batches at once: DynamoDB takes them side by side, and the lease is looked at before each handful.
    for handful in writes.chunks(BATCH * 8) {
        if context.store.renew_lease(lease).await? == WriteOutcome::ConditionFailed {
            return Err(SyncError::LeaseLost);
        }
        context
            .store
            .write_all_events(lease.user(), handful)
            .await?;
    }
    Ok(())
}

/// All is as it was.
fn unchanged(lease: &Lease) -> SyncStats {
    let total = lease.cursor().event_count;
    SyncStats {
        total,
        unchanged: total,
        ..SyncStats::default()
    }
}

/// When to ask again after a failure: later each time, but within a day, and not before the server wants it.
fn retry_in(failure: &Failure, failures: u32) -> TimeDelta {
    let backoff = (MIN_INTERVAL * (1 << failures.min(7))).min(MAX_INTERVAL);
    match failure {
        Failure::Fetch(FetchError::Status {
            retry_after: Some(seconds),
            ..
        }) => TimeDelta::seconds((*seconds).clamp(0, 86_400)).max(MIN_INTERVAL),
        _ => backoff,
    }
}
