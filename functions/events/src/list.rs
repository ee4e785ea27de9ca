//! `GET /api/v1/calendar/events`

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use shared::calendar::agenda::{AgendaQuery, WindowCoverage, cover_window, list_occurrences};
use shared::calendar::calendars::{choose_calendars, connected_calendars, reader_zone};
use shared::domain::agenda::Window;
use shared::domain::digest::digest_of;
use shared::domain::time::to_instant;
use shared::http::layers::conditional;
use shared::http::page::PageCursor;
use shared::http::{ApiResult, Caller, Problem, Problems, Query};
use utoipa::IntoParams;

use crate::Context;
use crate::view::{EventPage, EventView, etag};

/// The parameters of the list.
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
    /// Calendar ids, separated by commas: `cal_…,cal_…`. Defaults to all connected calendars.
    #[serde(default)]
    #[param(max_length = 4000, pattern = "^cal_[0-9A-Z]{26}(,cal_[0-9A-Z]{26})*$")]
    calendar_ids: Option<String>,
    /// Maximum number of events in the response, 1 to 2,500. Defaults to 500.
    #[serde(default)]
    #[param(minimum = 1, maximum = 2500)]
    limit: Option<u32>,
    /// `nextCursor` of the previous page. The other parameters except `limit` must be the same.
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
/// Series are expanded into their occurrences. Events are sorted by start, then by id. Pages neither repeat nor skip an
/// event, even if events are added in between. With `If-None-Match`, 304 if the response has not changed.
#[utoipa::path(get, path = "/api/v1/calendar/events", tag = "events", security(("bearer" = [])), params(ListQuery),
    responses((status = 200, body = EventPage), (status = 304, description = "Not modified"), Problems))]
pub async fn list(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> ApiResult<Response> {
    let zone = reader_zone(&context, caller.user(), query.timezone.as_deref()).await?;
    let window = window(&query, zone)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::field("limit", "must be between 1 and 2500"));
    }
    let digest = query_digest(&query, &window);
    let cursor = query
        .cursor
        .as_deref()
        .map(|cursor| PageCursor::decode(cursor, &digest))
        .transpose()?;
    let first_coverage = cursor.as_ref().map(|cursor| cursor.coverage.clone());
    let after =
        cursor.and_then(|cursor| Some((DateTime::from_timestamp_millis(cursor.start)?, cursor.id)));
    let calendars = connected_calendars(&context, caller.user()).await?;
    let calendars = choose_calendars(calendars, query.calendar_ids.as_deref())?;
    let covered = cover_window(&context, caller.user(), &calendars, &window).await?;
    let coverage = coverage_digest(&covered);
    // More has been read since the first page: earlier pages may lack what lies between.
    let has_changed = first_coverage.is_some_and(|first| first != coverage);
    let wanted = AgendaQuery {
        user: caller.user(),
        window,
        calendars: &covered,
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
    let body = serde_json::to_string(&page)?;
    let tag = etag(&body);
    Ok(conditional(
        &headers,
        &tag,
        ([(CONTENT_TYPE, "application/json")], body),
    ))
}

/// Returns a digest of what all pages of a list have in common.
fn query_digest(query: &ListQuery, window: &Window) -> String {
    let Window { start, end, zone } = window;
    let calendars = query.calendar_ids.as_deref().unwrap_or("");
    digest_of(format!("{start}|{end}|{zone}|{calendars}").as_bytes())
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
