//! Google accounts, end to end, both ways.

use reqwest::Method;
use serde_json::{Value, json};

use crate::google::{EMAIL, Sandbox};
use crate::world::{Person, World};

const JANUARY: (&str, &str) = ("2026-12-01", "2027-02-01");

pub(super) async fn titles(world: &World, person: &Person) -> Vec<String> {
    let events = world.events(person, JANUARY.0, JANUARY.1).await;
    events.iter().map(|event| event["title"].as_str().unwrap().to_owned()).collect()
}

pub(super) fn timed(title: &str, day: &str, hour: u32) -> Value {
    let time = |hour| json!({ "dateTime": format!("{day}T{hour:02}:00:00+01:00"), "timeZone": "Europe/Berlin" });
    json!({ "summary": title, "start": time(hour), "end": time(hour + 1) })
}

/// As the Google user: a new event; answers with its id.
pub(super) async fn insert(google: &Sandbox, event: Value) -> String {
    let (status, event) = google.call(Method::POST, "calendars/primary/events?sendUpdates=none", None, Some(event)).await;
    assert_eq!(status, 200, "{event}");
    event["id"].as_str().unwrap().to_owned()
}

pub(super) async fn at_google(google: &Sandbox) -> Vec<String> {
    let list = google.get("calendars/primary/events").await;
    list["items"].as_array().unwrap().iter().map(|event| event["summary"].as_str().unwrap_or("").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_calendars_of_three_are_connected_and_both_sides_agree() {
    let (world, google) = World::with_google().await;
    let ada = world.sign_up("ada").await;
    let team = google.control("calendars", json!({ "owner": EMAIL, "summary": "Team" })).await["id"].as_str().unwrap().to_owned();
    google.control("calendars", json!({ "owner": EMAIL, "summary": "Holidays", "accessRole": "reader", "unwatchable": true })).await;
    insert(&google, timed("Seen at once", "2027-01-04", 9)).await;

    let page = world.link(&google, &ada, EMAIL, "allow", &[]).await;
    let session = page.query_pairs().find(|(name, _)| name == "session").unwrap().1.into_owned();
    let offered = world.get(&ada, &format!("/api/v1/calendar/oauth/session/{session}")).await;
    assert_eq!(offered.body["userEmail"], EMAIL);
    let names: Vec<_> = offered.body["calendars"].as_array().unwrap().iter().map(|calendar| calendar["name"].as_str().unwrap()).collect();
    assert_eq!(names, [EMAIL, "Holidays", "Team"], "the account's own first");
    let choice = json!({ "sessionId": session, "selectedCalendarIds": [EMAIL, team] });
    let chosen = world.post(&ada, "/api/v1/calendar/oauth/google/select", choice.clone()).await;
    assert_eq!((chosen.status, chosen.body["connectedCount"].as_u64()), (201, Some(2)), "{chosen:?}");
    assert_eq!(world.post(&ada, "/api/v1/calendar/oauth/google/select", choice).await.status, 404, "a session is good once");
    let calendars = world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"].clone();
    let primary = calendars.as_array().unwrap().iter().find(|calendar| calendar["isPrimary"] == true).unwrap()["id"].clone();
    let primary = primary.as_str().unwrap();

    // Google → here, by push.
    world.until("the first sync", async || (titles(&world, &ada).await == ["Seen at once"]).then_some(())).await;
    world.until("channels", async || (google.report().await["channels"] == 2).then_some(())).await;
    let pushed = insert(&google, timed("Pushed", "2027-01-05", 9)).await;
    world.until("a push", async || (titles(&world, &ada).await == ["Seen at once", "Pushed"]).then_some(())).await;

    // Here → Google.
    let body = json!({ "calendarId": primary, "title": "Made here", "startTime": "2027-01-06T09:00:00", "endTime": "2027-01-06T10:00:00" });
    let made = world.post(&ada, "/api/v1/calendar/events", body).await;
    assert_eq!((made.status, &made.body["syncStatus"]), (201, &json!("SYNCED")), "{made:?}");
    assert_eq!(at_google(&google).await, ["Seen at once", "Pushed", "Made here"]);
    let id = made.body["id"].as_str().unwrap();
    let changed =
        world.call("PUT", &format!("/api/v1/calendar/events/{id}"), Some(&ada.token), Some(json!({ "title": "Changed here" }))).await;
    assert_eq!((changed.status, &changed.body["title"]), (200, &json!("Changed here")), "{changed:?}");
    assert!(at_google(&google).await.contains(&"Changed here".to_owned()));
    assert_eq!(titles(&world, &ada).await, ["Seen at once", "Pushed", "Changed here"], "no echo, no double");

    // Deletions on each side.
    let deleted = world.call("DELETE", &format!("/api/v1/calendar/events/{id}"), Some(&ada.token), None).await;
    assert_eq!((deleted.status, &deleted.body["syncStatus"]), (200, &json!("SYNCED")), "{deleted:?}");
    assert_eq!(at_google(&google).await, ["Seen at once", "Pushed"]);
    google.call(Method::DELETE, &format!("calendars/primary/events/{pushed}"), None, None).await;
    world.until("a deletion", async || (titles(&world, &ada).await == ["Seen at once"]).then_some(())).await;
    let counted = world.get(&ada, &format!("/api/v1/calendar/calendars/{primary}")).await.body["eventCount"].clone();
    assert_eq!(counted, 1, "what is made and removed on either side is counted once");
    assert_eq!(google.violations().await, Vec::<Value>::new());
}

/// One person with a Google account whose primary calendar is connected.
pub(super) async fn connected() -> (World, Sandbox, Person, String) {
    let (world, google) = World::with_google().await;
    let ada = world.sign_up("ada").await;
    let id = world.connect_google(&google, &ada, EMAIL, &[EMAIL]).await.remove(0);
    (world, google, ada, id)
}

pub(super) async fn create(world: &World, person: &Person, body: Value) -> Value {
    let made = world.post(person, "/api/v1/calendar/events", body).await;
    assert_eq!((made.status, &made.body["syncStatus"]), (201, &json!("SYNCED")), "{made:?}");
    made.body
}

pub(super) async fn put(world: &World, person: &Person, id: &str, body: Value) -> Value {
    let answer = world.call("PUT", &format!("/api/v1/calendar/events/{id}"), Some(&person.token), Some(body)).await;
    assert_eq!((answer.status, &answer.body["syncStatus"]), (200, &json!("SYNCED")), "{answer:?}");
    answer.body
}

pub(super) async fn delete(world: &World, person: &Person, id: &str) {
    let answer = world.call("DELETE", &format!("/api/v1/calendar/events/{id}"), Some(&person.token), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_instance_shows_twice() {
    let (world, google, ada, calendar) = connected().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Standup", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T09:15:00",
        "timezone": "Europe/Berlin", "recurrence": { "frequency": "WEEKLY", "byDay": ["MONDAY"], "endType": "COUNT", "count": 4 }
    });
    let series = create(&world, &ada, weekly).await;
    let starts = async || {
        let events = world.events(&ada, "2027-01-01", "2027-03-01").await;
        events.iter().map(|event| event["startTime"].as_str().unwrap()[..16].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(starts().await, ["2027-01-04T09:00", "2027-01-11T09:00", "2027-01-18T09:00", "2027-01-25T09:00"]);
    let events = world.events(&ada, "2027-01-01", "2027-03-01").await;
    let id = |at: usize| events[at]["id"].as_str().unwrap().to_owned();

    // One occurrence is moved here, another at Google, a third is cancelled here, the last one there.
    let moved = put(&world, &ada, &id(1), json!({ "startTime": "2027-01-12T10:00:00" })).await;
    assert_eq!((&moved["endTime"], &moved["seriesId"]), (&json!("2027-01-12T10:15:00+01:00"), &series["id"]));
    let remote = google.get("calendars/primary/events").await;
    let master = remote["items"].as_array().unwrap().iter().find(|event| event.get("recurrence").is_some()).unwrap()["id"].clone();
    let master = master.as_str().unwrap();
    let time = |text: &str| json!({ "dateTime": text, "timeZone": "Europe/Berlin" });
    let change = json!({ "start": time("2027-01-20T11:00:00+01:00"), "end": time("2027-01-20T11:15:00+01:00") });
    let (status, _) = google.call(Method::PATCH, &format!("calendars/primary/events/{master}_20270118T080000Z"), None, Some(change)).await;
    assert_eq!(status, 200);
    delete(&world, &ada, &id(0)).await;
    assert_eq!(google.call(Method::DELETE, &format!("calendars/primary/events/{master}_20270125T080000Z"), None, None).await.0, 204);
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(starts().await, ["2027-01-12T10:00", "2027-01-20T11:00"]);
    let at_google = google.get("calendars/primary/events?showDeleted=true").await;
    let cancelled = at_google["items"].as_array().unwrap().iter().filter(|event| event["status"] == "cancelled").count();
    assert_eq!(cancelled, 2);

    // The series goes on at another time: what was cancelled stays so, and the whole goes at once.
    put(&world, &ada, series["id"].as_str().unwrap(), json!({ "title": "Daily" })).await;
    assert_eq!(starts().await, ["2027-01-12T10:00", "2027-01-20T11:00"]);
    google.control("expire", json!({ "calendarId": EMAIL })).await;
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(starts().await, ["2027-01-12T10:00", "2027-01-20T11:00"], "a full read finds the same");
    delete(&world, &ada, series["id"].as_str().unwrap()).await;
    assert_eq!(starts().await, Vec::<String>::new());
    assert_eq!(google.get("calendars/primary/events").await["items"], json!([]));
    assert_eq!(google.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_day_event_shifts_by_a_day() {
    let (world, google, ada, calendar) = connected().await;
    let body =
        json!({ "calendarId": calendar, "title": "Over the change", "startTime": "2027-03-27", "endTime": "2027-03-30", "isAllDay": true });
    let made = create(&world, &ada, body).await;
    assert_eq!((&made["startTime"], &made["endTime"]), (&json!("2027-03-27"), &json!("2027-03-30")));
    let remote = google.get("calendars/primary/events").await["items"][0].clone();
    assert_eq!((&remote["start"], &remote["end"]), (&json!({ "date": "2027-03-27" }), &json!({ "date": "2027-03-30" })));
    // From a day to a time and back: nothing of the other is left.
    let timed = put(
        &world,
        &ada,
        made["id"].as_str().unwrap(),
        json!({ "startTime": "2027-03-28T01:30:00", "endTime": "2027-03-28T03:30:00", "isAllDay": false }),
    )
    .await;
    assert_eq!((&timed["startTime"], &timed["endTime"]), (&json!("2027-03-28T01:30:00+01:00"), &json!("2027-03-28T03:30:00+02:00")));
    let remote = google.get("calendars/primary/events").await["items"][0].clone();
    assert_eq!(remote["start"]["date"], Value::Null, "{remote}");
    google.call(Method::PATCH, &format!("calendars/primary/events/{}", remote["id"].as_str().unwrap()), None,
        Some(json!({ "start": { "date": "2027-03-28", "dateTime": null, "timeZone": null }, "end": { "date": "2027-03-29", "dateTime": null, "timeZone": null } }))).await;
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-28", "2027-03-29").await;
    assert_eq!((&seen[0]["startTime"], &seen[0]["isAllDay"]), (&json!("2027-03-28"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_grant_loops() {
    let (world, mut google, ada, calendar) = connected().await;
    insert(&google, timed("Kept", "2027-01-04", 9)).await;
    world.sync_calendar(&ada, &calendar).await;
    google.control("revoke", json!({ "email": EMAIL })).await;
    for _ in 0..3 {
        let answer = world.sync_calendar(&ada, &calendar).await;
        assert_eq!(answer["syncStatus"], "FAILED", "{answer}");
        assert!(answer["lastError"].as_str().unwrap().contains("Connect the account again; nothing was deleted"), "{answer}");
    }
    assert_eq!(titles(&world, &ada).await, ["Kept"], "nothing is deleted");
    let linked = world.get(&ada, "/api/v1/calendar/oauth/connections").await.body["connections"][0].clone();
    assert_eq!((&linked["status"], &linked["email"]), (&json!("NEEDS_REAUTH"), &json!(EMAIL)));
    assert_eq!(world.dump().await.matches("CONNECTION_NEEDS_REAUTH").count(), 1, "said once");
    // What is changed here meanwhile waits; a new consent heals all of it.
    let body = json!({ "calendarId": calendar, "title": "Waits", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = world.post(&ada, "/api/v1/calendar/events", body).await;
    assert_eq!((made.status, &made.body["syncStatus"]), (202, &json!("PENDING")), "{made:?}");
    world.link(&google, &ada, EMAIL, "allow", &[]).await;
    google.sign_in().await;
    world.until("the healing", async || (at_google(&google).await == ["Kept", "Waits"]).then_some(())).await;
    assert_eq!(world.sync_calendar(&ada, &calendar).await["syncStatus"], "SYNCED");
    assert_eq!(titles(&world, &ada).await, ["Kept", "Waits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_removes_everything_and_gives_the_grant_back() {
    let (world, google) = World::with_google().await;
    let (ada, eve) = (world.sign_up("ada").await, world.sign_up("eve").await);
    let team = google.control("calendars", json!({ "owner": EMAIL, "summary": "Team" })).await["id"].as_str().unwrap().to_owned();
    let ids = world.connect_google(&google, &ada, EMAIL, &[EMAIL, &team]).await;
    world.until("channels", async || (google.report().await["channels"] == 2).then_some(())).await;
    // An account belongs to one person at a time.
    let page = world.link(&google, &eve, EMAIL, "allow", &[]).await;
    assert!(page.query().unwrap().contains("error=account_taken"), "{page}");
    assert_eq!(world.call("DELETE", &format!("/api/v1/calendar/calendars/{}", ids[0]), Some(&ada.token), None).await.status, 204);
    world.until("one channel", async || (google.report().await["channels"] == 1).then_some(())).await;
    world.sync_calendar(&ada, &ids[1]).await;
    assert_eq!(world.call("DELETE", &format!("/api/v1/calendar/calendars/{}", ids[1]), Some(&ada.token), None).await.status, 204);
    world.until("no channel", async || (google.report().await["channels"] == 0).then_some(())).await;
    world.until("no grant", async || (!world.dump().await.contains("#grant")).then_some(())).await;
    // Now somebody else may have it; and it may come back to where it was, under the same ids.
    let page = world.link(&google, &eve, EMAIL, "allow", &[]).await;
    assert!(page.query().unwrap().contains("session="), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_ends_gives_its_grants_back() {
    let (world, google, ada, _) = connected().await;
    assert_eq!(google.report().await["grants"], 1);
    let body = json!({ "password": crate::world::PASSWORD });
    assert_eq!(world.call("DELETE", "/api/v1/auth/account", Some(&ada.token), Some(body)).await.status, 204);
    assert_eq!(google.report().await["grants"], 0);
    let left = |dump: String| dump.lines().any(|line| (line.starts_with("CAL") || line.starts_with("VAULT")) && line.contains(&ada.id));
    world.until("the end", async || (!left(world.dump().await)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_bound_to_its_browser_and_good_once() {
    let (world, google) = World::with_google().await;
    let ada = world.sign_up("ada").await;
    let login = async || {
        let login = world.get(&ada, "/api/v1/calendar/oauth/google/login").await;
        let cookie = login.headers["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.contains("HttpOnly"), "{cookie}");
        (login.body["authUrl"].as_str().unwrap().to_owned(), cookie.split(';').next().unwrap().to_owned())
    };
    let (url, cookie) = login().await;
    for part in ["code_challenge_method=S256", "access_type=offline", "nonce=", "response_type=code"] {
        assert!(url.contains(part), "{url}");
    }
    let back = google.consent(&url, EMAIL, "allow", &[]).await;
    let error = async |back: &str, cookie: &str| {
        let page = world.come_back(back, cookie).await;
        page.query_pairs().find(|(name, _)| name == "error").map(|(_, value)| value.into_owned())
    };
    assert_eq!(error(&back, "calweave_oauth=another").await.as_deref(), Some("invalid_state"), "another browser");
    assert_eq!(error(&back, &cookie).await.as_deref(), Some("invalid_state"), "used up by the first try");
    let (url, cookie) = login().await;
    let back = google.consent(&url, EMAIL, "allow", &[]).await;
    assert_eq!(error(&back, &cookie).await, None);
    assert_eq!(error(&back, &cookie).await.as_deref(), Some("invalid_state"), "good once");
    let denied = world.link(&google, &ada, EMAIL, "deny", &[]).await;
    assert!(denied.query().unwrap().contains("error=access_denied"), "{denied}");
    let less = world.link(&google, &ada, EMAIL, "allow", &["https://www.googleapis.com/auth/calendar.events"]).await;
    assert!(less.query().unwrap().contains("error=missing_scopes"), "{less}");
    let elsewhere = world.get(&ada, "/api/v1/calendar/oauth/google/login?returnTo=https://evil.example/").await;
    assert_eq!((elsewhere.status, &elsewhere.body["errors"][0]["field"]), (422, &json!("returnTo")));
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_matched_to_the_wrong_user() {
    let (world, google, ada, calendar) = connected().await;
    world.until("a channel", async || (google.report().await["channels"] == 1).then_some(())).await;
    let dump = world.dump().await;
    let channel = dump.split("CHANNEL#").nth(1).unwrap().split('"').next().unwrap().to_owned();
    insert(&google, timed("First", "2027-01-04", 9)).await;
    world.until("a push", async || (titles(&world, &ada).await == ["First"]).then_some(())).await;
    world
        .until("rest", async || {
            (world.get(&ada, &format!("/api/v1/calendar/calendars/{calendar}")).await.body["syncStatus"] == "SYNCED").then_some(())
        })
        .await;
    let before = google.calls("calendar.events.list").await;
    for (id, token) in [(channel.as_str(), ""), (channel.as_str(), "guessed"), ("unknown", "guessed"), ("", "")] {
        let headers = [
            ("x-goog-channel-id", id.to_owned()),
            ("x-goog-channel-token", token.to_owned()),
            ("x-goog-resource-id", "any".to_owned()),
            ("x-goog-resource-state", "exists".to_owned()),
        ];
        for path in ["/api/v1/calendar/webhooks/google", "/api/v1/webhooks/google-calendar"] {
            assert_eq!(world.send("POST", path, &headers, Some(String::new())).await.status, 204);
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(google.calls("calendar.events.list").await, before, "a forged notification changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_in_plain_text() {
    let (world, google, ada, calendar) = connected().await;
    world.sync_calendar(&ada, &calendar).await;
    let dump = world.dump().await;
    assert!(dump.contains("#grant"));
    for start in ["ya29.", "1//"] {
        assert!(!dump.contains(start), "a table holds a token");
    }
    drop(google);
}
