//! What breaks other calendar systems, tried on a Google account. Each test bears the name of its scenario.

use chrono::TimeDelta;
use local::stack::Options;
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::ids::UserId;
use shared::store::keys::DueKind;

use super::google::{at_google, connected, create, insert, put, timed, titles};
use crate::google::{EMAIL, Sandbox};
use crate::world::{Person, World};

/// The same as [`connected`], with a clock that is moved by hand and a worker that works when it is told to.
async fn by_hand() -> (World, Sandbox, Person, String, Clock) {
    let clock = Clock::manual("2027-01-01T00:00:00Z".parse().unwrap());
    let options = Options { clock: clock.clone(), background: false, ..Options::default() };
    let (world, google) = World::with_google_at(options).await;
    let ada = world.sign_up("ada").await;
    let page = world.link(&google, &ada, EMAIL, "allow", &[]).await;
    let session = page.query_pairs().find(|(name, _)| name == "session").unwrap().1.into_owned();
    let choice = json!({ "sessionId": session, "selectedCalendarIds": [EMAIL] });
    let chosen = world.post(&ada, "/api/v1/calendar/oauth/google/select", choice).await;
    let calendar = chosen.body["calendars"][0]["id"].as_str().unwrap().to_owned();
    world.stack.work().await;
    (world, google, ada, calendar, clock)
}

/// Asks for a sync and has it carried out; answers with the calendar as it is then.
async fn synced(world: &World, person: &Person, calendar: &str) -> Value {
    world.post(person, &format!("/api/v1/calendar/calendars/{calendar}/sync"), json!({})).await;
    let (user, id) = (person.id.parse().unwrap(), calendar.parse().unwrap());
    // A push of Google's may have asked first, and its message be on its way yet.
    world
        .until("the sync", async || {
            world.stack.work().await;
            let cursor = world.stack.app.store.calendar(user, id).await.unwrap().unwrap().cursor;
            (cursor.done >= cursor.wanted).then_some(())
        })
        .await;
    world.get(person, &format!("/api/v1/calendar/calendars/{calendar}")).await.body
}

fn fault(method: &str, status: u16, reason: &str) -> Value {
    json!([{ "method": method, "status": status, "reason": reason }])
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_token_invalid_swallowed() {
    let (world, google, ada, calendar) = connected().await;
    let mut ids = Vec::new();
    for day in 4..8 {
        ids.push(insert(&google, timed(&format!("Day {day}"), &format!("2027-01-{day:02}"), 9)).await);
    }
    world.sync_calendar(&ada, &calendar).await;
    // Deleted while nobody can say so: the token is gone, and with it the news.
    google.control("silence", json!({ "calendarId": EMAIL, "eventId": ids[1] })).await;
    google.control("expire", json!({ "calendarId": EMAIL })).await;
    let stats = world.sync_calendar(&ada, &calendar).await["stats"].clone();
    assert_eq!((&stats["deleted"], &stats["unchanged"], &stats["created"]), (&json!(1), &json!(3), &json!(0)), "{stats}");
    assert_eq!(titles(&world, &ada).await, ["Day 4", "Day 6", "Day 7"]);
    assert_eq!(world.sync_calendar(&ada, &calendar).await["stats"]["deleted"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_or_failed_fetch_wipes_the_calendar() {
    let (world, google, ada, calendar) = connected().await;
    let mut ids = Vec::new();
    for day in 1..=25 {
        ids.push(insert(&google, timed(&format!("{day}"), &format!("2027-01-{day:02}"), 9)).await);
    }
    world.sync_calendar(&ada, &calendar).await;
    google.control("faults", fault("events.list", 500, "backendError")).await;
    assert_eq!(world.sync_calendar(&ada, &calendar).await["syncStatus"], "FAILED");
    assert_eq!(titles(&world, &ada).await.len(), 25);
    // A full answer that lacks most of it is believed the second time.
    for id in &ids[..20] {
        google.control("silence", json!({ "calendarId": EMAIL, "eventId": id })).await;
    }
    google.control("expire", json!({ "calendarId": EMAIL })).await;
    let first = world.sync_calendar(&ada, &calendar).await;
    assert!(first["warnings"][0].as_str().unwrap().contains("kept until it says so a second time"), "{first}");
    assert_eq!(titles(&world, &ada).await.len(), 25);
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_and_recreate_on_each_run() {
    let (world, google, ada, calendar, _) = by_hand().await;
    for day in 4..8 {
        insert(&google, timed(&format!("Day {day}"), &format!("2027-01-{day:02}"), 9)).await;
    }
    synced(&world, &ada, &calendar).await;
    let (user, id): (UserId, _) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let app = &world.stack.app;
    let (calls, meter) = (google.report().await["calls"].clone(), app.store.meter());
    meter.take();
    let shared::sync::Synced::Done(cursor) = shared::sync::sync_calendar(app, user, id).await.unwrap() else { panic!("synced") };
    let (reads, writes, _) = meter.take();
    assert_eq!((cursor.stats.created, cursor.stats.updated, cursor.stats.deleted), (0, 0, 0));
    // The lease, and the cursor's end with both its index entries; nothing else is written.
    assert!(writes <= 6.0 && reads <= 5.0, "{writes} write and {reads} read units");
    let after = google.report().await["calls"].clone();
    let made: Vec<_> = after.as_object().unwrap().iter().filter(|(name, count)| calls[name.as_str()] != **count).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(after["calendar.events.list"].as_u64().unwrap(), calls["calendar.events.list"].as_u64().unwrap() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_or_duplicate_google_channels() {
    let (world, google, ada, calendar, clock) = by_hand().await;
    assert_eq!(google.report().await["channels"], 1);
    let before = google.calls("calendar.events.list").await;
    let id = insert(&google, timed("Busy", "2027-01-04", 9)).await;
    for number in 0..20 {
        google
            .call(Method::PATCH, &format!("calendars/primary/events/{id}"), None, Some(json!({ "summary": format!("Busy {number}") })))
            .await;
    }
    // Each change was pushed; the pushes come by themselves, so look until the last has.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.stack.work().await;
    let pulls = google.calls("calendar.events.list").await - before;
    assert!((1..=2).contains(&pulls), "21 notifications made {pulls} pulls");
    assert_eq!(titles(&world, &ada).await, ["Busy 19"]);
    // Renewed in time: the new one before the old one is closed, and never two for long.
    clock.advance(TimeDelta::days(6));
    assert_eq!(renew_channels::run(world.stack.app.clone()).await.unwrap(), 1);
    world.stack.work().await;
    assert_eq!(google.report().await["channels"], 1);
    assert_eq!(google.calls("calendar.events.watch").await, 2);
    assert_eq!(google.calls("calendar.channels.stop").await, 1);
    assert_eq!(renew_channels::run(world.stack.app.clone()).await.unwrap(), 0);
    drop((ada, calendar));
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_data_after_a_webhook_dies() {
    let (world, google, ada, calendar, clock) = by_hand().await;
    google.control("mute", json!({})).await;
    insert(&google, timed("Unannounced", "2027-01-04", 9)).await;
    clock.advance(TimeDelta::minutes(70));
    let ada = world.sign_in(&ada).await;
    let stale = world.get(&ada, &format!("/api/v1/calendar/calendars/{calendar}")).await.body;
    assert_eq!(stale["lastSyncedAt"], "2027-01-01T00:00:00Z", "every answer says how fresh it is");
    assert_eq!(reconcile::run(world.stack.app.clone()).await.unwrap(), 1);
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Unannounced"]);
    let fresh = world.get(&ada, &format!("/api/v1/calendar/calendars/{calendar}")).await.body;
    assert_eq!(fresh["lastSyncedAt"], "2027-01-01T01:10:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn google_testing_projects_tokens_die_after_seven_days() {
    let (world, google, ada, calendar, clock) = by_hand().await;
    clock.advance(TimeDelta::days(7));
    google.control("revoke", json!({ "email": EMAIL })).await;
    let ada = world.sign_in(&ada).await;
    let broken = synced(&world, &ada, &calendar).await;
    assert!(broken["lastError"].as_str().unwrap().contains("\"Testing\" lose their grants after seven days"), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_race_with_rotating_tokens() {
    let (world, google, ada, calendar, clock) = by_hand().await;
    clock.advance(TimeDelta::minutes(59));
    let user: UserId = ada.id.parse().unwrap();
    let connection = world.stack.app.store.connections(user).await.unwrap().remove(0);
    let asked = google.calls("token").await;
    let many = (0..8).map(|_| shared::sync::access::access_token(&world.stack.app, &connection, None));
    let tokens: Vec<_> = futures::future::join_all(many).await.into_iter().map(|token| token.unwrap().unwrap()).collect();
    assert!(tokens.iter().all(|token| token == &tokens[0]), "the losers take what the winner has stored");
    assert_eq!(google.calls("token").await - asked, 1, "renewed once");
    // The schedule is early enough that nobody has to wait.
    clock.advance(TimeDelta::minutes(51));
    assert_eq!(refresh_tokens::run(world.stack.app.clone()).await.unwrap(), 1);
    assert_eq!(refresh_tokens::run(world.stack.app.clone()).await.unwrap(), 0);
    drop(calendar);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_finished_push_then_retry() {
    let (world, google, ada, calendar, clock) = by_hand().await;
    let lost = json!([{ "method": "events.insert", "status": 500, "reason": "backendError", "after": true }]);
    google.control("faults", lost).await;
    let body = json!({ "calendarId": calendar, "title": "Once", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = world.post(&ada, "/api/v1/calendar/events?wait=0", body).await;
    assert_eq!((made.status, &made.body["syncStatus"]), (202, &json!("PENDING")));
    world.stack.work().await;
    assert_eq!(at_google(&google).await, ["Once"], "the answer was lost, the event was not");
    clock.advance(TimeDelta::minutes(16));
    synced(&world, &ada, &calendar).await;
    assert_eq!(at_google(&google).await, ["Once"]);
    assert_eq!(google.calls("calendar.events.insert").await, 1, "recognised by its id, not made again");
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert_eq!((seen.len(), &seen[0]["syncStatus"], &seen[0]["id"]), (1, &json!("SYNCED"), &made.body["id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_drops_events() {
    let (world, mut google, mut ada, calendar, clock) = by_hand().await;
    for day in 1..=6 {
        let time = |hour| format!("2027-01-{day:02}T{hour:02}:00:00");
        let body = json!({ "calendarId": calendar, "title": format!("{day}"), "startTime": time(9), "endTime": time(10) });
        assert_eq!(world.post(&ada, "/api/v1/calendar/events?wait=0", body).await.status, 202);
    }
    for reason in ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"] {
        google.control("faults", fault("events.insert", 403, reason)).await;
        world.stack.work().await;
        clock.advance(TimeDelta::minutes(16));
        ada = world.sign_in(&ada).await;
        world.post(&ada, &format!("/api/v1/calendar/calendars/{calendar}/sync"), json!({})).await;
    }
    world.stack.work().await;
    let mut there = at_google(&google).await;
    there.sort();
    assert_eq!(there, ["1", "2", "3", "4", "5", "6"], "the queue drains");
    // Over its quota of a minute: in the next one everything goes on.
    google.control("quota", json!(1)).await;
    let extra = json!({ "calendarId": calendar, "title": "7", "startTime": "2027-01-07T09:00:00", "endTime": "2027-01-07T10:00:00" });
    let extra = world.post(&ada, "/api/v1/calendar/events?wait=0", extra).await.body["id"].as_str().unwrap().to_owned();
    world.stack.work().await;
    assert_eq!(world.get(&ada, &format!("/api/v1/calendar/events/{extra}")).await.body["syncStatus"], "PENDING");
    google.control("forgive", json!({})).await;
    clock.advance(TimeDelta::minutes(16));
    ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    google.sign_in().await;
    assert_eq!(at_google(&google).await.len(), 7);
    // A refusal for good is no throttling: it is shown with its reason, and may be retried.
    let id = world.events(&ada, "2027-01-01", "2027-02-01").await[0]["id"].as_str().unwrap().to_owned();
    google.control("faults", fault("events.update", 403, "forbiddenForNonOrganizer")).await;
    let path = format!("/api/v1/calendar/events/{id}");
    assert_eq!(world.call("PUT", &format!("{path}?wait=0"), Some(&ada.token), Some(json!({ "title": "No" }))).await.status, 202);
    world.stack.work().await;
    let failed = world.get(&ada, &path).await.body;
    assert_eq!(failed["syncStatus"], "FAILED");
    assert!(failed["syncError"].as_str().unwrap().contains("forbiddenForNonOrganizer"), "{failed}");
    assert_eq!(world.post(&ada, &format!("{path}/retry-sync?wait=0"), json!({})).await.status, 202);
    world.stack.work().await;
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
    assert_eq!(world.post(&ada, &format!("{path}/retry-sync?wait=0"), json!({})).await.status, 409, "nothing to retry");
}

#[tokio::test(flavor = "multi_thread")]
async fn attendees_spammed() {
    let (world, google, ada, calendar) = connected().await;
    let body = json!({
        "calendarId": calendar, "title": "Quiet", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00",
        "attendees": [{ "email": "Bob@example.org", "isOptional": true }, { "email": "eve@example.org" }], "createConference": true,
        "reminders": [{ "method": "EMAIL", "minutesBefore": 30 }], "visibility": "PRIVATE", "transparency": "TRANSPARENT", "colorId": "5"
    });
    let made = create(&world, &ada, body).await;
    assert!(made["conferenceUrl"].as_str().unwrap().starts_with("https://meet."), "{made}");
    assert_eq!((&made["reminders"][0]["method"], &made["visibility"], &made["colorId"]), (&json!("EMAIL"), &json!("PRIVATE"), &json!("5")));
    let id = made["id"].as_str().unwrap();
    put(&world, &ada, id, json!({ "title": "Still quiet" })).await;
    assert_eq!(google.report().await["mails"], json!([]), "nobody is told unless said");
    let remote = google.get("calendars/primary/events").await["items"][0].clone();
    assert_eq!((&remote["attendees"][0]["email"], remote["attendees"].as_array().unwrap().len()), (&json!("Bob@example.org"), 2));
    assert!(remote["conferenceData"].is_object(), "a change keeps what it does not speak of");
    put(&world, &ada, id, json!({ "location": "Here", "sendUpdates": "all" })).await;
    assert_eq!(google.report().await["mails"], json!(["Bob@example.org", "eve@example.org"]));
    let doubled = json!({ "attendees": [{ "email": "a@b.c" }, { "email": "A@b.c" }, { "email": "nobody" }] });
    let answer = world.call("PUT", &format!("/api/v1/calendar/events/{id}"), Some(&ada.token), Some(doubled)).await;
    let fields: Vec<_> = answer.body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!((answer.status, fields), (422, vec!["attendees[1].email", "attendees[2].email"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_occurrence_of_a_series() {
    let (world, google, ada, calendar) = connected().await;
    let time = |text: &str| json!({ "dateTime": text, "timeZone": "Europe/Berlin" });
    let old = json!({
        "summary": "Since long ago", "start": time("2020-01-06T09:00:00+01:00"), "end": time("2020-01-06T10:00:00+01:00"),
        "recurrence": ["RRULE:FREQ=WEEKLY", "EXDATE;TZID=Europe/Berlin:20270111T090000"]
    });
    insert(&google, old).await;
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-15", "2027-04-10").await;
    let starts: Vec<_> = seen.iter().map(|event| event["startTime"].as_str().unwrap()).collect();
    let expected = ["2027-03-15T09:00:00+01:00", "2027-03-22T09:00:00+01:00", "2027-03-29T09:00:00+02:00", "2027-04-05T09:00:00+02:00"];
    assert_eq!(starts, expected, "series off by an hour after DST");
    assert_eq!(world.events(&ada, "2027-01-11", "2027-01-12").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_shared_by_two_users() {
    let (world, google) = World::with_google().await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    google.control("people", json!({ "email": "bob@example.org", "name": "Bob", "timeZone": "America/New_York" })).await;
    let team = json!({ "owner": EMAIL, "summary": "Team", "id": "team@group.calendar.google.com" });
    google.control("calendars", team).await;
    google
        .control(
            "calendars",
            json!({ "owner": "bob@example.org", "summary": "Team", "id": "team@group.calendar.google.com", "accessRole": "reader" }),
        )
        .await;
    let shared = "team@group.calendar.google.com";
    let hers = world.connect_google(&google, &ada, EMAIL, &[shared]).await.remove(0);
    let his = world.connect_google(&google, &bob, "bob@example.org", &[shared]).await.remove(0);
    let body = json!({ "calendarId": hers, "title": "Shared", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = create(&world, &ada, body).await;
    world.sync_calendar(&bob, &his).await;
    let seen = world.events(&bob, "2027-01-01", "2027-02-01").await;
    assert_eq!((seen.len(), &seen[0]["title"], &seen[0]["icalUid"]), (1, &json!("Shared"), &made["icalUid"]));
    assert_ne!(seen[0]["id"], made["id"]);
    // He can only read it, and says so.
    let path = format!("/api/v1/calendar/events/{}", seen[0]["id"].as_str().unwrap());
    let refused = world.call("PUT", &path, Some(&bob.token), Some(json!({ "title": "Mine" }))).await;
    assert_eq!((refused.status, &refused.body["type"]), (403, &json!("read-only")));
    assert_eq!(world.get(&bob, &format!("/api/v1/calendar/calendars/{his}")).await.body["isReadOnly"], true);
    assert_eq!(world.get(&bob, &format!("/api/v1/calendar/events/{}", made["id"].as_str().unwrap())).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn same_token_used_for_differently_filtered_lists() {
    let (world, google, ada, calendar, _) = by_hand().await;
    insert(&google, timed("Kept", "2027-01-04", 9)).await;
    synced(&world, &ada, &calendar).await;
    // As if an earlier version had asked in another way: its token is not used.
    let (user, id) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let store = &world.stack.app.store;
    let lease = store.lease(user, id).await.unwrap().unwrap();
    let position = lease.cursor().position.clone().unwrap();
    let other = shared::domain::calendar::Position { query: "instances".to_owned(), token: "not even a token".to_owned(), ..position };
    let success = shared::store::cursors::Success { position: Some(other), ..Default::default() };
    let next = "2027-02-01T00:00:00Z".parse().unwrap();
    let ending = shared::store::cursors::Ending { success: Some(success), error: None, next_sync_at: next, again_in: None };
    store.end_sync(lease, &ending).await.unwrap();
    assert_eq!(synced(&world, &ada, &calendar).await["syncStatus"], "SYNCED");
    assert_eq!(titles(&world, &ada).await, ["Kept"]);
    assert_eq!(google.violations().await, Vec::<Value>::new());
    let due = store.due(DueKind::Feed, 0, next, 10).await.unwrap();
    assert!(due.is_empty(), "accounts are not in the feeds' index");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_change_the_same_and_nothing_is_lost() {
    let (world, google, ada, calendar, _) = by_hand().await;
    let id = insert(&google, timed("Plan", "2027-01-04", 9)).await;
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await.remove(0);
    let path = format!("/api/v1/calendar/events/{}", seen["id"].as_str().unwrap());
    let tag = seen["etag"].as_str().unwrap().to_owned();
    let body = json!({ "title": "Mine", "location": "Here" });
    assert_eq!(world.call("PUT", &format!("{path}?wait=0"), Some(&ada.token), Some(body.clone())).await.status, 202);
    let old = [("authorization", format!("Bearer {}", ada.token)), ("if-match", tag)];
    let stale = world.send("PUT", &format!("{path}?wait=0"), &old, Some(body.to_string())).await;
    assert_eq!((stale.status, &stale.body["type"]), (412, &json!("precondition-failed")));
    google
        .call(Method::PATCH, &format!("calendars/primary/events/{id}"), None, Some(json!({ "summary": "Theirs", "description": "More" })))
        .await;
    world.stack.work().await;
    let merged = world.get(&ada, &path).await.body;
    assert_eq!((&merged["title"], &merged["location"], &merged["description"]), (&json!("Theirs"), &json!("Here"), &json!("More")));
    assert_eq!((&merged["keptEdit"]["fields"], &merged["keptEdit"]["title"]), (&json!(["title"]), &json!("Mine")), "{merged}");
    let remote = google.get(&format!("calendars/primary/events/{id}")).await;
    assert_eq!((&remote["summary"], &remote["location"]), (&json!("Theirs"), &json!("Here")));
    // Removed at Google while it is changed here: kept, with what to do; created anew on request, under a new id there.
    assert_eq!(world.call("PUT", &format!("{path}?wait=0"), Some(&ada.token), Some(json!({ "title": "Again" }))).await.status, 202);
    assert_eq!(google.call(Method::DELETE, &format!("calendars/primary/events/{id}"), None, None).await.0, 204);
    world.stack.work().await;
    let kept = world.get(&ada, &path).await.body;
    assert_eq!((&kept["syncStatus"], &kept["title"]), (&json!("FAILED"), &json!("Again")));
    assert!(kept["syncError"].as_str().unwrap().contains("Retry to create it anew"), "{kept}");
    assert_eq!(world.post(&ada, &format!("{path}/retry-sync?wait=0"), json!({})).await.status, 202);
    world.stack.work().await;
    assert_eq!(at_google(&google).await, ["Again"]);
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
    // The trace of the deleted one, which a full read brings again, says nothing of the new one.
    assert_eq!(world.post(&ada, "/api/v1/sync/reset", json!({})).await.status, 202);
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_read_in_short_pages_forgets_nothing() {
    let (world, google, ada, calendar, _) = by_hand().await;
    let time = |text: &str| json!({ "dateTime": text, "timeZone": "Europe/Berlin" });
    let weekly = json!({
        "id": "series0", "summary": "Weekly", "start": time("2027-01-04T09:00:00+01:00"), "end": time("2027-01-04T10:00:00+01:00"),
        "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"]
    });
    insert(&google, weekly).await;
    insert(&google, timed("Between", "2027-01-05", 9)).await;
    google.call(Method::DELETE, "calendars/primary/events/series0_20270111T080000Z", None, None).await;
    let moved = json!({ "start": time("2027-01-19T09:00:00+01:00"), "end": time("2027-01-19T10:00:00+01:00") });
    google.call(Method::PATCH, "calendars/primary/events/series0_20270118T080000Z", None, Some(moved)).await;
    // Made here, beyond the end of what is read: a full read says nothing of it either.
    let far = json!({ "calendarId": calendar, "title": "Far", "startTime": "2028-08-01T09:00:00", "endTime": "2028-08-01T10:00:00" });
    assert_eq!(world.post(&ada, "/api/v1/calendar/events?wait=0", far).await.status, 202);
    for limit in [1, 2, 3] {
        google.control("pages", json!(limit)).await;
        assert_eq!(world.post(&ada, "/api/v1/sync/reset", json!({})).await.status, 202);
        world.stack.work().await;
        let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
        let starts: Vec<_> = seen.iter().map(|event| &event["startTime"].as_str().unwrap()[..10]).collect();
        assert_eq!(starts, ["2027-01-04", "2027-01-05", "2027-01-19", "2027-01-25"], "pages of {limit}");
        assert_eq!(world.events(&ada, "2028-07-01", "2028-09-01").await.len(), 1, "pages of {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_google_refuses_is_shown_and_kept() {
    let (world, google, ada, calendar, _) = by_hand().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=WEEKLY;COUNT=3"
    });
    assert_eq!(world.post(&ada, "/api/v1/calendar/events?wait=0", weekly).await.status, 202);
    world.stack.work().await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |event: &Value| format!("/api/v1/calendar/events/{}", event["id"].as_str().unwrap());
    // An untouched occurrence is changed by its tag; meanwhile somebody cancels it at Google.
    let tag = [("authorization", format!("Bearer {}", ada.token)), ("if-match", seen[1]["etag"].as_str().unwrap().to_owned())];
    let change = json!({ "title": "Mine" }).to_string();
    assert_eq!(world.send("PUT", &format!("{}?wait=0", path(&seen[1])), &tag, Some(change)).await.status, 202);
    let master = google.get("calendars/primary/events").await["items"][0]["id"].as_str().unwrap().to_owned();
    google.call(Method::DELETE, &format!("calendars/primary/events/{master}_20270111T080000Z"), None, None).await;
    for _ in 0..2 {
        world.stack.work().await;
        let kept = world.get(&ada, &path(&seen[1])).await.body;
        assert_eq!((&kept["syncStatus"], &kept["title"]), (&json!("FAILED"), &json!("Mine")), "{kept}");
        assert!(kept["syncError"].as_str().unwrap().contains("was cancelled at Google"), "{kept}");
        assert_eq!(world.post(&ada, &format!("{}/retry-sync?wait=0", path(&seen[1])), json!({})).await.status, 202);
    }
    world.stack.work().await;
    // What may not be removed is shown again.
    google.control("faults", fault("events.delete", 403, "forbiddenForNonOrganizer")).await;
    let series = format!("/api/v1/calendar/events/{}", seen[0]["seriesId"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &format!("{series}?wait=0"), Some(&ada.token), None).await.status, 202);
    assert_eq!(world.events(&ada, "2027-01-01", "2027-02-01").await, Vec::<Value>::new());
    world.stack.work().await;
    let still = world.get(&ada, &series).await.body;
    assert_eq!((&still["syncStatus"], &still["keptEdit"]["fields"]), (&json!("FAILED"), &json!(["deleted"])), "{still}");
    assert_eq!(world.events(&ada, "2027-01-01", "2027-02-01").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_accounts_list_says_is_followed_daily() {
    let (world, google, ada, calendar, clock) = by_hand().await;
    google.control("calendars", json!({ "owner": EMAIL, "id": EMAIL, "summary": "Renamed", "accessRole": "reader" })).await;
    clock.advance(TimeDelta::hours(25));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    let now = world.get(&ada, &format!("/api/v1/calendar/calendars/{calendar}")).await.body;
    assert_eq!((&now["name"], &now["isReadOnly"], &now["accessRole"]), (&json!("Renamed"), &json!(true), &json!("READER")));
    let lists = google.calls("calendar.calendarList.list").await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(google.calls("calendar.calendarList.list").await, lists, "once a day");
}

#[tokio::test(flavor = "multi_thread")]
async fn push_body_trusted() {
    let (world, google, ada, calendar) = connected().await;
    let headers = [
        ("x-goog-channel-id", "x".repeat(65)),
        ("x-goog-channel-token", "t".to_owned()),
        ("x-goog-resource-id", "r".to_owned()),
        ("x-goog-resource-state", "exists".to_owned()),
    ];
    let body = json!({ "items": [{ "id": "forged", "summary": "Forged", "status": "confirmed" }] }).to_string();
    assert_eq!(world.send("POST", "/api/v1/calendar/webhooks/google", &headers, Some(body)).await.status, 204);
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());
    drop(google);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_tentative_declined_counted_as_busy() {
    let (world, google, ada, calendar) = connected().await;
    let with = async |title: &str, more: Value| {
        let mut event = timed(title, "2027-01-04", 9);
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        insert(&google, event).await;
    };
    with("plain", json!({})).await;
    with("tentative", json!({ "status": "tentative" })).await;
    with("free", json!({ "transparency": "transparent" })).await;
    let answered = |answer: &str| json!({ "attendees": [{ "email": EMAIL, "self": true, "responseStatus": answer }] });
    with("declined", answered("declined")).await;
    with("maybe", answered("tentative")).await;
    with("somebody else declined", json!({ "attendees": [{ "email": "bob@example.org", "responseStatus": "declined" }] })).await;
    world.sync_calendar(&ada, &calendar).await;
    let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let mut busy: Vec<_> = events.iter().filter(|event| event["isBusy"] == true).map(|event| event["title"].as_str().unwrap()).collect();
    busy.sort_unstable();
    assert_eq!(busy, ["maybe", "plain", "somebody else declined", "tentative"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_silently_stop() {
    let (world, google, mut ada, calendar, clock) = by_hand().await;
    insert(&google, timed("Last", "2027-01-04", 9)).await;
    synced(&world, &ada, &calendar).await;
    for _ in 0..4 {
        let down: Vec<Value> = (0..4).map(|_| json!({ "method": "events.list", "status": 503, "reason": "backendError" })).collect();
        google.control("faults", json!(down)).await;
        clock.advance(TimeDelta::hours(2));
        reconcile::run(world.stack.app.clone()).await.unwrap();
        world.stack.work().await;
    }
    ada = world.sign_in(&ada).await;
    let stale = world.get(&ada, &format!("/api/v1/calendar/calendars/{calendar}")).await.body;
    assert_eq!((&stale["syncStatus"], &stale["lastSyncedAt"]), (&json!("FAILED"), &json!("2027-01-01T00:00:00Z")));
    assert!(stale["lastError"].as_str().unwrap().contains("503"), "{stale}");
    assert_eq!(titles(&world, &ada).await, ["Last"], "what is known is still shown, with how old it is");
    google.control("forgive", json!({})).await;
    clock.advance(TimeDelta::hours(8));
    assert_eq!(reconcile::run(world.stack.app.clone()).await.unwrap(), 1, "it is still asked for");
    world.stack.work().await;
    let ada = world.sign_in(&ada).await;
    assert_eq!(world.get(&ada, &format!("/api/v1/calendar/calendars/{calendar}")).await.body["syncStatus"], "SYNCED");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_with_one_tag_one_succeeds() {
    let (world, google, ada, calendar, _) = by_hand().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrence": { "frequency": "WEEKLY", "byDay": ["MO"], "count": 3 }
    });
    assert_eq!(world.post(&ada, "/api/v1/calendar/events?wait=0", weekly).await.status, 202);
    let seen = world.events(&ada, "2027-01-01", "2027-03-01").await;
    assert_eq!(seen.len(), 3, "a count is an end");
    // As the rule gives it, and as an event of its own.
    for (round, event) in [&seen[1], &seen[1]].into_iter().enumerate() {
        let path = format!("/api/v1/calendar/events/{}", event["id"].as_str().unwrap());
        let tag = world.get(&ada, &path).await.headers["etag"].to_str().unwrap().to_owned();
        let headers = [("authorization", format!("Bearer {}", ada.token)), ("if-match", tag)];
        let write = |number: usize| {
            let body = json!({ "title": format!("Writer {number} of round {round}") }).to_string();
            let (world, path, headers) = (&world, format!("{path}?wait=0"), &headers);
            async move { world.send("PUT", &path, headers, Some(body)).await.status }
        };
        let mut statuses = futures::future::join_all((0..6).map(write)).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 412, 412, 412, 412, 412]);
    }
    drop(google);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_mean_is_refused_by_name() {
    let (world, _google, ada, calendar, _) = by_hand().await;
    let refused = async |more: Value| {
        let mut body =
            json!({ "calendarId": calendar, "title": "T", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = world.post(&ada, "/api/v1/calendar/events?wait=0", body).await;
        assert_eq!(answer.status, 422, "{more}: {answer:?}");
        answer.body["errors"][0]["field"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(json!({ "recurrenceRule": "FREQ=SECONDLY" })).await, "recurrenceRule");
    assert_eq!(refused(json!({ "recurrenceRule": "FREQ=DAILY;COUNT=3;UNTIL=20270201" })).await, "recurrenceRule");
    assert_eq!(refused(json!({ "recurrence": { "frequency": "DAILY", "endDate": "2026-12-01" } })).await, "recurrence");
    assert_eq!(refused(json!({ "url": "javascript:alert(1)" })).await, "url");
    assert_eq!(refused(json!({ "reminders": "soon" })).await, "reminders");
    assert_eq!(refused(json!({ "attendees": [{ "email": 7 }] })).await, "attendees[0].email");
    assert_eq!(refused(json!({ "title": "\u{0}" })).await, "title");
    assert_eq!(refused(json!({ "startTime": "0000-01-01", "endTime": "0000-01-02" })).await, "startTime");
    assert_eq!(refused(json!({ "timezone": "Mars/Olympus" })).await, "timezone");
    // An offset names one instant, also in the hour that occurs twice.
    let twice = json!({
        "calendarId": calendar, "title": "Twice", "startTime": "2026-10-25T02:30:00+01:00", "endTime": "2026-10-25T03:00:00+01:00",
        "timezone": "Europe/Berlin"
    });
    let made = world.post(&ada, "/api/v1/calendar/events?wait=0", twice).await;
    assert_eq!((made.status, &made.body["startTime"]), (202, &json!("2026-10-25T01:30:00Z")));
    let gap = json!({ "title": "Gap", "startTime": "2027-03-28T02:30:00", "endTime": "2027-03-28T03:20:00", "timezone": "Europe/Berlin" });
    assert_eq!(world.post(&ada, "/api/v1/slots", gap).await.status, 422, "it would end before it begins");
    let kept = json!({ "title": "Zoned", "startTime": "2027-02-06T20:00:00", "endTime": "2027-02-06T21:00:00", "timezone": "Asia/Tokyo" });
    let kept = world.post(&ada, "/api/v1/slots", kept).await.body;
    let path = format!("/api/v1/slots/{}", kept["id"].as_str().unwrap());
    let later = world.call("PUT", &path, Some(&ada.token), Some(json!({ "endTime": "2027-02-06T22:00:00" }))).await.body;
    assert_eq!((&later["startTime"], &later["endTime"]), (&json!("2027-02-06T20:00:00+09:00"), &json!("2027-02-06T22:00:00+09:00")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_nobody_uses_is_free_again() {
    let (world, google, _, _, clock) = by_hand().await;
    google.control("people", json!({ "email": "bob@example.org", "name": "Bob", "timeZone": "Europe/Berlin" })).await;
    let (bob, eve) = (world.sign_up("bob").await, world.sign_up("eve").await);
    assert!(world.link(&google, &bob, "bob@example.org", "allow", &[]).await.query().unwrap().contains("session="));
    assert!(world.link(&google, &eve, "bob@example.org", "allow", &[]).await.query().unwrap().contains("account_taken"));
    clock.advance(TimeDelta::minutes(11));
    assert!(world.link(&google, &eve, "bob@example.org", "allow", &[]).await.query().unwrap().contains("session="));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_moves_leaves_no_ghosts() {
    let (world, google, ada, calendar, _) = by_hand().await;
    let daily = json!({
        "calendarId": calendar, "title": "Daily", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=DAILY;COUNT=5"
    });
    let series = world.post(&ada, "/api/v1/calendar/events?wait=0", daily).await.body["id"].as_str().unwrap().to_owned();
    world.stack.work().await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |id: &str| format!("/api/v1/calendar/events/{id}?wait=0");
    for (at, change) in [(2, json!({ "title": "Mine" })), (3, json!({ "startTime": "2027-01-07T15:00:00" }))] {
        assert_eq!(world.call("PUT", &path(seen[at]["id"].as_str().unwrap()), Some(&ada.token), Some(change)).await.status, 202);
    }
    world.stack.work().await;
    let both = async || {
        let here = world.events(&ada, "2027-01-01", "2027-02-01").await;
        let there =
            google.get("calendars/primary/events?singleEvents=true&timeMin=2027-01-01T00:00:00Z&timeMax=2027-02-01T00:00:00Z").await;
        (here.len(), there["items"].as_array().unwrap().len())
    };
    assert_eq!(both().await, (5, 5));
    assert_eq!(world.call("PUT", &path(&series), Some(&ada.token), Some(json!({ "startTime": "2027-01-04T11:00:00" }))).await.status, 202);
    assert_eq!(world.events(&ada, "2027-01-01", "2027-02-01").await.len(), 5, "at once");
    world.stack.work().await;
    assert_eq!(both().await, (5, 5));
    // Google's list still has them; a full read does not bring them back.
    world.post(&ada, "/api/v1/sync/reset", json!({})).await;
    world.stack.work().await;
    assert_eq!(both().await, (5, 5));
    let whole = json!({ "startTime": "2027-01-04", "endTime": "2027-01-05", "isAllDay": true });
    assert_eq!(world.call("PUT", &path(&series), Some(&ada.token), Some(whole)).await.status, 202);
    world.stack.work().await;
    assert_eq!(both().await, (5, 5));
}
