//! `DELETE /api/v1/auth/account`

use axum::extract::State;
use axum::http::StatusCode;
use shared::calendar::removal::close_account;
use shared::http::AuditLog;
use shared::http::{ApiResult, Caller, Problems};

use crate::Context;

/// Deletes the account and all of its data.
///
/// When this returns, no token of the account is valid, the e-mail address can be used again, and no stored secret can
/// be decrypted. Calendars and events are removed within minutes.
#[utoipa::path(delete, path = "/api/v1/auth/account", operation_id = "deleteAccount", tag = "auth", security(("bearer" = [])), responses((status = 204), Problems))]
pub async fn delete(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
) -> ApiResult<StatusCode> {
    close_account(&context, caller.user()).await?;
    audit
        .success(
            caller.user(),
            "ACCOUNT_DELETED",
            Some(caller.user().to_string()),
        )
        .await;
    Ok(StatusCode::NO_CONTENT)
}
