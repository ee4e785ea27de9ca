//! Series: their rules, their occurrences and their exceptions.

use serde_json::{Value, json};

use super::{Google, at, event, instant};
use crate::live_check::report::{Checked, Findings, Interruption};
use crate::live_check::wire::{Call, Reply, below, with};

/// Six Mondays at nine in Berlin, with the change to summer time after the second.
fn mondays(title: &str) -> Value {
    let time = |hour: u32| {
        let local = format!("2030-03-18T{hour:02}:00:00+01:00");
        json!({ "dateTime": local, "timeZone": "Europe/Berlin" })
    };
    let rule = ["RRULE:FREQ=WEEKLY;COUNT=6"];
    json!({ "summary": title, "start": time(9), "end": time(10), "recurrence": rule })
}

impl Google<'_> {
    /// `events.instances`
    async fn instances(&self, series: &str, parameters: &[(&str, &str)]) -> Reply {
        let mut call = Call::get(below(&self.event(series), &["instances"]));
        for (name, value) in parameters {
            call = call.query(name, value);
        }
        self.send(call).await
    }

    /// Returns the occurrence with this original start, an instant or a date; null if there is
    /// none.
    pub(super) async fn occurrence(
        &self,
        findings: &mut Findings,
        series: &str,
        original: &str,
    ) -> Result<Value, Interruption> {
        let found = self
            .instances(series, &[("originalStart", original)])
            .await?;
        findings.need(found.is(200), &found)?;
        let items = found.list("items").iter();
        let mut items = items.filter(|item| is_at(item, original));
        Ok(items.next().cloned().unwrap_or_default())
    }
}

/// Whether an occurrence has this original start, an instant or a date.
pub(super) fn is_at(item: &Value, original: &str) -> bool {
    let start = &item["originalStartTime"];
    start["date"] == original || at(original).is_some_and(|at| instant(start) == Some(at))
}

/// The rule of a series, and its occurrences.
pub(super) async fn rules(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Series");
    let body = mondays("Series");
    let made = google.insert(&body).await?;
    findings.require(
        "a series comes back with its rule, its start and its zone",
        made.is(200)
            && made.body["recurrence"] == body["recurrence"]
            && instant(&made.body["start"]) == instant(&body["start"])
            && made.body["start"]["timeZone"] == "Europe/Berlin",
        &made,
    )?;
    let zoneless = json!({
        "start": { "dateTime": "2030-03-18T09:00:00+01:00" }, "end": { "dateTime": "2030-03-18T10:00:00+01:00" }
    });
    let zoneless = google.insert(&with(mondays("No zone"), zoneless)).await?;
    findings.check(
        "a series without a zone is refused with 400",
        zoneless.is(400),
        &zoneless,
    );
    let id = made.text("id");
    let window = [
        ("timeMin", "2030-03-01T00:00:00Z"),
        ("timeMax", "2030-05-31T00:00:00Z"),
    ];
    let all = google.instances(id, &window).await?;
    findings.check(
        "a series repeats on the clock of its zone, also when the clock changes",
        all.list("items").len() == 6
            && all
                .list("items")
                .iter()
                .any(|one| is_at(one, "2030-04-01T07:00:00Z")),
        &all,
    );
    let second = google
        .instances(id, &[("originalStart", "2030-03-25T08:00:00Z")])
        .await?;
    findings.check(
        "instances?originalStart= returns the occurrence that starts then",
        second.list("items").len() == 1
            && is_at(&second.list("items")[0], "2030-03-25T08:00:00Z")
            && second.list("items")[0]["recurringEventId"] == id,
        &second,
    );
    let none = google
        .instances(id, &[("originalStart", "2030-03-26T08:00:00Z")])
        .await?;
    let is_made_up = |one: &Value| is_at(one, "2030-03-26T08:00:00Z");
    findings.check(
        "instances?originalStart= makes no occurrence up for a time when none starts",
        none.status < 500 && !none.list("items").iter().any(is_made_up),
        &none,
    );
    Ok(())
}

/// Further and excluded dates beside the rule, which is from Monday to Friday.
pub(super) async fn dates(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Dates of series");
    let rule = "RRULE:FREQ=DAILY;UNTIL=20300111T080000Z";
    for line in [
        "EXDATE;TZID=Europe/Berlin:20300108T090000",
        "EXDATE:20300108T080000Z",
        "RDATE:20300114T080000Z",
        "EXRULE:FREQ=DAILY;INTERVAL=2;COUNT=2",
    ] {
        let (name, _) = line.split_once(':').unwrap_or_default();
        let body = event("Dates", json!({ "recurrence": [rule, line] }));
        let made = google.insert(&body).await?;
        let returned = made.list("recurrence");
        let has = |line: &str| returned.iter().any(|one| one == line);
        findings.check(
            &format!("{name} comes back beside the rule, as it was written"),
            returned.len() == 2 && has(rule) && has(line),
            &made,
        );
        if line.starts_with("EXDATE") && made.is(200) {
            let window = [
                ("timeMin", "2030-01-07T00:00:00Z"),
                ("timeMax", "2030-01-12T00:00:00Z"),
            ];
            let left = google.instances(made.text("id"), &window).await?;
            let is_excluded = |one: &Value| is_at(one, "2030-01-08T08:00:00Z");
            findings.check(
                &format!("{name} excludes the occurrence that starts then"),
                left.list("items").len() == 4 && !left.list("items").iter().any(is_excluded),
                &left,
            );
        }
    }
    findings.skip(
        "RRULE:DATE;TZID=… stands for an RDATE",
        "it was seen in events that others had created",
    );
    days(google, findings).await
}

/// A series of days.
async fn days(google: &Google<'_>, findings: &mut Findings) -> Checked {
    let days = json!({
        "start": { "date": "2030-01-07" }, "end": { "date": "2030-01-08" }, "recurrence": ["RRULE:FREQ=WEEKLY;UNTIL=20300121"]
    });
    let made = google.make(findings, &event("Days", days)).await?;
    let found = google
        .occurrence(findings, made.text("id"), "2030-01-14")
        .await?;
    findings.check(
        "an occurrence of an all-day series is found by its date",
        found["originalStartTime"]["date"] == "2030-01-14",
        &made.showing(found.clone()),
    );
    Ok(())
}

/// Changed and deleted occurrences.
pub(super) async fn exceptions(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Exceptions");
    let series = google.make(findings, &mondays("Exceptions")).await?;
    let id = series.text("id");
    let (second, third) = ("2030-03-25T08:00:00Z", "2030-04-01T07:00:00Z");
    let occurrence = google.occurrence(findings, id, second).await?;
    let moved = json!({
        "summary": "Moved", "start": { "dateTime": "2030-03-25T14:00:00+01:00", "timeZone": "Europe/Berlin" },
        "end": { "dateTime": "2030-03-25T15:00:00+01:00", "timeZone": "Europe/Berlin" }
    });
    let exception = occurrence["id"].as_str().unwrap_or_default().to_owned();
    let version = occurrence["etag"].as_str();
    let changed = google
        .update(&exception, &with(occurrence.clone(), moved), version)
        .await?;
    findings.require(
        "an update of an occurrence makes an exception, with its series and its original start",
        changed.is(200) && changed.body["recurringEventId"] == id && is_at(&changed.body, second),
        &changed,
    )?;
    let deleted = google.occurrence(findings, id, third).await?;
    let deleted = deleted["id"].as_str().unwrap_or_default().to_owned();
    let answer = google.delete(&deleted, None).await?;
    findings.need(answer.is(204), &answer)?;
    let gone = google.get(google.event(&deleted)).await?;
    findings.check(
        "a deleted occurrence is cancelled, and has its series and its original start",
        gone.body["status"] == "cancelled"
            && gone.body["recurringEventId"] == id
            && is_at(&gone.body, third),
        &gone,
    );
    let renamed = google
        .patch(id, &json!({ "description": "New" }), None)
        .await?;
    findings.need(renamed.is(200), &renamed)?;
    let kept = google.get(google.event(&exception)).await?;
    findings.check(
        "a change of a series' texts leaves its exceptions",
        kept.body["summary"] == "Moved" && is_at(&kept.body, second),
        &kept,
    );
    let later = json!({
        "start": { "dateTime": "2030-03-18T11:00:00+01:00", "timeZone": "Europe/Berlin" },
        "end": { "dateTime": "2030-03-18T12:00:00+01:00", "timeZone": "Europe/Berlin" }
    });
    let shifted = google.patch(id, &later, None).await?;
    findings.need(shifted.is(200), &shifted)?;
    let kept = google.get(google.event(&exception)).await?;
    findings.check(
        "a change of a series' times leaves its exceptions and their original starts",
        kept.body["status"] == "confirmed" && is_at(&kept.body, second),
        &kept,
    );
    Ok(())
}
