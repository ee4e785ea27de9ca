//! Pulls: reads what has changed at the provider, and stores it.
//!
//! A pull reads page by page, incrementally from the stored [`SyncState`] or in full where there is none that serves. Each
//! page is resolved to stored events ([`page`]), planned without I/O ([`plan`]), and written ([`write`]). The sync state is
//! stored last, so an interrupted pull reads the same pages again and finds most of them stored.

mod page;
mod plan;
mod write;

use std::collections::{HashMap, HashSet};

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
use super::names::foreign_name;
use super::plan::is_doubtful;
use super::stop::{SyncResult, SyncStop, renew_lease};
use crate::SyncContext;

/// Removals may stay unexplained for this long before a full sync explains them.
const UNEXPLAINED_LIMIT: TimeDelta = TimeDelta::days(1);
/// How often a write is repeated because a concurrent writer was first.
const MAX_ATTEMPTS: usize = 8;
/// How many warnings are kept.
const MAX_WARNINGS: usize = 20;
/// How many events are loaded at once.
const LOADED: usize = 100;
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
        let (sync_state, suspect) = match last.filter(serves) {
            Some(state) => match self.incremental_sync(&state).await {
                Err(SyncStop::Provider(failure)) if failure.remedy() == Remedy::FullSync => {
                    self.full_sync(window).await?
                }
                other => (other?, None),
            },
            None => self.full_sync(window).await?,
        };
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

    /// Reads what has changed since `state`. Returns the sync state to continue from.
    async fn incremental_sync(&mut self, state: &SyncState) -> SyncResult<SyncState> {
        let scope = ReadScope::Changes(state);
        let mut next_page: Option<String> = None;
        loop {
            let page = self.read(&scope, next_page.as_deref()).await?;
            let window = Some((state.from, state.to));
            self.apply(page.changes, &page.partial, window, None)
                .await?;
            if let Some(token) = page.token {
                return Ok(self.continued(state, token));
            }
            next_page = page.next_page;
        }
    }

    fn continued(&self, state: &SyncState, token: String) -> SyncState {
        let has_unexplained_removals =
            self.has_unexplained_removals || state.has_unexplained_removals;
        // A remote id that is not known here may be that of an occurrence. Only a full sync tells, and a sync state without a
        // query leads to one.
        let age = self.now + self.context.window.future - state.to;
        let needs_full_sync = has_unexplained_removals && age > UNEXPLAINED_LIMIT;
        SyncState {
            token,
            query: if needs_full_sync {
                String::new()
            } else {
                state.query.clone()
            },
            has_unexplained_removals,
            ..state.clone()
        }
    }

    /// Reads the whole window, then removes what is stored but was not sent. Returns the sync state to continue from, and the
    /// digest of a result that lacks too much to be believed at once.
    async fn full_sync(&mut self, window: Interval) -> SyncResult<(SyncState, Option<String>)> {
        let (user, calendar) = (self.user, self.target.calendar);
        let store = &self.context.store;
        let hashes = store.stored_event_hashes(user, calendar).await?;
        if !self.provider.capabilities().ids_are_reversible {
            self.aliases = Some(store.all_aliases(user, calendar).await?);
        }
        let count = hashes.len();
        self.count = number(count);
        let stored = hashes.into_iter().map(|stored| (stored.id.clone(), stored));
        let mut index = StoredIndex {
            stored: stored.collect(),
            seen: HashSet::new(),
        };
        let token = self.read_window(window, &mut index).await?;
        let state = SyncState {
            token,
            query: self.provider.capabilities().query.to_owned(),
            from: window.0,
            to: window.1,
            has_unexplained_removals: false,
        };
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
            return Ok((state, Some(digest)));
        }
        self.remove_missing(&missing, &index.seen).await?;
        Ok((state, None))
    }

    async fn read_window(
        &mut self,
        (from, to): Interval,
        index: &mut StoredIndex,
    ) -> SyncResult<String> {
        let scope = ReadScope::Window { from, to };
        let mut next_page: Option<String> = None;
        loop {
            let page = self.read(&scope, next_page.as_deref()).await?;
            self.apply(page.changes, &page.partial, None, Some(&mut *index))
                .await?;
            if let Some(token) = page.token {
                return Ok(token);
            }
            next_page = page.next_page;
        }
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
