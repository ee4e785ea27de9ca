//! Reads what has changed at the provider, and stores it.

use std::collections::{HashMap, HashSet};

use calweave_calendar::events::realign_overrides;
use calweave_domain::agenda::{index_position, rule_yields};
use calweave_domain::calendar::{SyncState, SyncStats};
use calweave_domain::digest::digest_of;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart, UserId};
use calweave_providers::{
    CalendarProvider, Change, ProviderError, ReadScope, Remedy, RemoteCalendar,
};
use calweave_store::WriteOutcome;
use calweave_store::cursors::SyncSuccess;
use calweave_store::events::{BATCH, EventWrite, StoredEventHash};
use calweave_store::leases::Lease;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use futures::{StreamExt, stream};

use super::SyncError;
use super::account::{SyncResult, SyncStop, renew_lease};
use super::names::{apply_alias, event_of, foreign_name, record_alias, remote_id};
use super::occurrences::{detach_occurrences, keep_for_occurrences};
use super::plan::is_doubtful;
use super::reconcile::{Reconciliation, reconcile_removal, reconcile_upsert};
use crate::SyncContext;

/// How long what the provider has said may go unexplained.
const UNEXPLAINED_LIMIT: TimeDelta = TimeDelta::days(1);
/// Writes that are under way at once.
const MAX_CONCURRENT_WRITES: usize = 16;
/// How often a write is made anew because somebody else wrote the same event.
const MAX_ATTEMPTS: usize = 8;
/// Warnings that are kept.
const MAX_WARNINGS: usize = 20;

pub(super) struct Pull<'a> {
    context: &'a SyncContext,
    provider: &'a dyn CalendarProvider,
    lease: &'a mut Lease,
    target: RemoteCalendar<'a>,
    user: UserId,
    now: DateTime<Utc>,
    stats: SyncStats,
    /// Events that were stored when the run began.
    count: u32,
    warnings: Vec<String>,
    /// Changed occurrences whose series has not been seen yet in this run.
    orphans: HashMap<EventId, Vec<OriginalStart>>,
    /// Whether the provider said of something that it is gone which is not known here: it may be an occurrence.
    has_unexplained_removals: bool,
    /// All other names of events, where everything is read; otherwise they are looked up as they come.
    aliases: Option<HashMap<EventId, EventId>>,
}

/// What a full read knows of what is stored.
struct StoredIndex {
    stored: HashMap<EventId, StoredEventHash>,
    seen: HashSet<EventId>,
}

impl<'a> Pull<'a> {
    pub fn new(
        context: &'a SyncContext,
        provider: &'a dyn CalendarProvider,
        lease: &'a mut Lease,
        target: RemoteCalendar<'a>,
    ) -> Self {
        let (user, now, count) = (
            lease.user(),
            context.clock.now(),
            lease.cursor().event_count,
        );
        let (stats, warnings, orphans) = (SyncStats::default(), vec![], HashMap::new());
        Self {
            count,
            context,
            provider,
            lease,
            target,
            user,
            now,
            stats,
            warnings,
            orphans,
            has_unexplained_removals: false,
            aliases: None,
        }
    }

    /// Reads on from where the last run ended, or everything where there is no such place.
    pub async fn run(mut self) -> SyncResult<SyncSuccess> {
        let window = self.context.window;
        let last = self.lease.cursor().sync_state.clone();
        let capabilities = self.provider.capabilities();
        let past = self.now - window.past;
        // What was once read stays within what is read, unless everything is read anew too often for that.
        let from = last
            .as_ref()
            .filter(|_| capabilities.removals_are_definitive)
            .map_or(past, |sync_state| sync_state.from.min(past));
        let to = self.now + window.future;
        let (sync_state, suspect) = match last.filter(|sync_state| {
            sync_state.query == capabilities.query && to - sync_state.to < capabilities.rebase_after
        }) {
            Some(sync_state) => match self.incremental_sync(&sync_state).await {
                Err(SyncStop::CalendarProvider(failure))
                    if failure.remedy() == Remedy::FullSync =>
                {
                    self.full_sync(from, to).await?
                }
                other => (other?, None),
            },
            None => self.full_sync(from, to).await?,
        };
        self.stats.total = (self.count + self.stats.created).saturating_sub(self.stats.deleted);
        if suspect.is_some() {
            self.warnings.push("The calendar suddenly lacks most of its events; they are kept until it says so a second time.".to_owned());
        }
        self.warnings.truncate(MAX_WARNINGS);
        let sync_state = suspect.is_none().then_some(sync_state);
        Ok(SyncSuccess {
            sync_state,
            suspect,
            warnings: Some(self.warnings),
            stats: self.stats,
            ..SyncSuccess::default()
        })
    }

    async fn incremental_sync(&mut self, sync_state: &SyncState) -> SyncResult<SyncState> {
        let mut page: Option<String> = None;
        loop {
            let read = self
                .provider
                .list_changes(
                    self.target,
                    &ReadScope::Changes(sync_state),
                    page.as_deref(),
                )
                .await?;
            renew_lease(self.context, self.lease).await?;
            self.warn(read.warnings);
            self.apply(
                read.changes,
                &read.partial,
                Some((sync_state.from, sync_state.to)),
                None,
            )
            .await?;
            if let Some(token) = read.token {
                // A name that says nothing may be that of an occurrence: reading everything answers it, once a day.
                let is_late =
                    self.now + self.context.window.future - sync_state.to > UNEXPLAINED_LIMIT;
                let has_unexplained_removals =
                    self.has_unexplained_removals || sync_state.has_unexplained_removals;
                let query = if has_unexplained_removals && is_late {
                    String::new()
                } else {
                    sync_state.query.clone()
                };
                return Ok(SyncState {
                    token,
                    query,
                    has_unexplained_removals,
                    ..sync_state.clone()
                });
            }
            page = read.next_page;
        }
    }

    /// Reads everything into what will be stored, then removes what was not seen. Answers also with the digest of an
    /// answer that lacks too much to be believed at once.
    async fn full_sync(
        &mut self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> SyncResult<(SyncState, Option<String>)> {
        let stored = self
            .context
            .store
            .stored_event_hashes(self.user, self.target.calendar)
            .await?;
        let count = stored.len();
        self.count = number(count);
        if !self.provider.capabilities().ids_are_reversible {
            self.aliases = Some(
                self.context
                    .store
                    .all_aliases(self.user, self.target.calendar)
                    .await?,
            );
        }
        let stored = stored
            .into_iter()
            .map(|stored| (stored.id.clone(), stored))
            .collect();
        let mut known = StoredIndex {
            stored,
            seen: HashSet::new(),
        };
        let mut page: Option<String> = None;
        let token = loop {
            let read = self
                .provider
                .list_changes(
                    self.target,
                    &ReadScope::Window { from, to },
                    page.as_deref(),
                )
                .await?;
            renew_lease(self.context, self.lease).await?;
            self.warn(read.warnings);
            self.apply(read.changes, &read.partial, None, Some(&mut known))
                .await?;
            if let Some(token) = read.token {
                break token;
            }
            page = read.next_page;
        };
        let sync_state = SyncState {
            token,
            query: self.provider.capabilities().query.to_owned(),
            from,
            to,
            has_unexplained_removals: false,
        };
        // What the provider has never had cannot be missing there, and what was not asked for cannot have been answered.
        let unseen = known
            .stored
            .values()
            .filter(|stored| stored.version.is_some() && !known.seen.contains(&stored.id));
        let mut unseen: Vec<EventId> = unseen.map(|stored| stored.id.clone()).collect();
        unseen.sort_unstable();
        let mut gone: Vec<EventId> = Vec::with_capacity(unseen.len());
        for ids in unseen.chunks(100) {
            let events = self.context.store.events(self.user, ids).await?;
            gone.extend(
                events
                    .into_iter()
                    .filter(|event| lies_within(event, (from, to)))
                    .map(|event| event.id),
            );
        }
        gone.sort_unstable();
        let answer = digest_of(
            gone.iter()
                .map(ToString::to_string)
                .collect::<String>()
                .as_bytes(),
        );
        let doubtful = is_doubtful(count, gone.len(), known.seen.is_empty());
        if doubtful && self.lease.cursor().suspect.as_ref() != Some(&answer) {
            return Ok((sync_state, Some(answer)));
        }
        for ids in gone.chunks(100) {
            renew_lease(self.context, self.lease).await?;
            for event in self.context.store.events(self.user, ids).await? {
                if self.is_gone(&event, &known.seen).await? {
                    self.reconcile_gone(event).await?;
                }
            }
        }
        Ok((sync_state, None))
    }

    fn warn(&mut self, warnings: Vec<String>) {
        for warning in warnings {
            if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// The changes, with the ids that events have here which the provider has named otherwise.
    async fn resolve_aliases(&self, mut changes: Vec<Change>) -> SyncResult<Vec<Change>> {
        if self.provider.capabilities().ids_are_reversible {
            return Ok(changes);
        }
        let found;
        let aliases = match &self.aliases {
            Some(all) => all,
            None => {
                let mut ids: Vec<EventId> = changes
                    .iter()
                    .map(|change| event_of(change).series())
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                found = self.context.store.aliases(self.user, &ids).await?;
                &found
            }
        };
        for change in &mut changes {
            apply_alias(change, aliases);
        }
        Ok(changes)
    }

    /// The changes; where the provider says that an event is gone which may only have left the window, or have another name
    /// by now, as it is.
    ///
    /// Answers also which events were read by themselves for that: of a series such a reading says nothing of what is different.
    async fn confirm_removals(
        &mut self,
        changes: Vec<Change>,
    ) -> SyncResult<(Vec<Change>, HashSet<EventId>)> {
        if self.provider.capabilities().removals_are_definitive {
            return Ok((changes, HashSet::new()));
        }
        let mut gone: Vec<EventId> = changes
            .iter()
            .filter(|change| matches!(change, Change::Removed { .. }))
            .map(event_of)
            .collect();
        // What was said may be said again.
        gone.sort_unstable();
        gone.dedup();
        let mut stored = self.context.store.events(self.user, &gone).await?;
        stored.sort_by(|a, b| a.id.cmp(&b.id));
        self.has_unexplained_removals |= stored.len() < gone.len();
        let mut verified = Vec::with_capacity(changes.len());
        let mut renamed: HashMap<EventId, EventId> = HashMap::new();
        let mut known: HashSet<EventId> = HashSet::new();
        for event in stored {
            let remote = match self.provider.get_event(self.target, &event, None).await {
                Ok(Some(remote)) => remote,
                Ok(None) => continue,
                // It is there, though nobody can read it: it stays as it is.
                Err(ProviderError::Malformed { .. }) => {
                    known.insert(event.id);
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
                if self
                    .context
                    .store
                    .event(self.user, &foreign)
                    .await?
                    .is_some()
                {
                    // Under its new name it has come already.
                    continue;
                }
                renamed.insert(foreign, event.id.clone());
            }
            known.insert(event.id);
            verified.push(Change::Upserted(Box::new(found)));
        }
        for mut change in changes {
            apply_alias(&mut change, &renamed);
            if !known.contains(&event_of(&change)) {
                verified.push(change);
            }
        }
        Ok((verified, known))
    }

    /// Whether the provider has an event no more that it has left out; `seen` is what it has not.
    async fn is_gone(&self, event: &Event, seen: &HashSet<EventId>) -> SyncResult<bool> {
        if self.provider.capabilities().removals_are_definitive {
            return Ok(true);
        }
        match self.provider.get_event(self.target, event, None).await {
            Ok(Some(remote)) => {
                // It may have come under another name.
                let found = Event {
                    id: event.id.clone(),
                    ..remote.event
                };
                Ok(foreign_name(self.provider, &found)
                    .is_some_and(|foreign| seen.contains(&foreign)))
            }
            Ok(None) => Ok(true),
            Err(ProviderError::Malformed { .. }) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Where a series comes whole, what does not come with it is not different any more: what was changed or cancelled here
    /// and is still to be written alone stays. Answers with all that is different.
    async fn drop_missing_exceptions(
        &mut self,
        id: &EventId,
        mut originals: Vec<OriginalStart>,
    ) -> SyncResult<Vec<OriginalStart>> {
        for event in self.context.store.overrides(self.user, id).await? {
            let Some(original) = event
                .original_start()
                .filter(|original| !originals.contains(original))
            else {
                continue;
            };
            if event.is_edited() {
                originals.push(original);
            } else {
                self.reconcile_gone(event).await?;
            }
        }
        originals.sort_unstable();
        originals.dedup();
        Ok(originals)
    }

    /// Stores a page of changes. What lies outside of `window` and is not stored is passed over; of the series in `partial`
    /// not all was read that is different.
    async fn apply(
        &mut self,
        changes: Vec<Change>,
        partial: &[String],
        window: Option<(DateTime<Utc>, DateTime<Utc>)>,
        known: Option<&mut StoredIndex>,
    ) -> SyncResult<()> {
        let changes = self.resolve_aliases(changes).await?;
        let (changes, mut alone) = self.confirm_removals(changes).await?;
        let is_partial = |event: &Event| {
            remote_id(event).is_some_and(|id| partial.iter().any(|partial| partial == id))
        };
        alone.extend(
            changes
                .iter()
                .filter(|change| matches!(change, Change::Upserted(event) if is_partial(event)))
                .map(event_of),
        );
        let mut changes = latest(changes);
        let whole = self.provider.capabilities().series_include_exceptions;
        // What is changed or cancelled of a series is hidden in the series itself.
        for id in changes.keys() {
            let Some(original) = id.original_start() else {
                continue;
            };
            self.orphans.entry(id.series()).or_default().push(original);
        }
        let there: Vec<EventId> = changes
            .iter()
            .filter(|(_, change)| matches!(change, Change::Upserted(_)))
            .map(|(id, _)| id.clone())
            .collect();
        if let Some(known) = known.as_deref() {
            changes.retain(|id, change| {
                if !matches!(change, Change::Upserted(_)) {
                    return true;
                }
                // The version alone tells that nothing has changed; of a series that comes whole, nothing of itself.
                if whole && matches!(change, Change::Upserted(event) if event.series.is_some()) {
                    return true;
                }
                let same = known.stored.get(id).is_some_and(|stored| {
                    stored.version.is_some() && stored.version == version(change)
                });
                self.stats.unchanged += u32::from(same);
                !same
            });
        }
        // Stored before this run, or by a page before this one.
        let is_stored = |id: &EventId| {
            known
                .as_deref()
                .is_none_or(|known| known.stored.contains_key(id) || known.seen.contains(id))
        };
        let mut wanted: Vec<EventId> = changes
            .keys()
            .chain(self.orphans.keys())
            .filter(|id| is_stored(id))
            .cloned()
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        if let Some(known) = known {
            known.seen.extend(there);
        }
        let stored = self.context.store.events(self.user, &wanted).await?;
        let mut stored: HashMap<EventId, Event> = stored
            .into_iter()
            .map(|event| (event.id.clone(), event))
            .collect();

        // A series that has moved leaves changed occurrences behind that its rule places no more: nobody sees them.
        let series_of = |id: &EventId| match changes.get(&id.series()) {
            Some(Change::Upserted(event)) => Some(&**event),
            _ => stored.get(&id.series()),
        };
        let is_stray = |id: &EventId| {
            let series = series_of(id).filter(|event| event.series.is_some());
            id.original_start()
                .zip(series)
                .is_some_and(|(original, series)| !rule_yields(series, original))
        };
        let strays: HashSet<EventId> = changes.keys().filter(|id| is_stray(id)).cloned().collect();
        if whole {
            let series = changes.iter().filter(
                |(_, change)| matches!(change, Change::Upserted(event) if event.series.is_some()),
            );
            for id in series
                .map(|(id, _)| id.clone())
                .filter(|id| !alone.contains(id))
                .collect::<Vec<_>>()
            {
                let originals = self.orphans.remove(&id).unwrap_or_default();
                let originals = if stored.contains_key(&id) {
                    self.drop_missing_exceptions(&id, originals).await?
                } else {
                    originals
                };
                if let Some(known) = stored.get_mut(&id).filter(|known| known.is_edited()) {
                    // What is still to be written may leave it as it is: what it hides is known all the same.
                    self.set_hidden_occurrences(known, &originals).await?;
                }
                let known = stored
                    .get_mut(&id)
                    .and_then(|known| known.series.as_deref_mut());
                let new = changes.get_mut(&id).and_then(|change| match change {
                    Change::Upserted(event) => event.series.as_deref_mut(),
                    _ => None,
                });
                for series in [known, new].into_iter().flatten() {
                    series.overridden.clone_from(&originals);
                }
            }
        }
        let mut writes: Vec<(Option<Event>, Event)> = Vec::new();
        let mut series: Vec<EventId> = self.orphans.keys().cloned().collect();
        series.sort_unstable();
        for id in series {
            if let Some(Change::Upserted(event)) = changes.get_mut(&id) {
                if let Some(series) = &mut event.series {
                    series
                        .overridden
                        .extend(self.orphans.remove(&id).unwrap_or_default());
                }
            } else if let Some(event) = stored.get(&id) {
                let originals = self.orphans.remove(&id).unwrap_or_default();
                self.hide_occurrences(event.clone(), &originals).await?;
            }
        }
        for (id, change) in changes {
            let before = stored.remove(&id);
            match change {
                Change::Upserted(_) if strays.contains(&id) => {
                    if let Some(event) = before {
                        self.reconcile_gone(event).await?;
                    }
                }
                Change::Upserted(event) => {
                    let outside = window
                        .is_some_and(|window| before.is_none() && !lies_within(&event, window));
                    if !outside {
                        writes.push((before, *event));
                    }
                }
                Change::Removed { remote_id, .. } => {
                    // An id that ours had at the provider before it was created anew says nothing of what it is now.
                    if let Some(event) =
                        before.filter(|event| is_called(self.provider, event, &remote_id))
                    {
                        self.reconcile_gone(event).await?;
                    }
                }
                Change::OccurrenceCancelled { .. } => {
                    if let Some(event) = before {
                        self.reconcile_gone(event).await?;
                    }
                }
            }
        }
        self.write(writes).await
    }

    /// New ones in batches, as nobody else can have written them; the others one by one, each over what was read.
    async fn write(&mut self, writes: Vec<(Option<Event>, Event)>) -> SyncResult<()> {
        // An occurrence may have become an event of its own here at this very moment, so it is written like those.
        let single = |(before, event): &(Option<Event>, Event)| {
            before.is_some() || event.original_start().is_some()
        };
        let (old, new): (Vec<_>, Vec<_>) = writes.into_iter().partition(single);
        let mut events: Vec<Event> = Vec::with_capacity(new.len());
        for (_, incoming) in new {
            if let Reconciliation::Store(mut event) = reconcile_upsert(None, incoming, self.now) {
                event.link.get_or_insert_default().revision = 1;
                events.push(*event);
            }
        }
        for event in &events {
            record_alias(self.context, self.provider, self.user, event).await?;
        }
        for handful in events.chunks(BATCH * 8) {
            renew_lease(self.context, self.lease).await?;
            self.context
                .store
                .write_all_events(
                    self.user,
                    &handful.iter().map(EventWrite::Put).collect::<Vec<_>>(),
                )
                .await?;
        }
        self.stats.created += number(events.len());
        let (context, provider, user, now) = (self.context, self.provider, self.user, self.now);
        let merged = |(before, incoming): (Option<Event>, Event)| async move {
            if before.as_ref().and_then(remote_id) != remote_id(&incoming) {
                record_alias(context, provider, user, &incoming).await?;
                if let Some((before, old)) = before
                    .as_ref()
                    .and_then(|before| Some((before, foreign_name(provider, before)?)))
                {
                    context.store.delete_alias(user, &old, &before.id).await?;
                }
            }
            merge_in(context, provider, user, now, before, incoming).await
        };
        let mut options = stream::iter(old)
            .map(merged)
            .buffer_unordered(MAX_CONCURRENT_WRITES);
        while let Some(written) = options.next().await {
            renew_lease(self.context, self.lease).await?;
            match written? {
                Written::Created => self.stats.created += 1,
                Written::Updated => self.stats.updated += 1,
                Written::Nothing => self.stats.unchanged += 1,
            }
        }
        Ok(())
    }

    /// Hides occurrences of a stored series behind what became of them.
    async fn hide_occurrences(
        &mut self,
        mut event: Event,
        originals: &[OriginalStart],
    ) -> SyncResult<()> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(series) = &mut event.series else {
                return Ok(());
            };
            let before = series.overridden.len();
            series.overridden.extend(originals);
            series.overridden.sort_unstable();
            series.overridden.dedup();
            if series.overridden.len() == before {
                return Ok(());
            }
            event.updated_at = self.now;
            event.hash();
            if self.context.store.put_event(self.user, &mut event).await? == WriteOutcome::Written {
                self.stats.updated += 1;
                return Ok(());
            }
            match self.context.store.event(self.user, &event.id).await? {
                Some(now) => event = now,
                None => return Ok(()),
            }
        }
        Err(SyncError::Contended.into())
    }

    /// Has a stored series hide `originals`, and nothing else. Where somebody changes it meanwhile it is read anew later.
    async fn set_hidden_occurrences(
        &self,
        event: &mut Event,
        originals: &[OriginalStart],
    ) -> SyncResult<()> {
        let Some(series) = event
            .series
            .as_deref_mut()
            .filter(|series| series.overridden != originals)
        else {
            return Ok(());
        };
        series.overridden = originals.to_vec();
        event.updated_at = self.now;
        event.hash();
        let _: WriteOutcome = self.context.store.put_event(self.user, event).await?;
        Ok(())
    }

    /// The provider has an event no more.
    async fn reconcile_gone(&mut self, mut event: Event) -> SyncResult<()> {
        for _ in 0..MAX_ATTEMPTS {
            keep_for_occurrences(self.context, self.user, &mut event).await?;
            let is_done = match reconcile_removal(&event, self.provider.capabilities().kind.label())
            {
                Reconciliation::Unchanged => return Ok(()),
                Reconciliation::Store(mut kept) => {
                    detach_occurrences(self.context, self.user, &mut kept, None).await?;
                    self.context.store.put_event(self.user, &mut kept).await?
                        == WriteOutcome::Written
                }
                Reconciliation::Remove => {
                    let removed = remove(self.context, self.provider, self.user, &event).await?;
                    self.stats.deleted += removed.unwrap_or(0);
                    removed.is_some()
                }
            };
            if is_done {
                return Ok(());
            }
            match self.context.store.event(self.user, &event.id).await? {
                Some(now) => event = now,
                None => return Ok(()),
            }
        }
        Err(SyncError::Contended.into())
    }
}

/// What became of an event of the provider.
enum Written {
    Created,
    Updated,
    Nothing,
}

/// Stores an event of the provider over the one that was read; again, should somebody else have written it meanwhile.
async fn merge_in(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    now: DateTime<Utc>,
    mut before: Option<Event>,
    mut incoming: Event,
) -> Result<Written, SyncError> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(known) = &before {
            provider.keep_equivalents(known, &mut incoming);
        }
        let mut stored = match reconcile_upsert(before.as_ref(), incoming.clone(), now) {
            Reconciliation::Unchanged | Reconciliation::Remove => return Ok(Written::Nothing),
            Reconciliation::Store(event) => event,
        };
        if let Some(before) = &before {
            // First: a run that ends in between finds the series as it was, and goes on.
            realign_overrides(&context.store, user, before, &stored).await?;
        }
        if context.store.put_linked(user, &mut stored).await? == WriteOutcome::Written {
            return Ok(if before.is_some() {
                Written::Updated
            } else {
                Written::Created
            });
        }
        before = context.store.event(user, &incoming.id).await?;
    }
    Err(SyncError::Contended)
}

/// Removes an event with everything that hangs on it; answers with how many events these were, or with `None` when the event
/// is not any more as it was read.
pub(super) async fn remove(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    event: &Event,
) -> Result<Option<u32>, SyncError> {
    let mut removed = 1;
    if event.series.is_some() {
        let overrides = context.store.overrides(user, &event.id).await?;
        let deletes: Vec<EventWrite<'_>> = overrides
            .iter()
            .map(|event| EventWrite::Delete(&event.id))
            .collect();
        context.store.write_all_events(user, &deletes).await?;
        removed += number(deletes.len());
    }
    let is_done = context.store.delete_event(user, event).await? == WriteOutcome::Written;
    if let Some(foreign) = foreign_name(provider, event).filter(|_| is_done) {
        context
            .store
            .delete_alias(user, &foreign, &event.id)
            .await?;
    }
    if is_done && event.is_edited() {
        context
            .store
            .clear_edit_marker(user, &event.id, revision(event))
            .await?;
    }
    Ok(is_done.then_some(removed))
}

/// In which revision an event was read.
pub(super) fn revision(event: &Event) -> u64 {
    event.link.as_ref().map_or(0, |link| link.revision)
}

/// Each event once, as the last change about it says, in the order of their ids.
fn latest(changes: Vec<Change>) -> std::collections::BTreeMap<EventId, Change> {
    let mut latest = std::collections::BTreeMap::new();
    for change in changes {
        let id = event_of(&change);
        // What was created anew has the id of what was deleted before it, whichever of the two comes first.
        let is_older = match (&change, latest.get(&id)) {
            (Change::Removed { remote_id, .. }, Some(Change::Upserted(event))) => event
                .link
                .as_ref()
                .and_then(|link| link.remote_id.as_ref())
                .is_some_and(|other| other != remote_id),
            _ => false,
        };
        if !is_older {
            latest.insert(id, change);
        }
    }
    latest
}

/// Whether the provider calls a stored event by this id, or will.
fn is_called(provider: &dyn CalendarProvider, event: &Event, remote_id: &str) -> bool {
    event
        .link
        .as_ref()
        .is_none_or(|link| match &link.remote_id {
            Some(known) => known == remote_id,
            None => provider
                .remote_id(&event.id, link.generation)
                .is_some_and(|own| own == remote_id),
        })
}

fn version(change: &Change) -> Option<String> {
    match change {
        Change::Upserted(event) => event.link.as_ref().and_then(|link| link.version.clone()),
        _ => None,
    }
}

/// Whether any of an event lies between two instants.
fn lies_within(event: &Event, (from, to): (DateTime<Utc>, DateTime<Utc>)) -> bool {
    let start = event.start.instant(Tz::UTC);
    let end = match &event.series {
        Some(_) => index_position(event).1,
        None => event.end.instant(Tz::UTC),
    };
    start < to && end > from
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
