//! `POST /api/v1/calendar/events/{id}/rsvp`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response as HttpResponse;
use serde::Deserialize;
use shared::app::App;
use shared::domain::event::RsvpStatus;
use shared::domain::ids::EventId;
use shared::domain::link::{Content, Response};
use shared::http::limits::EventWriteLimit;
use shared::http::trail::Trail;
use shared::http::{Answer, Caller, Id, Json, Problem, Problems, Query};
use shared::sync::edit::{How, change_event};
use utoipa::ToSchema;

use crate::view::{EventView, reader_zone};
use crate::write::{WaitQuery, answer, editable, patience, pushed, writable};

/// The longest word to an organizer, in characters.
const LONGEST: usize = 1_000;

/// What to answer to an invitation.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum Reply {
    /// Will come.
    #[serde(alias = "ACCEPTED", alias = "accept", alias = "yes")]
    Accepted,
    /// Won't come.
    #[serde(alias = "DECLINED", alias = "decline", alias = "no")]
    Declined,
    /// Might come.
    #[serde(alias = "TENTATIVE", alias = "tentativelyAccepted", alias = "maybe")]
    Tentative,
}

/// An answer to an invitation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rsvp {
    /// Whether the account's owner comes.
    response: Reply,
    /// A word to the organizer; at most 1,000 characters.
    #[serde(default)]
    comment: Option<String>,
    /// Whether the organizer is told by mail.
    #[serde(default = "yes")]
    #[schema(default = true)]
    notify: bool,
}

fn yes() -> bool {
    true
}

/// Answers an invitation to an event, a series, or one occurrence: 200 when the provider has the answer, 202 when it is on
/// its way. With Microsoft an event that is declined goes from the calendar.
#[utoipa::path(post, path = "/api/v1/calendar/events/{id}/rsvp", tag = "events", security(("bearer" = [])), request_body = Rsvp,
    params(("id" = String, Path, description = "`evt_…`"), WaitQuery),
    responses((status = 200, body = EventView), (status = 202, body = EventView), Problems))]
pub async fn respond(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    trail: Trail,
    Query(query): Query<WaitQuery>,
    Id(id): Id<EventId>,
    Json(body): Json<Rsvp>,
) -> Answer<HttpResponse> {
    let patience = patience(query)?;
    let user = caller.user();
    if body
        .comment
        .as_ref()
        .is_some_and(|comment| comment.chars().count() > LONGEST)
    {
        return Err(Problem::field(
            "comment",
            "must have at most 1000 characters",
        ));
    }
    let calendar = writable(&app, user, id.calendar()).await?;
    let zone = reader_zone(&app, user, None).await?;
    let event = editable(&app, user, &id, zone).await?;
    let mut wanted = Content::of(&event);
    let own = wanted
        .details
        .attendees
        .iter_mut()
        .find(|one| one.is_self && !one.is_organizer);
    let own = own.ok_or_else(|| {
        Problem::field(
            "response",
            "is to an invitation, and nobody has invited this account",
        )
    })?;
    let status = match body.response {
        Reply::Accepted => RsvpStatus::Accepted,
        Reply::Declined => RsvpStatus::Declined,
        Reply::Tentative => RsvpStatus::Tentative,
    };
    own.rsvp_status = status;
    let response = Response {
        status,
        comment: body.comment.filter(|comment| !comment.trim().is_empty()),
        notify: body.notify,
    };
    let how = How {
        response: Some(response),
        ..How::default()
    };
    let mut event = change_event(&app, user, event, wanted, how)
        .await?
        .ok_or_else(Problem::not_found)?;
    trail
        .success(user, "EVENT_RSVP", Some(id.to_string()))
        .await;
    match pushed(&app, user, &id, patience).await? {
        Some(now) => event = now,
        // Declined, and gone for that.
        None => event.link.get_or_insert_default().edit = None,
    }
    Ok(answer(&event, &calendar, zone, StatusCode::OK))
}
