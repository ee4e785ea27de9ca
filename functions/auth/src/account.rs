//! `DELETE /api/v1/auth/account`

use axum::extract::State;
use axum::http::StatusCode;
use shared::app::App;
use shared::http::trail::Trail;
use shared::http::{Answer, Caller, Problem, Problems};
use shared::sync::request_account_erasure;

/// Removes the account and everything that belongs to it.
///
/// When this answers, no token works any more, the address is free again and no secret can be opened; the events and
/// calendars are removed within minutes.
#[utoipa::path(delete, path = "/api/v1/auth/account", tag = "auth", security(("bearer" = [])), responses((status = 204), Problems))]
pub async fn delete(State(app): State<App>, caller: Caller, trail: Trail) -> Answer<StatusCode> {
    let user = app
        .store
        .user(caller.user())
        .await?
        .ok_or_else(Problem::not_found)?;
    request_account_erasure(&app, &user).await?;
    trail
        .success(
            caller.user(),
            "ACCOUNT_DELETED",
            Some(caller.user().to_string()),
        )
        .await;
    Ok(StatusCode::NO_CONTENT)
}
