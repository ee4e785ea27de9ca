//! Stores what came of a write at the provider.

use calweave_calendar::events::realign_overrides;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::link::{EventLink, KeptEdit, Operation};
use calweave_providers::ProviderError;
use calweave_store::WriteOutcome;
use calweave_store::edits::{EventUpdate, EventUpdated};

use super::{Push, PushStep};
use crate::SyncError;
use crate::names::record_alias;
use crate::reconciliation::Reconciliation;
use crate::removal::{remove, revision};
use crate::stop::SyncResult;

impl Push<'_> {
    /// Carries out a reconciliation over the event as it was read.
    pub(super) async fn store(
        &mut self,
        reconciliation: Reconciliation,
        event: &Event,
    ) -> SyncResult<PushStep> {
        let mut stored = match reconciliation {
            Reconciliation::Unchanged => return Ok(PushStep::Again),
            Reconciliation::Remove => {
                let removed = remove(self.context, self.provider, self.user, event).await?;
                self.report.removed += removed.unwrap_or(0);
                return Ok(removed.map_or(PushStep::Again, |_| PushStep::Done));
            }
            Reconciliation::Store(stored) => stored,
        };
        let store = &self.context.store;
        realign_overrides(store, self.user, event, &stored).await?;
        let outcome = store.put_linked(self.user, &mut stored).await?;
        let has_failed = stored
            .link
            .as_ref()
            .is_some_and(|link| link.failure.is_some());
        if outcome == WriteOutcome::Written && has_failed {
            let revision = revision(&stored);
            store
                .clear_edit_marker(self.user, &event.id, revision)
                .await?;
            return Ok(PushStep::Done);
        }
        // The event as it is stored now says whether an edit is left.
        Ok(PushStep::Again)
    }

    /// The provider has accepted `event`, as `made`.
    pub(super) async fn settle(&self, event: Event, mut made: Event) -> SyncResult<PushStep> {
        let store = &self.context.store;
        made.id = event.id.clone();
        record_alias(self.context, self.provider, self.user, &made).await?;
        let new = made.link.take().unwrap_or_default();
        if let (Some(series), Some(known)) = (&mut made.series, &event.series) {
            series.overridden.clone_from(&known.overridden);
        }
        let mut settled = Event {
            updated_at: event.updated_at,
            link: Some(Box::new(EventLink {
                remote_id: new.remote_id.clone(),
                version: new.version.clone(),
                edit: None,
                failure: None,
                ..event.link.as_deref().cloned().unwrap_or_default()
            })),
            ..made.clone()
        };
        settled.hash();
        if let Some(before) = event.before_edit() {
            realign_overrides(store, self.user, &before, &settled).await?;
        }
        if store.put_event(self.user, &mut settled).await? == WriteOutcome::Written {
            let revision = revision(&settled);
            store
                .clear_edit_marker(self.user, &event.id, revision)
                .await?;
            return Ok(PushStep::Done);
        }
        self.rebase(&event, &made, &new).await
    }

    /// The event was edited here while it was written: that edit is from now on one of what the provider has.
    async fn rebase(&self, event: &Event, made: &Event, new: &EventLink) -> SyncResult<PushStep> {
        let decide = |current: Option<Event>| {
            let Some(mut latest) = current else {
                return EventUpdate::Skip(());
            };
            let Some(link) = latest.link.as_deref_mut() else {
                return EventUpdate::Skip(());
            };
            link.remote_id.clone_from(&new.remote_id);
            link.version.clone_from(&new.version);
            if let Some(edit) = link.edit.as_deref_mut() {
                edit.base = Some(Box::new(EventContent::of(made)));
                if edit.operation == Operation::Create {
                    edit.operation = Operation::Update;
                }
            }
            EventUpdate::Put(Box::new(latest))
        };
        let store = &self.context.store;
        match store
            .update_event(self.user, &event.id, None, decide)
            .await?
        {
            EventUpdated::Written { .. } => Ok(PushStep::Again),
            EventUpdated::Skipped(()) => Ok(PushStep::Done),
            EventUpdated::Contended => Err(SyncError::Contended.into()),
        }
    }

    /// The provider has refused the edit for good: it is kept with the reason. An event that may not be removed is visible
    /// again.
    pub(super) async fn fail(&self, mut event: Event, failure: &ProviderError) -> SyncResult<()> {
        let read = event.clone();
        let link = event.link.get_or_insert_default();
        if read.is_deleting() {
            link.edit = None;
            link.kept = Some(Box::new(KeptEdit {
                at: self.now,
                fields: vec!["deleted".to_owned()],
                content: EventContent::of(&read),
            }));
            link.failure = Some(format!("{failure}. The event is still there."));
        } else {
            link.failure = Some(format!("{failure}. Change the event, or retry."));
        }
        let store = &self.context.store;
        realign_overrides(store, self.user, &read, &event).await?;
        if store.put_event(self.user, &mut event).await? == WriteOutcome::Written {
            let revision = revision(&event);
            store
                .clear_edit_marker(self.user, &event.id, revision)
                .await?;
        }
        Ok(())
    }
}
