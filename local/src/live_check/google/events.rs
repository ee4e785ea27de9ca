//! Single events: ids, ETags, deletions, moves.

use serde_json::{Value, json};

use super::{Google, event};
use crate::live_check::random_id;
use crate::live_check::report::{Checked, Findings};
use crate::live_check::wire::{Call, below, with};

/// Ids that the client gives.
pub(super) async fn ids(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Ids");
    let id = random_id();
    let body = event("Ids", json!({ "id": id }));
    let made = google.insert(&body).await?;
    findings.require(
        "an event is created under the id that the client gives",
        made.is(200) && made.body["id"] == id,
        &made,
    )?;
    findings.check(
        "a new event has an ETag and an iCalUID, the status confirmed and the type default",
        !made.text("etag").is_empty()
            && !made.text("iCalUID").is_empty()
            && made.body["status"] == "confirmed"
            && made.body["eventType"] == "default",
        &made,
    );
    let again = google.insert(&body).await?;
    findings.check(
        "an id that is taken is refused with 409 and the reason duplicate",
        again.is_refusal(409, "duplicate"),
        &again,
    );
    let other = event("Ids", json!({ "id": format!("{}wxyz", random_id()) }));
    let other = google.insert(&other).await?;
    findings.check(
        "an id with letters after v is refused with 400",
        other.is(400),
        &other,
    );
    let unknown = google.get(google.event(&random_id())).await?;
    findings.check(
        "an unknown id is answered with 404",
        unknown.is(404),
        &unknown,
    );
    for whom in ["externalOnly", "all"] {
        let call = Call::post(google.events()).query("sendUpdates", whom);
        let made = google
            .send(call.json(&event("Nobody is invited", json!({}))))
            .await?;
        findings.check(
            &format!("sendUpdates={whom} is accepted"),
            made.is(200),
            &made,
        );
    }
    Ok(())
}

/// ETags and `If-Match`, and what an update replaces.
pub(super) async fn versions(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("ETags");
    let texts = json!({ "location": "Room 1", "description": "Before" });
    let made = google.make(findings, &event("ETags", texts)).await?;
    let (id, first) = (made.text("id"), made.text("etag"));
    let mut body = with(made.body.clone(), json!({ "summary": "Renamed" }));
    body["description"] = Value::Null;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("location");
    }
    let updated = google.update(id, &body, Some(first)).await?;
    findings.require(
        "an update takes the resource as it was read, with its ETag in If-Match",
        updated.is(200) && updated.body["summary"] == "Renamed",
        &updated,
    )?;
    findings.check(
        "an update changes the ETag",
        !updated.text("etag").is_empty() && updated.text("etag") != first,
        &updated,
    );
    findings.check(
        "an update erases a field that it leaves out",
        updated.body["location"].is_null(),
        &updated,
    );
    findings.check(
        "an update erases a field that is null",
        updated.text("description").is_empty(),
        &updated,
    );
    let stale = google.update(id, &body, Some(first)).await?;
    findings.check(
        "an update with an old ETag is refused with 412",
        stale.is(412),
        &stale,
    );
    let change = json!({ "summary": "Patched" });
    let stale = google.patch(id, &change, Some(first)).await?;
    findings.check(
        "a patch with an old ETag is refused with 412",
        stale.is(412),
        &stale,
    );
    let stale = google.delete(id, Some(first)).await?;
    findings.check(
        "a deletion with an old ETag is refused with 412",
        stale.is(412),
        &stale,
    );
    let deleted = google.delete(id, Some(updated.text("etag"))).await?;
    findings.check(
        "a deletion with the current ETag is answered with 204",
        deleted.is(204),
        &deleted,
    );
    Ok(())
}

/// Deleted events, and their ids.
pub(super) async fn deletions(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Deletions");
    let id = random_id();
    let body = event("Deletions", json!({ "id": id }));
    google.make(findings, &body).await?;
    let deleted = google.delete(&id, None).await?;
    findings.require("a deletion is answered with 204", deleted.is(204), &deleted)?;
    let gone = google.get(google.event(&id)).await?;
    findings.check(
        "a deleted event is answered with the status cancelled",
        gone.is(200) && gone.body["status"] == "cancelled",
        &gone,
    );
    let again = google.delete(&id, None).await?;
    findings.check(
        "a second deletion is refused with 410 and the reason deleted",
        again.is_refusal(410, "deleted"),
        &again,
    );
    let again = google.insert(&body).await?;
    findings.check(
        "the id of a deleted event stays taken (409 duplicate)",
        again.is_refusal(409, "duplicate"),
        &again,
    );
    Ok(())
}

/// An event that is moved to another calendar.
pub(super) async fn moves(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Moves");
    let made = google.make(findings, &event("Moves", json!({}))).await?;
    let id = made.text("id");
    let call = Call::post(below(&google.event(id), &["move"]));
    let call = call.query("sendUpdates", "none");
    let call = call.query("destination", google.other_calendar());
    let moved = google.send(call).await?;
    findings.require(
        "an event keeps its id when it is moved to another calendar",
        moved.is(200) && moved.body["id"] == id,
        &moved,
    )?;
    let old = google.get(google.event(id)).await?;
    findings.check(
        "a moved event is cancelled in its old calendar, or not found there",
        old.is(404) || old.body["status"] == "cancelled",
        &old,
    );
    let path = ["calendars", google.other_calendar(), "events", id];
    let new = google.get(below(&google.urls.api, &path)).await?;
    findings.check(
        "a moved event is read by its id in its new calendar",
        new.is(200) && new.body["status"] == "confirmed",
        &new,
    );
    Ok(())
}
