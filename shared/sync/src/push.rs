//! Writes to the provider what was changed here.

use calweave_calendar::events::realign_overrides;
use calweave_domain::agenda::rule_yields;
use calweave_domain::calendar::ProviderKind;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::field::FieldError;
use calweave_domain::ids::{EventId, UserId};
use calweave_domain::link::{Edit, EventLink, KeptEdit, Operation, RsvpResponse};
use calweave_domain::merge::merge;
use calweave_providers::{
    CalendarProvider, ProviderError, Refusal, Remedy, RemoteCalendar, RemoteEvent, WriteOptions,
    undeletable, unwritable,
};
use calweave_store::WriteOutcome;
use calweave_store::leases::Lease;
use chrono::{DateTime, Utc};

use super::SyncError;
use super::account::{SyncResult, SyncStop, renew_lease};
use super::names::{record_alias, remote_id};
use super::occurrences::detach_occurrences;
use super::pull::{remove, revision};
use super::reconcile::{Reconciliation, is_known, reconcile_removal, reconcile_upsert};
use crate::SyncContext;

/// Changes of one calendar that one run writes; the next run writes the rest.
const MAX_EDITS: i32 = 200;
/// How often one change is tried against a provider that keeps changing the event.
const MAX_ATTEMPTS: usize = 4;

/// What is left to do about one change.
enum PushStep {
    /// Nothing.
    Done,
    /// Look at the event again: it is not any more as it was read.
    Again,
}

/// What an event is a part of.
enum Belonging {
    /// This series, by the provider's name for it; nothing for an event of its own.
    To(Option<String>),
    /// A series that the provider does not have yet, or not as it is to be: its occurrence waits with it.
    Waits,
    /// A series that has none at its place any more.
    Stray,
    /// A series that is gone.
    Nowhere,
}

struct Push<'a> {
    context: &'a SyncContext,
    provider: &'a dyn CalendarProvider,
    target: RemoteCalendar<'a>,
    user: UserId,
    now: DateTime<Utc>,
    created: u32,
    removed: u32,
    /// Whether there are changes now that were not there when the run began.
    has_detached: bool,
}

/// What was written.
pub(super) struct PushReport {
    /// Events that were made here and are at the provider now.
    pub created: u32,
    /// Events that are gone on both sides.
    pub removed: u32,
    /// Why some changes have to wait.
    pub left: Option<ProviderError>,
}

/// Writes what waits, in the order of ids: a series before its occurrences. What cannot be written just now is passed over
/// and answered; where the provider does not answer at all, the rest waits too.
pub(super) async fn run(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    lease: &mut Lease,
    target: RemoteCalendar<'_>,
) -> SyncResult<PushReport> {
    let user = lease.user();
    let mut left = None;
    let mut push = Push {
        context,
        provider,
        target,
        user,
        now: context.clock.now(),
        created: 0,
        removed: 0,
        has_detached: false,
    };
    let mut edited = context
        .store
        .pending_edits(user, target.calendar, MAX_EDITS)
        .await?;
    while !edited.is_empty() {
        for id in edited {
            renew_lease(context, lease).await?;
            match push.one(&id).await {
                Ok(()) => {}
                Err(SyncStop::CalendarProvider(failure))
                    if matches!(failure.remedy(), Remedy::Retry(_)) =>
                {
                    let is_general = matches!(
                        failure,
                        ProviderError::Throttled { .. } | ProviderError::Unreachable { .. }
                    );
                    left = Some(failure);
                    if is_general {
                        return Ok(PushReport {
                            created: push.created,
                            removed: push.removed,
                            left,
                        });
                    }
                }
                Err(stop) => return Err(stop),
            }
        }
        let again = std::mem::take(&mut push.has_detached) && left.is_none();
        edited = if again {
            context
                .store
                .pending_edits(user, target.calendar, MAX_EDITS)
                .await?
        } else {
            vec![]
        };
    }
    Ok(PushReport {
        created: push.created,
        removed: push.removed,
        left,
    })
}

impl Push<'_> {
    async fn one(&mut self, id: &EventId) -> SyncResult<()> {
        for _ in 0..MAX_ATTEMPTS {
            let event = self.context.store.event(self.user, id).await?;
            let read = event.as_ref().map_or(u64::MAX, revision);
            let Some((event, edit)) =
                event.and_then(|event| Some((event.clone(), event.link?.edit?)))
            else {
                return Ok(self
                    .context
                    .store
                    .clear_edit_marker(self.user, id, read)
                    .await?);
            };
            let waits_for_somebody = edit.is_paused
                || event
                    .link
                    .as_ref()
                    .is_some_and(|link| link.failure.is_some());
            if waits_for_somebody {
                return Ok(self
                    .context
                    .store
                    .clear_edit_marker(self.user, id, read)
                    .await?);
            }
            let done = match edit.operation {
                Operation::Create => self.create(event.clone(), &edit).await,
                Operation::Update => self.update(event.clone(), &edit).await,
                Operation::Delete => self.delete(event.clone(), &edit).await,
            };
            match done {
                Ok(PushStep::Done) => return Ok(()),
                Ok(PushStep::Again) => {}
                Err(SyncStop::CalendarProvider(failure)) if failure.remedy() == Remedy::GiveUp => {
                    return self.fail(event, &failure).await;
                }
                Err(stop) => return Err(stop),
            }
        }
        // Changed over and over again at the other side: the next run goes on.
        Ok(())
    }

    fn options(edit: &Edit) -> WriteOptions {
        WriteOptions {
            send_updates: edit.send_updates,
            wants_conference: edit.wants_conference,
        }
    }

    fn kind(&self) -> ProviderKind {
        self.provider.capabilities().kind
    }

    /// What was permitted when it was changed here may not be any more, such as for people who were invited since.
    fn permitted(&self, wrong: Vec<FieldError>) -> SyncResult<()> {
        let is_about_mail = |error: &FieldError| error.field == "sendUpdates";
        let Some(FieldError { field, message }) = wrong.into_iter().find(is_about_mail) else {
            return Ok(());
        };
        Err(ProviderError::Refused {
            provider: self.kind().label(),
            message: format!("{field} {message}"),
            reason: Refusal::Field(field),
        }
        .into())
    }

    async fn create(&mut self, mut event: Event, edit: &Edit) -> SyncResult<PushStep> {
        self.permitted(unwritable(
            self.kind(),
            None,
            &EventContent::of(&event),
            edit.send_updates,
        ))?;
        match self
            .provider
            .create_event(self.target, &event, Self::options(edit))
            .await
        {
            Ok(made) => {
                self.created += 1;
                self.settle(event, made).await
            }
            // It was made, and changed over there before it was as it should be.
            Err(ProviderError::PreconditionFailed { .. }) => Ok(PushStep::Again),
            // An earlier try got through; or the event was made, and deleted over there since.
            Err(ProviderError::AlreadyExists { .. }) => {
                match self.provider.find_created(self.target, &event).await? {
                    Some(mut remote) => {
                        self.created += 1;
                        remote.event.id = event.id.clone();
                        record_alias(self.context, self.provider, self.user, &remote.event).await?;
                        self.store(
                            reconcile_upsert(Some(&event), remote.event, self.now),
                            &event,
                        )
                        .await
                    }
                    None => {
                        let link = event.link.get_or_insert_default();
                        link.generation += 1;
                        let reconciliation = Reconciliation::Store(Box::new(event.clone()));
                        self.store(reconciliation, &event).await
                    }
                }
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn update(&mut self, mut event: Event, edit: &Edit) -> SyncResult<PushStep> {
        let series = match self.series_of(&event).await? {
            Belonging::To(series) => series,
            Belonging::Waits => return Ok(PushStep::Done),
            Belonging::Stray => {
                return self
                    .store(reconcile_removal(&event, self.kind().label()), &event)
                    .await;
            }
            Belonging::Nowhere => return self.store(Reconciliation::Remove, &event).await,
        };
        let Some(remote) = self
            .provider
            .get_event(self.target, &event, series.as_deref())
            .await?
        else {
            let mut reconciliation = reconcile_removal(&event, self.kind().label());
            if let Reconciliation::Store(kept) = &mut reconciliation {
                detach_occurrences(self.context, self.user, kept, None).await?;
            }
            return self.store(reconciliation, &event).await;
        };
        let version = |event: &Event| event.link.as_ref().and_then(|link| link.version.clone());
        match (version(&event), edit.base.as_deref()) {
            // An occurrence that is changed for the first time was made of what its series said then. Only what is different
            // about it is written: there, what was wished for the one stands before what was for all.
            (None, Some(base)) => merge(
                Some(base),
                &[],
                &EventContent::of(&remote.event),
                &EventContent::of(&event),
            )
            .content
            .write_to(&mut event),
            // Changed over there since it was read: first the two have to be one.
            (known @ Some(_), _) if version(&remote.event) != known => {
                if let reconciliation @ Reconciliation::Store(_) =
                    reconcile_upsert(Some(&event), remote.event.clone(), self.now)
                {
                    return self.store(reconciliation, &event).await;
                }
            }
            _ => {}
        }
        if let Some(response) = &edit.response {
            return self.respond(event, &remote, response).await;
        }
        self.permitted(unwritable(
            self.kind(),
            Some(&EventContent::of(&remote.event)),
            &EventContent::of(&event),
            edit.send_updates,
        ))?;
        if let Some(cancelled) = self.provider.resets_exceptions(&remote, &event) {
            // All that is different about it is written once more after it, and what was cancelled with it.
            let mut parted = event.clone();
            self.has_detached |=
                detach_occurrences(self.context, self.user, &mut parted, Some(&cancelled)).await?;
            if parted.series != event.series {
                return self
                    .store(Reconciliation::Store(Box::new(parted)), &event)
                    .await;
            }
        }
        match self
            .provider
            .update_event(self.target, &remote, &event, Self::options(edit))
            .await
        {
            Ok(made) => self.settle(event, made).await,
            Err(ProviderError::PreconditionFailed { .. }) => Ok(PushStep::Again),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Writes an answer to an invitation; what else was changed is written after it.
    async fn respond(
        &mut self,
        mut event: Event,
        remote: &RemoteEvent,
        response: &RsvpResponse,
    ) -> SyncResult<PushStep> {
        let made = match self.provider.respond(self.target, remote, response).await {
            Ok(Some(made)) => made,
            Ok(None) => return self.store(Reconciliation::Remove, &event).await,
            Err(ProviderError::PreconditionFailed { .. }) => return Ok(PushStep::Again),
            Err(failure) => return Err(failure.into()),
        };
        let link = event.link.get_or_insert_default();
        // Whatever its version says: this is news.
        link.version = None;
        if let Some(edit) = &mut link.edit {
            edit.response = None;
        }
        let made = Event {
            id: event.id.clone(),
            ..made
        };
        let reconciliation = reconcile_upsert(Some(&event), made, self.now);
        self.store(reconciliation, &event).await
    }

    async fn delete(&mut self, mut event: Event, edit: &Edit) -> SyncResult<PushStep> {
        let series = match self.series_of(&event).await? {
            Belonging::To(series) => series,
            Belonging::Waits => return Ok(PushStep::Done),
            Belonging::Stray | Belonging::Nowhere => {
                return self.store(Reconciliation::Remove, &event).await;
            }
        };
        if event.original_start().is_some() && remote_id(&event).is_none() {
            // An occurrence that the provider has no event of its own for yet: its series names it.
            match self
                .provider
                .get_event(self.target, &event, series.as_deref())
                .await?
            {
                Some(remote) => {
                    event.link.get_or_insert_default().remote_id =
                        remote.event.link.and_then(|link| link.remote_id);
                }
                None => return self.store(Reconciliation::Remove, &event).await,
            }
        }
        self.permitted(undeletable(self.kind(), &event, edit.send_updates))?;
        match self
            .provider
            .delete_event(self.target, &event, Self::options(edit))
            .await
        {
            Ok(()) => self.store(Reconciliation::Remove, &event).await,
            Err(ProviderError::PreconditionFailed { .. }) => {
                let Some(remote) = self
                    .provider
                    .get_event(self.target, &event, series.as_deref())
                    .await?
                else {
                    return self.store(Reconciliation::Remove, &event).await;
                };
                if is_known(edit, &remote.event) {
                    // Another version of the same: nobody would miss anything.
                    event.link.get_or_insert_default().version =
                        remote.event.link.and_then(|link| link.version);
                    return self
                        .store(Reconciliation::Store(Box::new(event.clone())), &event)
                        .await;
                }
                self.store(
                    reconcile_upsert(Some(&event), remote.event, self.now),
                    &event,
                )
                .await
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// What the provider calls the series that an occurrence belongs to.
    async fn series_of(&self, event: &Event) -> SyncResult<Belonging> {
        let Some(original) = event.original_start() else {
            return Ok(Belonging::To(None));
        };
        let Some(series) = self
            .context
            .store
            .event(self.user, &event.id.series())
            .await?
        else {
            // One that the provider has sent without its series stands for itself.
            return Ok(if remote_id(event).is_some() {
                Belonging::To(None)
            } else {
                Belonging::Nowhere
            });
        };
        let is_placed = series.series.is_none() || rule_yields(&series, original);
        let link = series.link.unwrap_or_default();
        // What becomes of a series may change all that is different from it.
        if link.edit.as_ref().is_some_and(|edit| !edit.is_paused) && link.failure.is_none() {
            return Ok(Belonging::Waits);
        }
        // A rule that the provider has refused says nothing of what is there.
        if !is_placed && link.edit.is_none() {
            return Ok(Belonging::Stray);
        }
        Ok(link
            .remote_id
            .map_or(Belonging::Waits, |id| Belonging::To(Some(id))))
    }

    /// Carries a verdict out, over the event as it was read.
    async fn store(
        &mut self,
        reconciliation: Reconciliation,
        event: &Event,
    ) -> SyncResult<PushStep> {
        match reconciliation {
            Reconciliation::Unchanged => Ok(PushStep::Again),
            Reconciliation::Remove => {
                match remove(self.context, self.provider, self.user, event).await? {
                    Some(removed) => {
                        self.removed += removed;
                        Ok(PushStep::Done)
                    }
                    None => Ok(PushStep::Again),
                }
            }
            Reconciliation::Store(mut stored) => {
                // With an edit that still waits, or without one: what is next, the stored event says.
                realign_overrides(&self.context.store, self.user, event, &stored).await?;
                let outcome = self
                    .context
                    .store
                    .put_linked(self.user, &mut stored)
                    .await?;
                if outcome == WriteOutcome::Written
                    && stored
                        .link
                        .as_ref()
                        .is_some_and(|link| link.failure.is_some())
                {
                    self.context
                        .store
                        .clear_edit_marker(self.user, &event.id, revision(&stored))
                        .await?;
                    return Ok(PushStep::Done);
                }
                Ok(PushStep::Again)
            }
        }
    }

    /// The provider has what `event` says, as `made`.
    async fn settle(&self, event: Event, mut made: Event) -> SyncResult<PushStep> {
        made.id = event.id.clone();
        record_alias(self.context, self.provider, self.user, &made).await?;
        let new = made.link.take().unwrap_or_default();
        if let (Some(series), Some(known)) = (&mut made.series, &event.series) {
            series.overridden.clone_from(&known.overridden);
        }
        let old = event.link.as_deref().cloned().unwrap_or_default();
        let mut settled = Event {
            updated_at: event.updated_at,
            ..made.clone()
        };
        let (remote_id, version) = (new.remote_id.clone(), new.version.clone());
        settled.link = Some(Box::new(EventLink {
            remote_id,
            version,
            edit: None,
            failure: None,
            ..old
        }));
        settled.hash();
        if let Some(base) = event
            .link
            .as_ref()
            .and_then(|link| link.edit.as_ref()?.base.clone())
        {
            let mut before = event.clone();
            base.write_to(&mut before);
            realign_overrides(&self.context.store, self.user, &before, &settled).await?;
        }
        if self
            .context
            .store
            .put_event(self.user, &mut settled)
            .await?
            == WriteOutcome::Written
        {
            self.context
                .store
                .clear_edit_marker(self.user, &event.id, revision(&settled))
                .await?;
            return Ok(PushStep::Done);
        }
        // Edited here while it was on its way: that edit is now one of what the provider has.
        for _ in 0..MAX_ATTEMPTS {
            let Some(mut latest) = self.context.store.event(self.user, &event.id).await? else {
                return Ok(PushStep::Done);
            };
            let Some(link) = latest.link.as_deref_mut() else {
                return Ok(PushStep::Done);
            };
            (link.remote_id, link.version) = (new.remote_id.clone(), new.version.clone());
            if let Some(edit) = link.edit.as_deref_mut() {
                edit.base = Some(Box::new(EventContent::of(&made)));
                if edit.operation == Operation::Create {
                    edit.operation = Operation::Update;
                }
            }
            if self.context.store.put_event(self.user, &mut latest).await? == WriteOutcome::Written
            {
                return Ok(PushStep::Again);
            }
        }
        Err(SyncError::Contended.into())
    }

    /// It was refused for good: the edit is kept, and says why. An event that may not be removed is shown again.
    async fn fail(&self, mut event: Event, failure: &ProviderError) -> SyncResult<()> {
        let is_deleting = event.is_deleting();
        let read = event.clone();
        let content = EventContent::of(&event);
        let link = event.link.get_or_insert_default();
        if is_deleting {
            link.edit = None;
            link.kept = Some(Box::new(KeptEdit {
                at: self.now,
                fields: vec!["deleted".to_owned()],
                content,
            }));
            link.failure = Some(format!("{failure}. The event is still there."));
        } else {
            link.failure = Some(format!("{failure}. Change the event, or retry."));
        }
        realign_overrides(&self.context.store, self.user, &read, &event).await?;
        if self.context.store.put_event(self.user, &mut event).await? == WriteOutcome::Written {
            self.context
                .store
                .clear_edit_marker(self.user, &event.id, revision(&event))
                .await?;
        }
        Ok(())
    }
}
