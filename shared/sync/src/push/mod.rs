//! Pushes: writes local changes to the provider.
//!
//! Each edited event has a marker in the table. A push takes the markers in the order of the events' ids, writes each event
//! ([`write`]) and stores what the provider made of it ([`settle`]). An edit is never dropped: it is written, merged with what
//! has changed at the provider, or kept with the reason why it failed.

mod settle;
mod write;

use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, UserId};
use calweave_domain::link::{Edit, Operation};
use calweave_providers::{CalendarProvider, ProviderError, Remedy, RemoteCalendar};
use calweave_store::leases::Lease;
use chrono::{DateTime, Utc};

use super::removal::revision;
use super::stop::{SyncResult, SyncStop, renew_lease};
use crate::SyncContext;

/// How many edits of one calendar a push reads at once.
const MAX_EDITS: i32 = 200;
/// How often one edit is tried while the event keeps changing at the provider.
const MAX_ATTEMPTS: usize = 4;

/// What a push has done.
#[derive(Debug, Default)]
pub(super) struct PushReport {
    /// Local events that the provider has now.
    pub created: u32,
    /// Events that are removed here and at the provider.
    pub removed: u32,
    /// Why some edits have to wait.
    pub left: Option<ProviderError>,
    /// Whether the invocation was over before all edits were written.
    pub is_unfinished: bool,
}

/// What is left to do about one edit.
enum PushStep {
    /// Nothing.
    Done,
    /// The event has changed since it was read: it has to be read again.
    Again,
}

/// One push of one calendar.
struct Push<'a> {
    context: &'a SyncContext,
    provider: &'a dyn CalendarProvider,
    target: RemoteCalendar<'a>,
    user: UserId,
    now: DateTime<Utc>,
    report: PushReport,
    /// Whether occurrences were detached from a series, so that there are edits which were not there when the push began.
    has_detached: bool,
}

/// Writes the edits that wait, in the order of the events' ids: a series before its occurrences. An edit that meets a
/// transient failure is skipped and the failure returned; where the provider answers nothing at all, the rest waits too.
pub(super) async fn run(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    lease: &mut Lease,
    target: RemoteCalendar<'_>,
) -> SyncResult<PushReport> {
    let mut push = Push {
        context,
        provider,
        target,
        user: lease.user(),
        now: context.clock.now(),
        report: PushReport::default(),
        has_detached: false,
    };
    let mut after = None;
    loop {
        let edited = push.pending_edits(after.as_ref()).await?;
        for id in &edited {
            if context.deadline.is_over() {
                push.report.is_unfinished = true;
                return Ok(push.report);
            }
            renew_lease(context, lease).await?;
            match push.one(id).await {
                Ok(()) => {}
                Err(SyncStop::Provider(failure))
                    if matches!(failure.remedy(), Remedy::Retry(_)) =>
                {
                    let is_general = is_general(&failure);
                    push.report.left = Some(failure);
                    if is_general {
                        return Ok(push.report);
                    }
                }
                Err(stop) => return Err(stop),
            }
        }
        // Edits that have to wait keep their markers, so the next ones are found behind them.
        after = edited.into_iter().next_back();
        if after.is_none() {
            let has_more = std::mem::take(&mut push.has_detached) && push.report.left.is_none();
            if !has_more {
                return Ok(push.report);
            }
        }
    }
}

/// Whether a failure concerns every call and not only the event at hand.
fn is_general(failure: &ProviderError) -> bool {
    matches!(
        failure,
        ProviderError::Throttled { .. } | ProviderError::Unreachable { .. }
    )
}

impl Push<'_> {
    async fn pending_edits(&self, after: Option<&EventId>) -> SyncResult<Vec<EventId>> {
        let store = &self.context.store;
        let edits = store.pending_edits(self.user, self.target.calendar, after, MAX_EDITS);
        Ok(edits.await?)
    }

    async fn one(&mut self, id: &EventId) -> SyncResult<()> {
        let store = &self.context.store;
        for _ in 0..MAX_ATTEMPTS {
            let event = store.event(self.user, id).await?;
            let read = event.as_ref().map_or(u64::MAX, revision);
            let Some((event, edit)) = event.and_then(writable_edit) else {
                // Gone, written by an earlier push, or waiting for its owner.
                return Ok(store.clear_edit_marker(self.user, id, read).await?);
            };
            let step = match edit.operation {
                Operation::Create => self.create(event.clone(), &edit).await,
                Operation::Update => self.update(event.clone(), &edit).await,
                Operation::Delete => self.delete(event.clone(), &edit).await,
            };
            match step {
                Ok(PushStep::Done) => return Ok(()),
                Ok(PushStep::Again) => {}
                Err(SyncStop::Provider(failure)) if failure.remedy() == Remedy::GiveUp => {
                    return self.fail(event, &failure).await;
                }
                Err(stop) => return Err(stop),
            }
        }
        // It changes faster than it can be written: the next sync goes on.
        Ok(())
    }
}

/// The event with its edit, where that can be written without its owner.
fn writable_edit(event: Event) -> Option<(Event, Edit)> {
    let link = event.link.as_deref()?;
    let edit = link.edit.as_deref()?;
    let is_writable = !edit.is_paused && link.failure.is_none();
    let edit = is_writable.then(|| edit.clone())?;
    Some((event, edit))
}
