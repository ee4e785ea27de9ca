//! Series: their patterns, their zones and their occurrences.

use serde_json::{Value, json};

use super::{FIELDS, Microsoft, PREFER, berlin, event};
use crate::live_check::report::{Checked, Findings};
use crate::live_check::wire::{Answer, Call, Reply, below};

/// An event in Tokyo, whose date there is not its date in UTC, on five Tuesdays.
fn tuesdays() -> Value {
    let tokyo = |local: &str| json!({ "dateTime": local, "timeZone": "Tokyo Standard Time" });
    let pattern = json!({ "type": "weekly", "interval": 1, "daysOfWeek": ["tuesday"], "firstDayOfWeek": "monday" });
    let range = json!({
        "type": "numbered", "startDate": "2030-01-08", "numberOfOccurrences": 5, "recurrenceTimeZone": "Tokyo Standard Time"
    });
    json!({
        "subject": "Series", "start": tokyo("2030-01-08T08:00:00"), "end": tokyo("2030-01-08T09:00:00"),
        "recurrence": { "pattern": pattern, "range": range }
    })
}

/// Six Mondays at nine in Berlin, from 7 January 2030.
pub(super) fn mondays(title: &str) -> Value {
    let pattern = json!({ "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday" });
    let range = json!({
        "type": "numbered", "startDate": "2030-01-07", "numberOfOccurrences": 6, "recurrenceTimeZone": "W. Europe Standard Time"
    });
    event(
        title,
        json!({ "recurrence": { "pattern": pattern, "range": range } }),
    )
}

impl Microsoft<'_> {
    /// `GET …/instances` of the first half of 2030.
    pub(super) async fn instances(&self, series: &str, fields: Option<&str>) -> Reply {
        let mut call = Call::get(below(&self.event(series), &["instances"]))
            .query("startDateTime", "2030-01-01T00:00:00Z")
            .query("endDateTime", "2030-07-01T00:00:00Z");
        if let Some(fields) = fields {
            call = call.query("$select", fields);
        }
        self.send(call).await
    }
}

/// Returns the instance with this original start; null if there is none.
pub(super) fn at(instances: &Answer, original: &str) -> Value {
    let is_at = |one: &&Value| {
        let start = one["originalStart"].as_str().unwrap_or_default();
        start.starts_with(original)
    };
    let found = instances.list("value").iter().find(is_at);
    found.cloned().unwrap_or_default()
}

/// The pattern of a series, and what its occurrences have.
pub(super) async fn rules(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Series");
    let body = tuesdays();
    let made = microsoft.create(&body).await?;
    let (recurrence, id) = (&made.body["recurrence"], made.text("id"));
    findings.require(
        "a series is a seriesMaster, and comes back with its pattern and its zone",
        made.is(201)
            && made.body["type"] == "seriesMaster"
            && recurrence["pattern"]["type"] == "weekly"
            && recurrence["pattern"]["daysOfWeek"] == json!(["tuesday"])
            && recurrence["range"]["numberOfOccurrences"] == 5
            && recurrence["range"]["recurrenceTimeZone"] == "Tokyo Standard Time",
        &made,
    )?;
    let selected = microsoft.instances(id, Some(FIELDS)).await?;
    let is_occurrence = |one: &Value| one["type"] == "occurrence" && one["seriesMasterId"] == id;
    findings.check(
        "instances are occurrences, and name their series",
        selected.list("value").len() == 5 && selected.list("value").iter().all(is_occurrence),
        &selected,
    );
    let first = at(&selected, "2030-01-07T23:00:00");
    findings.check(
        "originalStart is an instant in UTC",
        first.is_object(),
        &selected,
    );
    let occurrence_id = first["occurrenceId"].as_str().unwrap_or_default();
    findings.check(
        "occurrenceId ends in the date in the zone of the series",
        occurrence_id.ends_with(".2030-01-08"),
        &selected.showing(first.clone()),
    );
    let plain = microsoft.instances(id, None).await?;
    let is_bare = |one: &Value| one["originalStart"].is_null() && one["occurrenceId"].is_null();
    findings.check(
        "originalStart and occurrenceId come only if they are selected",
        plain.list("value").len() == 5 && plain.list("value").iter().all(is_bare),
        &plain,
    );
    Ok(())
}

/// The clock by which a series repeats, and months that are too short for it.
pub(super) async fn zones(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Zones of series");
    let utc = |local: &str| json!({ "dateTime": local, "timeZone": "UTC" });
    let pattern = json!({ "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday" });
    let range = json!({
        "type": "numbered", "startDate": "2030-03-18", "numberOfOccurrences": 4, "recurrenceTimeZone": "W. Europe Standard Time"
    });
    let summer = json!({
        "start": utc("2030-03-18T08:00:00"), "end": utc("2030-03-18T09:00:00"), "recurrence": { "pattern": pattern, "range": range }
    });
    let made = microsoft.make(findings, &event("Zones", summer)).await?;
    let found = microsoft.instances(made.text("id"), Some(FIELDS)).await?;
    findings.check(
        "a series repeats by the clock of recurrenceTimeZone, also when that clock changes",
        at(&found, "2030-03-25T08:00:00").is_object()
            && at(&found, "2030-04-01T07:00:00").is_object(),
        &found,
    );
    let pattern = json!({ "type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31 });
    let range = json!({
        "type": "numbered", "startDate": "2030-01-31", "numberOfOccurrences": 3, "recurrenceTimeZone": "W. Europe Standard Time"
    });
    let ends = json!({
        "start": berlin("2030-01-31T09:00:00"), "end": berlin("2030-01-31T10:00:00"), "recurrence": { "pattern": pattern, "range": range }
    });
    let made = microsoft
        .make(findings, &event("Ends of months", ends))
        .await?;
    let found = microsoft.instances(made.text("id"), Some(FIELDS)).await?;
    findings.check(
        "in a month that is too short for the 31st, a series falls on the last day",
        at(&found, "2030-02-28T08:00:00").is_object(),
        &found,
    );
    Ok(())
}

/// Batches of reads.
pub(super) async fn batches(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Batches");
    let mut ids = Vec::new();
    for title in ["One", "Two"] {
        let made = microsoft.make(findings, &mondays(title)).await?;
        ids.push(made.text("id").to_owned());
    }
    let request = |(index, id): (usize, &String)| {
        let mut url = microsoft.event(id);
        url.query_pairs_mut().append_pair("$select", "id,subject");
        let path = url.path().trim_start_matches("/v1.0");
        let relative = format!("{path}?{}", url.query().unwrap_or_default());
        json!({ "id": index.to_string(), "method": "GET", "url": relative, "headers": { "Prefer": PREFER } })
    };
    let requests: Vec<Value> = ids.iter().enumerate().map(request).collect();
    let call = Call::post(microsoft.path(&["$batch"])).json(&json!({ "requests": requests }));
    let batch = microsoft.send(call).await?;
    let responses = batch.list("responses");
    let is_answered = |(index, id): (usize, &String)| {
        let name = Value::from(index.to_string());
        let mut own = responses.iter().filter(|one| one["id"] == name);
        own.next().is_some_and(|one| {
            one["status"] == 200 && one["body"]["id"] == *id && one["body"]["subject"].is_string()
        })
    };
    findings.check(
        "each request of a batch is answered by itself, under its id",
        batch.is(200) && responses.len() == 2 && ids.iter().enumerate().all(is_answered),
        &batch,
    );
    Ok(())
}
