//! Changed and cancelled occurrences of series.

use serde_json::{Value, json};

use super::series::{at, mondays};
use super::{FIELDS, Microsoft, berlin};
use crate::live_check::report::{Checked, Findings, Interruption};
use crate::live_check::wire::{Answer, Call, Reply};

/// The original starts of the second, the third and the fourth occurrence.
const SECOND: &str = "2030-01-14T08:00:00";
const THIRD: &str = "2030-01-21T08:00:00";
const FOURTH: &str = "2030-01-28T08:00:00";

impl Microsoft<'_> {
    /// Reads a series with all its exceptions, as the backend does.
    async fn whole(&self, series: &str, fields_of_exceptions: &str) -> Reply {
        let fields = format!("{FIELDS},cancelledOccurrences,exceptionOccurrences");
        let expand = format!("exceptionOccurrences($select={fields_of_exceptions})");
        let call = Call::get(self.event(series)).query("$select", &fields);
        self.send(call.query("$expand", &expand)).await
    }

    /// Creates a series with a changed and a cancelled occurrence. Returns the series, the response
    /// to the change and the instances before both.
    async fn make_exceptions(
        &self,
        findings: &mut Findings,
    ) -> Result<(String, Answer, Answer), Interruption> {
        let made = self.make(findings, &mondays("Exceptions")).await?;
        let id = made.text("id").to_owned();
        let instances = self.instances(&id, Some(FIELDS)).await?;
        let (second, third) = (at(&instances, SECOND), at(&instances, THIRD));
        findings.need(second.is_object() && third.is_object(), &instances)?;
        let moved = json!({ "subject": "Moved", "start": berlin("2030-01-14T14:00:00"), "end": berlin("2030-01-14T15:00:00") });
        let changed = self.patch(id_of(&second), &moved, None).await?;
        findings.need(changed.is(200), &changed)?;
        let cancelled = self.delete(id_of(&third), None).await?;
        findings.need(cancelled.is(204), &cancelled)?;
        Ok((id, changed, instances))
    }
}

fn id_of(item: &Value) -> &str {
    item["id"].as_str().unwrap_or_default()
}

/// How exceptions and cancellations are read.
pub(super) async fn reading(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Exceptions");
    let (id, changed, _) = microsoft.make_exceptions(findings).await?;
    findings.check(
        "a changed occurrence becomes an exception of its series",
        changed.body["type"] == "exception" && changed.body["seriesMasterId"] == id,
        &changed,
    );
    let whole = microsoft.whole(&id, FIELDS).await?;
    let exceptions = whole.list("exceptionOccurrences");
    let exception = exceptions.first().cloned().unwrap_or_default();
    findings.require(
        "a series is read with its exceptions by $expand=exceptionOccurrences",
        whole.is(200) && exceptions.len() == 1 && exception["subject"] == "Moved",
        &whole,
    )?;
    let text = |name: &str| exception[name].as_str().unwrap_or_default();
    findings.check(
        "an exception has originalStart and occurrenceId if the nested $select names them",
        text("originalStart").starts_with(SECOND) && text("occurrenceId").ends_with(".2030-01-14"),
        &whole.showing(exception.clone()),
    );
    let cancelled = whole.list("cancelledOccurrences");
    let names_third = |one: &Value| one.as_str().is_some_and(|id| id.ends_with(".2030-01-21"));
    findings.check(
        "cancelledOccurrences names a deleted occurrence by an id that ends in its date",
        cancelled.len() == 1 && cancelled.iter().all(names_third),
        &whole,
    );
    let part = microsoft.whole(&id, "subject").await?;
    let exception = part.list("exceptionOccurrences").first();
    findings.check(
        "an exception has only what the nested $select names",
        exception.is_some_and(|one| one["subject"] == "Moved" && one["originalStart"].is_null()),
        &part,
    );
    let plain = microsoft.get(microsoft.event(&id)).await?;
    findings.check(
        "cancelledOccurrences comes only if it is selected",
        plain.is(200) && plain.list("cancelledOccurrences").is_empty(),
        &plain,
    );
    Ok(())
}

/// What changes of a series and of occurrences do.
pub(super) async fn changes(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Changes of series");
    let (id, _, instances) = microsoft.make_exceptions(findings).await?;
    let fourth = at(&instances, FOURTH);
    let past =
        json!({ "start": berlin("2030-02-05T09:00:00"), "end": berlin("2030-02-05T10:00:00") });
    let crossing = microsoft.patch(id_of(&fourth), &past, None).await?;
    findings.check(
        "an occurrence cannot be moved past its neighbour (400 ErrorOccurrenceCrossingBoundary)",
        crossing.is_refusal(400, "ErrorOccurrenceCrossingBoundary"),
        &crossing,
    );
    let renamed = json!({ "subject": "Renamed" });
    let renamed = microsoft.patch(&id, &renamed, None).await?;
    findings.need(renamed.is(200), &renamed)?;
    let whole = microsoft.whole(&id, FIELDS).await?;
    findings.check(
        "a change of a series' texts leaves its exceptions and cancellations",
        whole.list("exceptionOccurrences").len() == 1
            && whole.list("cancelledOccurrences").len() == 1,
        &whole,
    );
    let later =
        json!({ "start": berlin("2030-01-07T10:00:00"), "end": berlin("2030-01-07T11:00:00") });
    let shifted = microsoft.patch(&id, &later, None).await?;
    findings.need(shifted.is(200), &shifted)?;
    let whole = microsoft.whole(&id, FIELDS).await?;
    findings.check(
        "a change of a series' times resets its exceptions and cancellations",
        whole.is(200)
            && whole.list("exceptionOccurrences").is_empty()
            && whole.list("cancelledOccurrences").is_empty(),
        &whole,
    );
    Ok(())
}
