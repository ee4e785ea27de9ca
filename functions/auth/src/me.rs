//! `GET` and `PATCH /api/v1/auth/me`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::calendar::quotas::{Usage, usage};
use shared::config::Quotas;
use shared::http::AuditLog;
use shared::http::{ApiResult, Bearer, Caller, Json, Problem, Problems};
use utoipa::ToSchema;

use crate::Context;
use crate::signup::{name, zone};
use crate::tokens::UserView;

/// The profile of the caller, and what they have used of their quotas.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    #[serde(flatten)]
    user: UserView,
    /// What the caller has used of their quotas.
    usage: UsageView,
}

/// What a user has used of their quotas.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Usage)]
pub struct UsageView {
    /// Connected calendars.
    calendars: UsedQuota,
    /// Stored events in the connected calendars; a series counts as one. At the limit, no further calendar can be connected.
    events: UsedQuota,
    /// Feeds that were connected today (UTC).
    feed_connects: UsedQuota,
}

/// How much of a quota is used.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedQuota {
    /// How much is used.
    used: u64,
    /// The quota.
    limit: u64,
}

impl UsageView {
    fn new(used: Usage, quotas: Quotas) -> Self {
        let of = |used, limit| UsedQuota { used, limit };
        Self {
            calendars: of(used.calendars, quotas.calendars),
            events: of(used.events, quotas.events),
            feed_connects: of(
                used.feed_connects.min(quotas.feed_connects),
                quotas.feed_connects,
            ),
        }
    }
}

/// Returns the caller's profile, and what they have used of their quotas.
#[utoipa::path(get, path = "/api/v1/auth/me", operation_id = "getProfile", tag = "auth", security(("bearer" = [])), responses((status = 200, body = Me), Problems))]
pub async fn get(State(context): State<Context>, bearer: Bearer) -> ApiResult<Json<Me>> {
    let read = bearer.read_with_profile(&context.http, |user| usage(&context, user));
    let (user, used) = read.await?;
    Ok(Json(Me {
        user: user.into(),
        usage: UsageView::new(used, context.quotas),
    }))
}

/// A change of the profile. Omitted fields keep their values.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Full name, at most 200 characters.
    #[serde(default, alias = "full_name")]
    full_name: Option<String>,
    /// IANA time zone, such as `Europe/Berlin`.
    #[serde(default)]
    timezone: Option<String>,
}

/// Updates the caller's name or time zone.
#[utoipa::path(patch, path = "/api/v1/auth/me", operation_id = "updateProfile", tag = "auth", security(("bearer" = [])), request_body = Profile,
    responses((status = 200, body = UserView), Problems))]
pub async fn patch(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
    Json(body): Json<Profile>,
) -> ApiResult<Json<UserView>> {
    let full_name = name(body.full_name).map_err(|error| Problem::fields(vec![error]))?;
    let timezone = body
        .timezone
        .as_deref()
        .map(|name| zone(Some(name)))
        .transpose()
        .map_err(|error| Problem::fields(vec![error]))?;
    let user = context
        .store
        .update_profile(caller.user(), full_name.as_deref(), timezone)
        .await?
        .ok_or_else(Problem::not_found)?;
    audit.success(caller.user(), "PROFILE_UPDATE", None).await;
    Ok(Json(user.into()))
}
