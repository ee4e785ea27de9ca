//! One page of changes: resolved to stored events, planned, and carried out.

use std::collections::{BTreeMap, HashMap, HashSet};

use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart};
use calweave_providers::{CalendarProvider, Change, ChangePage, ProviderError};
use calweave_store::edits::{EventUpdate, EventUpdated};
use calweave_store::events::StoredEventHash;

use super::Pull;
use super::plan::{Interval, Page, PagePlan, Stored, last_changes, plan_page};
use super::round::Seen;
use crate::SyncError;
use crate::names::{apply_alias, event_of, foreign_name, remote_id};
use crate::stop::{SyncResult, confirm_lease};

/// What a full sync knows of the calendar as it is stored.
pub(super) struct StoredIndex {
    /// What was stored when the sync began.
    pub stored: HashMap<EventId, StoredEventHash>,
    /// What the provider has sent since then.
    pub seen: Seen,
}

impl StoredIndex {
    /// Whether an event may be stored: before the sync began, or by an earlier page.
    fn may_hold(&self, id: &EventId) -> bool {
        self.stored.contains_key(id) || self.seen.contains(id)
    }

    /// Whether the provider's version of an event is the one that is stored.
    fn has_version(&self, id: &EventId, change: &Change) -> bool {
        let Change::Upserted(event) = change else {
            return false;
        };
        let version = event.link.as_ref().and_then(|link| link.version.as_ref());
        let stored = self
            .stored
            .get(id)
            .and_then(|stored| stored.version.as_ref());
        stored.is_some() && stored == version
    }
}

impl Pull<'_> {
    /// Stores a page of changes. New events outside of `window` are left out; `index` is given in a full sync.
    pub(super) async fn apply(
        &mut self,
        page: ChangePage,
        window: Option<Interval>,
        mut index: Option<&mut StoredIndex>,
    ) -> SyncResult<()> {
        let ChangePage {
            changes,
            partial,
            unreadable,
            ..
        } = page;
        if let Some(index) = &mut index {
            // It exists, though it cannot be read.
            self.mark_seen(unreadable, &mut index.seen);
        }
        let changes = self.resolve_aliases(changes).await?;
        let (changes, read_alone) = self.confirm_removals(changes).await?;
        let mut changes = last_changes(changes);
        let complete = self.complete_series(&changes, &partial, &read_alone);
        // A changed or cancelled occurrence is hidden in its series.
        for id in changes.keys() {
            if let Some(original) = id.original_start() {
                self.orphans.entry(id.series()).or_default().push(original);
            }
        }
        let stored = match index {
            Some(index) => self.select_changed(&mut changes, index).await?,
            None => self.load(&changes, |_| true).await?,
        };
        let stored = self.load_overrides(stored, &complete).await?;
        let page = Page {
            changes,
            complete,
            window,
        };
        let provider = self.provider;
        let plan = plan_page(page, stored, &mut self.orphans, |event, remote_id| {
            is_named(provider, event, remote_id)
        });
        self.carry_out(plan).await
    }

    fn mark_seen(&self, ids: Vec<EventId>, seen: &mut Seen) {
        for id in ids {
            let own = self.aliases.as_ref().and_then(|aliases| aliases.get(&id));
            seen.insert_event(own.unwrap_or(&id));
        }
    }

    /// The changes, with the ids that events have here where the provider has given them other names.
    async fn resolve_aliases(&self, mut changes: Vec<Change>) -> SyncResult<Vec<Change>> {
        if self.provider.capabilities().ids_are_reversible {
            return Ok(changes);
        }
        let found;
        let aliases = match &self.aliases {
            Some(all) => all,
            None => {
                let ids = changes.iter().map(|change| event_of(change).series());
                found = self.context.store.aliases(self.user, &sorted(ids)).await?;
                &found
            }
        };
        for change in &mut changes {
            apply_alias(change, aliases);
        }
        Ok(changes)
    }

    /// The changes, with removals replaced by the event where the provider still has it: it may only have left the window of
    /// the delta query, or have got another name.
    ///
    /// Returns also which events were read by themselves for that: such a read does not say which occurrences are overridden.
    async fn confirm_removals(
        &mut self,
        changes: Vec<Change>,
    ) -> SyncResult<(Vec<Change>, HashSet<EventId>)> {
        if self.provider.capabilities().removals_are_definitive {
            return Ok((changes, HashSet::new()));
        }
        let is_removal = |change: &&Change| matches!(change, Change::Removed { .. });
        let removed = sorted(changes.iter().filter(is_removal).map(event_of));
        let mut stored = self.context.store.events(self.user, &removed).await?;
        stored.sort_by(|a, b| a.id.cmp(&b.id));
        if stored.len() < removed.len() {
            let known: HashSet<&EventId> = stored.iter().map(|event| &event.id).collect();
            let unknown = removed.iter().filter(|id| !known.contains(id));
            let unknown: Vec<EventId> = unknown.cloned().collect();
            let buried = self.context.store.tombstones(self.user, &unknown).await?;
            self.has_unexplained_removals |= buried.len() < unknown.len();
            stored.extend(sent_too(&changes, &unknown));
        }
        let mut gone: HashSet<EventId> = HashSet::new();
        let mut confirmed = Vec::with_capacity(changes.len());
        let mut renamed: HashMap<EventId, EventId> = HashMap::new();
        let mut read_alone: HashSet<EventId> = HashSet::new();
        for event in stored {
            let remote = match self.provider.get_event(self.target, &event, None).await {
                Ok(Some(remote)) => remote,
                Ok(None) => {
                    gone.insert(event.id);
                    continue;
                }
                // It exists, but cannot be read: it stays as it is stored.
                Err(ProviderError::Malformed { .. }) => {
                    read_alone.insert(event.id);
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            };
            let mut found = Event {
                id: event.id.clone(),
                ..remote.event
            };
            found.hash();
            if let Some(foreign) = foreign_name(self.provider, &found) {
                let known = self.context.store.event(self.user, &foreign).await?;
                if known.is_some() {
                    // It has been stored under its new name already.
                    continue;
                }
                renamed.insert(foreign, event.id.clone());
            }
            read_alone.insert(event.id);
            confirmed.push(Change::Upserted(Box::new(found)));
        }
        for mut change in changes {
            apply_alias(&mut change, &renamed);
            let id = event_of(&change);
            let is_removal = matches!(change, Change::Removed { .. });
            if !read_alone.contains(&id) && (is_removal || !gone.contains(&id)) {
                confirmed.push(change);
            }
        }
        Ok((confirmed, read_alone))
    }

    /// The series that come with all of their exceptions.
    fn complete_series(
        &self,
        changes: &BTreeMap<EventId, Change>,
        partial: &[String],
        read_alone: &HashSet<EventId>,
    ) -> Vec<EventId> {
        if !self.provider.capabilities().series_include_exceptions {
            return vec![];
        }
        let is_partial = |event: &Event| {
            let remote_id = remote_id(event);
            remote_id.is_some_and(|id| partial.iter().any(|partial| partial == id))
        };
        let complete = changes.iter().filter_map(|(id, change)| match change {
            Change::Upserted(event) if event.series.is_some() && !is_partial(event) => {
                Some(id.clone()).filter(|id| !read_alone.contains(id))
            }
            _ => None,
        });
        complete.collect()
    }

    /// Takes out of a full sync's changes what is stored already, and loads what is stored of the rest.
    async fn select_changed(
        &mut self,
        changes: &mut BTreeMap<EventId, Change>,
        index: &mut StoredIndex,
    ) -> SyncResult<Stored> {
        let is_upsert = |change: &Change| matches!(change, Change::Upserted(_));
        let sent = changes.iter().filter(|(_, change)| is_upsert(change));
        let sent: Vec<EventId> = sent.map(|(id, _)| id.clone()).collect();
        let includes_exceptions = self.provider.capabilities().series_include_exceptions;
        changes.retain(|id, change| {
            // The version of a series says nothing about its exceptions.
            let is_series = matches!(change, Change::Upserted(event) if event.series.is_some());
            let is_unchanged = !(includes_exceptions && is_series) && index.has_version(id, change);
            self.stats.unchanged += u32::from(is_unchanged);
            !is_unchanged
        });
        let stored = self.load(changes, |id| index.may_hold(id)).await?;
        for id in &sent {
            index.seen.insert_event(id);
        }
        Ok(stored)
    }

    /// Loads the events that the changes are about, and the series of orphans, as far as they may be stored.
    async fn load(
        &self,
        changes: &BTreeMap<EventId, Change>,
        may_be_stored: impl Fn(&EventId) -> bool,
    ) -> SyncResult<Stored> {
        let ids = changes.keys().chain(self.orphans.keys());
        let ids = sorted(ids.filter(|id| may_be_stored(id)).cloned());
        let events = self.context.store.events(self.user, &ids).await?;
        let events = events.into_iter().map(|event| (event.id.clone(), event));
        Ok(Stored {
            events: events.collect(),
            ..Stored::default()
        })
    }

    /// Loads the overrides of stored series that come with all of their exceptions.
    async fn load_overrides(&self, mut stored: Stored, complete: &[EventId]) -> SyncResult<Stored> {
        for id in complete.iter().filter(|id| stored.events.contains_key(id)) {
            let overrides = self.context.store.overrides(self.user, id).await?;
            stored.overrides.insert(id.clone(), overrides);
        }
        Ok(stored)
    }

    async fn carry_out(&mut self, plan: PagePlan) -> SyncResult<()> {
        // What was read long ago is not written over what another worker has read since.
        let is_empty =
            plan.hidden.is_empty() && plan.removals.is_empty() && plan.upserts.is_empty();
        if !is_empty {
            confirm_lease(self.context, self.lease).await?;
        }
        for (event, originals) in plan.hidden {
            self.hide_occurrences(event, &originals).await?;
        }
        for event in plan.removals {
            self.reconcile_gone(event).await?;
        }
        self.write(plan.upserts).await
    }

    /// Hides occurrences of a stored series.
    async fn hide_occurrences(
        &mut self,
        event: Event,
        originals: &[OriginalStart],
    ) -> SyncResult<()> {
        let (user, now, id) = (self.user, self.now, event.id.clone());
        let decide = |current: Option<Event>| {
            let Some(mut event) = current else {
                return EventUpdate::Skip(());
            };
            let Some(series) = &mut event.series else {
                return EventUpdate::Skip(());
            };
            let before = series.overridden.len();
            series.overridden.extend(originals);
            series.overridden.sort_unstable();
            series.overridden.dedup();
            if series.overridden.len() == before {
                return EventUpdate::Skip(());
            }
            event.updated_at = now;
            event.hash();
            EventUpdate::Put(Box::new(event))
        };
        let store = &self.context.store;
        match store.update_event(user, &id, Some(event), decide).await? {
            EventUpdated::Written { .. } => self.stats.updated += 1,
            EventUpdated::Skipped(()) => {}
            EventUpdated::Contended => return Err(SyncError::Contended.into()),
        }
        Ok(())
    }
}

/// The events that a page brings though it also removes them: they have left the calendar and come back, or the other way round.
/// `removed` is sorted.
fn sent_too(changes: &[Change], removed: &[EventId]) -> Vec<Event> {
    let sent = changes.iter().filter_map(|change| match change {
        Change::Upserted(event) => Some(&**event),
        _ => None,
    });
    sent.filter(|event| removed.binary_search(&event.id).is_ok())
        .cloned()
        .collect()
}

/// Whether the provider calls a stored event by this remote id, or will once it is created.
fn is_named(provider: &dyn CalendarProvider, event: &Event, remote_id: &str) -> bool {
    let Some(link) = &event.link else { return true };
    match &link.remote_id {
        Some(known) => known == remote_id,
        None => provider
            .remote_id(&event.id, link.generation)
            .is_some_and(|own| own == remote_id),
    }
}

fn sorted(ids: impl Iterator<Item = EventId>) -> Vec<EventId> {
    let mut ids: Vec<EventId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
