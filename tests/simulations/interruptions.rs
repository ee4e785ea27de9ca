//! Full syncs that do not fit into one invocation: a worker is killed after every few calls of the provider.

use chrono::TimeDelta;
use local::stack::Options;
use serde_json::{Value, json};
use shared::clock::{Clock, Deadline};
use shared::domain::ids::{CalendarId, UserId};
use shared::sync::{SyncContext, sync_calendar};

use crate::harness::google::GoogleHarness;
use crate::harness::microsoft::MicrosoftHarness;
use crate::harness::{Person, ProviderHarness, World};

/// How many events and series are at the provider: enough for several pages of each. `CALWEAVE_SCALE` multiplies them,
/// and `CALWEAVE_LATENCY` is how long each call takes, in milliseconds.
const EVENTS: usize = 300;
const SERIES: usize = 45;

fn text(variable: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var(variable).ok()
}

fn number(variable: &str) -> Option<u64> {
    text(variable)?.parse().ok()
}

/// Returns the counts of calls to run with: any number, and then a few; all up to `CALWEAVE_INTERRUPTIONS`, or those that it
/// lists (`5,10,50`).
fn calls() -> Vec<u64> {
    let some = match text("CALWEAVE_INTERRUPTIONS") {
        Some(list) if list.contains(',') => list
            .split(',')
            .map(|calls| calls.parse().unwrap())
            .collect(),
        Some(most) => (1..=most.parse().unwrap()).collect(),
        None => vec![1, 2, 3, 7],
    };
    [vec![u64::MAX], some].concat()
}

fn scale() -> usize {
    number("CALWEAVE_SCALE").map_or(1, |scale| usize::try_from(scale).unwrap())
}

/// Runs a sync until the provider has answered `calls` calls, and then drops it, as if the worker were killed.
async fn killed_after<S: ProviderHarness>(
    side: &S,
    context: &SyncContext,
    user: UserId,
    calendar: CalendarId,
    calls: u64,
) {
    side.control("budget", json!(calls)).await;
    let unanswered = side.report().await["unanswered"].clone();
    let app = context.clone();
    let mut run = tokio::spawn(async move { sync_calendar(&app, user, calendar).await });
    loop {
        tokio::select! {
            ended = &mut run => {
                assert!(ended.unwrap().is_ok());
                return;
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(2)) => {}
        }
        if side.report().await["unanswered"] != unanswered {
            run.abort();
            return;
        }
    }
}

/// Fills the provider's calendar: events, and series of which each third has a changed occurrence.
async fn fill<S: ProviderHarness>(side: &S) {
    for number in 0..EVENTS * scale() {
        let day = 1 + number % 28;
        let hour = 6 + number / 28 % 12;
        let (start, end) = (
            format!("2027-01-{day:02}T{hour:02}:00:00"),
            format!("2027-01-{day:02}T{hour:02}:30:00"),
        );
        side.insert(&format!("Event {number}"), &start, &end, None)
            .await;
    }
    for number in 0..SERIES * scale() {
        let (start, end) = ("2027-01-04T15:00:00", "2027-01-04T16:00:00");
        let rule = Some("FREQ=WEEKLY;COUNT=3");
        let id = side
            .insert(&format!("Series {number}"), start, end, rule)
            .await;
        if number % 3 == 0 {
            let moved =
                crate::harness::EventChange::Times("2027-01-12T17:00:00", "2027-01-12T18:00:00");
            let occurrence = S::occurrence(&id, "2027-01-11T15:00:00");
            assert!(side.change(&occurrence, moved).await.is_success());
        }
    }
}

async fn stored(world: &World, person: &Person) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let path =
            format!("/api/v1/calendar/events?start=2027-01-01&end=2027-02-01&limit=500{cursor}");
        let page = world.get(person, &path).await.body;
        let text = |event: &Value| format!("{} {}", event["title"], event["startTime"]);
        found.extend(page["events"].as_array().unwrap().iter().map(text));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    found.sort();
    found
}

async fn converges<S: ProviderHarness>() {
    let clock = Clock::manual("2027-01-01T00:00:00Z".parse().unwrap());
    let options = || Options {
        clock: clock.clone(),
        background: false,
        ..Options::default()
    };
    let side = S::at(clock.clone()).await;
    fill(&side).await;
    side.control("pages", json!(20 * scale().min(10))).await;
    side.control("latency", json!(number("CALWEAVE_LATENCY").unwrap_or(0)))
        .await;
    let (mut expected, mut read_once): (Option<Vec<String>>, Option<u64>) = (None, None);
    for calls in calls() {
        let mut options = options();
        side.attach(&mut options);
        let world = World::with(options).await;
        let ada = world.sign_up("ada").await;
        let calendar = world
            .choose(&side, &ada, S::EMAIL, &[&side.primary()])
            .await
            .remove(0);
        let (user, id) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
        let context = SyncContext {
            deadline: Deadline::Never,
            ..world.stack.context.clone()
        };
        let before = side.calls("changes").await;
        let mut invocations = 0;
        loop {
            invocations += 1;
            assert!(
                invocations < 200 * scale(),
                "{calls} calls: it makes no progress"
            );
            killed_after(&side, &context, user, id, calls).await;
            // The lease of the killed worker expires.
            clock.advance(TimeDelta::seconds(61));
            let state = context.store.calendar(user, id).await.unwrap().unwrap();
            if state.cursor.sync_state.is_some() {
                assert_eq!(state.cursor.full_sync, None);
                break;
            }
        }
        side.control("budget", Value::Null).await;
        let pages = side.calls("changes").await - before;
        eprintln!(
            "{} after {calls} calls each: {invocations} invocations, {pages} pages",
            S::NAME
        );
        let found = stored(&world, &world.sign_in(&ada).await).await;
        assert_eq!(found.len(), (EVENTS + 3 * SERIES) * scale());
        let once = *read_once.get_or_insert(pages);
        assert!(pages <= 2 * once, "{calls} calls: {pages} pages of {once}");
        assert_eq!(
            expected.get_or_insert(found.clone()),
            &found,
            "{calls} calls"
        );
        world.stack.stop().await;
    }
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_goes_on_where_google_s_was_interrupted() {
    converges::<GoogleHarness>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_goes_on_where_microsoft_s_was_interrupted() {
    converges::<MicrosoftHarness>().await;
}
