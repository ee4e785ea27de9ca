//! The response bodies of events.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use shared::calendar::agenda::{OccurrencePage, WindowCoverage};
use shared::calendar::events::UpdatedEvent;
use shared::domain::agenda::{Occurrence, original_time};
use shared::domain::calendar::{Calendar, ProviderKind, SyncStatus};
use shared::domain::details::{
    Attendee, EventStatus, Importance, Reminder, Transparency, Visibility,
};
use shared::domain::digest::digest_of;
use shared::domain::event::Event;
use shared::domain::ids::{CalendarId, EventId};
use shared::domain::link::{EventLink, KeptEdit, LinkStatus};
use shared::domain::recurrence::Series;
use shared::domain::time::EventTime;
use shared::http::Json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// An event, or one occurrence of a series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Event)]
pub struct EventView {
    /// Event id, `evt_…`. The id of an occurrence ends with its original start.
    #[schema(value_type = String)]
    id: EventId,
    /// Id of the series; for occurrences only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    series_id: Option<EventId>,
    /// Start according to the recurrence of the series, also if the occurrence was moved; for occurrences only.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_start: Option<String>,
    /// Calendar id, `cal_…`.
    #[schema(value_type = String)]
    calendar_id: CalendarId,
    /// Name of the calendar.
    calendar_name: String,
    /// Colour of the calendar as `#RRGGBB`.
    calendar_color: String,
    /// Provider of the calendar.
    provider: ProviderKind,
    /// Title (`SUMMARY`).
    title: String,
    /// Description (`DESCRIPTION`), as plain text.
    description: Option<String>,
    /// Location (`LOCATION`), as plain text.
    location: Option<String>,
    /// Start: RFC 3339 with the UTC offset of the event's zone, or `YYYY-MM-DD` for an all-day event.
    #[schema(example = "2026-03-02T09:00:00+01:00")]
    start_time: String,
    /// End, exclusive, in the same form as `startTime`.
    #[schema(example = "2026-03-02T10:00:00+01:00")]
    end_time: String,
    /// Whether the event is all-day.
    is_all_day: bool,
    /// Whether the event is floating: it takes place at this wall-clock time in the reader's zone.
    is_floating: bool,
    /// IANA time zone of the event; for all-day and floating events, the reader's zone.
    timezone: &'static str,
    /// Whether `timezone` is a guess, because the feed names an unknown zone. The times may be wrong.
    is_timezone_guessed: bool,
    /// Status (`STATUS`).
    status: EventStatus,
    /// Whether the event counts as busy time (`TRANSP`).
    transparency: Transparency,
    /// Whether the event is busy time for its owner: it is not cancelled, not transparent, and not declined by the
    /// owner.
    is_busy: bool,
    /// Access classification (`CLASS`).
    visibility: Visibility,
    /// Whether this is a series or an occurrence of one.
    is_recurring: bool,
    /// Recurrence rule of the series: the value of its first `RRULE`.
    recurrence_rule: Option<String>,
    /// The `RRULE`, `EXRULE`, `RDATE` and `EXDATE` lines of a series (RFC 5545); for series only, and missing where the
    /// occurrences are not those of such lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    recurrence: Option<Vec<String>>,
    /// Original starts of the occurrences that are events of their own or were cancelled; for series only.
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden_starts: Option<Vec<String>>,
    /// Attendees, including the organizer.
    attendees: Vec<Attendee>,
    /// Reminders.
    reminders: Vec<Reminder>,
    /// Importance (`PRIORITY`).
    importance: Importance,
    /// The provider's availability value, if `transparency` and `status` do not express it: `oof`, `workingElsewhere`,
    /// `unknown`.
    show_as: Option<String>,
    /// Categories (`CATEGORIES`).
    categories: Vec<String>,
    /// URL of a page about the event (`URL`).
    url: Option<String>,
    /// URL of the online meeting.
    conference_url: Option<String>,
    /// URL of the event in the provider's web interface.
    html_link: Option<String>,
    /// The provider's id of the event's colour; null for the colour of the calendar.
    color_id: Option<String>,
    /// The provider's type of a special event, which is read-only; null for ordinary events.
    event_type: Option<String>,
    /// Sync status: whether the provider has all local changes of the event.
    sync_status: LinkStatus,
    /// Why a local change could not be written, and what the user can do about it.
    sync_error: Option<String>,
    /// A local change that was given up in favour of the state at the provider.
    kept_edit: Option<KeptEditView>,
    /// `UID` of the event (RFC 5545).
    ical_uid: String,
    /// When Calweave last saw the event change.
    updated_at: DateTime<Utc>,
    /// Ids of the single events that a new series was expanded into, including this one. Only in the response to its
    /// creation with `whenInexpressible: "EXPAND"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub expanded_into: Option<Vec<EventId>>,
    /// Entity tag for `If-Match` and `If-None-Match`. It changes with the event, with its calendar's name and colour, and
    /// with `syncStatus`, which `If-Match` ignores.
    etag: String,
}

/// A local change that was given up: it lost a conflict with a change at the provider, or the provider refused the
/// deletion.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptEditView {
    /// When the change was given up.
    at: DateTime<Utc>,
    /// Names of the fields that now have the provider's value; `deleted` if the change was a deletion.
    fields: Vec<String>,
    /// Title with the local change.
    title: String,
    /// Description with the local change.
    description: Option<String>,
    /// Location with the local change.
    location: Option<String>,
    /// Start with the local change.
    start_time: String,
    /// End with the local change, exclusive.
    end_time: String,
}

impl KeptEditView {
    fn new(kept: &KeptEdit, zone: Tz) -> Self {
        let content = &kept.content;
        Self {
            at: kept.at,
            fields: kept.fields.clone(),
            title: content.details.title.clone(),
            description: content.details.description.clone(),
            location: content.details.location.clone(),
            start_time: content.start.to_api(zone),
            end_time: content.end.to_api(zone),
        }
    }
}

/// Returns an event's entity tag: a digest of its content and of its calendar's name and colour, then the sync status.
fn event_etag(event: &Event, calendar: &Calendar, sync_status: LinkStatus) -> String {
    let shown = format!(
        "{}|{}|{}",
        event.content_hash, calendar.name, calendar.color
    );
    format!("\"{}-{sync_status:?}\"", digest_of(shown.as_bytes()))
}

/// Returns the first rule of a series. A rule that could not be parsed, or that was expanded into a list of starts, is stored
/// in `unknown`.
fn recurrence_rule(event: &Event) -> Option<String> {
    let series = event.series.as_ref();
    let rule = series.and_then(|series| series.rules.first());
    let written_out = || {
        let mut unknown = event.details.unknown.iter();
        let rule = unknown.find(|(name, _)| name == "RRULE");
        rule.map(|(_, rule)| rule.clone())
    };
    rule.map(ToString::to_string).or_else(written_out)
}

fn overridden_starts(series: &Series, start: EventTime, zone: Tz) -> Vec<String> {
    let starts = series.overridden.iter();
    starts
        .map(|at| original_time(*at, start).to_api(zone))
        .collect()
}

impl EventView {
    /// Renders an occurrence for a reader in `zone`.
    pub fn new(one: &Occurrence<'_>, calendar: &Calendar, zone: Tz) -> Self {
        let event = one.event;
        let details = &event.details;
        let is_occurrence = one.original_start.is_some();
        // For an occurrence without an override, `event` is its series, whose link is not shown on each occurrence.
        let link = event
            .link
            .as_deref()
            .filter(|_| !is_occurrence || event.original_start().is_some());
        let sync_status = link.map_or(LinkStatus::Synced, EventLink::status);
        let series = event.series.as_deref().filter(|_| !is_occurrence);
        Self {
            id: one.id.clone(),
            series_id: is_occurrence.then(|| one.id.series()),
            original_start: one.original_start.map(|at| at.to_api(zone)),
            calendar_id: calendar.id,
            calendar_name: calendar.name.clone(),
            calendar_color: calendar.color.clone(),
            provider: calendar.provider,
            title: details.title.clone(),
            description: details.description.clone(),
            location: details.location.clone(),
            start_time: one.start.to_api(zone),
            end_time: one.end.to_api(zone),
            is_all_day: matches!(one.start, EventTime::Date(_)),
            is_floating: matches!(one.start, EventTime::Floating(_)),
            timezone: one.start.zone().unwrap_or(zone).name(),
            is_timezone_guessed: event.zone_guessed,
            status: details.status,
            transparency: details.transparency,
            is_busy: event.is_busy(),
            visibility: details.visibility,
            is_recurring: is_occurrence || event.series.is_some(),
            recurrence_rule: recurrence_rule(event),
            recurrence: series.and_then(|series| series.content_lines(event.start)),
            overridden_starts: series.map(|series| overridden_starts(series, event.start, zone)),
            attendees: details.attendees.clone(),
            reminders: details.reminders.clone(),
            importance: details.importance,
            show_as: details.show_as.clone(),
            categories: details.categories.clone(),
            url: details.url.clone(),
            conference_url: details.conference_url.clone(),
            html_link: details.html_link.clone(),
            color_id: details.color_id.clone(),
            event_type: details.event_type.clone(),
            sync_status,
            sync_error: link.and_then(|link| link.failure.clone()),
            kept_edit: link.and_then(|link| Some(KeptEditView::new(link.kept.as_deref()?, zone))),
            ical_uid: event.uid.clone(),
            updated_at: event.updated_at,
            expanded_into: None,
            etag: event_etag(event, calendar, sync_status),
        }
    }

    /// Renders an event after a change, for its reader's zone.
    pub fn updated(updated: &UpdatedEvent) -> Self {
        Self::new(&updated.occurrence(), &updated.calendar, updated.zone)
    }

    /// Returns the response to a change: status `done` if the provider has the change, else 202.
    pub fn answer(self, is_synced: bool, done: StatusCode) -> Response {
        let status = if is_synced {
            done
        } else {
            StatusCode::ACCEPTED
        };
        let tag = [(header::ETAG, self.etag.clone())];
        (status, tag, Json(self)).into_response()
    }

    /// Returns whether events have a field of this name.
    pub fn has_field(name: &str) -> bool {
        match Self::schema() {
            RefOr::T(Schema::Object(event)) => event.properties.contains_key(name),
            _ => false,
        }
    }

    /// Returns the event's entity tag.
    pub fn etag(&self) -> &str {
        &self.etag
    }
}

/// Returns a strong entity tag of a text.
pub fn etag(text: &str) -> String {
    format!("\"{}\"", digest_of(text.as_bytes()))
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Events)]
pub struct EventPage {
    /// The events, sorted by start, then by id.
    pub events: Vec<EventView>,
    /// Value of the `cursor` parameter for the next page; null on the last page.
    pub next_cursor: Option<String>,
    /// What of the window has been read from each calendar.
    pub coverage: Vec<CoverageView>,
}

impl EventPage {
    /// Renders a page. `is_consistent` is false if what had been read was not the same for all pages so far.
    pub fn new(
        page: OccurrencePage<Option<EventView>>,
        next_cursor: Option<String>,
        covered: &[WindowCoverage<'_>],
        is_consistent: bool,
    ) -> Self {
        let cut = page.cut;
        let coverage = |one: &WindowCoverage<'_>| {
            let is_cut = cut.contains(&one.state.calendar.id);
            CoverageView::of(one, is_consistent && !is_cut)
        };
        Self {
            events: page.occurrences.into_iter().flatten().collect(),
            next_cursor,
            coverage: covered.iter().map(coverage).collect(),
        }
    }
}

/// What of the window has been read from a calendar. Time that has not been read is not free.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Coverage)]
pub struct CoverageView {
    /// Calendar id, `cal_…`.
    #[schema(value_type = String)]
    calendar_id: CalendarId,
    /// Start of what has been read of the calendar; null if there is no limit, as for a feed, or if nothing has been read yet.
    from: Option<DateTime<Utc>>,
    /// End of what has been read of the calendar; null as for `from`. Series end here.
    to: Option<DateTime<Utc>>,
    /// Whether all of the window has been read, and that before the first page of the list. Also false if a series has a rule
    /// that takes too long to evaluate, so that occurrences may be missing.
    is_complete: bool,
    /// Whether more of the window is being read: a later request shows more. False if the last sync failed.
    is_being_read: bool,
    /// Status of the calendar's last sync.
    sync_status: SyncStatus,
}

impl CoverageView {
    fn of(covered: &WindowCoverage<'_>, is_consistent: bool) -> Self {
        Self {
            calendar_id: covered.state.calendar.id,
            from: covered.coverage.from,
            to: covered.coverage.to,
            is_complete: covered.is_complete && is_consistent,
            is_being_read: covered.is_being_read,
            sync_status: covered.state.cursor.status,
        }
    }
}
