//! `POST /api/v1/calendar/events`, `PUT` and `DELETE /api/v1/calendar/events/{id}`, and
//! `POST /api/v1/calendar/events/{id}/retry-sync`
//!
//! A change is stored here first, then the worker writes it to the provider; the answer waits for that as long as a caller
//! can be expected to.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use shared::app::App;
use shared::domain::agenda::{alone, find};
use shared::domain::calendar::{Calendar, Source};
use shared::domain::event::Event;
use shared::domain::ids::{CalendarId, EventId, UserId};
use shared::domain::link::{Content, LinkStatus, Operation, SendUpdates};
use shared::http::idempotency;
use shared::http::limits::EventWriteLimit;
use shared::http::problem::FieldError;
use shared::http::trail::Trail;
use shared::http::views::connected;
use shared::http::{Answer, Caller, Id, Json, Problem, ProblemType, Problems, Query};
use shared::providers::{undeletable, unwritable};
use shared::sync::edit::{How, change_event, create_event, remove_event, retry_edit};
use shared::sync::push_soon;
use utoipa::{IntoParams, ToSchema};

use crate::body::{EventBody, WhenInexpressible};
use crate::view::{EventView, reader_zone};

/// How long an answer waits for the provider, in seconds, unless the caller says otherwise.
const PATIENCE: u64 = 8;
/// A gateway gives up after 30.
const MAX_PATIENCE: u64 = 25;
/// Events that one series may become.
const MAX_EXPANDED: usize = 100;

/// How long to wait.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Seconds to wait for the provider, at most 25; 8 unless given, 0 for not at all.
    #[serde(default)]
    wait: Option<u64>,
}

impl From<WaitQuery> for Option<u64> {
    fn from(query: WaitQuery) -> Self {
        query.wait
    }
}

/// Who is told, and how long to wait.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Who is told by mail; nobody unless said.
    #[serde(default)]
    send_updates: SendUpdates,
    /// Seconds to wait for the provider, at most 25; 8 unless given, 0 for not at all.
    #[serde(default)]
    wait: Option<u64>,
}

/// What became of a removal.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Which event.
    #[schema(value_type = String)]
    id: EventId,
    /// Whether the provider has let it go.
    sync_status: LinkStatus,
}

/// Creates an event: 201 when the provider has it, 202 when it is on its way. Where `whenInexpressible` asks for it and the
/// provider cannot repeat the event so, the answer is the first of the events that it became, and `expandedInto` names all.
#[utoipa::path(post, path = "/api/v1/calendar/events", tag = "events", security(("bearer" = [])), request_body = EventBody, params(WaitQuery),
    responses((status = 201, body = EventView), (status = 202, body = EventView), Problems))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    trail: Trail,
    (headers, Query(query)): (HeaderMap, Query<WaitQuery>),
    Json(body): Json<EventBody>,
) -> Answer<Response> {
    let patience = patience(query.wait)?;
    let user = caller.user();
    let calendar = body
        .calendar_id
        .ok_or_else(|| Problem::field("calendarId", "is needed"))?;
    let calendar = writable(&app, user, calendar).await?;
    let zone = reader_zone(&app, user, None).await?;
    let name = headers
        .get(idempotency::KEY)
        .map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    let how = How {
        send_updates: body.send_updates,
        wants_conference: body.create_conference,
        name,
        ..How::default()
    };
    let expands = body.when_inexpressible == WhenInexpressible::Expand;
    let content = body.create(zone)?;
    let wrong = unwritable(calendar.provider, None, &content, how.send_updates);
    if expands
        && wrong
            .iter()
            .any(|(field, _)| matches!(*field, "recurrence" | "timezone"))
    {
        return expand(&app, &trail, &calendar, content, how, zone, patience).await;
    }
    accept(wrong)?;
    let event = create_event(&app, &calendar, content, how).await?;
    trail
        .success(user, "EVENT_CREATE", Some(event.id.to_string()))
        .await;
    let event = pushed(&app, user, &event.id, patience)
        .await?
        .unwrap_or(event);
    Ok(answer(&event, &calendar, zone, StatusCode::CREATED))
}

/// Changes an event, a series, or one occurrence of a series: 200 when the provider has the change, 202 when it is on its
/// way. What is left out stays as it is. With `If-Match`, 412 when the event is another by now.
#[utoipa::path(put, path = "/api/v1/calendar/events/{id}", tag = "events", security(("bearer" = [])), request_body = EventBody,
    params(("id" = String, Path, description = "`evt_…`"), ("If-Match" = Option<String>, Header, description = "`etag` of the event"), WaitQuery),
    responses((status = 200, body = EventView), (status = 202, body = EventView), Problems))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    trail: Trail,
    (headers, Query(query)): (HeaderMap, Query<WaitQuery>),
    Id(id): Id<EventId>,
    Json(body): Json<EventBody>,
) -> Answer<Response> {
    let patience = patience(query.wait)?;
    let user = caller.user();
    let calendar = writable(&app, user, id.calendar()).await?;
    let zone = reader_zone(&app, user, None).await?;
    let how = How {
        send_updates: body.send_updates,
        wants_conference: body.create_conference,
        is_strict: headers.contains_key(header::IF_MATCH),
        ..How::default()
    };
    if body.calendar_id.is_some_and(|other| other != calendar.id) {
        return Err(Problem::field(
            "calendarId",
            "cannot be changed: an event stays in the calendar that it was made in",
        ));
    }
    let event = editable(&app, user, &id, zone).await?;
    check_version(&headers, &event, &calendar, zone)?;
    let wanted = body.change(Content::of(&event), zone)?;
    if id.original_start().is_some() && wanted.series.is_some() {
        return Err(Problem::field(
            "recurrence",
            "belongs to the series, not to one occurrence of it",
        ));
    }
    accept(unwritable(
        calendar.provider,
        Some(&Content::of(&event)),
        &wanted,
        how.send_updates,
    ))?;
    let event = change_event(&app, user, event, wanted, how)
        .await?
        .ok_or_else(Problem::not_found)?;
    trail
        .success(user, "EVENT_UPDATE", Some(id.to_string()))
        .await;
    let event = pushed(&app, user, &id, patience).await?.unwrap_or(event);
    Ok(answer(&event, &calendar, zone, StatusCode::OK))
}

/// Removes an event, a series, or one occurrence of a series: 200 when the provider has let it go, 202 when that is on its
/// way; here it is gone at once. With `If-Match`, 412 when the event is another by now.
#[utoipa::path(delete, path = "/api/v1/calendar/events/{id}", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "`evt_…`"), ("If-Match" = Option<String>, Header, description = "`etag` of the event"), DeleteQuery),
    responses((status = 200, body = Deleted), (status = 202, body = Deleted), Problems))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    trail: Trail,
    headers: HeaderMap,
    Query(query): Query<DeleteQuery>,
    Id(id): Id<EventId>,
) -> Answer<Response> {
    let patience = patience(query.wait)?;
    let user = caller.user();
    let calendar = writable(&app, user, id.calendar()).await?;
    let zone = reader_zone(&app, user, None).await?;
    let event = editable(&app, user, &id, zone).await?;
    check_version(&headers, &event, &calendar, zone)?;
    let how = How {
        send_updates: query.send_updates,
        is_strict: headers.contains_key(header::IF_MATCH),
        ..How::default()
    };
    accept(undeletable(calendar.provider, &event, how.send_updates))?;
    if !remove_event(&app, user, event, how).await? {
        return Err(Problem::not_found());
    }
    trail
        .success(user, "EVENT_DELETE", Some(id.to_string()))
        .await;
    let (status, sync_status) = match pushed(&app, user, &id, patience).await? {
        None => (StatusCode::OK, LinkStatus::Synced),
        Some(left) if left.is_leaving() => (
            StatusCode::ACCEPTED,
            left.link.map_or(LinkStatus::Pending, |link| link.status()),
        ),
        Some(left) => {
            let reason = left
                .link
                .and_then(|link| link.failure)
                .unwrap_or_else(|| "it was changed at the provider meanwhile".to_owned());
            return Err(Problem::because(
                ProblemType::Conflict,
                format!("the event stays: {reason}"),
            ));
        }
    };
    Ok((status, Json(Deleted { id, sync_status })).into_response())
}

/// Tries again to write a change to the provider. An event that was deleted there is created anew.
#[utoipa::path(post, path = "/api/v1/calendar/events/{id}/retry-sync", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "`evt_…`"), WaitQuery),
    responses((status = 200, body = EventView), (status = 202, body = EventView), Problems))]
pub async fn retry(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    Query(query): Query<WaitQuery>,
    Id(id): Id<EventId>,
) -> Answer<Response> {
    let patience = patience(query.wait)?;
    let user = caller.user();
    let calendar = writable(&app, user, id.calendar()).await?;
    let zone = reader_zone(&app, user, None).await?;
    let event = app
        .store
        .event(user, &id)
        .await?
        .ok_or_else(Problem::not_found)?;
    if let Some(edit) = event
        .link
        .as_ref()
        .and_then(|link| link.edit.as_deref())
        .filter(|edit| edit.operation == Operation::Create)
    {
        // What was asked for when it was changed may be less than creating it anew would do.
        accept(unwritable(
            calendar.provider,
            None,
            &Content::of(&event),
            edit.send_updates,
        ))?;
    }
    let in_sync = || {
        Problem::because(
            ProblemType::Conflict,
            "there is nothing to write: the event is in sync",
        )
    };
    let event = retry_edit(&app, user, &id).await?.ok_or_else(in_sync)?;
    let event = pushed(&app, user, &id, patience).await?.unwrap_or(event);
    Ok(answer(&event, &calendar, zone, StatusCode::OK))
}

/// Refuses what the provider cannot keep.
fn accept(wrong: Vec<(&'static str, String)>) -> Answer<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Problem::fields(
        wrong
            .into_iter()
            .map(|(field, message)| FieldError {
                field: field.to_owned(),
                message,
            })
            .collect(),
    ))
}

/// Creates each occurrence of a series that the provider cannot repeat as an event of its own, as far ahead as calendars are
/// read.
async fn expand(
    app: &App,
    trail: &Trail,
    calendar: &Calendar,
    content: Content,
    how: How,
    zone: Tz,
    patience: Duration,
) -> Answer<Response> {
    let Some(series) = &content.series else {
        return Err(Problem::not_found());
    };
    let (window, now) = (app.config.sync_window, app.clock.now());
    let own = calendar_zone(calendar, zone);
    let found = series.expand(
        content.start,
        now - window.past,
        now + window.future,
        own,
        MAX_EXPANDED,
    );
    if found.truncated || found.starts.is_empty() {
        let message = format!(
            "gives no occurrence, or more than {MAX_EXPANDED}, in the time that is kept; give it an end"
        );
        return Err(Problem::field("recurrence", message));
    }
    let length = content.end.instant(own) - content.start.instant(own);
    let mut single = Content {
        series: None,
        ..content.clone()
    };
    accept(unwritable(
        calendar.provider,
        None,
        &single,
        how.send_updates,
    ))?;
    let mut made = Vec::with_capacity(found.starts.len());
    for start in found.starts {
        (single.start, single.end) = (start, start.plus(length));
        let event = create_event(app, calendar, single.clone(), how.clone()).await?;
        trail
            .success(calendar.user_id, "EVENT_CREATE", Some(event.id.to_string()))
            .await;
        made.push(event);
    }
    if let Some(last) = made.last() {
        pushed(app, calendar.user_id, &last.id, patience).await?;
    }
    let ids: Vec<EventId> = made.iter().map(|event| event.id.clone()).collect();
    let now = app.store.events(calendar.user_id, &ids).await?;
    let is_done = now.len() == ids.len()
        && now.iter().all(|event| {
            event
                .link
                .as_ref()
                .is_none_or(|link| link.status() == LinkStatus::Synced)
        });
    let Some(first) = now.iter().find(|event| event.id == ids[0]).or(made.first()) else {
        return Err(Problem::not_found());
    };
    let mut view = EventView::new(&alone(first, zone), calendar, zone);
    view.expanded_into = Some(ids);
    let etag = view.etag().to_owned();
    let status = if is_done {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, [(header::ETAG, etag)], Json(view)).into_response())
}

/// The zone that floating times of a calendar are in.
fn calendar_zone(calendar: &Calendar, zone: Tz) -> Tz {
    match &calendar.source {
        Source::Account(account) => account.time_zone.unwrap_or(zone),
        Source::Feed(_) => zone,
    }
}

/// How long to wait for the provider.
pub fn patience(wait: impl Into<Option<u64>>) -> Answer<Duration> {
    match wait.into().unwrap_or(PATIENCE) {
        seconds @ 0..=MAX_PATIENCE => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::field("wait", "must be at most 25 seconds")),
    }
}

/// A connected calendar whose events can be changed.
pub async fn writable(app: &App, user: UserId, calendar: CalendarId) -> Answer<Calendar> {
    let calendar = connected(app, user, calendar).await?.calendar;
    if calendar.is_writable() {
        return Ok(calendar);
    }
    Err(Problem::because(
        ProblemType::ReadOnly,
        format!("{:?} can only be read", calendar.name),
    ))
}

/// The event as it is stored, or the occurrence that the rule of a series gives.
pub async fn editable(app: &App, user: UserId, id: &EventId, zone: Tz) -> Answer<Event> {
    let found = match app.store.event(user, id).await? {
        Some(event) => Some(event).filter(Event::is_shown),
        None => occurrence(app, user, id, zone).await?,
    };
    let event = found.ok_or_else(Problem::not_found)?;
    if event.details.event_type.is_some() {
        return Err(Problem::because(
            ProblemType::ReadOnly,
            "the provider lets nobody change events of this kind from outside",
        ));
    }
    Ok(event)
}

async fn occurrence(app: &App, user: UserId, id: &EventId, zone: Tz) -> Answer<Option<Event>> {
    let Some(original) = id.original_start() else {
        return Ok(None);
    };
    let Some(series) = app.store.event(user, &id.series()).await? else {
        return Ok(None);
    };
    let Some(one) = find(&series, original, zone) else {
        return Ok(None);
    };
    Ok(Some(Event {
        id: id.clone(),
        start: one.start,
        end: one.end,
        series: None,
        link: None,
        ..series.clone()
    }))
}

/// The part of a tag that changes with the event itself, not with how it stands with its provider.
fn content_of(tag: &str) -> &str {
    tag.rsplit_once('-').map_or(tag, |(content, _)| content)
}

fn check_version(headers: &HeaderMap, event: &Event, calendar: &Calendar, zone: Tz) -> Answer<()> {
    let Some(wanted) = headers
        .get(header::IF_MATCH)
        .and_then(|value| value.to_str().ok())
    else {
        return Ok(());
    };
    let view = EventView::new(&alone(event, zone), calendar, zone);
    if wanted
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || content_of(tag) == content_of(view.etag()))
    {
        return Ok(());
    }
    Err(Problem::because(
        ProblemType::PreconditionFailed,
        "the event is another by now; read it again",
    ))
}

/// Has a change written, and waits a while for it. The event as it is then; `None` when it is gone.
pub async fn pushed(
    app: &App,
    user: UserId,
    id: &EventId,
    patience: Duration,
) -> Answer<Option<Event>> {
    push_soon(app, user, id.calendar(), patience).await;
    Ok(app.store.event(user, id).await?)
}

pub fn answer(event: &Event, calendar: &Calendar, zone: Tz, done: StatusCode) -> Response {
    let is_done = event
        .link
        .as_ref()
        .is_none_or(|link| link.status() == LinkStatus::Synced);
    let view = EventView::new(&alone(event, zone), calendar, zone);
    let etag = view.etag().to_owned();
    (
        if is_done { done } else { StatusCode::ACCEPTED },
        [(header::ETAG, etag)],
        Json(view),
    )
        .into_response()
}
