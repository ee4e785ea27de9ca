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

/// A response status.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum Reply {
    /// Accepts the invitation.
    #[serde(alias = "ACCEPTED", alias = "accept", alias = "yes")]
    Accepted,
    /// Declines the invitation.
    #[serde(alias = "DECLINED", alias = "decline", alias = "no")]
    Declined,
    /// Accepts the invitation tentatively.
    #[serde(alias = "TENTATIVE", alias = "tentativelyAccepted", alias = "maybe")]
    Tentative,
}

/// A response to an invitation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rsvp {
    /// Response of the account's owner.
    response: Reply,
    /// Comment for the organizer, at most 1,000 characters.
    #[serde(default)]
    comment: Option<String>,
    /// Whether the organizer is notified by e-mail.
    #[serde(default = "yes")]
    #[schema(default = true)]
    notify: bool,
}

fn yes() -> bool {
    true
}

/// Responds to an invitation to an event, a series, or one occurrence.
///
/// 200 if the provider has the response within `wait` seconds, else 202. Microsoft removes a declined event from the
/// calendar.
#[utoipa::path(post, path = "/api/v1/calendar/events/{id}/rsvp", operation_id = "respondToEvent", tag = "events", security(("bearer" = [])), request_body = Rsvp,
    params(("id" = String, Path, description = "Event id, `evt_…`"), WaitQuery),
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
