//! Two users change one calendar, one here and one at the provider, while responses are lost, calls fail, and workers
//! are killed. Once the faults end, both sides converge, and no event is lost or duplicated. Runs for each provider.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDateTime, TimeDelta};
use serde_json::{Value, json};
use shared::clock::{Clock, Deadline};
use shared::domain::agenda::rule_yields;
use shared::domain::content::EventContent;
use shared::domain::event::Event;
use shared::domain::ids::{CalendarId, EventId, OriginalStart, UserId};
use shared::providers::{Change, ReadScope, RemoteCalendar, SERIES_AT_ONCE};
use shared::sync::{SyncContext, sync_calendar};

use super::{Dice, killed_after, seeds};
use crate::harness::{
    EventChange, InjectedFault, Person, ProviderHarness, World, options_by_hand, token_in,
};

/// One calendar that is changed on both sides.
struct Both<S> {
    world: World,
    side: S,
    clock: Clock,
    person: Person,
    user: UserId,
    calendar: CalendarId,
    dice: Dice,
    /// A calendar at the provider that is not connected.
    elsewhere: String,
    /// The events that were moved to it.
    away: Vec<String>,
    /// All events ever created, by the first word of their title, and whether they were deleted.
    made: BTreeMap<String, bool>,
    /// The history of the simulation, for the messages of failed assertions.
    log: Vec<String>,
}

fn name(title: &str) -> String {
    title.split(' ').next().unwrap_or_default().to_owned()
}

impl<S: ProviderHarness> Both<S> {
    async fn new(seed: u64) -> Self {
        let (options, clock) = options_by_hand("2027-01-01T00:00:00Z");
        let (world, side) = World::beside::<S>(options).await;
        let person = world.sign_up("ada").await;
        let calendar = world
            .choose(&side, &person, S::EMAIL, &[&side.primary()])
            .await[0]
            .parse()
            .unwrap();
        let user = person.id.parse().unwrap();
        side.control("pages", json!(3)).await;
        let elsewhere = side.add_calendar("Elsewhere").await;
        world.stack.work().await;
        Self {
            world,
            side,
            clock,
            person,
            user,
            calendar,
            dice: Dice(seed),
            elsewhere,
            away: vec![],
            made: BTreeMap::new(),
            log: vec![],
        }
    }

    /// Draws a title that begins with `name`, a day, and an hour.
    fn body(&mut self, name: &str) -> (String, u64, u64) {
        (
            format!("{name} v{}", self.dice.below(1_000_000)),
            1 + self.dice.below(28),
            self.dice.below(20),
        )
    }

    async fn seen(&self) -> Vec<Value> {
        self.world
            .events(&self.person, "2027-01-01", "2027-03-01")
            .await
    }

    /// Makes a random change here, through the API.
    async fn act_here(&mut self) {
        let path = "/api/v1/calendar/events";
        let seen = self.seen().await;
        let choice = self.dice.below(10);
        let at = usize::try_from(self.dice.below(seen.len().max(1) as u64)).unwrap();
        let Some(event) = seen.get(at).filter(|_| choice > 3) else {
            let name = format!("h{}", self.made.len());
            let (title, day, hour) = self.body(&name);
            let time = |hour| format!("2027-01-{day:02}T{hour:02}:00:00");
            let mut body = json!({ "calendarId": self.calendar.to_string(), "title": title, "startTime": time(hour), "endTime": time(hour + 1) });
            if choice == 0 {
                body["recurrenceRule"] = "FREQ=WEEKLY;COUNT=4".into();
            }
            let answer = self
                .world
                .post(&self.person, &format!("{path}?wait=0"), body)
                .await;
            assert_eq!(answer.status, 202, "{answer:?}");
            self.made.insert(name, false);
            self.log.push(format!("here: make {title}"));
            return;
        };
        let (id, title) = (
            event["id"].as_str().unwrap(),
            event["title"].as_str().unwrap().to_owned(),
        );
        let url = format!("{path}/{id}?wait=0");
        let series = event["seriesId"]
            .as_str()
            .filter(|_| choice.is_multiple_of(2))
            .map(|series| format!("{path}/{series}?wait=0"));
        if choice == 9 {
            let whole = series.is_some() || event["seriesId"].is_null();
            let answer = self
                .world
                .call(
                    "DELETE",
                    &series.unwrap_or(url),
                    Some(&self.person.token),
                    None,
                )
                .await;
            self.log
                .push(format!("here: remove {title} ({id}): {}", answer.status));
            if whole && answer.status < 300 {
                self.made.insert(name(&title), true);
            }
        } else {
            let (title, day, hour) = self.body(&name(&title));
            let time = |hour| format!("2027-01-{day:02}T{hour:02}:00:00");
            let body = match choice {
                4 | 5 => json!({ "title": title }),
                6 => json!({ "location": title }),
                _ if series.is_none() => {
                    json!({ "startTime": time(hour), "endTime": time(hour + 1) })
                }
                // The whole series: its description, its times, or its rule.
                _ => match self.dice.below(3) {
                    0 => json!({ "description": title }),
                    1 => {
                        let path = series.as_deref().unwrap().split('?').next().unwrap();
                        let whole = self.world.get(&self.person, path).await.body;
                        let date = whole["startTime"].as_str().unwrap()[..10].to_owned();
                        json!({ "startTime": format!("{date}T{hour:02}:00:00"), "endTime": format!("{date}T{:02}:00:00", hour + 1) })
                    }
                    _ => json!({ "recurrenceRule": format!("FREQ=WEEKLY;COUNT={}", 3 + hour % 3) }),
                },
            };
            let answer = self
                .world
                .call(
                    "PUT",
                    &series.unwrap_or(url),
                    Some(&self.person.token),
                    Some(body.clone()),
                )
                .await;
            self.log
                .push(format!("here: change {id} to {body}: {}", answer.status));
        }
    }

    /// Makes a random change at the provider.
    async fn act_there(&mut self) {
        if self.dice.below(4) == 0
            && let Some(id) = self.away.pop()
        {
            self.log.push(format!("there: move {id} back"));
            let (from, to) = (self.elsewhere.clone(), self.side.primary());
            self.side.relocate(&id, &from, &to).await;
            return;
        }
        let items = self.side.all().await;
        let choice = self.dice.below(10);
        let at = usize::try_from(self.dice.below(items.len().max(1) as u64)).unwrap();
        let time = |day: u64, hour: u64| format!("2027-01-{day:02}T{hour:02}:00:00");
        let Some(event) = items.get(at).filter(|_| choice > 3) else {
            let name = format!("g{}", self.made.len());
            let (title, day, hour) = self.body(&name);
            let rule = (choice == 0).then_some("FREQ=WEEKLY;COUNT=4");
            self.side
                .insert(&title, &time(day, hour), &time(day, hour + 1), rule)
                .await;
            self.made.insert(name, false);
            self.log.push(format!("there: make {title}"));
            return;
        };
        let (mut id, title) = (event.id.clone(), event.title.clone());
        let mut whole = event
            .raw
            .get("recurringEventId")
            .or(event.raw.get("seriesMasterId"))
            .is_none();
        if event.is_series && choice.is_multiple_of(2) {
            // The occurrence in the second week of the series.
            let start: NaiveDateTime = event.start.parse().unwrap();
            id = S::occurrence(
                &id,
                &(start + TimeDelta::weeks(1))
                    .format("%Y-%m-%dT%H:%M:%S")
                    .to_string(),
            );
            whole = false;
        }
        // Not one that was made here: Google cannot tell it from one that was deleted while its creation is repeated, and
        // creates it again.
        let is_theirs = title.starts_with('g');
        if choice == 8 && whole && !event.is_series && is_theirs {
            self.log.push(format!("there: move {title} ({id}) away"));
            let (from, to) = (self.side.primary(), self.elsewhere.clone());
            if self.side.relocate(&id, &from, &to).await.is_success() {
                self.made.insert(name(&title), true);
                self.away.push(id);
            }
        } else if choice == 9 {
            let status = self.side.remove(&id).await;
            self.log
                .push(format!("there: remove {title} ({id}): {status}"));
            if whole && status.is_success() {
                self.made.insert(name(&title), true);
            }
        } else {
            let (title, day, hour) = self.body(&name(&title));
            let (mut start, mut end) = (time(day, hour), time(day, hour + 1));
            let what = match choice {
                4 | 5 => EventChange::Title(&title),
                6 => EventChange::Location(&title),
                _ if !event.is_series || !whole => EventChange::Times(&start, &end),
                _ if hour.is_multiple_of(2) => EventChange::Description(&title),
                _ => {
                    let on_its_day = |time: &str| format!("{}{}", &event.start[..10], &time[10..]);
                    (start, end) = (on_its_day(&start), on_its_day(&end));
                    EventChange::Times(&start, &end)
                }
            };
            let status = self.side.change(&id, what.clone()).await;
            self.log
                .push(format!("there: change {id} to {what:?}: {status}"));
        }
    }

    /// Injects a random fault, or runs the worker.
    async fn misfortune(&mut self) {
        let method = ["changes", "insert", "update", "delete", "read", "token"];
        let method = method[usize::try_from(self.dice.below(6)).unwrap()];
        let fault = match self.dice.below(13) {
            0 => S::fault(method, InjectedFault::Broken),
            1 => S::fault(method, InjectedFault::Throttled),
            2 => S::fault(method, InjectedFault::Lost),
            3 => S::fault(method, InjectedFault::ThrottledAfter),
            4 => S::fault("update", InjectedFault::Conflict),
            5 => {
                self.log.push("sync tokens expire".to_owned());
                self.side
                    .control("expire", json!({ "calendarId": self.side.primary() }))
                    .await;
                return;
            }
            6 => {
                let calls = 1 + self.dice.below(15);
                self.log
                    .push(format!("a worker is killed after {calls} calls"));
                killed_after(&self.world, self.user, self.calendar, calls).await;
                self.clock.advance(TimeDelta::seconds(61));
                return;
            }
            7 => {
                let rates = json!({ "seed": self.dice.below(1_000_000), "oneIn": 4 });
                self.log.push(format!("fault rates: {rates}"));
                self.side.control("fault-rates", rates).await;
                return;
            }
            8 => {
                let steps = self.dice.below(4);
                self.log
                    .push(format!("an invocation ends after {steps} steps"));
                let context = SyncContext {
                    deadline: Deadline::after_checks(steps),
                    ..self.world.stack.context.clone()
                };
                drop(sync_calendar(&context, self.user, self.calendar).await);
                return;
            }
            9 => return self.come_back_late().await,
            10 => {
                let rounds = S::ENDLESS_ROUNDS.filter(|_| self.dice.below(2) == 0);
                let Some(control) = rounds else { return };
                let is_endless = self.dice.below(2) == 0;
                self.log.push(format!("rounds end: {}", !is_endless));
                let body = json!({ "calendarId": self.side.primary(), "isEndless": is_endless });
                self.side.control(control, body).await;
                return;
            }
            _ => {
                self.log.push("work".to_owned());
                self.world.stack.work().await;
                return;
            }
        };
        self.log.push(format!("fault: {fault}"));
        self.side.control("faults", json!([fault])).await;
    }

    /// A worker receives a response late: meanwhile another one, whose clock may be ahead, has taken over its calendar. It
    /// is killed soon after it has come back.
    async fn come_back_late(&mut self) {
        let (user, calendar) = (self.user, self.calendar);
        let (calls, left) = (self.dice.below(8), 1 + self.dice.below(10));
        let is_ahead = self.dice.below(2) == 0;
        self.log.push(format!(
            "a worker is late after {calls} calls, and makes {left} calls more; the other's clock is ahead: {is_ahead}"
        ));
        self.side.control("hold", json!(calls)).await;
        let slow = self.world.stack.worker(self.clock.clone()).unwrap();
        let store = slow.store.clone();
        let mut run = tokio::spawn(async move { sync_calendar(&slow, user, calendar).await });
        while self.side.report().await["isHolding"] != true {
            if run.is_finished() {
                // It has made fewer calls.
                self.side.control("hold", Value::Null).await;
                return;
            }
        }
        let minute = TimeDelta::seconds(61);
        let ahead = if is_ahead { minute } else { TimeDelta::zero() };
        let other = self.world.stack.worker(self.clock.ahead(ahead)).unwrap();
        if !is_ahead {
            self.clock.advance(minute);
        }
        self.act_there().await;
        drop(sync_calendar(&other, user, calendar).await);
        store.meter().take();
        self.side.control("hold", Value::Null).await;
        let mut made = 0;
        while !run.is_finished() {
            made += store.meter().take().2;
            if made >= left {
                run.abort();
            }
            tokio::task::yield_now().await;
        }
        drop((&mut run).await);
        self.clock.advance(minute);
    }

    /// Ends all faults, and runs the schedules and the worker until no work is left.
    async fn quiet(&mut self) {
        self.side.control("forgive", json!({})).await;
        if let Some(control) = S::ENDLESS_ROUNDS {
            let body = json!({ "calendarId": self.side.primary(), "isEndless": false });
            self.side.control(control, body).await;
        }
        for _ in 0..12 {
            self.clock.advance(TimeDelta::minutes(16));
            reconcile::run(self.world.stack.schedule()).await.unwrap();
            refresh_tokens::run(self.world.stack.accounts())
                .await
                .unwrap();
            self.world.stack.work().await;
        }
        self.person = self.world.sign_in(&self.person).await;
        self.side.sign_in().await;
    }

    /// Reads the provider's events, and its cancelled occurrences, with the backend's own client.
    async fn there(&self) -> (BTreeMap<EventId, Event>, BTreeSet<(EventId, OriginalStart)>) {
        let session = self.side.session();
        let remote_id = self.side.primary();
        let target = RemoteCalendar {
            calendar: self.calendar,
            remote_id: &remote_id,
            zone: chrono_tz::Tz::Europe__Berlin,
            is_primary: true,
            is_shared: false,
        };
        let ask = ReadScope::Window {
            from: "2026-01-01T00:00:00Z".parse().unwrap(),
            to: "2028-01-01T00:00:00Z".parse().unwrap(),
        };
        let (mut events, mut cancelled): (BTreeMap<EventId, Event>, BTreeSet<_>) =
            (BTreeMap::new(), BTreeSet::new());
        let mut next = None;
        loop {
            let page = session
                .list_changes(target, &ask, next.as_deref())
                .await
                .unwrap();
            let mut changes = page.changes;
            for batch in page.series.chunks(SERIES_AT_ONCE) {
                let series = session.read_series(target, batch).await.unwrap();
                changes.extend(series.changes);
            }
            for change in changes {
                match change {
                    Change::Upserted(event) => {
                        events.insert(event.id.clone(), *event);
                    }
                    Change::OccurrenceCancelled { series, original } => {
                        cancelled.insert((series, original));
                    }
                    Change::Removed { .. } => {}
                }
            }
            next = page.next_page;
            if next.is_none() {
                break;
            }
        }
        // The provider may still list overrides of a series from before it was moved; they are not occurrences.
        let stray = |id: &EventId| {
            let series = events
                .get(&id.series())
                .filter(|event| event.series.is_some());
            id.original_start()
                .zip(series)
                .is_some_and(|(original, series)| !rule_yields(series, original))
        };
        let strays: BTreeSet<EventId> = events.keys().filter(|id| stray(id)).cloned().collect();
        events.retain(|id, _| !strays.contains(id));
        (events, cancelled)
    }

    /// Returns the events stored here.
    async fn here(&self) -> Vec<Event> {
        let store = &self.world.stack.context.store;
        let ids: Vec<EventId> = store
            .stored_event_hashes(self.user, self.calendar)
            .await
            .unwrap()
            .into_iter()
            .map(|stored| stored.id)
            .collect();
        store.events(self.user, &ids).await.unwrap()
    }

    async fn check(&self, seed: u64) {
        let history = || format!("seed {seed}:\n{}", self.log.join("\n"));
        let (there, cancelled) = self.there().await;
        let here = self.here().await;
        // Events that were deleted at the provider and changed here, or whose write was rejected, are kept here as
        // FAILED.
        let (kept, here): (Vec<_>, Vec<_>) = here.into_iter().partition(|event| {
            event
                .link
                .as_ref()
                .is_some_and(|link| link.failure.is_some())
        });
        // So are overrides of such series.
        let kept_ids: BTreeSet<EventId> = kept.iter().map(|event| event.id.clone()).collect();
        let (_, here): (Vec<_>, Vec<_>) = here.into_iter().partition(|event| {
            event.original_start().is_some() && kept_ids.contains(&event.id.series())
        });
        let waiting: Vec<_> = here
            .iter()
            .filter(|event| event.link.as_ref().is_some_and(|link| link.edit.is_some()))
            .collect();
        assert!(
            waiting.is_empty(),
            "changes are never written: {waiting:#?}\n{}",
            history()
        );
        let overridden: BTreeMap<_, _> = here
            .iter()
            .filter_map(|event| {
                Some((
                    event.id.clone(),
                    event
                        .series
                        .as_ref()?
                        .overridden
                        .iter()
                        .copied()
                        .collect::<BTreeSet<_>>(),
                ))
            })
            .collect();
        let different: BTreeSet<(EventId, OriginalStart)> = there
            .keys()
            .filter_map(|id| Some((id.series(), id.original_start()?)))
            .chain(cancelled)
            .collect();
        for (series, original) in &different {
            let is_placed = here
                .iter()
                .any(|event| event.id == *series && rule_yields(event, *original));
            let known = !is_placed
                || overridden
                    .get(series)
                    .is_none_or(|overridden| overridden.contains(original));
            assert!(
                known,
                "the rule of {series} still gives {original}\n{}",
                history()
            );
        }
        let here: BTreeMap<EventId, Event> = here
            .into_iter()
            .map(|event| (event.id.clone(), event))
            .collect();
        let session = self.side.session();
        // A series whose occurrences were all cancelled one by one: a provider may no longer list it.
        let is_spent = |event: &Event| {
            let (from, to) = (
                "2026-01-01T00:00:00Z".parse().unwrap(),
                "2028-01-01T00:00:00Z".parse().unwrap(),
            );
            event.series.as_ref().is_some_and(|series| {
                series
                    .expand(event.start, from, to, chrono_tz::UTC, 1)
                    .starts
                    .is_empty()
            })
        };
        let spent: Vec<&Event> = here
            .values()
            .filter(|event| is_spent(event) && !there.contains_key(&event.id))
            .collect();
        for (id, event) in here
            .iter()
            .filter(|(id, _)| !spent.iter().any(|spent| spent.id == **id))
        {
            let there = there.get(id).map(|there| {
                let mut there = there.clone();
                if let Some(series) = &mut there.series {
                    series.overridden = different
                        .iter()
                        .filter(|(series, _)| series == id)
                        .map(|(_, original)| *original)
                        .collect();
                }
                session.keep_equivalents(event, &mut there);
                comparable(&there)
            });
            assert_eq!(
                Some(comparable(event)),
                there,
                "{id} here and there\n{}",
                history()
            );
        }
        let is_kept = |id: &EventId| kept_ids.contains(id) || kept_ids.contains(&id.series());
        let missing: Vec<_> = there
            .keys()
            .filter(|id| !here.contains_key(id) && !is_kept(id))
            .collect();
        assert!(
            missing.is_empty(),
            "{missing:?} is missing here\n{}",
            history()
        );
        // No event is lost or duplicated; only deleted events are missing.
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let whole = there
            .values()
            .filter(|event| event.original_start().is_none());
        let only_here = kept
            .iter()
            .filter(|event| event.original_start().is_none() && !there.contains_key(&event.id));
        for title in whole
            .chain(only_here)
            .chain(spent)
            .map(|event| &event.details.title)
        {
            *names.entry(name(title)).or_default() += 1;
        }
        for (name, removed) in &self.made {
            let count = names.remove(name).unwrap_or(0);
            assert!(
                count == 1 || (count == 0 && *removed),
                "{name} is there {count} times\n{}",
                history()
            );
        }
        assert!(
            names.is_empty(),
            "unexpected events: {names:?}\n{}",
            history()
        );
    }

    /// Checks that a further sync changes nothing on either side.
    async fn check_rest(&self, seed: u64) {
        let before = self.side.report().await["calls"].clone();
        let (stored, app) = (self.here().await, &self.world.stack.context);
        let synced = shared::sync::sync_calendar(app, self.user, self.calendar)
            .await
            .unwrap();
        let shared::sync::SyncOutcome::Completed(cursor) = synced else {
            panic!("seed {seed}: {synced:?}")
        };
        let stats = cursor.stats;
        assert_eq!(
            (stats.created, stats.updated, stats.deleted),
            (0, 0, 0),
            "seed {seed}"
        );
        assert!(
            self.here().await == stored,
            "seed {seed}: a further sync writes"
        );
        let after = self.side.report().await["calls"].clone();
        for method in ["insert", "update", "delete"].map(S::method) {
            assert_eq!(before[method], after[method], "seed {seed}: {method}");
        }
        let dump = self.world.dump().await;
        assert_eq!(token_in(&dump), None, "seed {seed}: a table holds a token");
        assert_eq!(
            self.side.violations().await,
            Vec::<Value>::new(),
            "seed {seed}"
        );
    }
}

/// Returns the content that must be equal on both sides; the list of overridden occurrences is compared separately.
fn comparable(event: &Event) -> EventContent {
    let mut content = EventContent::of(event);
    if let Some(series) = &mut content.series {
        series.overridden.clear();
    }
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_pong_duplicates_in_two_way_sync_with_google() {
    worlds::<crate::harness::google::GoogleHarness>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_pong_duplicates_in_two_way_sync_with_microsoft() {
    worlds::<crate::harness::microsoft::MicrosoftHarness>().await;
}

async fn worlds<S: ProviderHarness>() {
    let some: Vec<u64> = seeds().collect();
    // Two worlds at a time.
    for pair in some.chunks(2) {
        futures::future::join_all(pair.iter().map(|seed| one_world::<S>(*seed))).await;
    }
}

async fn one_world<S: ProviderHarness>(seed: u64) {
    let mut both = Both::<S>::new(seed).await;
    for _ in 0..3 {
        for _ in 0..12 {
            match both.dice.below(5) {
                0 | 1 => both.act_here().await,
                2 => both.act_there().await,
                _ => both.misfortune().await,
            }
            both.side.delivered().await;
        }
        both.quiet().await;
        both.check(seed).await;
    }
    both.check_rest(seed).await;
}
