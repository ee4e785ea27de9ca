//! What events contain: days, texts, reminders, online meetings.

use serde_json::json;

use super::{Microsoft, PREFER_HTML, berlin, event};
use crate::live_check::report::{Checked, Findings};
use crate::live_check::wire::{Call, below};

/// The beginning of the line that Teams writes above its text.
const LINE: &str = "____________________________________________________________";

/// All-day events, and times that are refused.
pub(super) async fn times(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Times");
    let (from, to) = (berlin("2030-01-07T00:00:00"), berlin("2030-01-08T00:00:00"));
    let days = json!({ "isAllDay": true, "start": from, "end": to });
    let made = microsoft.create(&event("Days", days)).await?;
    findings.require(
        "an all-day event is written from midnight to midnight of its zone",
        made.is(201) && made.body["isAllDay"] == true,
        &made,
    )?;
    let start = made.body["start"]["dateTime"].as_str().unwrap_or_default();
    findings.check(
        "an all-day event comes with midnight of the requested zone or of its own",
        ["2030-01-07T00:00", "2030-01-06T23:00"]
            .iter()
            .any(|midnight| start.starts_with(midnight)),
        &made,
    );
    let hour = json!({ "isAllDay": true, "start": berlin("2030-01-07T09:00:00") });
    let hour = microsoft.create(&event("No midnight", hour)).await?;
    findings.check(
        "an all-day event that does not begin at midnight is refused with 400",
        hour.is(400),
        &hour,
    );
    let early = json!({ "end": berlin("2030-01-07T08:00:00") });
    let early = microsoft.create(&event("Backwards", early)).await?;
    findings.check(
        "an end before the start is refused with 400",
        early.is(400),
        &early,
    );
    Ok(())
}

/// The properties that the backend writes.
pub(super) async fn fields(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Properties");
    let texts = json!({
        "showAs": "tentative", "sensitivity": "private", "isReminderOn": true, "reminderMinutesBeforeStart": 30
    });
    let body = json!({ "contentType": "text", "content": "Line 1\nLine 2 & <3" });
    let place = json!({ "displayName": "Room 1" });
    let mut more = texts.clone();
    (more["body"], more["location"]) = (body, place);
    let made = microsoft.make(findings, &event("Properties", more)).await?;
    for (name, value) in texts.as_object().into_iter().flatten() {
        let assumption = format!("{name} comes back as it was written");
        findings.check(&assumption, made.body[name] == *value, &made);
    }
    findings.check(
        "location comes back as it was written",
        made.body["location"]["displayName"] == "Room 1",
        &made,
    );
    let content = made.body["body"]["content"].as_str().unwrap_or_default();
    findings.check(
        "a plain description comes back as it was written, but for the ends of its lines",
        made.body["body"]["contentType"] == "text"
            && content.replace("\r\n", "\n").trim() == "Line 1\nLine 2 & <3",
        &made,
    );
    let html = json!({ "body": { "contentType": "html", "content": "<p>One</p>" } });
    let changed = microsoft.patch(made.text("id"), &html, None).await?;
    let content = changed.body["body"]["content"].as_str().unwrap_or_default();
    findings.check(
        "an HTML description comes as text if that is preferred",
        changed.body["body"]["contentType"] == "text" && content.trim() == "One",
        &changed,
    );
    findings.skip(
        "each change mails every attendee, and a request cannot prevent that",
        "it would send mails",
    );
    findings.skip(
        "a declined invitation leaves the calendar",
        "it takes an invitation from another account",
    );
    Ok(())
}

/// Online meetings with Teams.
pub(super) async fn meetings(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Online meetings");
    let url = below(&microsoft.urls.api, &["me", "calendars"]);
    let listed = microsoft.send(Call::get(url).query("$top", "100")).await?;
    let items = listed.list("value");
    let own = items.iter().find(|item| item["id"] == microsoft.calendar());
    let providers = own.and_then(|own| own["allowedOnlineMeetingProviders"].as_array());
    if !providers.is_some_and(|all| all.contains(&json!("teamsForBusiness"))) {
        findings.skip(
            "a meeting with Teams has a join link, and its text below a line in the description",
            "the calendar does not allow Teams",
        );
        return Ok(());
    }
    let online =
        json!({ "isOnlineMeeting": true, "body": { "contentType": "text", "content": "Agenda" } });
    let made = microsoft.make(findings, &event("Meeting", online)).await?;
    let id = made.text("id");
    findings.check(
        "an online meeting has a join link in onlineMeeting",
        made.body["onlineMeeting"]["joinUrl"].is_string(),
        &made,
    );
    let call = Call::get(microsoft.event(id)).query("$select", "body");
    let html = microsoft.send_preferring(PREFER_HTML, call).await?;
    let content = html.body["body"]["content"].as_str().unwrap_or_default();
    let (own, block) = content.split_once(LINE).unwrap_or_default();
    findings.check(
        "the text of a meeting is below the description and a line of underscores",
        own.contains("Agenda") && !block.is_empty(),
        &html,
    );
    let renamed = json!({ "subject": "Renamed" });
    let renamed = microsoft.patch(id, &renamed, None).await?;
    findings.check(
        "a change of the subject leaves the meeting",
        renamed.is(200) && renamed.body["onlineMeeting"]["joinUrl"].is_string(),
        &renamed,
    );
    Ok(())
}
