//! `GET` and `PATCH /api/v1/auth/me`

use axum::extract::State;
use serde::Deserialize;
use shared::http::AuditLog;
use shared::http::{ApiResult, Bearer, Caller, Json, Problem, Problems};
use utoipa::ToSchema;

use crate::Context;
use crate::signup::{name, zone};
use crate::tokens::UserView;

/// Returns the caller's profile.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), responses((status = 200, body = UserView), Problems))]
pub async fn get(State(context): State<Context>, bearer: Bearer) -> ApiResult<Json<UserView>> {
    let nothing = async |_| Ok::<_, Problem>(());
    let (user, ()) = bearer.read_with_profile(&context.http, nothing).await?;
    Ok(Json(user.into()))
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
#[utoipa::path(patch, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), request_body = Profile,
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
