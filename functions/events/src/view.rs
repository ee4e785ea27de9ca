//! An event as the API shows it.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use shared::calendar::events::UpdatedEvent;
use shared::domain::agenda::Occurrence;
use shared::domain::calendar::{Calendar, ProviderKind};
use shared::domain::details::{
    Attendee, EventStatus, Importance, Reminder, Transparency, Visibility,
};
use shared::domain::digest::digest_of;
use shared::domain::event::Event;
use shared::domain::ids::{CalendarId, EventId};
use shared::domain::link::{EventLink, KeptEdit, LinkStatus};
use shared::domain::time::EventTime;
use shared::http::Json;
use utoipa::ToSchema;

/// An event, or one occurrence of a series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Event)]
pub struct EventView {
    /// `evt_…`; an occurrence's ends with where its rule places it.
    #[schema(value_type = String)]
    id: EventId,
    /// The series that an occurrence belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    series_id: Option<EventId>,
    /// Where the rule of the series places it, even if it was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_start: Option<String>,
    /// `cal_…`
    #[schema(value_type = String)]
    calendar_id: CalendarId,
    /// The calendar's name.
    calendar_name: String,
    /// The calendar's colour.
    calendar_color: String,
    /// Where the calendar comes from.
    provider: ProviderKind,
    /// `SUMMARY`
    title: String,
    /// Plain text.
    description: Option<String>,
    /// Plain text.
    location: Option<String>,
    /// RFC 3339 with the offset of the event's own zone; `YYYY-MM-DD` when it is all-day.
    #[schema(example = "2026-03-02T09:00:00+01:00")]
    start_time: String,
    /// Exclusive, in the same form.
    #[schema(example = "2026-03-02T10:00:00+01:00")]
    end_time: String,
    /// Whether it takes whole days.
    is_all_day: bool,
    /// Whether it happens at this wall-clock time wherever its reader is.
    is_floating: bool,
    /// IANA name of its zone; the reader's for all-day and floating events.
    timezone: &'static str,
    /// Whether the feed names a zone that nobody knows, so that the times may be wrong.
    is_timezone_guessed: bool,
    /// Whether it takes place.
    status: EventStatus,
    /// Whether it takes up time.
    transparency: Transparency,
    /// Whether it takes up the person's time: not when it is cancelled, transparent, or declined by the person.
    is_busy: bool,
    /// Who may see it.
    visibility: Visibility,
    /// Whether it is a series or belongs to one.
    is_recurring: bool,
    /// The `RRULE` of the series, without its name.
    recurrence_rule: Option<String>,
    /// Who is invited, the organizer among them.
    attendees: Vec<Attendee>,
    /// When to remind.
    reminders: Vec<Reminder>,
    /// How much it matters.
    importance: Importance,
    /// How the provider shows the time, where the fields above do not say it: `oof`, `workingElsewhere`, `unknown`.
    show_as: Option<String>,
    /// `CATEGORIES`
    categories: Vec<String>,
    /// Where to read more.
    url: Option<String>,
    /// Where to meet online.
    conference_url: Option<String>,
    /// Where the provider shows the event.
    html_link: Option<String>,
    /// The provider's id of the event's own colour.
    color_id: Option<String>,
    /// What kind of event the provider says it is, where it is no ordinary one; then it can only be read.
    event_type: Option<String>,
    /// Whether it is the same here and at its provider.
    sync_status: LinkStatus,
    /// Why a change made here could not be written, and what to do about it.
    sync_error: Option<String>,
    /// A change made here that lost against one at the provider.
    kept_edit: Option<KeptEditView>,
    /// `UID`
    ical_uid: String,
    /// When Calweave last saw it change.
    updated_at: DateTime<Utc>,
    /// The events that a series became which the provider cannot repeat so, this one among them; only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub expanded_into: Option<Vec<EventId>>,
    /// Changes with everything that is shown here.
    etag: String,
}

/// A change made here that lost against one at the provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptEditView {
    /// When that was decided.
    at: DateTime<Utc>,
    /// Where the provider's values stand now; `deleted` where the event was to be removed.
    fields: Vec<String>,
    /// What the event was to say.
    title: String,
    /// What the event was to say.
    description: Option<String>,
    /// What the event was to say.
    location: Option<String>,
    /// When it was to start.
    start_time: String,
    /// When it was to end.
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

/// Changes with everything that the view shows.
fn event_etag(event: &Event, calendar: &Calendar, sync_status: LinkStatus) -> String {
    let shown = format!(
        "{}|{}|{}",
        event.content_hash, calendar.name, calendar.color
    );
    format!("\"{}-{sync_status:?}\"", digest_of(shown.as_bytes()))
}

impl EventView {
    /// As a reader in `zone` sees it.
    pub fn new(one: &Occurrence<'_>, calendar: &Calendar, zone: Tz) -> Self {
        let event = one.event;
        let details = &event.details;
        let is_occurrence = one.original_start.is_some();
        let rule = event
            .series
            .as_ref()
            .and_then(|series| series.rules.first());
        let rule = rule.map(ToString::to_string);
        // A series that had to be written out keeps its rule among what nobody else has a word for.
        // An occurrence that the rule gives has nothing of its own to be written.
        let link = event
            .link
            .as_deref()
            .filter(|_| !is_occurrence || event.original_start().is_some());
        let sync_status = link.map_or(LinkStatus::Synced, EventLink::status);
        let written_out = || {
            let mut unknown = details.unknown.iter();
            let rule = unknown.find(|(name, _)| name == "RRULE");
            rule.map(|(_, rule)| rule.clone())
        };
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
            recurrence_rule: rule.or_else(written_out),
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

    /// As it is after a change.
    pub fn updated(updated: &UpdatedEvent) -> Self {
        Self::new(&updated.occurrence(), &updated.calendar, updated.zone)
    }

    /// The answer to a change: `done` once the provider has it, 202 until then.
    pub fn answer(self, is_synced: bool, done: StatusCode) -> Response {
        let status = if is_synced {
            done
        } else {
            StatusCode::ACCEPTED
        };
        let tag = [(header::ETAG, self.etag.clone())];
        (status, tag, Json(self)).into_response()
    }

    /// Its `ETag`.
    pub fn etag(&self) -> &str {
        &self.etag
    }
}

/// A strong entity tag of a text.
pub fn etag(text: &str) -> String {
    format!("\"{}\"", digest_of(text.as_bytes()))
}

/// A list of events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// By start, then by id.
    pub events: Vec<EventView>,
    /// For the `cursor` parameter of the next page; null on the last one.
    pub next_cursor: Option<String>,
}
