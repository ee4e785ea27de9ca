//! What every provider of accounts has to be good for, end to end, both ways: each of these journeys is made with each of
//! them. What breaks other calendar systems bears the name of its scenario.

use chrono::TimeDelta;
use local::stack::Options;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::ids::UserId;
use shared::store::keys::DueKind;

use crate::side::{EventChange, InjectedFault, ProviderHarness, token_in};
use crate::world::{Person, World};

macro_rules! with_each_provider {
    ($($journey:ident),+ $(,)?) => {
        mod google {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $journey() {
                    super::$journey::<crate::google::GoogleHarness>().await;
                }
            )+
        }

        mod microsoft {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $journey() {
                    super::$journey::<crate::microsoft::MicrosoftHarness>().await;
                }
            )+
        }
    };
}

with_each_provider!(
    two_calendars_of_three_are_connected_and_both_sides_agree,
    moved_instance_shows_twice,
    all_day_event_shifts_by_a_day,
    invalid_grant_loops,
    disconnect_removes_everything,
    an_account_that_ends_leaves_nothing,
    a_sign_in_is_bound_to_its_browser_and_good_once,
    tokens_in_plain_text,
    sync_token_invalid_swallowed,
    empty_or_failed_fetch_wipes_the_calendar,
    delete_and_recreate_on_each_run,
    a_burst_of_notifications_makes_one_pull,
    stale_data_after_a_webhook_dies,
    refresh_race_with_rotating_tokens,
    half_finished_push_then_retry,
    throttling_drops_events,
    only_the_first_occurrence_of_a_series,
    same_token_used_for_differently_filtered_lists,
    both_sides_change_the_same_and_nothing_is_lost,
    a_full_read_in_short_pages_forgets_nothing,
    what_is_refused_is_shown_and_kept,
    updates_silently_stop,
    of_many_writers_with_one_tag_one_succeeds,
    an_account_that_nobody_uses_is_free_again,
    a_series_that_moves_leaves_no_ghosts,
    a_series_that_is_deleted_there_takes_no_change_along,
    an_invitation_is_answered,
    a_second_wish_does_not_lose_to_the_first,
    a_change_of_an_occurrence_says_nothing_of_its_series,
    what_is_different_of_a_series_outlives_second_thoughts,
    a_series_that_is_changed_here_keeps_what_is_different,
);

pub(super) async fn titles(world: &World, person: &Person) -> Vec<String> {
    let events = world.events(person, "2026-12-01", "2027-02-01").await;
    events
        .iter()
        .map(|event| event["title"].as_str().unwrap().to_owned())
        .collect()
}

/// An hour of a day in January 2027, from nine o'clock.
async fn insert<S: ProviderHarness>(side: &S, title: &str, day: u32) -> String {
    side.insert(
        title,
        &format!("2027-01-{day:02}T09:00:00"),
        &format!("2027-01-{day:02}T10:00:00"),
        None,
    )
    .await
}

/// One person with an account whose own calendar is connected.
pub(super) async fn connected<S: ProviderHarness>() -> (World, S, Person, String) {
    let (world, side) = World::beside::<S>(Options::default()).await;
    let ada = world.sign_up("ada").await;
    let id = world
        .connect_account(&side, &ada, S::EMAIL, &[&side.primary()])
        .await
        .remove(0);
    (world, side, ada, id)
}

/// The same as [`connected`], with a clock that is moved by hand and a worker that works when it is told to.
pub(super) async fn by_hand<S: ProviderHarness>() -> (World, S, Person, String, Clock) {
    let clock = Clock::manual("2027-01-01T00:00:00Z".parse().unwrap());
    let options = Options {
        clock: clock.clone(),
        background: false,
        ..Options::default()
    };
    let (world, side) = World::beside::<S>(options).await;
    let ada = world.sign_up("ada").await;
    let calendar = world
        .choose(&side, &ada, S::EMAIL, &[&side.primary()])
        .await
        .remove(0);
    world.stack.work().await;
    (world, side, ada, calendar, clock)
}

/// Asks for a sync and has it carried out; answers with the calendar as it is then.
pub(super) async fn synced(world: &World, person: &Person, calendar: &str) -> Value {
    world
        .post(
            person,
            &format!("/api/v1/calendar/calendars/{calendar}/sync"),
            json!({}),
        )
        .await;
    let (user, id) = (person.id.parse().unwrap(), calendar.parse().unwrap());
    // A push may have asked first, and its message be on its way yet.
    world
        .until("the sync", async || {
            world.stack.work().await;
            let cursor = world
                .stack
                .context
                .store
                .calendar(user, id)
                .await
                .unwrap()
                .unwrap()
                .cursor;
            (cursor.completed >= cursor.requested).then_some(())
        })
        .await;
    world
        .get(person, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body
}

pub(super) async fn create(world: &World, person: &Person, body: Value) -> Value {
    let made = world.post(person, "/api/v1/calendar/events", body).await;
    assert_eq!(
        (made.status, &made.body["syncStatus"]),
        (201, &json!("SYNCED")),
        "{made:?}"
    );
    made.body
}

pub(super) async fn put(world: &World, person: &Person, id: &str, body: Value) -> Value {
    let answer = world
        .call(
            "PUT",
            &format!("/api/v1/calendar/events/{id}"),
            Some(&person.token),
            Some(body),
        )
        .await;
    assert_eq!(
        (answer.status, &answer.body["syncStatus"]),
        (200, &json!("SYNCED")),
        "{answer:?}"
    );
    answer.body
}

async fn delete(world: &World, person: &Person, id: &str) {
    let answer = world
        .call(
            "DELETE",
            &format!("/api/v1/calendar/events/{id}"),
            Some(&person.token),
            None,
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn two_calendars_of_three_are_connected_and_both_sides_agree<S: ProviderHarness>() {
    let (world, side) = World::beside::<S>(Options::default()).await;
    let ada = world.sign_up("ada").await;
    let team = side.add_calendar("Team").await;
    side.add_calendar("Holidays").await;
    insert(&side, "Seen at once", 4).await;

    let page = world.link(&side, &ada, S::EMAIL, "allow", &[]).await;
    let session = page
        .query_pairs()
        .find(|(name, _)| name == "session")
        .unwrap()
        .1
        .into_owned();
    let offered = world
        .get(&ada, &format!("/api/v1/calendar/oauth/session/{session}"))
        .await;
    assert_eq!(offered.body["userEmail"], S::EMAIL);
    let names: Vec<_> = offered.body["calendars"]
        .as_array()
        .unwrap()
        .iter()
        .map(|calendar| calendar["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[1..], ["Holidays", "Team"], "the account's own first");
    assert_eq!(offered.body["calendars"][0]["isPrimary"], true);
    let choice = json!({ "sessionId": session, "selectedCalendarIds": [side.primary(), team] });
    let select = format!("/api/v1/calendar/oauth/{}/select", S::PATH);
    let chosen = world.post(&ada, &select, choice.clone()).await;
    assert_eq!(
        (chosen.status, chosen.body["connectedCount"].as_u64()),
        (201, Some(2)),
        "{chosen:?}"
    );
    assert_eq!(
        world.post(&ada, &select, choice).await.status,
        404,
        "a session is good once"
    );
    let calendars = world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"].clone();
    let primary = calendars
        .as_array()
        .unwrap()
        .iter()
        .find(|calendar| calendar["isPrimary"] == true)
        .unwrap()["id"]
        .clone();
    let primary = primary.as_str().unwrap();

    // There → here, by push.
    world
        .until("the first sync", async || {
            (titles(&world, &ada).await == ["Seen at once"]).then_some(())
        })
        .await;
    world
        .until("channels", async || {
            (side.report().await["channels"].as_u64() >= Some(1)).then_some(())
        })
        .await;
    world
        .until("rest", async || {
            let all = world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"].clone();
            all.as_array()
                .unwrap()
                .iter()
                .all(|calendar| calendar["syncStatus"] == "SYNCED")
                .then_some(())
        })
        .await;
    let pushed = insert(&side, "Pushed", 5).await;
    world
        .until("a push", async || {
            (titles(&world, &ada).await == ["Seen at once", "Pushed"]).then_some(())
        })
        .await;

    // Here → there.
    let body = json!({ "calendarId": primary, "title": "Made here", "startTime": "2027-01-06T09:00:00", "endTime": "2027-01-06T10:00:00" });
    let made = create(&world, &ada, body).await;
    assert_eq!(side.titles().await, ["Made here", "Pushed", "Seen at once"]);
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        put(&world, &ada, id, json!({ "title": "Changed here" })).await["title"],
        "Changed here"
    );
    assert!(side.titles().await.contains(&"Changed here".to_owned()));
    assert_eq!(
        titles(&world, &ada).await,
        ["Seen at once", "Pushed", "Changed here"],
        "no echo, no double"
    );

    // Deletions on each side.
    delete(&world, &ada, id).await;
    assert_eq!(side.titles().await, ["Pushed", "Seen at once"]);
    assert!(side.remove(&pushed).await.is_success());
    world
        .until("a deletion", async || {
            (titles(&world, &ada).await == ["Seen at once"]).then_some(())
        })
        .await;
    let counted = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{primary}"))
        .await
        .body["eventCount"]
        .clone();
    assert_eq!(
        counted, 1,
        "what is made and removed on either side is counted once"
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
    assert_eq!(side.report().await["mails"], json!([]));
}

async fn moved_instance_shows_twice<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Standup", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T09:15:00",
        "timezone": "Europe/Berlin", "recurrence": { "frequency": "WEEKLY", "byDay": ["MONDAY"], "endType": "COUNT", "count": 4 }
    });
    let series = create(&world, &ada, weekly).await;
    let starts = async || {
        let events = world.events(&ada, "2027-01-01", "2027-03-01").await;
        events
            .iter()
            .map(|event| event["startTime"].as_str().unwrap()[..16].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        starts().await,
        [
            "2027-01-04T09:00",
            "2027-01-11T09:00",
            "2027-01-18T09:00",
            "2027-01-25T09:00"
        ]
    );
    let events = world.events(&ada, "2027-01-01", "2027-03-01").await;
    let id = |at: usize| events[at]["id"].as_str().unwrap().to_owned();

    // One occurrence is moved here, another there, a third is cancelled here, the last one there.
    let moved = put(
        &world,
        &ada,
        &id(1),
        json!({ "startTime": "2027-01-12T10:00:00" }),
    )
    .await;
    assert_eq!(
        (&moved["endTime"], &moved["seriesId"]),
        (&json!("2027-01-12T10:15:00+01:00"), &series["id"])
    );
    let master = side
        .all()
        .await
        .into_iter()
        .find(|event| event.is_series)
        .unwrap()
        .id;
    let third = S::occurrence(&master, "2027-01-18T09:00:00");
    assert!(
        side.change(
            &third,
            EventChange::Times("2027-01-20T11:00:00", "2027-01-20T11:15:00")
        )
        .await
        .is_success()
    );
    delete(&world, &ada, &id(0)).await;
    assert!(
        side.remove(&S::occurrence(&master, "2027-01-25T09:00:00"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(starts().await, ["2027-01-12T10:00", "2027-01-20T11:00"]);
    assert_eq!(side.in_january().await, 2);

    // The series goes on: what was cancelled stays so, and the whole goes at once.
    put(
        &world,
        &ada,
        series["id"].as_str().unwrap(),
        json!({ "title": "Daily" }),
    )
    .await;
    assert_eq!(starts().await, ["2027-01-12T10:00", "2027-01-20T11:00"]);
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(
        starts().await,
        ["2027-01-12T10:00", "2027-01-20T11:00"],
        "a full read finds the same"
    );
    delete(&world, &ada, series["id"].as_str().unwrap()).await;
    assert_eq!(starts().await, Vec::<String>::new());
    assert_eq!(side.in_january().await, 0);
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn all_day_event_shifts_by_a_day<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let body = json!({ "calendarId": calendar, "title": "Over the change", "startTime": "2027-03-27", "endTime": "2027-03-30", "isAllDay": true });
    let made = create(&world, &ada, body).await;
    assert_eq!(
        (&made["startTime"], &made["endTime"]),
        (&json!("2027-03-27"), &json!("2027-03-30"))
    );
    let there = side.all().await.remove(0);
    assert_eq!(there.start, "2027-03-27");
    // From a day to a time and back: nothing of the other is left.
    let times = json!({ "startTime": "2027-03-28T01:30:00", "endTime": "2027-03-28T03:30:00", "isAllDay": false });
    let timed = put(&world, &ada, made["id"].as_str().unwrap(), times).await;
    assert_eq!(
        (&timed["startTime"], &timed["endTime"]),
        (
            &json!("2027-03-28T01:30:00+01:00"),
            &json!("2027-03-28T03:30:00+02:00")
        )
    );
    assert_eq!(side.read(&there.id).await.start, "2027-03-28T01:30:00");
    let whole = put(
        &world,
        &ada,
        made["id"].as_str().unwrap(),
        json!({ "isAllDay": true }),
    )
    .await;
    assert_eq!(
        (&whole["startTime"], &whole["endTime"]),
        (&json!("2027-03-28"), &json!("2027-03-29")),
        "the days that it touches"
    );
    assert!(
        side.change(&there.id, EventChange::Times("2027-03-28", "2027-03-29"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-28", "2027-03-29").await;
    assert_eq!(
        (
            &seen[0]["startTime"],
            &seen[0]["endTime"],
            &seen[0]["isAllDay"]
        ),
        (&json!("2027-03-28"), &json!("2027-03-29"), &json!(true))
    );
    // One that repeats, with an occurrence that is cancelled there.
    let daily = side
        .insert(
            "Daily",
            "2027-03-26",
            "2027-03-27",
            Some("FREQ=DAILY;COUNT=5"),
        )
        .await;
    assert!(
        side.remove(&S::occurrence(&daily, "2027-03-28"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-20", "2027-04-10").await;
    let days: Vec<_> = seen
        .iter()
        .filter(|event| event["title"] == "Daily")
        .map(|event| event["startTime"].as_str().unwrap())
        .collect();
    assert_eq!(
        days,
        ["2027-03-26", "2027-03-27", "2027-03-29", "2027-03-30"]
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn invalid_grant_loops<S: ProviderHarness>() {
    let (world, mut side, ada, calendar) = connected::<S>().await;
    insert(&side, "Kept", 4).await;
    world.sync_calendar(&ada, &calendar).await;
    side.control("revoke", json!({ "email": S::EMAIL })).await;
    for _ in 0..3 {
        let answer = world.sync_calendar(&ada, &calendar).await;
        assert_eq!(answer["syncStatus"], "FAILED", "{answer}");
        assert!(
            answer["lastError"]
                .as_str()
                .unwrap()
                .contains("Connect the account again; nothing was deleted"),
            "{answer}"
        );
    }
    assert_eq!(titles(&world, &ada).await, ["Kept"], "nothing is deleted");
    let linked = world
        .get(&ada, "/api/v1/calendar/oauth/connections")
        .await
        .body["connections"][0]
        .clone();
    assert_eq!(
        (&linked["status"], &linked["email"]),
        (&json!("NEEDS_REAUTH"), &json!(S::EMAIL))
    );
    assert_eq!(
        world
            .dump()
            .await
            .matches("CONNECTION_NEEDS_REAUTH")
            .count(),
        1,
        "said once"
    );
    // What is changed here meanwhile waits; a new consent heals all of it.
    let body = json!({ "calendarId": calendar, "title": "Waits", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = world.post(&ada, "/api/v1/calendar/events", body).await;
    assert_eq!(
        (made.status, &made.body["syncStatus"]),
        (202, &json!("PENDING")),
        "{made:?}"
    );
    world.link(&side, &ada, S::EMAIL, "allow", &[]).await;
    side.sign_in().await;
    world
        .until("the healing", async || {
            (side.titles().await == ["Kept", "Waits"]).then_some(())
        })
        .await;
    assert_eq!(
        world.sync_calendar(&ada, &calendar).await["syncStatus"],
        "SYNCED"
    );
    assert_eq!(titles(&world, &ada).await, ["Kept", "Waits"]);
}

async fn disconnect_removes_everything<S: ProviderHarness>() {
    let (world, side) = World::beside::<S>(Options::default()).await;
    let (ada, eve) = (world.sign_up("ada").await, world.sign_up("eve").await);
    let team = side.add_calendar("Team").await;
    let ids = world
        .connect_account(&side, &ada, S::EMAIL, &[&side.primary(), &team])
        .await;
    world
        .until("channels", async || {
            (side.report().await["channels"].as_u64() >= Some(1)).then_some(())
        })
        .await;
    // An account belongs to one person at a time.
    let page = world.link(&side, &eve, S::EMAIL, "allow", &[]).await;
    assert!(
        page.query().unwrap().contains("error=account_taken"),
        "{page}"
    );
    let calendar = |id: &str| format!("/api/v1/calendar/calendars/{id}");
    assert_eq!(
        world
            .call("DELETE", &calendar(&ids[0]), Some(&ada.token), None)
            .await
            .status,
        204
    );
    world
        .until("one channel", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
    world.sync_calendar(&ada, &ids[1]).await;
    assert_eq!(
        side.report().await["channels"],
        1,
        "what is still connected is still pushed"
    );
    assert_eq!(
        world
            .call("DELETE", &calendar(&ids[1]), Some(&ada.token), None)
            .await
            .status,
        204
    );
    world
        .until("no channel", async || {
            (side.report().await["channels"] == 0).then_some(())
        })
        .await;
    world
        .until("no grant", async || {
            (!world.dump().await.contains("#grant")).then_some(())
        })
        .await;
    // Now somebody else may have it.
    let page = world.link(&side, &eve, S::EMAIL, "allow", &[]).await;
    assert!(page.query().unwrap().contains("session="), "{page}");
}

async fn an_account_that_ends_leaves_nothing<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    create(
        &world,
        &ada,
        json!({ "calendarId": calendar, "title": "Mine", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" }),
    )
    .await;
    world
        .until("a channel", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
    let body = json!({ "password": crate::world::PASSWORD });
    assert_eq!(
        world
            .call(
                "DELETE",
                "/api/v1/auth/account",
                Some(&ada.token),
                Some(body)
            )
            .await
            .status,
        204
    );
    let left = |dump: String| {
        dump.lines().any(|line| {
            (line.starts_with("CAL") || line.starts_with("VAULT")) && line.contains(&ada.id)
        })
    };
    world
        .until("the end", async || {
            (!left(world.dump().await)).then_some(())
        })
        .await;
}

async fn a_sign_in_is_bound_to_its_browser_and_good_once<S: ProviderHarness>() {
    let (world, side) = World::beside::<S>(Options::default()).await;
    let ada = world.sign_up("ada").await;
    let path = format!("/api/v1/calendar/oauth/{}/login", S::PATH);
    let login = async || {
        let login = world.get(&ada, &path).await;
        let cookie = login.headers["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.contains("HttpOnly"), "{cookie}");
        (
            login.body["authUrl"].as_str().unwrap().to_owned(),
            cookie.split(';').next().unwrap().to_owned(),
        )
    };
    let (url, cookie) = login().await;
    for part in ["code_challenge_method=S256", "nonce=", "response_type=code"] {
        assert!(url.contains(part), "{url}");
    }
    let back = side.consent(&url, S::EMAIL, "allow", &[]).await;
    let error = async |back: &str, cookie: &str| {
        let page = world.come_back(back, cookie).await;
        page.query_pairs()
            .find(|(name, _)| name == "error")
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!(
        error(&back, "calweave_oauth=another").await.as_deref(),
        Some("invalid_state"),
        "another browser"
    );
    assert_eq!(
        error(&back, &cookie).await.as_deref(),
        Some("invalid_state"),
        "used up by the first try"
    );
    let (url, cookie) = login().await;
    let back = side.consent(&url, S::EMAIL, "allow", &[]).await;
    assert_eq!(error(&back, &cookie).await, None);
    assert_eq!(
        error(&back, &cookie).await.as_deref(),
        Some("invalid_state"),
        "good once"
    );
    let denied = world.link(&side, &ada, S::EMAIL, "deny", &[]).await;
    assert!(
        denied.query().unwrap().contains("error=access_denied"),
        "{denied}"
    );
    let less = world
        .link(&side, &ada, S::EMAIL, "allow", &[S::needed_scope()])
        .await;
    assert!(
        less.query().unwrap().contains("error=missing_scopes"),
        "{less}"
    );
    let elsewhere = world
        .get(&ada, &format!("{path}?returnTo=https://evil.example/"))
        .await;
    assert_eq!(
        (elsewhere.status, &elsewhere.body["errors"][0]["field"]),
        (422, &json!("returnTo"))
    );
}

async fn tokens_in_plain_text<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    world.sync_calendar(&ada, &calendar).await;
    let dump = world.dump().await;
    assert!(dump.contains("#grant"));
    assert_eq!(token_in(&dump), None, "a table holds a token");
    drop(side);
}

async fn sync_token_invalid_swallowed<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let mut ids = Vec::new();
    for day in 4..8 {
        ids.push(insert(&side, &format!("Day {day}"), day).await);
    }
    world.sync_calendar(&ada, &calendar).await;
    // Deleted while nobody can say so: the token is gone, and with it the news.
    side.control(
        "silence",
        json!({ "calendarId": side.primary(), "eventId": ids[1] }),
    )
    .await;
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    let stats = world.sync_calendar(&ada, &calendar).await["stats"].clone();
    assert_eq!(
        (&stats["deleted"], &stats["unchanged"], &stats["created"]),
        (&json!(1), &json!(3), &json!(0)),
        "{stats}"
    );
    assert_eq!(titles(&world, &ada).await, ["Day 4", "Day 6", "Day 7"]);
    assert_eq!(
        world.sync_calendar(&ada, &calendar).await["stats"]["deleted"],
        0
    );
}

async fn empty_or_failed_fetch_wipes_the_calendar<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let mut ids = Vec::new();
    for day in 1..=25 {
        ids.push(insert(&side, &format!("{day}"), day).await);
    }
    world.sync_calendar(&ada, &calendar).await;
    side.faults("changes", InjectedFault::Broken).await;
    assert_eq!(
        world.sync_calendar(&ada, &calendar).await["syncStatus"],
        "FAILED"
    );
    assert_eq!(titles(&world, &ada).await.len(), 25);
    // A full answer that lacks most of it is believed the second time.
    for id in &ids[..20] {
        side.control(
            "silence",
            json!({ "calendarId": side.primary(), "eventId": id }),
        )
        .await;
    }
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    let first = world.sync_calendar(&ada, &calendar).await;
    assert!(
        first["warnings"][0]
            .as_str()
            .unwrap()
            .contains("kept until it says so a second time"),
        "{first}"
    );
    assert_eq!(titles(&world, &ada).await.len(), 25);
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await.len(), 5);
}

async fn delete_and_recreate_on_each_run<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    for day in 4..8 {
        insert(&side, &format!("Day {day}"), day).await;
    }
    side.insert(
        "Series",
        "2027-01-04T12:00:00",
        "2027-01-04T13:00:00",
        Some("FREQ=WEEKLY;COUNT=9"),
    )
    .await;
    synced(&world, &ada, &calendar).await;
    let (user, id): (UserId, _) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let app = &world.stack.context;
    let (calls, meter) = (side.report().await["calls"].clone(), app.store.meter());
    meter.take();
    let shared::sync::SyncOutcome::Completed(cursor) =
        shared::sync::sync_calendar(app, user, id).await.unwrap()
    else {
        panic!("synced")
    };
    let (reads, writes, _) = meter.take();
    assert_eq!(
        (
            cursor.stats.created,
            cursor.stats.updated,
            cursor.stats.deleted
        ),
        (0, 0, 0)
    );
    // The lease, and the cursor's end with both its index entries; a permit where there are only so many. Nothing else is written.
    let permit = f64::from(u8::from(
        side.session().capabilities().max_concurrent_syncs.is_some(),
    ));
    assert!(
        writes <= 6.0 + 2.0 * permit && reads <= 5.0 + permit,
        "{writes} write and {reads} read units"
    );
    let after = side.report().await["calls"].clone();
    let made: u64 = after
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, count)| count.as_u64().unwrap() - calls[name].as_u64().unwrap_or(0))
        .sum();
    assert_eq!(made, S::CALLS_AT_REST as u64, "{calls} {after}");
}

async fn a_burst_of_notifications_makes_one_pull<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    assert_eq!(side.report().await["channels"], 1);
    let before = side.calls("changes").await;
    let id = insert(&side, "Busy", 4).await;
    for number in 0..20 {
        side.change(&id, EventChange::Title(&format!("Busy {number}")))
            .await;
    }
    // Each change was pushed; the pushes come by themselves, so look until the last has.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.stack.work().await;
    let pages = side.calls("changes").await - before;
    // A pull may be an empty page and another.
    assert!(
        (1..=3).contains(&pages),
        "21 notifications made {pages} calls"
    );
    assert_eq!(titles(&world, &ada).await, ["Busy 19"]);
    drop(calendar);
}

async fn stale_data_after_a_webhook_dies<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    side.control("mute", json!({})).await;
    insert(&side, "Unannounced", 4).await;
    clock.advance(TimeDelta::minutes(70));
    let ada = world.sign_in(&ada).await;
    let stale = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(
        stale["lastSyncedAt"], "2027-01-01T00:00:00Z",
        "every answer says how fresh it is"
    );
    assert_eq!(reconcile::run(world.stack.jobs()).await.unwrap(), 1);
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Unannounced"]);
    let fresh = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(fresh["lastSyncedAt"], "2027-01-01T01:10:00Z");
}

async fn refresh_race_with_rotating_tokens<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    let user: UserId = ada.id.parse().unwrap();
    // Each time with what the time before has left: a refresh token that was not stored would be missed by the third.
    for _ in 0..4 {
        clock.advance(TimeDelta::minutes(95));
        let connection = world
            .stack
            .context
            .store
            .connections(user)
            .await
            .unwrap()
            .remove(0);
        let asked = side.calls("token").await;
        let context = world.stack.accounts();
        let many =
            (0..8).map(|_| shared::calendar::accounts::credentials(&context, &connection, None));
        let tokens: Vec<_> = futures::future::join_all(many)
            .await
            .into_iter()
            .map(|token| token.unwrap().unwrap())
            .collect();
        assert!(
            tokens.iter().all(|token| token == &tokens[0]),
            "the losers take what the winner has stored"
        );
        assert_eq!(side.calls("token").await - asked, 1, "renewed once");
    }
    // The schedule is early enough that nobody has to wait.
    clock.advance(TimeDelta::minutes(81));
    assert_eq!(
        refresh_tokens::run(world.stack.accounts()).await.unwrap(),
        1
    );
    assert_eq!(
        refresh_tokens::run(world.stack.accounts()).await.unwrap(),
        0
    );
    drop(calendar);
}

async fn half_finished_push_then_retry<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    side.faults("insert", InjectedFault::Lost).await;
    let body = json!({ "calendarId": calendar, "title": "Once", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    assert_eq!(
        (made.status, &made.body["syncStatus"]),
        (202, &json!("PENDING"))
    );
    world.stack.work().await;
    assert_eq!(
        side.titles().await,
        ["Once"],
        "the answer was lost, the event was not"
    );
    clock.advance(TimeDelta::minutes(16));
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Once"]);
    assert_eq!(side.calls("insert").await, 1, "recognised, not made again");
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert_eq!(
        (seen.len(), &seen[0]["syncStatus"], &seen[0]["id"]),
        (1, &json!("SYNCED"), &made.body["id"])
    );
}

async fn throttling_drops_events<S: ProviderHarness>() {
    let (world, mut side, mut ada, calendar, clock) = by_hand::<S>().await;
    for day in 1..=6 {
        let time = |hour| format!("2027-01-{day:02}T{hour:02}:00:00");
        let body = json!({ "calendarId": calendar, "title": format!("{day}"), "startTime": time(9), "endTime": time(10) });
        assert_eq!(
            world
                .post(&ada, "/api/v1/calendar/events?wait=0", body)
                .await
                .status,
            202
        );
    }
    for trouble in [
        InjectedFault::Throttled,
        InjectedFault::ThrottledAfter,
        InjectedFault::Throttled,
    ] {
        side.faults("insert", trouble).await;
        world.stack.work().await;
        clock.advance(TimeDelta::minutes(16));
        ada = world.sign_in(&ada).await;
        world
            .post(
                &ada,
                &format!("/api/v1/calendar/calendars/{calendar}/sync"),
                json!({}),
            )
            .await;
    }
    world.stack.work().await;
    side.sign_in().await;
    assert_eq!(
        side.titles().await,
        ["1", "2", "3", "4", "5", "6"],
        "the queue drains"
    );
    // Over its quota of a minute: in the next one everything goes on.
    side.control("quota", json!(1)).await;
    let extra = json!({ "calendarId": calendar, "title": "7", "startTime": "2027-01-07T09:00:00", "endTime": "2027-01-07T10:00:00" });
    let extra = world
        .post(&ada, "/api/v1/calendar/events?wait=0", extra)
        .await
        .body["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.stack.work().await;
    assert_eq!(
        world
            .get(&ada, &format!("/api/v1/calendar/events/{extra}"))
            .await
            .body["syncStatus"],
        "PENDING"
    );
    side.control("forgive", json!({})).await;
    clock.advance(TimeDelta::minutes(16));
    ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    side.sign_in().await;
    assert_eq!(side.titles().await.len(), 7);
    // A refusal for good is no throttling: it is shown with its reason, and may be retried.
    let id = world.events(&ada, "2027-01-01", "2027-02-01").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    side.faults("update", InjectedFault::Forbidden).await;
    let path = format!("/api/v1/calendar/events/{id}");
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("{path}?wait=0"),
                Some(&ada.token),
                Some(json!({ "title": "No" }))
            )
            .await
            .status,
        202
    );
    world.stack.work().await;
    let failed = world.get(&ada, &path).await.body;
    assert_eq!(failed["syncStatus"], "FAILED");
    let reason = S::fault("update", InjectedFault::Forbidden)["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        failed["syncError"].as_str().unwrap().contains(&reason),
        "{failed}"
    );
    assert_eq!(
        world
            .post(&ada, &format!("{path}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        202
    );
    world.stack.work().await;
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
    assert_eq!(
        world
            .post(&ada, &format!("{path}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        409,
        "nothing to retry"
    );
}

async fn only_the_first_occurrence_of_a_series<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let id = side
        .insert(
            "Since long ago",
            "2020-01-06T09:00:00",
            "2020-01-06T10:00:00",
            Some("FREQ=WEEKLY"),
        )
        .await;
    assert!(
        side.remove(&S::occurrence(&id, "2027-01-11T09:00:00"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-15", "2027-04-10").await;
    let starts: Vec<_> = seen
        .iter()
        .map(|event| event["startTime"].as_str().unwrap())
        .collect();
    let expected = [
        "2027-03-15T09:00:00+01:00",
        "2027-03-22T09:00:00+01:00",
        "2027-03-29T09:00:00+02:00",
        "2027-04-05T09:00:00+02:00",
    ];
    assert_eq!(starts, expected, "series off by an hour after DST");
    assert_eq!(
        seen[0]["title"], "Since long ago",
        "what a list leaves out of an occurrence is read from its series"
    );
    assert_eq!(
        world.events(&ada, "2027-01-11", "2027-01-12").await,
        Vec::<Value>::new()
    );
}

async fn same_token_used_for_differently_filtered_lists<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    insert(&side, "Kept", 4).await;
    synced(&world, &ada, &calendar).await;
    // As if an earlier version had asked in another way: its token is not used.
    let (user, id) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let store = &world.stack.context.store;
    let lease = store.acquire_lease(user, id).await.unwrap().unwrap();
    let sync_state = lease.cursor().sync_state.clone().unwrap();
    let other = shared::domain::calendar::SyncState {
        query: "instances".to_owned(),
        token: "not even a token".to_owned(),
        ..sync_state
    };
    let success = shared::store::cursors::SyncSuccess {
        sync_state: Some(other),
        ..Default::default()
    };
    let next = "2027-02-01T00:00:00Z".parse().unwrap();
    let ending = shared::store::cursors::SyncReport {
        success: Some(success),
        error: None,
        next_sync_at: next,
        again_in: None,
    };
    store.finish_sync(lease, &ending).await.unwrap();
    assert_eq!(
        synced(&world, &ada, &calendar).await["syncStatus"],
        "SYNCED"
    );
    assert_eq!(titles(&world, &ada).await, ["Kept"]);
    assert_eq!(side.violations().await, Vec::<Value>::new());
    let due = store.due(DueKind::Feed, 0, next, 10).await.unwrap();
    assert!(due.is_empty(), "accounts are not in the feeds' index");
}

async fn both_sides_change_the_same_and_nothing_is_lost<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = insert(&side, "Plan", 4).await;
    synced(&world, &ada, &calendar).await;
    let seen = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    let path = format!("/api/v1/calendar/events/{}", seen["id"].as_str().unwrap());
    let tag = seen["etag"].as_str().unwrap().to_owned();
    let body = json!({ "title": "Mine", "location": "Here" });
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("{path}?wait=0"),
                Some(&ada.token),
                Some(body.clone())
            )
            .await
            .status,
        202
    );
    let old = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("if-match", tag),
    ];
    let stale = world
        .send(
            "PUT",
            &format!("{path}?wait=0"),
            &old,
            Some(body.to_string()),
        )
        .await;
    assert_eq!(
        (stale.status, &stale.body["type"]),
        (412, &json!("precondition-failed"))
    );
    side.change(&id, EventChange::Title("Theirs")).await;
    side.change(&id, EventChange::Description("More")).await;
    synced(&world, &ada, &calendar).await;
    let merged = world.get(&ada, &path).await.body;
    assert_eq!(
        (
            &merged["title"],
            &merged["location"],
            &merged["description"]
        ),
        (&json!("Theirs"), &json!("Here"), &json!("More"))
    );
    assert_eq!(
        (&merged["keptEdit"]["fields"], &merged["keptEdit"]["title"]),
        (&json!(["title"]), &json!("Mine")),
        "{merged}"
    );
    let there = side.read(&id).await;
    assert_eq!(
        (there.title.as_str(), there.location.as_str()),
        ("Theirs", "Here")
    );
    // Removed there while it is changed here: kept, with what to do; created anew on request.
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("{path}?wait=0"),
                Some(&ada.token),
                Some(json!({ "title": "Again" }))
            )
            .await
            .status,
        202
    );
    assert!(side.remove(&id).await.is_success());
    synced(&world, &ada, &calendar).await;
    let kept = world.get(&ada, &path).await.body;
    assert_eq!(
        (&kept["syncStatus"], &kept["title"]),
        (&json!("FAILED"), &json!("Again"))
    );
    assert!(
        kept["syncError"]
            .as_str()
            .unwrap()
            .contains("Retry to create it anew"),
        "{kept}"
    );
    assert_eq!(
        world
            .post(&ada, &format!("{path}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Again"]);
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
    // The trace of the deleted one, which a full read may bring again, says nothing of the new one.
    assert_eq!(
        world
            .post(&ada, "/api/v1/sync/reset", json!({}))
            .await
            .status,
        202
    );
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Again"]);
}

async fn a_full_read_in_short_pages_forgets_nothing<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let series = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    insert(&side, "Between", 5).await;
    assert!(
        side.remove(&S::occurrence(&series, "2027-01-11T09:00:00"))
            .await
            .is_success()
    );
    let moved = EventChange::Times("2027-01-19T09:00:00", "2027-01-19T10:00:00");
    assert!(
        side.change(&S::occurrence(&series, "2027-01-18T09:00:00"), moved)
            .await
            .is_success()
    );
    // Made here, beyond the end of what is read: a full read says nothing of it either.
    let far = json!({ "calendarId": calendar, "title": "Far", "startTime": "2028-08-01T09:00:00", "endTime": "2028-08-01T10:00:00" });
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/events?wait=0", far)
            .await
            .status,
        202
    );
    for limit in [1, 2, 3] {
        side.control("pages", json!(limit)).await;
        assert_eq!(
            world
                .post(&ada, "/api/v1/sync/reset", json!({}))
                .await
                .status,
            202
        );
        synced(&world, &ada, &calendar).await;
        let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
        let starts: Vec<_> = seen
            .iter()
            .map(|event| &event["startTime"].as_str().unwrap()[..10])
            .collect();
        assert_eq!(
            starts,
            ["2027-01-04", "2027-01-05", "2027-01-19", "2027-01-25"],
            "pages of {limit}"
        );
        assert_eq!(
            world.events(&ada, "2028-07-01", "2028-09-01").await.len(),
            1,
            "pages of {limit}"
        );
    }
}

async fn what_is_refused_is_shown_and_kept<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=WEEKLY;COUNT=3"
    });
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/events?wait=0", weekly)
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |event: &Value| format!("/api/v1/calendar/events/{}", event["id"].as_str().unwrap());
    // An untouched occurrence is changed by its tag; meanwhile somebody cancels it there.
    let tag = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("if-match", seen[1]["etag"].as_str().unwrap().to_owned()),
    ];
    let change = json!({ "title": "Mine" }).to_string();
    assert_eq!(
        world
            .send(
                "PUT",
                &format!("{}?wait=0", path(&seen[1])),
                &tag,
                Some(change)
            )
            .await
            .status,
        202
    );
    let master = side.all().await.remove(0).id;
    assert!(
        side.remove(&S::occurrence(&master, "2027-01-11T09:00:00"))
            .await
            .is_success()
    );
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        let kept = world.get(&ada, &path(&seen[1])).await.body;
        assert_eq!(
            (&kept["syncStatus"], &kept["title"]),
            (&json!("FAILED"), &json!("Mine")),
            "{kept}"
        );
        assert!(
            kept["syncError"]
                .as_str()
                .unwrap()
                .contains(&format!("was cancelled at {}", S::NAME)),
            "{kept}"
        );
        assert_eq!(
            world
                .post(
                    &ada,
                    &format!("{}/retry-sync?wait=0", path(&seen[1])),
                    json!({})
                )
                .await
                .status,
            202
        );
    }
    synced(&world, &ada, &calendar).await;
    // What may not be removed is shown again.
    side.faults("delete", InjectedFault::Forbidden).await;
    let series = format!(
        "/api/v1/calendar/events/{}",
        seen[0]["seriesId"].as_str().unwrap()
    );
    assert_eq!(
        world
            .call(
                "DELETE",
                &format!("{series}?wait=0"),
                Some(&ada.token),
                None
            )
            .await
            .status,
        202
    );
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await,
        Vec::<Value>::new()
    );
    synced(&world, &ada, &calendar).await;
    let still = world.get(&ada, &series).await.body;
    assert_eq!(
        (&still["syncStatus"], &still["keptEdit"]["fields"]),
        (&json!("FAILED"), &json!(["deleted"])),
        "{still}"
    );
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
        3
    );
}

async fn updates_silently_stop<S: ProviderHarness>() {
    let (world, side, mut ada, calendar, clock) = by_hand::<S>().await;
    insert(&side, "Last", 4).await;
    synced(&world, &ada, &calendar).await;
    for _ in 0..4 {
        let down: Vec<Value> = (0..4)
            .map(|_| S::fault("changes", InjectedFault::Broken))
            .collect();
        side.control("faults", json!(down)).await;
        clock.advance(TimeDelta::hours(2));
        reconcile::run(world.stack.jobs()).await.unwrap();
        world.stack.work().await;
    }
    ada = world.sign_in(&ada).await;
    let stale = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(
        (&stale["syncStatus"], &stale["lastSyncedAt"]),
        (&json!("FAILED"), &json!("2027-01-01T00:00:00Z"))
    );
    assert!(
        stale["lastError"].as_str().unwrap().contains("503"),
        "{stale}"
    );
    assert_eq!(
        titles(&world, &ada).await,
        ["Last"],
        "what is known is still shown, with how old it is"
    );
    side.control("forgive", json!({})).await;
    clock.advance(TimeDelta::hours(8));
    assert_eq!(
        reconcile::run(world.stack.jobs()).await.unwrap(),
        1,
        "it is still asked for"
    );
    world.stack.work().await;
    let ada = world.sign_in(&ada).await;
    assert_eq!(
        world
            .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
            .await
            .body["syncStatus"],
        "SYNCED"
    );
}

async fn of_many_writers_with_one_tag_one_succeeds<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrence": { "frequency": "WEEKLY", "byDay": ["MO"], "count": 3 }
    });
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/events?wait=0", weekly)
            .await
            .status,
        202
    );
    let seen = world.events(&ada, "2027-01-01", "2027-03-01").await;
    assert_eq!(seen.len(), 3, "a count is an end");
    // As the rule gives it, and as an event of its own.
    for (round, event) in [&seen[1], &seen[1]].into_iter().enumerate() {
        let path = format!("/api/v1/calendar/events/{}", event["id"].as_str().unwrap());
        let tag = world.get(&ada, &path).await.headers["etag"]
            .to_str()
            .unwrap()
            .to_owned();
        let headers = [
            ("authorization", format!("Bearer {}", ada.token)),
            ("if-match", tag),
        ];
        let write = |number: usize| {
            let body = json!({ "title": format!("Writer {number} of round {round}") }).to_string();
            let (world, path, headers) = (&world, format!("{path}?wait=0"), &headers);
            async move { world.send("PUT", &path, headers, Some(body)).await.status }
        };
        let mut statuses = futures::future::join_all((0..6).map(write)).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 412, 412, 412, 412, 412]);
    }
    drop(side);
}

async fn an_account_that_nobody_uses_is_free_again<S: ProviderHarness>() {
    let (world, side, _, _, clock) = by_hand::<S>().await;
    side.add_person("bob@example.org").await;
    let (bob, eve) = (world.sign_up("bob").await, world.sign_up("eve").await);
    let link = async |person: &Person| {
        world
            .link(&side, person, "bob@example.org", "allow", &[])
            .await
            .query()
            .unwrap()
            .to_owned()
    };
    assert!(link(&bob).await.contains("session="));
    assert!(link(&eve).await.contains("account_taken"));
    clock.advance(TimeDelta::minutes(11));
    assert!(link(&eve).await.contains("session="));
}

async fn a_series_that_moves_leaves_no_ghosts<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let daily = json!({
        "calendarId": calendar, "title": "Daily", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=DAILY;COUNT=5"
    });
    let series = world
        .post(&ada, "/api/v1/calendar/events?wait=0", daily)
        .await
        .body["id"]
        .as_str()
        .unwrap()
        .to_owned();
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |id: &str| format!("/api/v1/calendar/events/{id}?wait=0");
    for (at, change) in [
        (2, json!({ "title": "Mine" })),
        (3, json!({ "startTime": "2027-01-07T15:00:00" })),
    ] {
        assert_eq!(
            world
                .call(
                    "PUT",
                    &path(seen[at]["id"].as_str().unwrap()),
                    Some(&ada.token),
                    Some(change)
                )
                .await
                .status,
            202
        );
    }
    synced(&world, &ada, &calendar).await;
    let both = async || {
        (
            world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
            side.in_january().await,
        )
    };
    assert_eq!(both().await, (5, 5));
    assert_eq!(
        world
            .call(
                "PUT",
                &path(&series),
                Some(&ada.token),
                Some(json!({ "startTime": "2027-01-04T11:00:00" }))
            )
            .await
            .status,
        202
    );
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
        5,
        "at once"
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(both().await, (5, 5));
    // The provider's list may still have them; a full read does not bring them back.
    world.post(&ada, "/api/v1/sync/reset", json!({})).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(both().await, (5, 5));
    let whole = json!({ "startTime": "2027-01-04", "endTime": "2027-01-05", "isAllDay": true });
    assert_eq!(
        world
            .call("PUT", &path(&series), Some(&ada.token), Some(whole))
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(both().await, (5, 5));
}

async fn a_series_that_is_deleted_there_takes_no_change_along<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    assert!(
        side.remove(&S::occurrence(&id, "2027-01-25T09:00:00"))
            .await
            .is_success()
    );
    assert!(
        side.change(
            &S::occurrence(&id, "2027-01-18T09:00:00"),
            EventChange::Title("Special")
        )
        .await
        .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |event: &Value| {
        format!(
            "/api/v1/calendar/events/{}?wait=0",
            event["id"].as_str().unwrap()
        )
    };
    let change = json!({ "location": "Here" });
    assert_eq!(
        world
            .call("PUT", &path(&seen[1]), Some(&ada.token), Some(change))
            .await
            .status,
        202
    );
    assert!(side.remove(&id).await.is_success());
    synced(&world, &ada, &calendar).await;
    let series = format!(
        "/api/v1/calendar/events/{}",
        seen[0]["seriesId"].as_str().unwrap()
    );
    let kept = world.get(&ada, &series).await.body;
    assert_eq!(kept["syncStatus"], "FAILED", "{kept}");
    assert!(
        kept["syncError"]
            .as_str()
            .unwrap()
            .contains("Retry to create it anew, or delete it here too"),
        "{kept}"
    );
    assert_eq!(
        (titles(&world, &ada).await.len(), side.in_january().await),
        (3, 0)
    );
    // Created anew with all that was different about it.
    assert_eq!(
        world
            .post(&ada, &format!("{series}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, ["Weekly", "Weekly", "Special"]);
    let there = side.all().await;
    assert_eq!(
        (side.in_january().await, side.titles().await),
        (
            3,
            vec![
                "Special".to_owned(),
                "Weekly".to_owned(),
                "Weekly".to_owned()
            ]
        )
    );
    assert!(
        there
            .iter()
            .any(|event| event.location == "Here" && event.start == "2027-01-11T09:00:00"),
        "{there:?}"
    );
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert!(
        seen.iter().all(|event| event["syncStatus"] == "SYNCED"),
        "{seen:?}"
    );
}

async fn an_invitation_is_answered<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let invited = side
        .invite("Review", "2027-01-05T09:00:00", "2027-01-05T10:00:00")
        .await;
    world.sync_calendar(&ada, &calendar).await;
    let event = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    let own = |event: &Value| {
        event["attendees"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["isSelf"] == true)
            .unwrap()["rsvpStatus"]
            .clone()
    };
    assert_eq!(own(&event), "NEEDS_ACTION");
    let path = format!(
        "/api/v1/calendar/events/{}/rsvp",
        event["id"].as_str().unwrap()
    );
    let quiet = json!({ "response": "tentative", "comment": "Perhaps", "notify": false });
    let answered = world.post(&ada, &path, quiet).await;
    assert_eq!(
        (
            answered.status,
            own(&answered.body),
            &answered.body["syncStatus"]
        ),
        (200, json!("TENTATIVE"), &json!("SYNCED")),
        "{answered:?}"
    );
    assert_eq!(
        side.report().await["mails"],
        json!([]),
        "nobody is told who should not be"
    );
    let answered = world
        .post(&ada, &path, json!({ "response": "accepted" }))
        .await;
    assert_eq!(
        (answered.status, own(&answered.body)),
        (200, json!("ACCEPTED")),
        "{answered:?}"
    );
    assert_eq!(side.answer(&invited).await, "accepted");
    assert_eq!(
        side.report().await["mails"].as_array().unwrap().len(),
        1,
        "the organizer is told"
    );
    for wrong in [json!("perhaps"), json!(null), json!(5)] {
        let refused = world.post(&ada, &path, json!({ "response": wrong })).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["field"]),
            (422, &json!("response")),
            "{wrong}"
        );
    }
    // Nobody answers what they were not invited to.
    let body = json!({ "calendarId": calendar, "title": "Own", "startTime": "2027-01-06T09:00:00", "endTime": "2027-01-06T10:00:00" });
    let own_event = create(&world, &ada, body).await;
    let refused = world
        .post(
            &ada,
            &format!(
                "/api/v1/calendar/events/{}/rsvp",
                own_event["id"].as_str().unwrap()
            ),
            json!({ "response": "accepted" }),
        )
        .await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["field"]),
        (422, &json!("response"))
    );
    let declined = world
        .post(&ada, &path, json!({ "response": "declined" }))
        .await;
    assert_eq!(
        (declined.status, own(&declined.body)),
        (200, json!("DECLINED")),
        "{declined:?}"
    );
    let still = world.events(&ada, "2027-01-05", "2027-01-06").await;
    assert!(
        still.iter().all(|event| event["isBusy"] == false),
        "what is declined takes no time: {still:?}"
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn a_second_wish_does_not_lose_to_the_first<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    side.insert("First", "2027-01-05T09:00:00", "2027-01-05T10:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    // Nothing is pulled in between.
    side.control("mute", json!({})).await;
    let event = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        event["id"].as_str().unwrap()
    );
    let rename = async |title: &str| {
        let answer = world
            .call(
                "PUT",
                &path,
                Some(&ada.token),
                Some(json!({ "title": title })),
            )
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    // It is written, and the answer is lost; then something else is wished for, such as what it was before.
    for second in ["Third", "Fourth", "Third"] {
        side.faults("update", InjectedFault::Lost).await;
        rename("Second").await;
        world.stack.work().await;
        assert_eq!(side.titles().await, ["Second"]);
        rename(second).await;
        clock.advance(TimeDelta::minutes(4));
        synced(&world, &ada, &calendar).await;
        assert_eq!(side.titles().await, [second]);
        assert_eq!(titles(&world, &ada).await, [second]);
    }
    let event = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    assert_eq!(
        (&event["syncStatus"], &event["keptEdit"]),
        (&json!("SYNCED"), &Value::Null),
        "{event}"
    );
    // So with a removal, of what was changed and of what was made.
    side.faults("update", InjectedFault::Lost).await;
    rename("Last").await;
    world.stack.work().await;
    assert_eq!(side.titles().await, ["Last"]);
    assert_eq!(
        world
            .call("DELETE", &path, Some(&ada.token), None)
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        (side.titles().await, titles(&world, &ada).await),
        (vec![], vec![])
    );
    side.faults("insert", InjectedFault::Lost).await;
    let body = json!({ "calendarId": calendar, "title": "New", "startTime": "2027-01-06T09:00:00", "endTime": "2027-01-06T10:00:00" });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await
        .body;
    world.stack.work().await;
    assert_eq!(side.titles().await, ["New"]);
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        made["id"].as_str().unwrap()
    );
    assert_eq!(
        world
            .call("DELETE", &path, Some(&ada.token), None)
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        (side.titles().await, titles(&world, &ada).await),
        (vec![], vec![])
    );
}

async fn a_change_of_an_occurrence_says_nothing_of_its_series<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    synced(&world, &ada, &calendar).await;
    let second = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(1);
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        second["id"].as_str().unwrap()
    );
    assert_eq!(
        world
            .call(
                "PUT",
                &path,
                Some(&ada.token),
                Some(json!({ "location": "Here" }))
            )
            .await
            .status,
        202
    );
    assert!(
        side.change(&id, EventChange::Title("Renamed"))
            .await
            .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let changed = side
        .all()
        .await
        .into_iter()
        .find(|event| !event.is_series)
        .unwrap();
    assert_eq!(
        (
            changed.title.as_str(),
            changed.location.as_str(),
            changed.start.as_str()
        ),
        ("Renamed", "Here", "2027-01-11T09:00:00")
    );
    assert_eq!(titles(&world, &ada).await, ["Renamed"; 4]);
}

async fn what_is_different_of_a_series_outlives_second_thoughts<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    assert!(
        side.change(
            &S::occurrence(&id, "2027-01-11T09:00:00"),
            EventChange::Title("There")
        )
        .await
        .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |id: &Value| format!("/api/v1/calendar/events/{}?wait=0", id.as_str().unwrap());
    let series = path(&seen[0]["seriesId"]);
    let put = async |path: &str, body: Value| {
        let answer = world.call("PUT", path, Some(&ada.token), Some(body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    // Moved away and back again before anybody has heard of it.
    put(&path(&seen[2]["id"]), json!({ "title": "Here" })).await;
    put(&series, json!({ "startTime": "2027-01-04T15:00:00" })).await;
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
        5,
        "four, and one that is still to be written"
    );
    put(&series, json!({ "startTime": "2027-01-04T09:00:00" })).await;
    assert_eq!(
        titles(&world, &ada).await,
        ["Weekly", "There", "Here", "Weekly"]
    );
    // To be removed, but somebody over there has gone on with it.
    assert_eq!(
        world
            .call("DELETE", &series, Some(&ada.token), None)
            .await
            .status,
        202
    );
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());
    assert!(
        side.change(&id, EventChange::Location("Room"))
            .await
            .is_success()
    );
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        assert_eq!(
            titles(&world, &ada).await,
            ["Weekly", "There", "Here", "Weekly"]
        );
    }
    assert_eq!(
        (side.titles().await, side.in_january().await),
        (vec!["Here".to_owned(), "There".into(), "Weekly".into()], 4)
    );
}

async fn a_series_that_is_changed_here_keeps_what_is_different<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=3"),
        )
        .await;
    assert!(
        side.change(
            &S::occurrence(&id, "2027-01-11T09:00:00"),
            EventChange::Title("Special")
        )
        .await
        .is_success()
    );
    assert!(
        side.remove(&S::occurrence(&id, "2027-01-18T09:00:00"))
            .await
            .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        seen[0]["seriesId"].as_str().unwrap()
    );
    let longer =
        json!({ "endTime": "2027-01-04T11:00:00", "recurrenceRule": "FREQ=WEEKLY;COUNT=4" });
    assert_eq!(
        world
            .call("PUT", &path, Some(&ada.token), Some(longer))
            .await
            .status,
        202
    );
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        assert_eq!(titles(&world, &ada).await, ["Weekly", "Special", "Weekly"]);
        let special = side
            .all()
            .await
            .into_iter()
            .find(|event| event.title == "Special")
            .unwrap();
        assert_eq!(
            (special.start.as_str(), side.in_january().await),
            ("2027-01-11T09:00:00", 3)
        );
    }
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert!(
        seen.iter().all(|event| event["syncStatus"] == "SYNCED"),
        "{seen:?}"
    );
    assert_eq!(
        (&seen[0]["endTime"], &seen[1]["endTime"]),
        (
            &json!("2027-01-04T11:00:00+01:00"),
            &json!("2027-01-11T10:00:00+01:00")
        )
    );
}
