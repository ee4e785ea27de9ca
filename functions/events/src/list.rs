//! `GET /api/v1/calendar/events` and `GET /api/v1/calendar/calendars/{id}/events`

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use shared::calendar::agenda::{AgendaQuery, WindowCoverage, cover_window, list_occurrences};
use shared::calendar::calendars::{choose_calendars, connected_calendars, zone_of};
use shared::calendar::filter::EventFilter;
use shared::domain::agenda::Window;
use shared::domain::digest::digest_of;
use shared::domain::ids::CalendarId;
use shared::domain::time::to_instant;
use shared::http::layers::conditional;
use shared::http::page::PageCursor;
use shared::http::{ApiResult, Bearer, Id, Problem, Problems, Query};
use utoipa::IntoParams;

use crate::Context;
use crate::fields::Fields;
use crate::view::{EventPage, EventView, etag};

/// The parameter of the list over all calendars.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct CalendarsQuery {
    /// Calendar ids, separated by commas: `cal_…,cal_…`. Defaults to all connected calendars.
    #[serde(default)]
    #[param(max_length = 4000, pattern = "^cal_[0-9A-Z]{26}(,cal_[0-9A-Z]{26})*$")]
    calendar_ids: Option<String>,
}

/// The parameters of a list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Start of the window, inclusive: RFC 3339, or a date in the reader's zone.
    #[param(example = "2026-03-01", max_length = 40)]
    start: String,
    /// End of the window, exclusive, in the same form; at most 366 days after `start`.
    #[param(example = "2026-04-01", max_length = 40)]
    end: String,
    /// Words that an event must have, in its title, description, location, or its attendees' names and addresses; at most
    /// 10. Upper and lower case are the same.
    #[serde(default)]
    #[param(max_length = 200, example = "budget review")]
    q: Option<String>,
    /// Statuses to include, separated by commas: `CONFIRMED,TENTATIVE`. Defaults to all.
    #[serde(default)]
    #[param(
        max_length = 40,
        pattern = "^(CONFIRMED|TENTATIVE|CANCELLED)(,(CONFIRMED|TENTATIVE|CANCELLED))*$"
    )]
    status: Option<String>,
    /// E-mail address of an attendee or of the organizer.
    #[serde(default)]
    #[param(
        max_length = 320,
        pattern = "^[^@]+@[^@]+$",
        example = "grace@example.org"
    )]
    attendee: Option<String>,
    /// Include only events that Calweave has seen change at or after this time: RFC 3339.
    #[serde(default)]
    #[param(max_length = 40, example = "2026-03-01T00:00:00Z")]
    updated_since: Option<String>,
    /// Whether a series is listed as its occurrences, the default. With `false` it is listed once, at the place of its
    /// first occurrence in the window, with `recurrence` and `overriddenStarts`; and beside it each occurrence that is an
    /// event of its own.
    #[serde(default)]
    expand: Option<bool>,
    /// Names of the fields of an event to return, separated by commas: `title,startTime,endTime`. `id` is always returned.
    /// Defaults to all.
    #[serde(default)]
    #[param(max_length = 1000, pattern = "^[A-Za-z]+(,[A-Za-z]+)*$")]
    fields: Option<String>,
    /// Maximum number of events in the response, 1 to 2,500. Defaults to 500.
    #[serde(default)]
    #[param(minimum = 1, maximum = 2500)]
    limit: Option<u32>,
    /// `nextCursor` of the previous page. The other parameters except `limit` and `fields` must be the same.
    #[serde(default)]
    #[param(max_length = 2000, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// IANA time zone of the reader. Defaults to the zone of the user's profile.
    #[serde(default)]
    #[param(example = "Europe/Berlin", max_length = 64)]
    timezone: Option<String>,
}

/// Maximum length of a window.
const MAX_WINDOW: TimeDelta = TimeDelta::days(366);
const MAX_LIMIT: u32 = 2_500;
const DEFAULT_LIMIT: u32 = 500;

/// Lists the events that overlap a time window.
///
/// Series are expanded into their occurrences, unless `expand` is `false`. Events are sorted by start, then by id. Pages
/// neither repeat nor skip an event, even if events are added in between. A page can have fewer events than `limit`, or none,
/// before the last one: while `nextCursor` is not null, there may be more. With `If-None-Match`, 304 if the response has not
/// changed.
#[utoipa::path(get, path = "/api/v1/calendar/events", operation_id = "listEvents", tag = "events", security(("bearer" = [])), params(CalendarsQuery, ListQuery),
    responses((status = 200, body = EventPage), (status = 304, description = "Not modified"), Problems))]
pub async fn list(
    State(context): State<Context>,
    bearer: Bearer,
    headers: HeaderMap,
    Query(CalendarsQuery { calendar_ids }): Query<CalendarsQuery>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Response> {
    read_page(&context, bearer, &headers, calendar_ids.as_deref(), query).await
}

/// Lists the events of one calendar that overlap a time window.
///
/// As the list over all calendars.
#[utoipa::path(get, path = "/api/v1/calendar/calendars/{id}/events", operation_id = "listCalendarEvents", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`"), ListQuery),
    responses((status = 200, body = EventPage), (status = 304, description = "Not modified"), Problems))]
pub async fn list_of_calendar(
    State(context): State<Context>,
    bearer: Bearer,
    headers: HeaderMap,
    Id(id): Id<CalendarId>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Response> {
    let id = id.to_string();
    read_page(&context, bearer, &headers, Some(&id), query).await
}

async fn read_page(
    context: &Context,
    bearer: Bearer,
    headers: &HeaderMap,
    calendar_ids: Option<&str>,
    query: ListQuery,
) -> ApiResult<Response> {
    let read = bearer.read_with_profile(&context.http, |user| connected_calendars(context, user));
    let (user, calendars) = read.await?;
    let zone = zone_of(&user, query.timezone.as_deref())?;
    let window = window(&query, zone)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::field("limit", "must be between 1 and 2500"));
    }
    let filter = query.filter()?;
    let fields = query.fields.as_deref().map(Fields::parse).transpose()?;
    let digest = query_digest(&query, calendar_ids, &window);
    let cursor = query
        .cursor
        .as_deref()
        .map(|cursor| PageCursor::decode(cursor, &digest))
        .transpose()?;
    let first_coverage = cursor.as_ref().map(|cursor| cursor.coverage.clone());
    let after =
        cursor.and_then(|cursor| Some((DateTime::from_timestamp_millis(cursor.start)?, cursor.id)));
    let calendars = choose_calendars(calendars, calendar_ids)?;
    let covered = cover_window(context, user.id, &calendars, &window).await?;
    let coverage = coverage_digest(&covered);
    // More has been read since the first page: earlier pages may lack what lies between.
    let has_changed = first_coverage.is_some_and(|first| first != coverage);
    let wanted = AgendaQuery {
        user: user.id,
        window,
        calendars: &covered,
        filter: &filter,
        expands_series: query.expand.unwrap_or(true),
        after,
        limit: limit as usize,
    };
    let page = list_occurrences(&context.store, wanted, |one| {
        calendars
            .get(&one.event.calendar())
            .map(|state| EventView::new(one, &state.calendar, zone))
    });
    let page = page.await?;
    let next_cursor = page.next.clone().map(|(start, id)| {
        PageCursor {
            start: start.timestamp_millis(),
            id,
            query: digest,
            coverage,
        }
        .encode()
    });
    let page = EventPage::new(page, next_cursor, &covered, !has_changed);
    let body = match fields {
        Some(fields) => fields.reduce(serde_json::to_value(&page)?).to_string(),
        None => serde_json::to_string(&page)?,
    };
    let tag = etag(&body);
    Ok(conditional(
        headers,
        &tag,
        ([(CONTENT_TYPE, "application/json")], body),
    ))
}

/// Returns a digest of what all pages of a list have in common.
fn query_digest(query: &ListQuery, calendar_ids: Option<&str>, window: &Window) -> String {
    let Window { start, end, zone } = window;
    let calendars = calendar_ids.unwrap_or("");
    let ListQuery {
        q,
        status,
        attendee,
        updated_since,
        expand,
        ..
    } = query;
    let conditions = format!("{q:?}|{status:?}|{attendee:?}|{updated_since:?}|{expand:?}");
    digest_of(format!("{start}|{end}|{zone}|{calendars}|{conditions}").as_bytes())
}

impl ListQuery {
    fn filter(&self) -> ApiResult<EventFilter> {
        let Self {
            q,
            status,
            attendee,
            updated_since,
            ..
        } = self;
        Ok(EventFilter::parse(
            q.as_deref(),
            status.as_deref(),
            attendee.as_deref(),
            updated_since.as_deref(),
        )?)
    }
}

/// Returns a digest of the stretches that have been read.
fn coverage_digest(covered: &[WindowCoverage<'_>]) -> String {
    let mut text = String::new();
    for one in covered {
        let (id, coverage) = (one.state.calendar.id, one.coverage);
        text.push_str(&format!("{id} {:?} {:?}|", coverage.from, coverage.to));
    }
    digest_of(text.as_bytes())
}

fn window(query: &ListQuery, zone: Tz) -> ApiResult<Window> {
    let window = Window {
        start: instant("start", &query.start, zone)?,
        end: instant("end", &query.end, zone)?,
        zone,
    };
    if window.start >= window.end {
        return Err(Problem::field("end", "must be later than start"));
    }
    if window.end - window.start > MAX_WINDOW {
        let message = "must be at most 366 days after start";
        return Err(Problem::field("end", message));
    }
    Ok(window)
}

/// Parses RFC 3339, or a date as the start of that day in the reader's zone.
fn instant(field: &str, text: &str, zone: Tz) -> ApiResult<DateTime<Utc>> {
    // URL decoding turns an unescaped plus into a space.
    let text = text.trim().replace(' ', "+");
    let date = || {
        Some(to_instant(
            text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN),
            zone,
        ))
    };
    let instant = DateTime::parse_from_rfc3339(&text)
        .ok()
        .map(|at| at.to_utc())
        .or_else(date);
    let years = 1..=9998;
    instant
        .filter(|at| years.contains(&chrono::Datelike::year(at)))
        .ok_or_else(|| {
            Problem::field(
                field,
                "must be RFC 3339 such as 2026-03-01T00:00:00Z, or a date such as 2026-03-01",
            )
        })
}
