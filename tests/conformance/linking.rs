//! Linking accounts, and unlinking them.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::ids::UserId;

use crate::harness::account::{by_hand, connected, create, delete, insert, put, titles};
use crate::harness::{Person, ProviderHarness, World, options, token_in};

with_each_provider!(
    two_calendars_of_three_are_connected_and_both_sides_agree,
    invalid_grant_loops,
    disconnect_removes_everything,
    an_account_that_ends_leaves_nothing,
    a_sign_in_is_bound_to_its_browser_and_good_once,
    more_or_fewer_calendars_are_chosen_later,
    a_response_says_nothing_of_another_issuer_or_consent,
    tokens_in_plain_text,
    refresh_race_with_rotating_tokens,
    an_account_that_nobody_uses_is_free_again,
);

async fn two_calendars_of_three_are_connected_and_both_sides_agree<S: ProviderHarness>() {
    let (world, side) = World::beside::<S>(options()).await;
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

    // From the provider to the backend, by push.
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

    // From the backend to the provider.
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

    // Deletions on both sides.
    delete(&world, &ada, id).await;
    assert_eq!(side.titles().await, ["Pushed", "Seen at once"]);
    assert!(side.remove(&pushed).await.is_success());
    world
        .until("a deletion", async || {
            (titles(&world, &ada).await == ["Seen at once"]).then_some(())
        })
        .await;
    // What is made and removed on either side is counted once. The count is stored at the end of the sync.
    let path = format!("/api/v1/calendar/calendars/{primary}");
    world
        .until("the count", async || {
            (world.get(&ada, &path).await.body["eventCount"] == 1).then_some(())
        })
        .await;
    assert_eq!(side.violations().await, Vec::<Value>::new());
    assert_eq!(side.report().await["mails"], json!([]));
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
    // Local changes wait while the grant is revoked; a new consent resumes them.
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
    let (world, side) = World::beside::<S>(options()).await;
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
    // An account can be linked to one user at a time.
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
    // Another user can link it now.
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
    let body = json!({ "password": crate::harness::PASSWORD });
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
    let (world, side) = World::beside::<S>(options()).await;
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
        error(&back, &cookie).await,
        None,
        "another browser does not use it up"
    );
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

async fn more_or_fewer_calendars_are_chosen_later<S: ProviderHarness>() {
    let (world, side, ada, primary) = connected::<S>().await;
    insert(&side, "Kept", 4).await;
    world.sync_calendar(&ada, &primary).await;
    let team = side.add_calendar("Team").await;
    let linked = world.get(&ada, "/api/v1/calendar/oauth/connections").await;
    let id = linked.body["connections"][0]["id"].as_str().unwrap();
    let path = format!("/api/v1/calendar/oauth/connections/{id}/calendars");
    let listed = async |world: &World| {
        let answer = world.get(&ada, &path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let calendars = answer.body["calendars"].as_array().unwrap().clone();
        let one = |one: &Value| {
            (
                one["name"].as_str().unwrap().to_owned(),
                one["isSelected"] == true,
            )
        };
        calendars.iter().map(one).collect::<Vec<_>>()
    };
    let before = listed(&world).await;
    assert_eq!(
        (before.len(), before[0].1, before[1].clone()),
        (2, true, ("Team".to_owned(), false))
    );
    let choose = async |world: &World, chosen: &[&str]| {
        let body = json!({ "selectedCalendarIds": chosen });
        world.call("PUT", &path, Some(&ada.token), Some(body)).await
    };
    // More: the known calendar keeps its id and its events.
    let both = choose(&world, &[&side.primary(), &team]).await;
    assert_eq!(both.status, 200, "{both:?}");
    let ids: Vec<&str> = both.body["calendars"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert!(ids.len() == 2 && ids.contains(&primary.as_str()), "{ids:?}");
    assert_eq!(titles(&world, &ada).await, ["Kept"]);
    // Fewer: the other goes with its events, and comes back under its old id.
    assert_eq!(
        choose(&world, &[&team]).await.body["calendars"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert!(titles(&world, &ada).await.is_empty());
    assert_eq!(
        listed(&world).await,
        [(before[0].0.clone(), false), ("Team".to_owned(), true)]
    );
    let again = choose(&world, &[&side.primary()]).await;
    assert_eq!(again.body["calendars"][0]["id"], primary.as_str());
    world.sync_calendar(&ada, &primary).await;
    assert_eq!(titles(&world, &ada).await, ["Kept"]);
    for chosen in [&[][..], &["nowhere"]] {
        let refused = choose(&world, chosen).await;
        assert_eq!(
            refused.body["errors"][0]["field"], "selectedCalendarIds",
            "{refused:?}"
        );
    }
    // Different choices at once: each that is made is made whole, and the link stays.
    let primary_id = side.primary();
    let (one, other) = ([primary_id.as_str()], [team.as_str()]);
    for _ in 0..5 {
        let answers = tokio::join!(
            choose(&world, &one),
            choose(&world, &other),
            choose(&world, &one)
        );
        for answer in [answers.0, answers.1, answers.2] {
            assert!([200, 409].contains(&answer.status), "{answer:?}");
        }
        let selected = listed(&world).await.into_iter().filter(|one| one.1).count();
        assert_eq!(selected, 1);
    }
    let grace = world.sign_up("grace").await;
    assert_eq!(
        world.get(&grace, &path).await.status,
        404,
        "somebody else's"
    );
    side.control("revoke", json!({ "email": S::EMAIL })).await;
    assert_eq!(
        world.get(&ada, &path).await.status,
        409,
        "to be linked again"
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

/// The code of another issuer is not sent to this one (RFC 9207), and an organisation has consented only where that was
/// asked for.
async fn a_response_says_nothing_of_another_issuer_or_consent<S: ProviderHarness>() {
    let (world, side) = World::beside::<S>(options()).await;
    let ada = world.sign_up("ada").await;
    let path = format!("/api/v1/calendar/oauth/{}/login", S::PATH);
    for change in ["iss", "admin_consent"] {
        let login = world.get(&ada, &path).await;
        let cookie = login.headers["set-cookie"].to_str().unwrap().to_owned();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let url = login.body["authUrl"].as_str().unwrap();
        let back = side.consent(url, S::EMAIL, "allow", &[]).await;
        let mut back = reqwest::Url::parse(&back).unwrap();
        let kept: Vec<(String, String)> = back.query_pairs().into_owned().collect();
        let is_kept =
            |(name, _): &&(String, String)| name != "iss" && (change == "iss" || name != "code");
        let value = if change == "iss" {
            "https://accounts.example.org"
        } else {
            "True"
        };
        back.query_pairs_mut()
            .clear()
            .extend_pairs(
                kept.iter()
                    .filter(is_kept)
                    .map(|(name, value)| (name, value)),
            )
            .append_pair(change, value);
        let page = world.come_back(back.as_str(), &cookie).await;
        assert_eq!(page.query(), Some("error=auth_failed"), "{change}");
    }
    let linked = world.get(&ada, "/api/v1/calendar/oauth/connections").await;
    assert_eq!(linked.body["connections"], json!([]));
}

async fn tokens_in_plain_text<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    world.sync_calendar(&ada, &calendar).await;
    let dump = world.dump().await;
    assert!(dump.contains("#grant"));
    assert_eq!(token_in(&dump), None, "a table holds a token");
    drop(side);
}

async fn refresh_race_with_rotating_tokens<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    let user: UserId = ada.id.parse().unwrap();
    // Each round uses the refresh token that the previous one stored. Were a rotated token not stored, the third would
    // fail.
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
    // The schedule renews the token before it expires.
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
