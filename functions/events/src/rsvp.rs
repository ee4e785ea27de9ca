//! `POST /api/v1/calendar/events/{id}/rsvp`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use shared::calendar::events;
use shared::domain::details::RsvpStatus;
use shared::domain::ids::EventId;
use shared::http::limits::EventWriteLimit;
use shared::http::{ApiResult, AuditLog, Caller, Id, Json, Problems, Query};
use utoipa::ToSchema;

use crate::Context;
use crate::view::EventView;
use crate::wait::WaitQuery;

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
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    Query(query): Query<WaitQuery>,
    Id(id): Id<EventId>,
    Json(body): Json<Rsvp>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    let user = caller.user();
    let reply = events::Reply {
        status: match body.response {
            Reply::Accepted => RsvpStatus::Accepted,
            Reply::Declined => RsvpStatus::Declined,
            Reply::Tentative => RsvpStatus::Tentative,
        },
        comment: body.comment,
        notify: body.notify,
    };
    let replied = events::respond(&context, user, &id, reply).await?;
    audit
        .success(user, "EVENT_RSVP", Some(id.to_string()))
        .await;
    let replied = events::push_reply(&context, replied, limit).await?;
    Ok(EventView::updated(&replied).answer(replied.is_synced, StatusCode::OK))
}
