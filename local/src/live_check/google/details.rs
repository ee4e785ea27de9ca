//! What events contain: times, texts, reminders, attendees, conferences, extended properties.

use serde_json::{Value, json};

use super::{Google, event, instant};
use crate::live_check::random_id;
use crate::live_check::report::{Checked, Findings};
use crate::live_check::wire::{Call, with};

/// Times with a zone, and days.
pub(super) async fn times(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Times");
    let body = event("Times", json!({}));
    let made = google.make(findings, &body).await?;
    findings.check(
        "a time comes back as the same instant, with the name of its zone",
        instant(&made.body["start"]) == instant(&body["start"])
            && made.body["start"]["timeZone"] == "Europe/Berlin",
        &made,
    );
    let days = json!({ "start": { "date": "2030-01-07" }, "end": { "date": "2030-01-09" } });
    let whole = google.insert(&event("Days", days)).await?;
    findings.check(
        "an all-day event has dates, and ends on the day after its last one",
        whole.is(200)
            && whole.body["start"]["date"] == "2030-01-07"
            && whole.body["end"]["date"] == "2030-01-09"
            && whole.body["start"]["dateTime"].is_null(),
        &whole,
    );
    let days = json!({ "start": { "date": "2030-01-14" }, "end": { "date": "2030-01-15" } });
    let switched = with(made.body.clone(), days);
    let switched = google.update(made.text("id"), &switched, None).await?;
    findings.check(
        "an update turns an event with times into an all-day event",
        switched.is(200)
            && switched.body["start"]["date"] == "2030-01-14"
            && switched.body["start"]["dateTime"].is_null(),
        &switched,
    );
    let day = json!({ "start": { "date": "2030-01-07" }, "end": { "date": "2030-01-07" } });
    let empty = google.insert(&event("No day", day)).await?;
    findings.check(
        "an all-day event may end on the day on which it starts",
        empty.is(200),
        &empty,
    );
    let early =
        json!({ "end": { "dateTime": "2030-01-07T08:00:00+01:00", "timeZone": "Europe/Berlin" } });
    let early = google.insert(&event("Backwards", early)).await?;
    findings.check(
        "an end before the start is refused with 400",
        early.is(400),
        &early,
    );
    Ok(())
}

/// The fields that the backend writes, and extended properties.
pub(super) async fn fields(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Fields");
    let texts = json!({
        "description": "Line 1\nLine 2 <b>&</b>", "location": "Room 1", "status": "tentative", "visibility": "private",
        "transparency": "transparent", "colorId": "5"
    });
    let source = json!({ "url": "https://example.org/1", "title": "Fields" });
    let popup = json!({ "method": "popup", "minutes": 10 });
    let email = json!({ "method": "email", "minutes": 60 });
    let reminders = json!({ "useDefault": false, "overrides": [popup, email] });
    let more = json!({ "source": source, "reminders": reminders });
    let made = google
        .make(findings, &event("Fields", with(texts.clone(), more)))
        .await?;
    for (name, value) in texts.as_object().into_iter().flatten() {
        let assumption = format!("{name} comes back as it was written");
        findings.check(&assumption, made.body[name] == *value, &made);
    }
    findings.check(
        "source comes back as it was written",
        made.body["source"] == source,
        &made,
    );
    let overrides = made.body["reminders"]["overrides"].as_array();
    findings.check(
        "reminders come back as they were written, in any order",
        overrides.is_some_and(|all| all.len() == 2 && all.contains(&popup) && all.contains(&email)),
        &made,
    );
    let (longest, longer) = ("v".repeat(1024), "v".repeat(1025));
    let (key, long_key) = ("k".repeat(44), "k".repeat(45));
    let private = json!({ "calweave": longest, "longer": longer, &key: "v", &long_key: "v" });
    let more = json!({ "extendedProperties": { "private": private } });
    let made = google.insert(&event("Properties", more)).await?;
    let private = &made.body["extendedProperties"]["private"];
    findings.check(
        "a private extended property holds 1024 characters, under a key of 44",
        private["calweave"] == longest && private[&key] == "v",
        &made,
    );
    findings.check(
        "a longer value of an extended property is cut, and a longer key is left out",
        private["longer"] == longest && private[&long_key].is_null(),
        &made,
    );
    Ok(())
}

/// Attendees. They are at `example.com`, which is nobody's, and nobody is notified.
pub(super) async fn attendees(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Attendees");
    let [ada, bob] = ["ada@example.com", "bob@example.com"];
    let invited = json!({ "attendees": [{ "email": ada }, { "email": bob, "optional": true }] });
    let made = google.make(findings, &event("Attendees", invited)).await?;
    let find = |event: &Value, email: &str| {
        let mut all = event["attendees"].as_array().into_iter().flatten();
        all.find(|one| one["email"] == email).cloned()
    };
    let has_response = |event: &Value, email: &str, response: &str| {
        find(event, email).is_some_and(|one| one["responseStatus"] == response)
    };
    let read = google.get(google.event(made.text("id"))).await?;
    findings.check(
        "attendees come back with their address, and optional as it was written",
        find(&read.body, ada).is_some()
            && find(&read.body, bob).is_some_and(|one| one["optional"] == true),
        &read,
    );
    let answered = json!({ "attendees": [{ "email": ada, "responseStatus": "accepted" }], "attendeesOmitted": true });
    let answered = google.patch(made.text("id"), &answered, None).await?;
    findings.check(
        "a patch with attendeesOmitted changes the attendees that it contains, and no others",
        answered.is(200)
            && has_response(&answered.body, ada, "accepted")
            && find(&answered.body, bob).is_some(),
        &answered,
    );
    findings.skip(
        "an own response is written to the attendee with self, and mails are sent only if asked for",
        "it takes an invitation from another account",
    );
    Ok(())
}

/// Conferences with Google Meet.
pub(super) async fn conferences(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Conferences");
    let request = |id: String| {
        let solution = json!({ "type": "hangoutsMeet" });
        json!({ "conferenceData": { "createRequest": { "requestId": id, "conferenceSolutionKey": solution } } })
    };
    let wanted = event("Conferences", request(random_id()));
    let made = google.insert(&wanted).await?;
    let status = &made.body["conferenceData"]["createRequest"]["status"]["statusCode"];
    findings.require(
        "a createRequest makes a conference, at once or later",
        made.is(200) && (status == "success" || status == "pending"),
        &made,
    )?;
    let mut body = with(made.body.clone(), json!({ "summary": "Renamed" }));
    if let Some(fields) = body.as_object_mut() {
        fields.remove("conferenceData");
    }
    let call = Call::new(reqwest::Method::PUT, google.event(made.text("id")));
    let call = call.query("sendUpdates", "none").json(&body);
    let updated = google.send(call).await?;
    findings.check(
        "an update without conferenceDataVersion=1 leaves the conference as it is",
        updated.is(200) && updated.body["conferenceData"].is_object(),
        &updated,
    );
    let call = Call::post(google.events()).query("sendUpdates", "none");
    let ignored = google.send(call.json(&wanted)).await?;
    findings.check(
        "without conferenceDataVersion=1, conference data of a new event is ignored",
        ignored.is(200) && ignored.body["conferenceData"].is_null(),
        &ignored,
    );
    Ok(())
}
