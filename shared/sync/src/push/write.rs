//! Writes one edit to the provider: a creation, an update, a response to an invitation, or a removal.

use calweave_domain::agenda::rule_yields;
use calweave_domain::calendar::ProviderKind;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::field::FieldError;
use calweave_domain::link::{Edit, RsvpResponse};
use calweave_domain::merge::merge;
use calweave_providers::{
    ProviderError, Refusal, RemoteEvent, WriteOptions, undeletable, unwritable,
};

use super::{Push, PushStep};
use crate::names::{record_alias, remote_id};
use crate::occurrences::detach_occurrences;
use crate::reconciliation::{Reconciliation, is_known, reconcile_removal, reconcile_upsert};
use crate::stop::SyncResult;

/// Where an edited event belongs at the provider.
enum Parent {
    /// Nowhere: it is no occurrence.
    None,
    /// This series, by its remote id.
    Series(String),
    /// A series that the provider does not have yet, or not as it is to be: its occurrences wait for it.
    Pending,
    /// A series whose rule no longer yields the occurrence.
    Moved,
    /// A series that is gone.
    Gone,
}

fn options(edit: &Edit) -> WriteOptions {
    WriteOptions {
        send_updates: edit.send_updates,
        wants_conference: edit.wants_conference,
    }
}

fn version(event: &Event) -> Option<&String> {
    event.link.as_ref()?.version.as_ref()
}

impl Push<'_> {
    fn kind(&self) -> ProviderKind {
        self.provider.capabilities().kind
    }

    /// Refuses a write that would mail people who were not to be notified. It was checked when the edit was made, but the
    /// attendees may have changed since then.
    fn check_notifications(&self, errors: Vec<FieldError>) -> SyncResult<()> {
        let is_about_mail = |error: &FieldError| error.field == "sendUpdates";
        let Some(FieldError { field, message }) = errors.into_iter().find(is_about_mail) else {
            return Ok(());
        };
        Err(ProviderError::Refused {
            provider: self.kind().label(),
            message: format!("{field} {message}"),
            reason: Refusal::Field(field),
        }
        .into())
    }

    pub(super) async fn create(&mut self, event: Event, edit: &Edit) -> SyncResult<PushStep> {
        let content = EventContent::of(&event);
        self.check_notifications(unwritable(self.kind(), None, &content, edit.send_updates))?;
        let created = self
            .provider
            .create_event(self.target, &event, options(edit));
        match created.await {
            Ok(Some(made)) => {
                self.report.created += 1;
                self.settle(event, made).await
            }
            // An earlier attempt got through, and the event was moved to another calendar since.
            Ok(None) => self.store(Reconciliation::Remove, &event).await,
            // It was created, and changed at the provider before the rest of it was written.
            Err(ProviderError::PreconditionFailed { .. }) => Ok(PushStep::Again),
            Err(ProviderError::AlreadyExists { .. }) => self.find_created(event).await,
            Err(failure) => Err(failure.into()),
        }
    }

    /// The id is taken: an earlier attempt got through though its response was lost, or the event was created and deleted at
    /// the provider since.
    async fn find_created(&mut self, mut event: Event) -> SyncResult<PushStep> {
        let Some(mut remote) = self.provider.find_created(self.target, &event).await? else {
            // A deleted event keeps its id at the provider, so the next attempt takes another.
            event.link.get_or_insert_default().generation += 1;
            let renamed = Reconciliation::Store(Box::new(event.clone()));
            return self.store(renamed, &event).await;
        };
        self.report.created += 1;
        remote.event.id = event.id.clone();
        record_alias(self.context, self.provider, self.user, &remote.event).await?;
        let merged = reconcile_upsert(Some(&event), remote.event, self.now);
        self.store(merged, &event).await
    }

    pub(super) async fn update(&mut self, event: Event, edit: &Edit) -> SyncResult<PushStep> {
        let series = match self.parent(&event).await? {
            Parent::None => None,
            Parent::Series(id) => Some(id),
            Parent::Pending => return Ok(PushStep::Done),
            Parent::Moved => {
                let removed = reconcile_removal(&event, self.kind().label());
                return self.store(removed, &event).await;
            }
            Parent::Gone => return self.store(Reconciliation::Remove, &event).await,
        };
        let current = self
            .provider
            .get_event(self.target, &event, series.as_deref());
        let Some(remote) = current.await? else {
            let mut removed = reconcile_removal(&event, self.kind().label());
            if let Reconciliation::Store(kept) = &mut removed {
                detach_occurrences(self.context, self.user, kept, None).await?;
            }
            return self.store(removed, &event).await;
        };
        self.update_remote(event, edit, &remote).await
    }

    /// Writes an edit over the event as the provider has it now.
    async fn update_remote(
        &mut self,
        mut event: Event,
        edit: &Edit,
        remote: &RemoteEvent,
    ) -> SyncResult<PushStep> {
        match (version(&event), edit.base.as_deref()) {
            // An occurrence that is changed for the first time was made of the series as it was then. Only the difference is
            // written: a change of the one stands before a change of all.
            (None, Some(base)) => {
                let (theirs, ours) = (EventContent::of(&remote.event), EventContent::of(&event));
                let merged = merge(Some(base), &[], &theirs, &ours);
                merged.content.write_to(&mut event);
            }
            // It has changed at the provider since it was read: both changes are merged first.
            (Some(known), _) if version(&remote.event) != Some(known) => {
                let merged = reconcile_upsert(Some(&event), remote.event.clone(), self.now);
                if matches!(merged, Reconciliation::Store(_)) {
                    return self.store(merged, &event).await;
                }
            }
            _ => {}
        }
        if let Some(response) = &edit.response {
            return self.respond(event, remote, response).await;
        }
        let (before, after) = (EventContent::of(&remote.event), EventContent::of(&event));
        let errors = unwritable(self.kind(), Some(&before), &after, edit.send_updates);
        self.check_notifications(errors)?;
        if let Some(cancelled) = self.provider.resets_exceptions(remote, &event) {
            // The provider forgets the exceptions: they are written again after the series.
            let mut detached = event.clone();
            self.has_detached |=
                detach_occurrences(self.context, self.user, &mut detached, Some(&cancelled))
                    .await?;
            if detached.series != event.series {
                let detached = Reconciliation::Store(Box::new(detached));
                return self.store(detached, &event).await;
            }
        }
        let updated = self
            .provider
            .update_event(self.target, remote, &event, options(edit));
        match updated.await {
            Ok(made) => self.settle(event, made).await,
            Err(ProviderError::PreconditionFailed { .. }) => Ok(PushStep::Again),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Writes the response to an invitation. Other changes of the edit are written after it.
    async fn respond(
        &mut self,
        mut event: Event,
        remote: &RemoteEvent,
        response: &RsvpResponse,
    ) -> SyncResult<PushStep> {
        let responded = self.provider.respond(self.target, remote, response).await;
        let made = match responded {
            Ok(Some(made)) => made,
            Ok(None) => return self.store(Reconciliation::Remove, &event).await,
            Err(ProviderError::PreconditionFailed { .. }) => return Ok(PushStep::Again),
            Err(failure) => return Err(failure.into()),
        };
        let link = event.link.get_or_insert_default();
        // Without a version what the provider has counts as news, whatever its version is.
        link.version = None;
        if let Some(edit) = &mut link.edit {
            edit.response = None;
        }
        let made = Event {
            id: event.id.clone(),
            ..made
        };
        let merged = reconcile_upsert(Some(&event), made, self.now);
        self.store(merged, &event).await
    }

    pub(super) async fn delete(&mut self, mut event: Event, edit: &Edit) -> SyncResult<PushStep> {
        let series = match self.parent(&event).await? {
            Parent::None => None,
            Parent::Series(id) => Some(id),
            Parent::Pending => return Ok(PushStep::Done),
            Parent::Moved | Parent::Gone => {
                return self.store(Reconciliation::Remove, &event).await;
            }
        };
        let series = series.as_deref();
        if event.original_start().is_some() && remote_id(&event).is_none() {
            // The provider has no event of its own for this occurrence yet: it is found through the series.
            let current = self.provider.get_event(self.target, &event, series);
            let Some(remote) = current.await? else {
                return self.store(Reconciliation::Remove, &event).await;
            };
            event.link.get_or_insert_default().remote_id =
                remote.event.link.and_then(|link| link.remote_id);
        }
        self.check_notifications(undeletable(self.kind(), &event, edit.send_updates))?;
        let deleted = self
            .provider
            .delete_event(self.target, &event, options(edit));
        match deleted.await {
            Ok(()) => self.store(Reconciliation::Remove, &event).await,
            Err(ProviderError::PreconditionFailed { .. }) => {
                self.delete_changed(event, edit, series).await
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// The event has changed at the provider since it was read.
    async fn delete_changed(
        &mut self,
        mut event: Event,
        edit: &Edit,
        series: Option<&str>,
    ) -> SyncResult<PushStep> {
        let current = self.provider.get_event(self.target, &event, series);
        let Some(remote) = current.await? else {
            return self.store(Reconciliation::Remove, &event).await;
        };
        let merged = if is_known(edit, &remote.event) {
            // Another version of the same content: deleting it loses nothing.
            event.link.get_or_insert_default().version =
                remote.event.link.and_then(|link| link.version);
            Reconciliation::Store(Box::new(event.clone()))
        } else {
            reconcile_upsert(Some(&event), remote.event, self.now)
        };
        self.store(merged, &event).await
    }

    /// Where an edited event belongs at the provider.
    async fn parent(&self, event: &Event) -> SyncResult<Parent> {
        let Some(original) = event.original_start() else {
            return Ok(Parent::None);
        };
        let series = self
            .context
            .store
            .event(self.user, &event.id.series())
            .await?;
        let Some(series) = series else {
            // The provider may send an occurrence without its series, such as to somebody who is invited to that one only.
            return Ok(match remote_id(event) {
                Some(_) => Parent::None,
                None => Parent::Gone,
            });
        };
        let is_yielded = series.series.is_none() || rule_yields(&series, original);
        let link = series.link.unwrap_or_default();
        // Writing the series may change all of its exceptions.
        let is_pending = link.edit.as_ref().is_some_and(|edit| !edit.is_paused);
        if is_pending && link.failure.is_none() {
            return Ok(Parent::Pending);
        }
        // An edit that is left is one that the provider has refused: its rule says nothing about the provider's.
        if !is_yielded && link.edit.is_none() {
            return Ok(Parent::Moved);
        }
        Ok(link.remote_id.map_or(Parent::Pending, Parent::Series))
    }
}
