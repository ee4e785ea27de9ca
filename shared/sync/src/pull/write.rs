//! Writes what a page comes to: new events in batches, the others one by one over what is stored.

use calweave_calendar::events::realign_overrides;
use calweave_domain::event::Event;
use calweave_domain::ids::{OriginalStart, UserId};
use calweave_providers::CalendarProvider;
use calweave_store::WriteOutcome;
use calweave_store::events::{BATCH, EventWrite, is_storable};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};

use super::plan::Upsert;
use super::{MAX_ATTEMPTS, MAX_WARNINGS, Pull, number};
use crate::names::{foreign_name, record_alias, remote_id};
use crate::occurrences::{detach_occurrences, keep_for_occurrences};
use crate::reconciliation::{Reconciliation, reconcile_removal, reconcile_upsert};
use crate::removal::remove;
use crate::stop::{SyncResult, renew_lease};
use crate::{SyncContext, SyncError, too_large};

/// How many events are merged at once.
const MAX_CONCURRENT_WRITES: usize = 16;
/// How many batches of new events are written at once.
const CONCURRENT_BATCHES: usize = 8;

/// What came of one event that the provider has.
enum Merged {
    Created,
    Updated,
    Unchanged,
}

impl Pull<'_> {
    pub(super) async fn write(&mut self, mut upserts: Vec<Upsert>) -> SyncResult<()> {
        self.drop_oversized(&mut upserts);
        for upsert in &mut upserts {
            if let (Some(before), Some(hidden)) = (&mut upsert.before, upsert.hidden.take()) {
                self.set_hidden_occurrences(before, hidden).await?;
            }
        }
        // Only the provider creates events that are no occurrences. An occurrence may become an event of its own here at the
        // same moment, so it is written under a condition like the events that are stored.
        let needs_condition =
            |upsert: &Upsert| upsert.before.is_some() || upsert.incoming.original_start().is_some();
        let (known, new): (Vec<_>, Vec<_>) = upserts.into_iter().partition(needs_condition);
        self.write_new(new).await?;
        self.merge_all(known).await
    }

    /// Leaves out events that do not fit into an item, with a warning.
    fn drop_oversized(&mut self, upserts: &mut Vec<Upsert>) {
        upserts.retain(|upsert| {
            let is_storable = is_storable(&upsert.incoming);
            if !is_storable && self.warnings.len() < MAX_WARNINGS {
                self.warnings.push(too_large(&upsert.incoming));
            }
            is_storable
        });
    }

    async fn write_new(&mut self, upserts: Vec<Upsert>) -> SyncResult<()> {
        let mut events: Vec<Event> = Vec::with_capacity(upserts.len());
        for Upsert { incoming, .. } in upserts {
            if let Reconciliation::Store(mut event) = reconcile_upsert(None, incoming, self.now) {
                event.link.get_or_insert_default().revision = 1;
                events.push(*event);
            }
        }
        for event in &events {
            record_alias(self.context, self.provider, self.user, event).await?;
        }
        for some in events.chunks(BATCH * CONCURRENT_BATCHES) {
            renew_lease(self.context, self.lease).await?;
            let writes: Vec<_> = some.iter().map(EventWrite::Put).collect();
            self.context
                .store
                .write_all_events(self.user, &writes)
                .await?;
        }
        self.stats.created += number(events.len());
        Ok(())
    }

    async fn merge_all(&mut self, upserts: Vec<Upsert>) -> SyncResult<()> {
        let (context, provider, user, now) = (self.context, self.provider, self.user, self.now);
        let merged = |upsert: Upsert| async move {
            follow_name(context, provider, user, &upsert).await?;
            merge_in(context, provider, user, now, upsert).await
        };
        let mut merging = stream::iter(upserts)
            .map(merged)
            .buffer_unordered(MAX_CONCURRENT_WRITES);
        while let Some(merged) = merging.next().await {
            renew_lease(self.context, self.lease).await?;
            match merged? {
                Merged::Created => self.stats.created += 1,
                Merged::Updated => self.stats.updated += 1,
                Merged::Unchanged => self.stats.unchanged += 1,
            }
        }
        Ok(())
    }

    /// Has a stored series hide exactly these occurrences. Should somebody else change it at the same moment, the merge that
    /// follows reads it again.
    async fn set_hidden_occurrences(
        &self,
        event: &mut Event,
        originals: Vec<OriginalStart>,
    ) -> SyncResult<()> {
        match &mut event.series {
            Some(series) if series.overridden != originals => series.overridden = originals,
            _ => return Ok(()),
        }
        event.updated_at = self.now;
        event.hash();
        let _: WriteOutcome = self.context.store.put_event(self.user, event).await?;
        Ok(())
    }

    /// Follows the removal of an event at the provider. What is stored is read again at each attempt together with its
    /// overrides, so this is no [`update_event`](calweave_store::Store::update_event).
    pub(super) async fn reconcile_gone(&mut self, mut event: Event) -> SyncResult<()> {
        for _ in 0..MAX_ATTEMPTS {
            keep_for_occurrences(self.context, self.user, &mut event).await?;
            let label = self.provider.capabilities().kind.label();
            let is_written = match reconcile_removal(&event, label) {
                Reconciliation::Unchanged => return Ok(()),
                Reconciliation::Store(mut kept) => {
                    detach_occurrences(self.context, self.user, &mut kept, None).await?;
                    let outcome = self.context.store.put_event(self.user, &mut kept).await?;
                    outcome == WriteOutcome::Written
                }
                Reconciliation::Remove => {
                    let removed = remove(self.context, self.provider, self.user, &event).await?;
                    self.stats.deleted += removed.unwrap_or(0);
                    removed.is_some()
                }
            };
            if is_written {
                return Ok(());
            }
            match self.context.store.event(self.user, &event.id).await? {
                Some(current) => event = current,
                None => return Ok(()),
            }
        }
        Err(SyncError::Contended.into())
    }
}

/// Records the provider's name of an event where it is a new one, and forgets the one before.
async fn follow_name(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    Upsert {
        before, incoming, ..
    }: &Upsert,
) -> Result<(), SyncError> {
    if before.as_ref().and_then(remote_id) == remote_id(incoming) {
        return Ok(());
    }
    record_alias(context, provider, user, incoming).await?;
    if let Some(before) = before
        && let Some(old) = foreign_name(provider, before)
    {
        context.store.delete_alias(user, &old, &before.id).await?;
    }
    Ok(())
}

/// Stores an event of the provider over what is stored, and again over each concurrent write that came first. The overrides
/// are realigned before each attempt, so this is no [`update_event`](calweave_store::Store::update_event).
async fn merge_in(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    now: DateTime<Utc>,
    upsert: Upsert,
) -> Result<Merged, SyncError> {
    let Upsert {
        mut before,
        mut incoming,
        ..
    } = upsert;
    for _ in 0..MAX_ATTEMPTS {
        if let Some(known) = &before {
            provider.keep_equivalents(known, &mut incoming);
        }
        let mut stored = match reconcile_upsert(before.as_ref(), incoming.clone(), now) {
            Reconciliation::Unchanged | Reconciliation::Remove => return Ok(Merged::Unchanged),
            Reconciliation::Store(event) => event,
        };
        if let Some(before) = &before {
            // First: a run that is interrupted in between finds the series as it was, and repeats both.
            realign_overrides(&context.store, user, before, &stored).await?;
        }
        if context.store.put_linked(user, &mut stored).await? == WriteOutcome::Written {
            return Ok(match before {
                Some(_) => Merged::Updated,
                None => Merged::Created,
            });
        }
        before = context.store.event(user, &incoming.id).await?;
    }
    Err(SyncError::Contended)
}
