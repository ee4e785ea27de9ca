//! Pulls: reads what has changed at the provider, and stores it.
//!
//! A pull reads page by page, incrementally from the stored [`SyncState`] or in full where there is none that serves. Each
//! page is resolved to stored events ([`page`]), planned without I/O ([`plan`]), and written ([`write`]). The sync state is
//! stored last, so an interrupted incremental pull reads the same pages again and finds most of them stored. A full sync
//! ([`full`]) goes on where it stopped.

mod full;
mod page;
mod plan;
mod round;
mod write;

use std::collections::HashMap;

use calweave_domain::agenda::Span;
use calweave_domain::calendar::SyncStats;
use calweave_domain::ids::{EventId, UserId};
use calweave_domain::sync_state::SyncState;
use calweave_providers::{
    CalendarProvider, ChangePage, ProviderError, ReadScope, Remedy, RemoteCalendar, SERIES_AT_ONCE,
};
use calweave_store::cursors::SyncSuccess;
use calweave_store::leases::Lease;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use self::full::FullSyncEnd;
use self::page::StoredIndex;
use self::plan::{Interval, Originals};
use self::round::{Round, Seen};
use super::names::remote_id;
use super::stop::{SyncResult, SyncStop, renew_lease};
use crate::SyncContext;

/// Removals may stay unexplained for this long before all series are read to explain them.
const UNEXPLAINED_LIMIT: TimeDelta = TimeDelta::days(1);
/// How often a write is repeated because a concurrent writer was first.
const MAX_ATTEMPTS: usize = 8;
/// How many warnings are kept.
const MAX_WARNINGS: usize = 20;
/// How many series are loaded at once.
const SERIES_LOADED: i32 = 100;
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
    /// Whether all changes since the last sync have been read.
    has_read_changes: bool,
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
            has_read_changes: false,
            aliases: None,
        }
    }

    /// Pulls incrementally from the stored sync state, and in full where there is none, it has expired, or its window has to be
    /// moved on. A full sync may need several invocations: the sync state keeps serving changes until it is complete.
    pub async fn run(mut self) -> SyncResult<SyncSuccess> {
        let cursor = self.lease.cursor();
        let window = self.window();
        let capabilities = self.provider.capabilities();
        let last = cursor.sync_state.clone();
        let last = last.filter(|state| state.query == capabilities.query);
        let mut needs_full_sync =
            cursor.full_sync.is_some() || last.as_ref().is_none_or(|state| self.is_due(state));
        let mut snapshots_until = last.as_ref().and_then(|state| state.snapshots_until);
        snapshots_until = snapshots_until.filter(|until| *until > self.now);
        let mut sync_state = None;
        match last {
            Some(state) if state.token.is_empty() => needs_full_sync = true,
            Some(state) => match self.incremental_sync(&state).await {
                Err(SyncStop::Provider(failure)) if failure.remedy() == Remedy::FullSync => {
                    needs_full_sync = true;
                }
                Ok(None) => {
                    (needs_full_sync, snapshots_until) =
                        (true, Some(self.now + full::SNAPSHOT_PERIOD));
                }
                other => {
                    sync_state = other?;
                    self.has_read_changes = true;
                }
            },
            None => {}
        }
        if !needs_full_sync {
            return Ok(self.success(sync_state, None));
        }
        let ended = match self.full_sync(window, snapshots_until).await {
            // Changes keep arriving by the state that is there, and edits are written: the next sync tries again.
            Err(SyncStop::Provider(failure))
                if sync_state.is_some() && spares_other_calls(&failure) =>
            {
                warn!(calendar.id = %self.target.calendar, "could not move the window on: {failure}");
                return Ok(self.success(sync_state, self.lease.cursor().suspect.clone()));
            }
            ended => ended?,
        };
        Ok(match ended {
            FullSyncEnd::Complete(state) => {
                // At once: whatever interrupts the rest of this sync, the window is not read again.
                self.checkpoint(None, Some(&state)).await?;
                SyncSuccess {
                    ends_full_sync: true,
                    // Asked for since this full sync began.
                    is_unfinished: !self.has_read_asked(&state),
                    ..self.success(Some(state), None)
                }
            }
            // What was not believed is read again in full.
            FullSyncEnd::Doubtful(digest) => SyncSuccess {
                ends_full_sync: true,
                ..self.success(sync_state, Some(digest))
            },
            FullSyncEnd::Unfinished if sync_state.is_some() => SyncSuccess {
                is_unfinished: true,
                ..self.success(sync_state, self.lease.cursor().suspect.clone())
            },
            FullSyncEnd::Unfinished => return Err(SyncStop::Later(TimeDelta::zero())),
        })
    }

    fn success(&self, sync_state: Option<SyncState>, suspect: Option<String>) -> SyncSuccess {
        let mut warnings = self.warnings.clone();
        if sync_state
            .as_ref()
            .is_some_and(|state| state.snapshots_until.is_some())
        {
            let provider = self.provider.capabilities().kind.label();
            warnings.push(format!(
                "{provider} does not deliver the changes of this calendar; all of it is read at each sync, for a day."
            ));
        }
        if suspect.is_some() {
            warnings.push(SUSPECT.to_owned());
        }
        warnings.truncate(MAX_WARNINGS);
        let total = (self.count + self.stats.created).saturating_sub(self.stats.deleted);
        SyncSuccess {
            sync_state,
            suspect,
            warnings: Some(warnings),
            stats: SyncStats {
                total,
                ..self.stats
            },
            ..SyncSuccess::default()
        }
    }

    /// The window that a full sync reads: the regular one, and what a reader has asked for. What leaves it is kept, and not
    /// read again.
    fn window(&self) -> Interval {
        let window = self.context.window;
        let (from, to) = (self.now - window.past, self.now + window.future);
        let asked = self.lease.cursor().asked_window_at(self.now);
        asked.map_or((from, to), |asked| asked.widen((from, to)))
    }

    /// Whether the window of a sync state has to be moved on, or widened.
    fn is_due(&self, state: &SyncState) -> bool {
        let interval = self.provider.capabilities().rebase_after;
        self.now - state.began_at >= interval
            || self.now + self.context.window.future - state.to >= interval
            || !self.has_read_asked(state)
    }

    /// Whether the stretch that a reader has asked for has been read.
    fn has_read_asked(&self, state: &SyncState) -> bool {
        let asked = self.lease.cursor().asked_window_at(self.now);
        asked.is_none_or(|asked| asked.is_read_by(state))
    }

    /// Reads what has changed since `state`. Returns the sync state to continue from, or `None` where the provider does not end
    /// the list.
    async fn incremental_sync(&mut self, state: &SyncState) -> SyncResult<Option<SyncState>> {
        let scope = ReadScope::Changes(state);
        let window = Some((state.from, state.to));
        let Some(token) = self.read_round(&scope, window).await? else {
            return Ok(None);
        };
        let mut next = SyncState {
            token,
            has_unexplained_removals: self.has_unexplained_removals
                || state.has_unexplained_removals,
            ..state.clone()
        };
        let last = state.series_read_at.unwrap_or(state.began_at);
        if next.has_unexplained_removals && self.now - last > UNEXPLAINED_LIMIT {
            self.read_all_series(window).await?;
            next.has_unexplained_removals = false;
            next.series_read_at = Some(self.now);
        }
        Ok(Some(next))
    }

    /// Reads and stores the pages of a round of changes. Returns the token of its last page; `None` where the provider does not
    /// end the list.
    async fn read_round(
        &mut self,
        scope: &ReadScope<'_>,
        window: Option<Interval>,
    ) -> SyncResult<Option<String>> {
        let (mut round, mut seen) = (Round::default(), Seen::default());
        let mut next_page: Option<String> = None;
        loop {
            let mut page = self.read(scope, next_page.as_deref()).await?;
            let makes_progress = round.add(&page.entries, &mut seen);
            let mut series = std::mem::take(&mut page.series);
            // The occurrences of a series may be spread over several pages.
            series.retain(|id| seen.insert(&format!("series {id}")));
            next_page = page.next_page.take().filter(|_| makes_progress);
            let token = page.token.take();
            self.apply(page, window, None).await?;
            for batch in series.chunks(SERIES_AT_ONCE) {
                self.apply_series(batch, window, None).await?;
            }
            if token.is_some() || next_page.is_none() {
                return Ok(token);
            }
        }
    }

    /// Reads and stores whole series.
    async fn apply_series(
        &mut self,
        remote_ids: &[String],
        window: Option<Interval>,
        index: Option<&mut StoredIndex>,
    ) -> SyncResult<()> {
        let mut page = self.provider.read_series(self.target, remote_ids).await?;
        renew_lease(self.context, self.lease).await?;
        self.note_warnings(&mut page);
        self.apply(page, window, index).await
    }

    /// Reads every series of the window again. An id that is not known here may have been that of an occurrence, which does not
    /// tell its series.
    async fn read_all_series(&mut self, window: Option<Interval>) -> SyncResult<()> {
        let from = window.map_or(self.now, |(from, _)| from);
        let store = &self.context.store;
        let mut pages = store.span(self.user, Span::Lasting, from, from);
        while !pages.is_done() {
            let mut remote_ids: Vec<String> = Vec::new();
            for series in pages.next(Some(SERIES_LOADED)).await? {
                let is_here =
                    series.series.is_some() && series.id.calendar() == self.target.calendar;
                if !is_here || remote_id(&series).is_none() {
                    continue;
                }
                match self.provider.get_event(self.target, &series, None).await? {
                    Some(found) => remote_ids.extend(remote_id(&found.event).map(str::to_owned)),
                    None => self.reconcile_gone(series).await?,
                }
            }
            for batch in remote_ids.chunks(SERIES_AT_ONCE) {
                self.apply_series(batch, window, None).await?;
            }
        }
        Ok(())
    }

    async fn read(&mut self, scope: &ReadScope<'_>, page: Option<&str>) -> SyncResult<ChangePage> {
        let mut read = self.provider.list_changes(self.target, scope, page).await?;
        renew_lease(self.context, self.lease).await?;
        self.note_warnings(&mut read);
        Ok(read)
    }

    fn note_warnings(&mut self, page: &mut ChangePage) {
        for warning in page.warnings.drain(..) {
            if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// Whether a failure concerns what was asked, and not the account or all calls to it.
fn spares_other_calls(failure: &ProviderError) -> bool {
    matches!(failure.remedy(), Remedy::Retry(_) | Remedy::GiveUp)
        && !matches!(failure, ProviderError::Throttled { .. })
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
