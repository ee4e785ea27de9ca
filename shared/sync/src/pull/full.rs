//! Full syncs: the whole window is read, then what is stored but was not sent is removed.
//!
//! A full sync that does not fit into one invocation goes on in the next one. After each page, and after each batch of series, a
//! record of what was sent is stored, and then how far the sync has come. A worker that is killed in between repeats one step.

use calweave_domain::digest::digest_of;
use calweave_domain::event::Event;
use calweave_domain::ids::EventId;
use calweave_domain::sync_state::{FullSync, SyncState};
use calweave_providers::{ProviderError, ReadScope, SERIES_AT_ONCE};
use calweave_store::WriteOutcome;
use calweave_store::full_syncs::FullSyncRecord;
use chrono::{DateTime, TimeDelta, Utc};

use super::page::StoredIndex;
use super::plan::{Interval, lies_within};
use super::round::{Round, Seen};
use super::{LOADED, Pull, number};
use crate::SyncError;
use crate::names::foreign_name;
use crate::plan::is_doubtful;
use crate::stop::{SyncResult, renew_lease};

/// For how long each sync reads a snapshot once the provider did not end a list of changes.
pub(super) const SNAPSHOT_PERIOD: TimeDelta = TimeDelta::days(1);

/// How a full sync has ended.
pub(super) enum FullSyncEnd {
    /// It is complete. The next sync continues from this state.
    Complete(SyncState),
    /// It lacks too much to be believed at once. The digest names what is missing.
    Doubtful(String),
    /// The invocation is over. The next one goes on.
    Unfinished,
}

/// How the reading of pages has ended.
enum Reading {
    Complete,
    Unfinished,
    /// The provider does not end the list.
    Endless,
}

impl Pull<'_> {
    /// Goes on with the full sync that is under way, or begins one.
    pub(super) async fn full_sync(
        &mut self,
        window: Interval,
        snapshots_until: Option<DateTime<Utc>>,
    ) -> SyncResult<FullSyncEnd> {
        let capabilities = self.provider.capabilities();
        let known = self.lease.cursor().full_sync.clone();
        let known = known.filter(|known| {
            known.query == capabilities.query
                && self.now - known.began_at < capabilities.rebase_after
        });
        let mut progress = known.unwrap_or_else(|| self.begin(window, snapshots_until));
        let mut index = self.stored_index().await?;
        let mut series = self.restore(&progress, &mut index).await?;
        loop {
            match self
                .read_pages(&mut progress, &mut index, &mut series)
                .await?
            {
                Reading::Complete => return self.remove_unseen(progress, index).await,
                Reading::Unfinished => return Ok(FullSyncEnd::Unfinished),
                Reading::Endless => {
                    progress = self.begin(window, Some(self.now + SNAPSHOT_PERIOD));
                    index.seen = Seen::default();
                    series = vec![];
                }
            }
        }
    }

    /// A full sync that has read nothing. With `snapshots_until` it reads a snapshot.
    fn begin(&self, (from, to): Interval, snapshots_until: Option<DateTime<Utc>>) -> FullSync {
        // A worker begins at most one of each kind under one lease.
        let generation = self.lease.fencing() * 2 + u64::from(snapshots_until.is_some());
        FullSync {
            generation,
            query: self.provider.capabilities().query.to_owned(),
            from,
            to,
            began_at: self.now,
            snapshots_until,
            records: 0,
            series_read: 0,
            next_page: None,
            token: None,
            is_read: false,
            is_removing: false,
            stats: self.stats,
        }
    }

    /// Reads what is stored of the calendar.
    async fn stored_index(&mut self) -> SyncResult<StoredIndex> {
        let (user, calendar) = (self.user, self.target.calendar);
        let store = &self.context.store;
        let hashes = store.stored_event_hashes(user, calendar).await?;
        if !self.provider.capabilities().ids_are_reversible {
            self.aliases = Some(store.all_aliases(user, calendar).await?);
        }
        let stored = hashes.into_iter().map(|stored| (stored.id.clone(), stored));
        Ok(StoredIndex {
            stored: stored.collect(),
            seen: Seen::default(),
        })
    }

    /// Restores what earlier invocations have read. Returns the series that the last page names.
    async fn restore(
        &mut self,
        progress: &FullSync,
        index: &mut StoredIndex,
    ) -> SyncResult<Vec<String>> {
        self.stats = progress.stats;
        let created_so_far = progress.stats.created;
        let count = number(index.stored.len()) + progress.stats.deleted;
        self.count = count.saturating_sub(created_so_far);
        if progress.records == 0 {
            return Ok(vec![]);
        }
        let store = &self.context.store;
        let records = store.full_sync_records(self.user, self.target.calendar, progress);
        let FullSyncRecord {
            seen,
            series,
            orphans,
        } = records.await?;
        index.seen.restore(seen);
        for id in orphans
            .iter()
            .filter_map(|text| text.parse::<EventId>().ok())
        {
            // The series of others has been sent since.
            if let Some(original) = id.original_start()
                && !index.seen.contains(&id.series())
            {
                self.orphans.entry(id.series()).or_default().push(original);
            }
        }
        Ok(series)
    }

    async fn read_pages(
        &mut self,
        progress: &mut FullSync,
        index: &mut StoredIndex,
        series: &mut Vec<String>,
    ) -> SyncResult<Reading> {
        let mut round = Round::default();
        let (from, to) = (progress.from, progress.to);
        let scope = match progress.snapshots_until {
            None => ReadScope::Window { from, to },
            Some(_) => ReadScope::Snapshot { from, to },
        };
        loop {
            while progress.series_read < series.len() {
                if self.context.deadline.is_over() {
                    return Ok(Reading::Unfinished);
                }
                let rest = series.iter().skip(progress.series_read);
                let batch: Vec<String> = rest.take(SERIES_AT_ONCE).cloned().collect();
                self.apply_series(&batch, None, Some(&mut *index)).await?;
                progress.series_read += batch.len();
                if !(progress.is_read && progress.series_read == series.len()) {
                    self.record(progress, &mut index.seen, vec![]).await?;
                }
            }
            if progress.is_read {
                return Ok(Reading::Complete);
            }
            if self.context.deadline.is_over() {
                return Ok(Reading::Unfinished);
            }
            let mut page = self.read(&scope, progress.next_page.as_deref()).await?;
            let makes_progress = round.add(&page.entries, &mut index.seen);
            let mut named = std::mem::take(&mut page.series);
            named.retain(|id| index.seen.insert(&format!("series {id}")));
            progress.next_page = page.next_page.take();
            progress.token = page.token.take();
            self.apply(page, None, Some(&mut *index)).await?;
            let is_last = progress.token.is_some() || progress.next_page.is_none();
            if !is_last && !makes_progress && progress.snapshots_until.is_none() {
                return Ok(Reading::Endless);
            }
            progress.is_read = is_last || !makes_progress;
            if !named.is_empty() {
                (*series, progress.series_read) = (named.clone(), 0);
            }
            if !progress.is_read || !named.is_empty() {
                self.record(progress, &mut index.seen, named).await?;
            }
        }
    }

    /// Stores what has been read since the last record, and how far the sync has come.
    async fn record(
        &mut self,
        progress: &mut FullSync,
        seen: &mut Seen,
        series: Vec<String>,
    ) -> SyncResult<()> {
        let orphans = self.orphans.iter().flat_map(|(series, originals)| {
            let id = |original| series.occurrence(original).to_string();
            originals.iter().copied().map(id)
        });
        let record = FullSyncRecord {
            seen: seen.take_fresh(),
            series,
            orphans: orphans.collect(),
        };
        let store = &self.context.store;
        let (user, calendar) = (self.user, self.target.calendar);
        store
            .put_full_sync_record(user, calendar, progress, &record)
            .await?;
        progress.records += 1;
        progress.stats = self.stats;
        self.checkpoint(Some(progress), None).await
    }

    /// Stores how far a full sync has come, or that it is complete with this sync state.
    pub(super) async fn checkpoint(
        &self,
        progress: Option<&FullSync>,
        state: Option<&SyncState>,
    ) -> SyncResult<()> {
        let store = &self.context.store;
        match store.checkpoint(self.lease, progress, state).await? {
            WriteOutcome::Written => Ok(()),
            WriteOutcome::ConditionFailed => Err(SyncError::LeaseLost.into()),
        }
    }

    /// Removes what is stored of the window but was not sent, unless that is too much to be believed at once.
    async fn remove_unseen(
        &mut self,
        mut progress: FullSync,
        mut index: StoredIndex,
    ) -> SyncResult<FullSyncEnd> {
        let missing = self.missing(&index, (progress.from, progress.to)).await?;
        if !progress.is_removing {
            let names: String = missing.iter().map(ToString::to_string).collect();
            let digest = digest_of(names.as_bytes());
            // What is stored outside of the window says nothing about how much of it is missing.
            let sent = index.stored.keys().filter(|id| index.seen.contains(id));
            let sent = sent.count();
            let (count, is_empty) = (sent + missing.len(), index.seen.is_empty());
            let is_doubtful = is_doubtful(count, missing.len(), is_empty);
            if is_doubtful && self.lease.cursor().suspect.as_ref() != Some(&digest) {
                return Ok(FullSyncEnd::Doubtful(digest));
            }
            progress.is_removing = true;
        }
        for ids in missing.chunks(LOADED) {
            if self.context.deadline.is_over() {
                self.record(&mut progress, &mut index.seen, vec![]).await?;
                return Ok(FullSyncEnd::Unfinished);
            }
            renew_lease(self.context, self.lease).await?;
            for event in self.context.store.events(self.user, ids).await? {
                if self.is_gone(&event, &index.seen).await? {
                    self.reconcile_gone(event).await?;
                } else {
                    index.seen.insert_event(&event.id);
                }
            }
        }
        Ok(FullSyncEnd::Complete(SyncState {
            token: progress.token.unwrap_or_default(),
            query: progress.query,
            from: progress.from,
            to: progress.to,
            began_at: progress.began_at,
            history_from: self.history_from(progress.from),
            has_unexplained_removals: false,
            series_read_at: None,
            snapshots_until: progress.snapshots_until,
        }))
    }

    /// Where the calendar's history begins, once the window begins at `from`.
    fn history_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before = self.lease.cursor().sync_state.as_ref()?;
        // What was not synced while it was in the window has not been read.
        let last = self.lease.cursor().last_synced_at;
        let is_followed = self.has_read_changes || last.is_some_and(|last| last >= from);
        let is_continuous = before.to >= from && is_followed;
        let earliest = before.read_from();
        Some(earliest).filter(|earliest| is_continuous && *earliest < from)
    }

    /// The stored events of the window that the provider has not sent, in the order of their ids. An event without a version
    /// has never been at the provider, so it cannot be missing there.
    async fn missing(&self, index: &StoredIndex, window: Interval) -> SyncResult<Vec<EventId>> {
        let unseen = index.stored.values();
        let unseen = unseen.filter(|one| one.version.is_some() && !index.seen.contains(&one.id));
        let mut unseen: Vec<EventId> = unseen.map(|stored| stored.id.clone()).collect();
        unseen.sort_unstable();
        let mut missing: Vec<EventId> = Vec::with_capacity(unseen.len());
        for ids in unseen.chunks(LOADED) {
            let events = self.context.store.events(self.user, ids).await?.into_iter();
            let inside = events.filter(|event| lies_within(event, window));
            missing.extend(inside.map(|event| event.id));
        }
        missing.sort_unstable();
        Ok(missing)
    }

    /// Whether the provider no longer has an event that a full sync has not sent.
    async fn is_gone(&self, event: &Event, seen: &Seen) -> SyncResult<bool> {
        if self.provider.capabilities().removals_are_definitive {
            return Ok(true);
        }
        match self.provider.get_event(self.target, event, None).await {
            Ok(Some(remote)) => {
                // It may have been sent under another name.
                let found = Event {
                    id: event.id.clone(),
                    ..remote.event
                };
                let foreign = foreign_name(self.provider, &found);
                Ok(foreign.is_some_and(|foreign| seen.contains(&foreign)))
            }
            Ok(None) => Ok(true),
            Err(ProviderError::Malformed { .. }) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }
}
