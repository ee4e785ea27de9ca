//! Single events: creation, reading, ETags, deletions.

use serde_json::json;

use super::{FIELDS, Microsoft, event, is_utc};
use crate::live_check::random_id;
use crate::live_check::report::{Checked, Findings};
use crate::live_check::wire::Call;

/// An extended property, as the backend gives one to the events that it creates. The GUID is not
/// the backend's, so that a search of either does not find the other's events.
const PROPERTY: &str = "String {6f0c3a9e-8d41-4b57-9a3c-51e7c2d4b890} Name calweave-live-check";

/// Creation, once and again.
pub(super) async fn creation(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Creation");
    let name = random_id();
    let own = json!({ "transactionId": name, "singleValueExtendedProperties": [{ "id": PROPERTY, "value": name }] });
    let body = event("Creation", own);
    let made = microsoft.create(&body).await?;
    let id = made.text("id");
    findings.require(
        "a new event has an id, an iCalUId and an ETag, and is a singleInstance",
        made.is(201)
            && !id.is_empty()
            && !made.text("iCalUId").is_empty()
            && !made.text("@odata.etag").is_empty()
            && made.body["type"] == "singleInstance",
        &made,
    )?;
    findings.check(
        "times come in UTC if that is preferred",
        is_utc(&made.body["start"], "2030-01-07T08:00:00"),
        &made,
    );
    findings.check(
        "originalStartTimeZone is the Windows name with which the event was written",
        made.body["originalStartTimeZone"] == "W. Europe Standard Time",
        &made,
    );
    let again = microsoft.create(&body).await?;
    findings.check(
        "a creation with the same transactionId is answered with the same event",
        matches!(again.status, 200 | 201) && again.body["id"] == id,
        &again,
    );
    let filter = format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY}' and ep/value eq '{name}')"
    );
    let found = microsoft.search(&filter).await?;
    findings.check(
        "a search by an extended property finds the event, and no second one",
        found.list("value").len() == 1 && found.list("value")[0]["id"] == id,
        &found,
    );
    let filter = format!("iCalUId eq '{}'", made.text("iCalUId").replace('\'', "''"));
    let found = microsoft.search(&filter).await?;
    findings.check(
        "a search by iCalUId finds the event",
        found.list("value").iter().any(|one| one["id"] == id),
        &found,
    );
    Ok(())
}

/// Selections, lists, and the ways to an event.
pub(super) async fn reading(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Reading");
    let made = microsoft
        .make(findings, &event("Reading", json!({})))
        .await?;
    let id = made.text("id");
    let whole = microsoft.select(id, FIELDS).await?;
    findings.check(
        "all properties that the backend reads can be selected",
        whole.is(200) && whole.body["subject"] == "Reading",
        &whole,
    );
    let part = microsoft.select(id, "subject").await?;
    findings.check(
        "a response has only what is selected, and the ETag",
        part.body["subject"] == "Reading"
            && part.body["body"].is_null()
            && !part.text("@odata.etag").is_empty(),
        &part,
    );
    let view = microsoft.view().await?;
    findings.check(
        "the calendar's view lists an event by the id that its creation returned",
        view.list("value").iter().any(|one| one["id"] == id),
        &view,
    );
    let path = ["me", "calendars", microsoft.other_calendar(), "events", id];
    let elsewhere = microsoft.get(microsoft.path(&path)).await?;
    findings.check(
        "an id is also found through another calendar of the mailbox",
        elsewhere.is(200) && elsewhere.body["id"] == id,
        &elsewhere,
    );
    let call = Call::get(microsoft.in_calendar(&["events"])).query("$select", "id");
    let first = microsoft.send(call.query("$top", "1")).await?;
    let next = reqwest::Url::parse(first.text("@odata.nextLink")).ok();
    findings.check(
        "a list goes on at @odata.nextLink, on the same host and below /v1.0/",
        next.as_ref().is_some_and(|link| {
            link.origin() == microsoft.urls.api.origin() && link.path().starts_with("/v1.0/")
        }),
        &first,
    );
    if let Some(next) = next {
        let second = microsoft.get(next).await?;
        findings.check(
            "the next link is followed as it is",
            second.is(200) && second.list("value") != first.list("value"),
            &second,
        );
    }
    findings.skip(
        "an event that is moved to another calendar keeps its id, and is removed from the first",
        "Graph v1.0 has no call that moves an event",
    );
    Ok(())
}

/// ETags and `If-Match`, and what a change leaves.
pub(super) async fn versions(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("ETags");
    let place = json!({ "location": { "displayName": "Room 1" } });
    let made = microsoft.make(findings, &event("ETags", place)).await?;
    let (id, first) = (made.text("id"), made.text("@odata.etag"));
    let change = json!({ "subject": "Renamed" });
    let updated = microsoft.patch(id, &change, Some(first)).await?;
    findings.require(
        "a change with the current ETag in If-Match is answered with 200 and the event",
        updated.is(200) && updated.body["subject"] == "Renamed",
        &updated,
    )?;
    findings.check(
        "a change leaves the properties that it does not name",
        updated.body["location"]["displayName"] == "Room 1",
        &updated,
    );
    findings.check(
        "a change changes the ETag",
        !updated.text("@odata.etag").is_empty() && updated.text("@odata.etag") != first,
        &updated,
    );
    let stale = microsoft.patch(id, &change, Some(first)).await?;
    findings.check(
        "a change with an old ETag is refused with 412",
        stale.is(412),
        &stale,
    );
    let stale = microsoft.delete(id, Some(first)).await?;
    findings.check(
        "a deletion with an old ETag is refused with 412",
        stale.is(412),
        &stale,
    );
    Ok(())
}

/// Deleted events.
pub(super) async fn deletions(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Deletions");
    let made = microsoft
        .make(findings, &event("Deletions", json!({})))
        .await?;
    let id = made.text("id");
    let read = microsoft.select(id, FIELDS).await?;
    let deleted = microsoft.delete(id, Some(read.text("@odata.etag"))).await?;
    findings.require(
        "a deletion with the current ETag is answered with 204",
        deleted.is(204),
        &deleted,
    )?;
    let found = microsoft.select(id, "subject").await?;
    findings.check(
        "a deleted event is still found by its immutable id",
        found.is(200) && found.body["subject"] == "Deletions",
        &found,
    );
    let filter = format!("iCalUId eq '{}'", made.text("iCalUId").replace('\'', "''"));
    let searched = microsoft.search(&filter).await?;
    findings.check(
        "a search by iCalUId does not find a deleted event",
        searched.is(200) && searched.list("value").is_empty(),
        &searched,
    );
    let view = microsoft.view().await?;
    findings.check(
        "the calendar's view does not list a deleted event",
        view.is(200) && !view.list("value").iter().any(|one| one["id"] == id),
        &view,
    );
    let again = microsoft.delete(id, None).await?;
    findings.check(
        "a second deletion is refused with 403 ErrorCannotDeleteObject",
        again.is_refusal(403, "ErrorCannotDeleteObject"),
        &again,
    );
    Ok(())
}
