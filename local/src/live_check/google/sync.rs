//! `events.list`: windows, pages, sync tokens.

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};
use shared::clock::Clock;

use super::series::is_at;
use super::{Google, event};
use crate::live_check::report::{Checked, Findings, Interruption};
use crate::live_check::wire::{Answer, Call, with};

/// The window of the lists.
const WINDOW: [(&str, &str); 2] = [
    ("timeMin", "2030-01-01T00:00:00Z"),
    ("timeMax", "2030-12-31T00:00:00Z"),
];
/// The maximum number of pages of a list.
const MAX_PAGES: usize = 60;

/// All pages of a list.
struct Listing {
    items: Vec<Value>,
    earlier: Vec<Answer>,
    last: Answer,
}

impl Listing {
    fn token(&self) -> &str {
        self.last.text("nextSyncToken")
    }

    /// Whether the last page has a sync token, and the earlier ones only have page tokens.
    fn is_complete(&self) -> bool {
        let has_token = |page: &Answer| !page.body["nextSyncToken"].is_null();
        self.last.is(200)
            && !self.token().is_empty()
            && self.last.body["nextPageToken"].is_null()
            && !self.earlier.iter().any(has_token)
    }

    fn has(&self, id: &str) -> bool {
        self.items.iter().any(|item| item["id"] == id)
    }

    /// Returns an item as a response that can be printed; null if the list does not have it.
    fn item(&self, id: &str) -> Answer {
        let item = self.items.iter().rev().find(|item| item["id"] == id);
        self.last.showing(item.cloned().unwrap_or_default())
    }
}

impl Google<'_> {
    /// Lists series, exceptions and single events as the backend does.
    async fn list(&self, parameters: &[(&str, &str)]) -> Result<Listing, Interruption> {
        let mut listing = Listing {
            items: vec![],
            earlier: vec![],
            last: self.list_page(parameters, None).await?,
        };
        for _ in 0..MAX_PAGES {
            listing.items.extend_from_slice(listing.last.list("items"));
            let Some(token) = listing.last.body["nextPageToken"].as_str() else {
                break;
            };
            let next = self.list_page(parameters, Some(token)).await?;
            let page = std::mem::replace(&mut listing.last, next);
            listing.earlier.push(page);
        }
        Ok(listing)
    }

    async fn list_page(
        &self,
        parameters: &[(&str, &str)],
        page: Option<&str>,
    ) -> Result<Answer, Interruption> {
        let mut call = Call::get(self.events())
            .query("singleEvents", "false")
            .query("showDeleted", "true");
        for (name, value) in parameters {
            call = call.query(name, value);
        }
        if let Some(token) = page {
            call = call.query("pageToken", token);
        }
        self.send(call).await
    }
}

/// Lists without a sync token.
pub(super) async fn lists(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Lists");
    let times = json!({
        "start": { "dateTime": "2030-06-03T09:00:00Z", "timeZone": "UTC" }, "end": { "dateTime": "2030-06-03T10:00:00Z", "timeZone": "UTC" }
    });
    let made = google.make(findings, &event("Bounds", times)).await?;
    let id = made.text("id");
    for (from, to, is_listed, assumption) in [
        (
            "2030-06-03T10:00:00Z",
            "2030-06-04T00:00:00Z",
            false,
            "timeMin leaves out an event that ends then",
        ),
        (
            "2030-06-03T09:59:59Z",
            "2030-06-04T00:00:00Z",
            true,
            "timeMin includes an event that ends later",
        ),
        (
            "2030-06-02T00:00:00Z",
            "2030-06-03T09:00:00Z",
            false,
            "timeMax leaves out an event that starts then",
        ),
        (
            "2030-06-02T00:00:00Z",
            "2030-06-03T09:00:01Z",
            true,
            "timeMax includes an event that starts earlier",
        ),
    ] {
        let list = google.list(&[("timeMin", from), ("timeMax", to)]).await?;
        findings.check(
            assumption,
            list.last.is(200) && list.has(id) == is_listed,
            &list.last,
        );
    }
    let [from, to] = WINDOW;
    let paged = google.list(&[from, to, ("maxResults", "5")]).await?;
    findings.check(
        "a list goes on with its page token, and only its last page has a sync token",
        !paged.earlier.is_empty() && paged.is_complete() && paged.has(id),
        &paged.last,
    );
    let deleted = google.delete(id, None).await?;
    findings.need(deleted.is(204), &deleted)?;
    let list = google.list(&[from, to, ("maxResults", "2500")]).await?;
    findings.check(
        "showDeleted=true lists deleted events, also without a sync token",
        list.item(id).body["status"] == "cancelled",
        &list.item(id),
    );
    Ok(())
}

/// What was changed since a list, and the sync token of that list.
struct Changed {
    token: String,
    renamed: String,
    deleted: String,
    outside: String,
    series: String,
    exception: String,
    cancelled: String,
    deleted_series: String,
}

/// Creates events, lists them, and changes them.
async fn change(google: &Google<'_>, findings: &mut Findings) -> Result<Changed, Interruption> {
    let daily = || {
        event(
            "Daily",
            json!({ "recurrence": ["RRULE:FREQ=DAILY;COUNT=5"] }),
        )
    };
    let one = || event("Sync", json!({}));
    let mut ids = Vec::new();
    for body in [one(), one(), daily(), daily()] {
        let made = google.make(findings, &body).await?;
        ids.push(made.text("id").to_owned());
    }
    let ids = <[String; 4]>::try_from(ids).unwrap_or_default();
    let [renamed, deleted, series, deleted_series] = ids;
    let token = first_token(google, findings).await?;
    let title = json!({ "summary": "Renamed" });
    let done = google.patch(&renamed, &title, None).await?;
    findings.need(done.is(200), &done)?;
    let time = |at: &str| json!({ "dateTime": at, "timeZone": "UTC" });
    let (start, end) = (time("2031-06-03T09:00:00Z"), time("2031-06-03T10:00:00Z"));
    let outside = event("Outside", json!({ "start": start, "end": end }));
    let outside = google.make(findings, &outside).await?;
    let second = google.occurrence(findings, &series, "2030-01-08T08:00:00Z");
    let second = second.await?;
    let exception = second["id"].as_str().unwrap_or_default().to_owned();
    let changed = with(second, json!({ "summary": "Exception" }));
    let done = google.update(&exception, &changed, None).await?;
    findings.need(done.is(200), &done)?;
    let third = google.occurrence(findings, &series, "2030-01-09T08:00:00Z");
    let third = third.await?;
    let cancelled = third["id"].as_str().unwrap_or_default().to_owned();
    for id in [&cancelled, &deleted, &deleted_series] {
        let done = google.delete(id, None).await?;
        findings.need(done.is(204), &done)?;
    }
    Ok(Changed {
        token,
        renamed,
        deleted,
        outside: outside.text("id").to_owned(),
        series,
        exception,
        cancelled,
        deleted_series,
    })
}

/// Lists everything. Returns the sync token.
async fn first_token(google: &Google<'_>, findings: &mut Findings) -> Result<String, Interruption> {
    let [from, to] = WINDOW;
    let first = google.list(&[from, to, ("maxResults", "2500")]).await?;
    findings.require(
        "a list of the largest page size ends with a sync token",
        first.is_complete(),
        &first.last,
    )?;
    let quiet = google.list(&[("syncToken", first.token())]).await?;
    findings.check(
        "a list by sync token is empty if nothing has changed",
        quiet.is_complete() && quiet.items.is_empty(),
        &quiet.last,
    );
    Ok(first.token().to_owned())
}

/// Lists by sync token.
pub(super) async fn changes(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Sync tokens");
    let changed = change(google, findings).await?;
    let parameters = [("syncToken", changed.token.as_str()), ("maxResults", "2")];
    let list = google.list(&parameters).await?;
    findings.require(
        "a list by sync token has pages too: the next one takes both tokens",
        !list.earlier.is_empty() && list.is_complete(),
        &list.last,
    )?;
    let is_cancelled = |id: &str| list.item(id).body["status"] == "cancelled";
    findings.check(
        "a changed event is listed with its change",
        list.item(&changed.renamed).body["summary"] == "Renamed",
        &list.item(&changed.renamed),
    );
    findings.check(
        "a deleted event is listed by its id with the status cancelled",
        is_cancelled(&changed.deleted),
        &list.item(&changed.deleted),
    );
    findings.check(
        "a change outside of timeMin and timeMax of the first list is listed too",
        list.has(&changed.outside),
        &list.item(&changed.outside),
    );
    let exception = list.item(&changed.exception);
    findings.check(
        "a changed occurrence is listed with recurringEventId and originalStartTime",
        exception.body["summary"] == "Exception"
            && exception.body["recurringEventId"] == changed.series
            && is_at(&exception.body, "2030-01-08T08:00:00Z"),
        &exception,
    );
    let cancelled = list.item(&changed.cancelled);
    findings.check(
        "a cancelled occurrence is listed with recurringEventId and originalStartTime",
        is_cancelled(&changed.cancelled)
            && cancelled.body["recurringEventId"] == changed.series
            && is_at(&cancelled.body, "2030-01-09T08:00:00Z"),
        &cancelled,
    );
    findings.check(
        "a deleted series is listed by its own id with the status cancelled",
        is_cancelled(&changed.deleted_series),
        &list.item(&changed.deleted_series),
    );
    let occurrences = list.items.iter();
    let occurrences = occurrences.filter(|item| item["recurringEventId"] == changed.series);
    findings.check(
        "with singleEvents=false, occurrences are listed only if they are changed or cancelled",
        occurrences
            .map(|item| item["id"].as_str().unwrap_or_default())
            .all(|id| id == changed.exception || id == changed.cancelled),
        &list.last,
    );
    Ok(())
}

/// Tokens and parameters that are refused.
pub(super) async fn refusals(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Refused tokens");
    let [from, to] = WINDOW;
    let first = google.list(&[from, to, ("maxResults", "2500")]).await?;
    findings.need(first.is_complete(), &first.last)?;
    let both = google.list(&[("syncToken", first.token()), from]).await?;
    findings.check(
        "a sync token with timeMin is refused with 400",
        both.last.is(400),
        &both.last,
    );
    let made_up = google.list(&[("syncToken", "made-up")]).await?;
    findings.check(
        "a sync token that is made up is refused with 400 or 410",
        matches!(made_up.last.status, 400 | 410),
        &made_up.last,
    );
    let old = Clock::System.now() - TimeDelta::days(60);
    let old = old.to_rfc3339_opts(SecondsFormat::Secs, true);
    let old = google.list(&[("updatedMin", old.as_str())]).await?;
    findings.check(
        "updatedMin of two months ago is refused with 410 and the reason updatedMinTooLongAgo",
        old.last.is_refusal(410, "updatedMinTooLongAgo"),
        &old.last,
    );
    findings.skip(
        "a sync token that has expired is refused with 410 and the reason fullSyncRequired",
        "a token expires after weeks, or when Google decides so",
    );
    Ok(())
}
