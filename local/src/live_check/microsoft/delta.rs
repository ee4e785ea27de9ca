//! Delta queries over the calendar's view.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::series::mondays;
use super::{FIELDS, Microsoft, PREFER_PAGE, berlin, event};
use crate::live_check::report::{Checked, Findings, Interruption};
use crate::live_check::wire::{Answer, Call, Reply};

/// The maximum number of pages of a round.
const MAX_PAGES: usize = 40;
/// How often a round is repeated until a change shows, and the time between two of them.
const ROUNDS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(3);
/// The error codes that the backend takes for a lost position, beside the status 410.
const LOST: [&str; 3] = ["syncStateNotFound", "syncStateInvalid", "resyncRequired"];

/// One round, or several ones in a row.
struct Round {
    items: Vec<Value>,
    links: Vec<String>,
    last: Answer,
}

impl Round {
    fn delta_link(&self) -> &str {
        self.last.text("@odata.deltaLink")
    }

    fn has(&self, id: &str) -> bool {
        self.items.iter().any(|item| item["id"] == id)
    }

    /// Returns the last item of an id as a response that can be printed; null if there is none.
    fn item(&self, id: &str) -> Answer {
        let item = self.items.iter().rev().find(|item| item["id"] == id);
        self.last.showing(item.cloned().unwrap_or_default())
    }

    fn is_removed(&self, id: &str) -> bool {
        self.item(id).body["@removed"].is_object()
    }
}

impl Microsoft<'_> {
    async fn page(&self, call: Call) -> Reply {
        self.send_preferring(PREFER_PAGE, call).await
    }

    /// The first request of a delta query over the year 2030.
    fn first(&self) -> Call {
        Call::get(self.in_calendar(&["calendarView", "delta"]))
            .query("startDateTime", "2030-01-01T00:00:00Z")
            .query("endDateTime", "2030-12-31T00:00:00Z")
    }

    /// Reads a round to its end, or to the maximum number of pages.
    async fn round(&self, first: Call) -> Result<Round, Interruption> {
        let mut round = Round {
            items: vec![],
            links: vec![],
            last: self.page(first).await?,
        };
        for _ in 0..MAX_PAGES {
            let page = &round.last;
            round.items.extend_from_slice(page.list("value"));
            let links = ["@odata.nextLink", "@odata.deltaLink"].map(|name| page.text(name));
            let links = links.iter().filter(|link| !link.is_empty());
            round.links.extend(links.map(|link| (*link).to_owned()));
            let Ok(next) = Url::parse(page.text("@odata.nextLink")) else {
                break;
            };
            round.last = self.page(Call::get(next)).await?;
        }
        Ok(round)
    }

    /// Follows a delta link, round after round, until `is_there`. A mailbox may need some seconds
    /// until it lists a change.
    async fn rounds(
        &self,
        link: &str,
        is_there: impl Fn(&Round) -> bool,
    ) -> Result<Round, Interruption> {
        let follow = |link: &str| {
            let link = Url::parse(link);
            link.map_err(|error| Interruption::NoAnswer(format!("no delta link: {error}")))
        };
        let mut all = self.round(Call::get(follow(link)?)).await?;
        for _ in 1..ROUNDS {
            if is_there(&all) || all.delta_link().is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            let next = self.round(Call::get(follow(all.delta_link())?)).await?;
            all.items.extend(next.items);
            all.links.extend(next.links);
            all.last = next.last;
        }
        Ok(all)
    }
}

/// The first round, a quiet one, and what is refused.
pub(super) async fn rounds(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Delta rounds");
    microsoft.make(findings, &mondays("Delta")).await?;
    let first = microsoft.round(microsoft.first()).await?;
    findings.require(
        "a calendar's own calendarView/delta is in v1.0, and a round ends with a delta link",
        first.last.is(200) && !first.delta_link().is_empty(),
        &first.last,
    )?;
    let is_ours = |link: &String| {
        let link = Url::parse(link);
        link.is_ok_and(|link| {
            link.origin() == microsoft.urls.api.origin() && link.path().starts_with("/v1.0/")
        })
    };
    findings.check(
        "next links and delta links stay on the same host and below /v1.0/",
        first.links.iter().all(is_ours),
        &first.last,
    );
    let occurrences = first
        .items
        .iter()
        .filter(|item| item["type"] == "occurrence");
    let occurrences: Vec<&Value> = occurrences.collect();
    let is_placed = |item: &&Value| {
        item["seriesMasterId"].is_string() && item["start"].is_object() && item["end"].is_object()
    };
    findings.check(
        "an occurrence is listed with its series and its times",
        !occurrences.is_empty() && occurrences.iter().all(is_placed),
        &first.last,
    );
    findings.check(
        "an occurrence is listed without its subject",
        !occurrences.is_empty() && occurrences.iter().all(|item| item["subject"].is_null()),
        &first.last,
    );
    refusals(microsoft, findings, first.delta_link()).await
}

/// Delta queries that are refused.
async fn refusals(microsoft: &Microsoft<'_>, findings: &mut Findings, link: &str) -> Checked {
    let selecting = microsoft.first().query("$select", FIELDS);
    let selecting = microsoft.page(selecting).await?;
    findings.check(
        "a delta query with $select is refused with 400",
        selecting.is(400),
        &selecting,
    );
    let link = Url::parse(link);
    let mut link = link.map_err(|error| Interruption::NoAnswer(error.to_string()))?;
    link.set_query(Some("$deltatoken=made-up"));
    let made_up = microsoft.page(Call::get(link)).await?;
    let reason = made_up.reason();
    findings.check(
        "a delta token that is made up is refused with 410 or a code that asks for a new round",
        made_up.is(410) || LOST.iter().any(|code| reason.eq_ignore_ascii_case(code)),
        &made_up,
    );
    findings.skip(
        "a delta token that has expired is refused with 410",
        "its lifetime is not fixed",
    );
    Ok(())
}

/// Events to change, and the delta link of a round that lists nothing.
struct Prepared {
    renamed: String,
    deleted: String,
    leaving: String,
    series: String,
    deleted_series: String,
    link: String,
}

/// Creates events, and reads rounds until nothing is new.
async fn prepare(
    microsoft: &Microsoft<'_>,
    findings: &mut Findings,
) -> Result<Prepared, Interruption> {
    let mut ids = Vec::new();
    let one = || event("Delta", json!({}));
    for body in [one(), one(), one(), mondays("Delta"), mondays("Delta")] {
        let made = microsoft.make(findings, &body).await?;
        ids.push(made.text("id").to_owned());
    }
    let first = microsoft.round(microsoft.first()).await?;
    // A mailbox may list what was created just now once more, or late.
    let mut quiet = microsoft.rounds(first.delta_link(), |_| true).await?;
    for _ in 1..ROUNDS {
        if quiet.items.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        quiet = microsoft.rounds(quiet.delta_link(), |_| true).await?;
    }
    findings.require(
        "a round without changes lists nothing, and ends with a delta link",
        quiet.items.is_empty() && !quiet.delta_link().is_empty(),
        &quiet.last,
    )?;
    let ids = <[String; 5]>::try_from(ids).unwrap_or_default();
    let [renamed, deleted, leaving, series, deleted_series] = ids;
    Ok(Prepared {
        renamed,
        deleted,
        leaving,
        series,
        deleted_series,
        link: quiet.delta_link().to_owned(),
    })
}

/// What the rounds after the first one list.
pub(super) async fn changes(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Delta changes");
    let prepared = prepare(microsoft, findings).await?;
    let (renamed, leaving) = (&prepared.renamed, &prepared.leaving);
    let (deleted, deleted_series) = (&prepared.deleted, &prepared.deleted_series);
    let title = json!({ "subject": "Renamed" });
    let later =
        json!({ "start": berlin("2031-01-07T09:00:00"), "end": berlin("2031-01-07T10:00:00") });
    for (id, change) in [(renamed, title), (leaving, later)] {
        let done = microsoft.patch(id, &change, None).await?;
        findings.need(done.is(200), &done)?;
    }
    for id in [deleted, deleted_series] {
        let done = microsoft.delete(id, None).await?;
        findings.need(done.is(204), &done)?;
    }
    let all = [renamed, deleted, leaving, deleted_series];
    let is_complete = |round: &Round| all.iter().all(|id| round.has(id));
    let list = microsoft.rounds(&prepared.link, is_complete).await?;
    let item = list.item(renamed);
    findings.check(
        "a changed event is listed with its properties",
        item.body["subject"] == "Renamed"
            && item.body["start"].is_object()
            && item.body["iCalUId"].is_string(),
        &item,
    );
    for (id, assumption) in [
        (deleted, "a deleted event is listed by its id with @removed"),
        (
            leaving,
            "an event that leaves the window is listed by its id with @removed",
        ),
        (
            deleted_series,
            "a deleted series is listed by its own id with @removed",
        ),
    ] {
        findings.check(assumption, list.is_removed(id), &list.item(id));
    }
    occurrence(microsoft, findings, &prepared.series, list.delta_link()).await
}

/// What a round lists after an occurrence was deleted.
async fn occurrence(
    microsoft: &Microsoft<'_>,
    findings: &mut Findings,
    series: &str,
    link: &str,
) -> Checked {
    let instances = microsoft
        .instances(series, Some("id,originalStart"))
        .await?;
    let third = super::series::at(&instances, "2030-01-21T08:00:00");
    let id = third["id"].as_str().unwrap_or_default();
    let deleted = microsoft.delete(id, None).await?;
    findings.need(deleted.is(204), &deleted)?;
    let names_it =
        |item: &Value| item["seriesMasterId"] == series || item["id"] == series || item["id"] == id;
    let list = microsoft
        .rounds(link, |round| round.items.iter().any(names_it))
        .await?;
    findings.check(
        "after the deletion of an occurrence, a round names the series or the occurrence",
        list.items.iter().any(names_it),
        &list.last,
    );
    Ok(())
}
