//! Pulls: reads what has changed at the provider, and stores it.
//!
//! A pull reads page by page, incrementally from the stored [`SyncState`] or in full where there is none that serves. Each
//! page is resolved to stored events ([`page`]), planned without I/O ([`plan`]), and written ([`write`]). The sync state is
//! stored last, so an interrupted pull reads the same pages again and finds most of them stored.

mod page;
mod plan;
mod round;
mod write;

use std::collections::{HashMap, HashSet};

use calweave_domain::agenda::Span;
use calweave_domain::calendar::{SyncState, SyncStats};
use calweave_domain::digest::digest_of;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, UserId};
use calweave_providers::{
    CalendarProvider, ChangePage, ProviderError, ReadScope, Remedy, RemoteCalendar,
};
use calweave_store::cursors::SyncSuccess;
use calweave_store::leases::Lease;
use chrono::{DateTime, TimeDelta, Utc};

use self::page::StoredIndex;
use self::plan::{Interval, Originals, lies_within};
use self::round::Round;
use super::names::foreign_name;
use super::plan::is_doubtful;
use super::stop::{SyncResult, SyncStop, renew_lease};
use crate::SyncContext;

/// Removals may stay unexplained for this long before all series are read to explain them.
const UNEXPLAINED_LIMIT: TimeDelta = TimeDelta::days(1);
/// How often a write is repeated because a concurrent writer was first.
const MAX_ATTEMPTS: usize = 8;
/// How many warnings are kept.
const MAX_WARNINGS: usize = 20;
/// How many series are read at once.
const SERIES_READ: i32 = 100;
/// How many events are loaded at once.
const LOADED: usize = 100;
/// For how long each sync reads a snapshot once the provider did not end a list of changes.
const SNAPSHOT_PERIOD: TimeDelta = TimeDelta::days(1);
/// Said to the person while removals are held back.
const SUSPECT: &str =
    "The calendar suddenly lacks most of its events; they are kept until it says so a second time.";

/// One pull of one calendar.
pub(super) struct Pull<'a> {
    context: &'a SyncContext,
    provider: &'a dyn CalendarProvider,
    lease: &'a mut Lease,
    target: RemoteCalendar<'a>,
    user: UserId,
    now: DateTime<Utc>,
    stats: SyncStats,
    /// How many events were stored when the pull began.
    count: u32,
    warnings: Vec<String>,
    /// Changed and cancelled occurrences whose series has not been seen in this pull.
    orphans: Originals,
    /// Whether the provider has removed something that is not known here: it may be an occurrence.
    has_unexplained_removals: bool,
    /// All aliases of the calendar's events, in a full sync; otherwise they are looked up page by page.
    aliases: Option<HashMap<EventId, EventId>>,
}

impl<'a> Pull<'a> {
    pub fn new(
        context: &'a SyncContext,
        provider: &'a dyn CalendarProvider,
        lease: &'a mut Lease,
        target: RemoteCalendar<'a>,
    ) -> Self {
        Self {
            user: lease.user(),
            now: context.clock.now(),
            count: lease.cursor().event_count,
            context,
            provider,
            lease,
            target,
            stats: SyncStats::default(),
            warnings: vec![],
            orphans: HashMap::new(),
            has_unexplained_removals: false,
            aliases: None,
        }
    }

    /// Pulls incrementally from the stored sync state, or in full where there is none, it has expired, or its window has to
    /// be moved on.
    pub async fn run(mut self) -> SyncResult<SyncSuccess> {
        let last = self.lease.cursor().sync_state.clone();
        let window = self.window(last.as_ref());
        let serves = |state: &SyncState| {
            let capabilities = self.provider.capabilities();
            state.query == capabilities.query && window.1 - state.to < capabilities.rebase_after
        };
        let last = last.filter(serves);
        let snapshots_until = last.as_ref().and_then(|state| state.snapshots_until);
        let (sync_state, suspect) = match last {
            _ if snapshots_until.is_some_and(|until| until > self.now) => {
                self.snapshot_sync(window, snapshots_until).await?
            }
            Some(state) if snapshots_until.is_none() => match self.incremental_sync(&state).await {
                Err(SyncStop::Provider(failure)) if failure.remedy() == Remedy::FullSync => {
                    self.full_sync(window).await?
                }
                Ok(None) => self.snapshot_sync(window, None).await?,
                other => (other?.unwrap_or(state), None),
            },
            _ => self.full_sync(window).await?,
        };
        if sync_state.snapshots_until.is_some() {
            let provider = self.provider.capabilities().kind.label();
            self.warnings.push(format!(
                "{provider} does not deliver the changes of this calendar; all of it is read at each sync, for a day."
            ));
        }
        self.stats.total = (self.count + self.stats.created).saturating_sub(self.stats.deleted);
        if suspect.is_some() {
            self.warnings.push(SUSPECT.to_owned());
        }
        self.warnings.truncate(MAX_WARNINGS);
        Ok(SyncSuccess {
            // What was not believed is read again in full.
            sync_state: suspect.is_none().then_some(sync_state),
            suspect,
            warnings: Some(self.warnings),
            stats: self.stats,
            ..SyncSuccess::default()
        })
    }

    /// The window that a full sync reads.
    fn window(&self, last: Option<&SyncState>) -> Interval {
        let window = self.context.window;
        let past = self.now - window.past;
        // Events that were once read stay in the window. Where removals are not definitive the window is read in full every
        // few days, and each event of it may cost a call: there it does not grow.
        let last = last.filter(|_| self.provider.capabilities().removals_are_definitive);
        let from = last.map_or(past, |state| state.from.min(past));
        (from, self.now + window.future)
    }

    /// Reads what has changed since `state`. Returns the sync state to continue from, or `None` where the provider does not end
    /// the list.
    async fn incremental_sync(&mut self, state: &SyncState) -> SyncResult<Option<SyncState>> {
        let scope = ReadScope::Changes(state);
        let window = Some((state.from, state.to));
        let Some(token) = self.read_round(&scope, window, None).await? else {
            return Ok(None);
        };
        let mut next = SyncState {
            token,
            has_unexplained_removals: self.has_unexplained_removals
                || state.has_unexplained_removals,
            ..state.clone()
        };
        let began = state.to - self.context.window.future;
        let last = state.series_read_at.unwrap_or(began);
        if next.has_unexplained_removals && self.now - last > UNEXPLAINED_LIMIT {
            self.read_all_series(window).await?;
            next.has_unexplained_removals = false;
            next.series_read_at = Some(self.now);
        }
        Ok(Some(next))
    }

    /// Reads and stores the pages of a round. Returns the token of its last page; `None` where it has none, or does not end.
    async fn read_round(
        &mut self,
        scope: &ReadScope<'_>,
        window: Option<Interval>,
        mut index: Option<&mut StoredIndex>,
    ) -> SyncResult<Option<String>> {
        let mut round = Round::default();
        let mut next_page: Option<String> = None;
        loop {
            let page = self.read(scope, next_page.as_deref()).await?;
            let makes_progress = round.add(&page);
            self.apply(page.changes, &page.partial, window, index.as_deref_mut())
                .await?;
            next_page = page.next_page.filter(|_| makes_progress);
            if page.token.is_some() || next_page.is_none() {
                return Ok(page.token);
            }
        }
    }

    /// Reads every series of the window again. An id that is not known here may have been that of an occurrence, which does not
    /// tell its series.
    async fn read_all_series(&mut self, window: Option<Interval>) -> SyncResult<()> {
        let from = window.map_or(self.now, |(from, _)| from);
        let store = &self.context.store;
        let mut pages = store.span(self.user, Span::Series, from, from);
        while !pages.is_done() {
            let series = pages.next(Some(SERIES_READ)).await?.into_iter();
            let ours = series.filter(|series| series.id.calendar() == self.target.calendar);
            let series: Vec<Event> = ours.collect();
            let page = self.provider.read_series(self.target, &series).await?;
            renew_lease(self.context, self.lease).await?;
            self.apply(page.changes, &page.partial, window, None)
                .await?;
        }
        Ok(())
    }

    /// Reads the whole window, then removes what is stored but was not sent. Returns the sync state to continue from, and the
    /// digest of a result that lacks too much to be believed at once.
    async fn full_sync(&mut self, (from, to): Interval) -> SyncResult<(SyncState, Option<String>)> {
        let mut index = self.stored_index().await?;
        let scope = ReadScope::Window { from, to };
        match self.read_round(&scope, None, Some(&mut index)).await? {
            Some(token) => {
                let state = self.begun((from, to), token);
                let suspect = self.remove_unseen(index, (from, to)).await?;
                Ok((state, suspect))
            }
            None => self.snapshot_sync((from, to), None).await,
        }
    }

    /// As a full sync, for a provider that does not end a list of changes. `until` is when that list is tried again.
    async fn snapshot_sync(
        &mut self,
        (from, to): Interval,
        until: Option<DateTime<Utc>>,
    ) -> SyncResult<(SyncState, Option<String>)> {
        let mut index = self.stored_index().await?;
        let scope = ReadScope::Snapshot { from, to };
        self.read_round(&scope, None, Some(&mut index)).await?;
        let state = SyncState {
            snapshots_until: until.or(Some(self.now + SNAPSHOT_PERIOD)),
            ..self.begun((from, to), String::new())
        };
        let suspect = self.remove_unseen(index, (from, to)).await?;
        Ok((state, suspect))
    }

    /// The sync state after a full sync.
    fn begun(&self, (from, to): Interval, token: String) -> SyncState {
        SyncState {
            token,
            query: self.provider.capabilities().query.to_owned(),
            from,
            to,
            has_unexplained_removals: false,
            series_read_at: None,
            snapshots_until: None,
        }
    }

    /// Reads what is stored of the calendar, for a full sync.
    async fn stored_index(&mut self) -> SyncResult<StoredIndex> {
        let (user, calendar) = (self.user, self.target.calendar);
        let store = &self.context.store;
        let hashes = store.stored_event_hashes(user, calendar).await?;
        if !self.provider.capabilities().ids_are_reversible {
            self.aliases = Some(store.all_aliases(user, calendar).await?);
        }
        self.count = number(hashes.len());
        let stored = hashes.into_iter().map(|stored| (stored.id.clone(), stored));
        Ok(StoredIndex {
            stored: stored.collect(),
            seen: HashSet::new(),
        })
    }

    /// Removes what is stored of the window but was not sent. Returns the digest of a result that lacks too much to be believed at
    /// once: nothing is removed then.
    async fn remove_unseen(
        &mut self,
        index: StoredIndex,
        window: Interval,
    ) -> SyncResult<Option<String>> {
        let count = index.stored.len();
        let missing = self.missing(&index, window).await?;
        let digest = digest_of(
            missing
                .iter()
                .map(ToString::to_string)
                .collect::<String>()
                .as_bytes(),
        );
        let is_doubtful = is_doubtful(count, missing.len(), index.seen.is_empty());
        if is_doubtful && self.lease.cursor().suspect.as_ref() != Some(&digest) {
            return Ok(Some(digest));
        }
        self.remove_missing(&missing, &index.seen).await?;
        Ok(None)
    }

    async fn read(&mut self, scope: &ReadScope<'_>, page: Option<&str>) -> SyncResult<ChangePage> {
        let mut read = self.provider.list_changes(self.target, scope, page).await?;
        renew_lease(self.context, self.lease).await?;
        for warning in read.warnings.drain(..) {
            if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(read)
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

    async fn remove_missing(
        &mut self,
        missing: &[EventId],
        seen: &HashSet<EventId>,
    ) -> SyncResult<()> {
        for ids in missing.chunks(LOADED) {
            renew_lease(self.context, self.lease).await?;
            for event in self.context.store.events(self.user, ids).await? {
                if self.is_gone(&event, seen).await? {
                    self.reconcile_gone(event).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the provider no longer has an event that a full sync has not sent.
    async fn is_gone(&self, event: &Event, seen: &HashSet<EventId>) -> SyncResult<bool> {
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

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
