//! `POST /api/v1/auth/logout` and `POST /api/v1/auth/revoke-all`

use axum::extract::State;
use axum::http::StatusCode;
use shared::app::App;
use shared::http::trail::Trail;
use shared::http::{Answer, Caller, Problems};

/// Signs out: this session's tokens stop working at once, everywhere.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(("bearer" = [])), responses((status = 204), Problems))]
pub async fn logout(State(app): State<App>, caller: Caller, trail: Trail) -> Answer<StatusCode> {
    app.store
        .end_session(caller.user(), caller.session())
        .await?;
    trail
        .success(caller.user(), "LOGOUT", Some(caller.session().to_string()))
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs out on all devices.
#[utoipa::path(post, path = "/api/v1/auth/revoke-all", tag = "auth", security(("bearer" = [])), responses((status = 204), Problems))]
pub async fn revoke_all(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
) -> Answer<StatusCode> {
    app.store.end_all_sessions(caller.user()).await?;
    trail.success(caller.user(), "LOGOUT_ALL", None).await;
    Ok(StatusCode::NO_CONTENT)
}
