//! One sync of one feed: the file is fetched and read in full, and compared with what is stored.

use std::collections::HashMap;

use calweave_domain::calendar::{Calendar, FeedSource, SyncStats, Validators};
use calweave_domain::ids::EventId;
use calweave_egress::address::{self, AddressError, EgressPolicy};
use calweave_egress::fetch::{FOR_A_SYNC, FetchError, FetchOptions, Fetched, fetch};
use calweave_feeds::{Feed, FeedTarget};
use calweave_store::WriteOutcome;
use calweave_store::cursors::{SyncReport, SyncSuccess};
use calweave_store::events::{BATCH, EventWrite, is_storable};
use calweave_store::leases::Lease;
use calweave_vault::{FEED_URL, SecretLocation};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use tracing::warn;

use super::SyncError;
use super::plan::{Plan, RemoteEvents, plan, replaced};
use super::schedule::with_jitter;
use crate::{SyncContext, too_large};

/// The shortest interval between two syncs of a feed, whatever its producer asks for.
const MIN_INTERVAL: TimeDelta = TimeDelta::minutes(15);
/// The longest interval between two syncs of a feed, whatever its producer asks for.
const MAX_INTERVAL: TimeDelta = TimeDelta::hours(24);
/// Said to the person while removals are held back.
const SUSPECT: &str =
    "The feed suddenly lacks most of its events; they are kept until it says so a second time.";

/// Syncs a feed. A failure of its server is part of the report and no error.
pub(super) async fn run(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    feed: &FeedSource,
) -> Result<SyncReport, SyncError> {
    let user = context.store.user(calendar.user_id).await?;
    let zone = user.map_or(Tz::UTC, |user| user.timezone);
    let started = context.clock.now();
    let cursor = lease.cursor();
    let validators = Some(cursor.validators.clone());
    let validators = validators.filter(|known| known.feed.as_ref() == Some(&feed.fingerprint));
    match pull(context, calendar, zone, &validators.unwrap_or_default()).await? {
        Ok(Pulled::Unchanged(validators)) => {
            let interval = cursor
                .refresh_seconds
                .map_or(MIN_INTERVAL, TimeDelta::seconds);
            let success = SyncSuccess {
                stats: unchanged(lease),
                validators: Some(validators),
                ..SyncSuccess::default()
            };
            Ok(report(
                Ok(success),
                started + with_jitter(interval, calendar),
            ))
        }
        Ok(Pulled::Read(read, validators)) => {
            let validators = Validators {
                feed: Some(feed.fingerprint.clone()),
                ..validators
            };
            let interval = read.refresh.unwrap_or(MIN_INTERVAL);
            let interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
            let success = SyncSuccess {
                refresh_seconds: Some(interval.num_seconds()),
                ..write(context, lease, calendar, *read, validators).await?
            };
            let next_sync_at = context.clock.now() + with_jitter(interval, calendar);
            Ok(report(Ok(success), next_sync_at))
        }
        Err(failure) => {
            warn!(calendar.id = %calendar.id, "sync of {} failed: {failure}", calendar.id);
            let next_sync_at = started + retry_in(&failure, cursor.failures);
            // What the server asks for also holds for requests; our own backoff is for the schedule only.
            let hold_until = failure.asked_delay().map(|delay| started + delay);
            Ok(SyncReport {
                hold_until,
                ..report(Err(failure), next_sync_at)
            })
        }
    }
}

fn report(outcome: Result<SyncSuccess, Failure>, next_sync_at: DateTime<Utc>) -> SyncReport {
    let (success, error) = match outcome {
        Ok(success) => (Some(success), None),
        Err(failure) => (None, Some(failure.to_string())),
    };
    SyncReport {
        success,
        error,
        again_in: None,
        next_sync_at,
        hold_until: None,
        interruptions: 0,
        written: None,
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

impl Failure {
    /// The delay that the server asks for (`Retry-After`), at most a day.
    fn asked_delay(&self) -> Option<TimeDelta> {
        match self {
            Self::Fetch(FetchError::Status {
                retry_after: Some(seconds),
                ..
            }) => Some(TimeDelta::seconds((*seconds).clamp(0, 86_400))),
            _ => None,
        }
    }
}

/// What fetching a feed has brought, and the validators for the next time.
enum Pulled {
    Unchanged(Validators),
    Read(Box<Feed>, Validators),
}

/// Fetches and reads the feed.
async fn pull(
    context: &SyncContext,
    calendar: &Calendar,
    zone: Tz,
    known: &Validators,
) -> Result<Result<Pulled, Failure>, SyncError> {
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
) -> Result<Pulled, Failure> {
    let url = address::parse(address, policy)?;
    let options = FetchOptions {
        policy,
        now: target.now,
        timeout: FOR_A_SYNC,
    };
    let (bytes, charset, mut validators) = match fetch(&url, known, options).await? {
        Fetched::Unchanged(validators) => return Ok(Pulled::Unchanged(validators)),
        Fetched::Body {
            bytes,
            charset,
            validators,
        } => (bytes, charset, validators),
    };
    // Reading ten megabytes takes a while: on a blocking thread other messages go on, and a panic stays contained.
    let feed = tokio::task::spawn_blocking(move || {
        calweave_feeds::read(&bytes, charset.as_deref(), target)
    })
    .await
    .map_err(|_| Failure::Crashed)??;
    validators.content_hash = Some(feed.content_hash());
    Ok(Pulled::Read(Box::new(feed), validators))
}

/// Writes what has changed.
async fn write(
    context: &SyncContext,
    lease: &mut Lease,
    calendar: &Calendar,
    feed: Feed,
    validators: Validators,
) -> Result<SyncSuccess, SyncError> {
    let content_hash = validators.content_hash.clone().unwrap_or_default();
    let mut feed = feed;
    let mut warnings = feed.warnings.into_vec();
    feed.events.retain(|event| {
        let is_storable = is_storable(event);
        if !is_storable {
            warnings.push(too_large(event));
        }
        is_storable
    });
    if feed.complete && lease.cursor().validators.content_hash.as_ref() == Some(&content_hash) {
        // Another file with the same events: some producers stamp or shuffle them on each fetch.
        return Ok(SyncSuccess {
            validators: Some(validators),
            warnings: Some(warnings),
            stats: unchanged(lease),
            ..SyncSuccess::default()
        });
    }
    let store = &context.store;
    let stored = store
        .stored_event_hashes(calendar.user_id, calendar.id)
        .await?;
    let stored = stored
        .into_iter()
        .map(|stored| (stored.id, stored.content_hash));
    let known = lease.cursor().suspect.as_deref();
    let unended = format!("unended {content_hash} ");
    // A producer that never ends its files is believed once it has said the same twice.
    let is_repeated = feed.lacks_end && known.is_some_and(|known| known.starts_with(&unended));
    let suspect = known.map(|known| known.strip_prefix(&unended).unwrap_or(known).to_owned());
    let remote = RemoteEvents {
        events: &feed.events,
        complete: feed.complete || is_repeated,
    };
    let stored: HashMap<EventId, String> = stored.collect();
    let replaced = replaced(&stored, remote);
    let replaced = store.events(calendar.user_id, &replaced).await?;
    let mut plan = plan(stored, remote, &replaced, suspect.as_deref());
    carry_out(context, lease, &plan).await?;
    if plan.suspect.is_some() {
        warnings.push(SUSPECT.to_owned());
    }
    if feed.lacks_end {
        plan.suspect = Some(unended + &plan.suspect.unwrap_or_default());
    }
    // Without validators the next sync fetches the file again in full.
    let is_final = plan.suspect.is_none() && feed.complete;
    Ok(SyncSuccess {
        validators: Some(if is_final {
            validators
        } else {
            Validators::default()
        }),
        suspect: plan.suspect,
        warnings: Some(warnings),
        stats: plan.stats,
        ..SyncSuccess::default()
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
    // DynamoDB takes several batches at once; the lease is renewed before each group of them.
    for some in writes.chunks(BATCH * 8) {
        if context.store.renew_lease(lease).await? == WriteOutcome::ConditionFailed {
            return Err(SyncError::LeaseLost);
        }
        context.store.write_all_events(lease.user(), some).await?;
    }
    Ok(())
}

/// The stats of a sync that found nothing new.
fn unchanged(lease: &Lease) -> SyncStats {
    let total = lease.cursor().event_count;
    SyncStats {
        total,
        unchanged: total,
        ..SyncStats::default()
    }
}

/// The delay after a failure: twice as long each time, at most a day, and never shorter than the server's `Retry-After`.
fn retry_in(failure: &Failure, failures: u32) -> TimeDelta {
    let backoff = (MIN_INTERVAL * (1 << failures.min(7))).min(MAX_INTERVAL);
    failure
        .asked_delay()
        .map_or(backoff, |delay| delay.max(MIN_INTERVAL))
}
