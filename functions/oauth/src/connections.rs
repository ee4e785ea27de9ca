//! `GET /api/v1/calendar/oauth/connections`

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::calendar::ProviderKind;
use shared::domain::connection::{Connection, ConnectionStatus};
use shared::domain::ids::ConnectionId;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// The linked accounts of the caller.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// The linked accounts, in the order in which they were first linked.
    connections: Vec<ConnectionView>,
    /// Always null: the list has one page.
    next_cursor: Option<String>,
}

/// A linked account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Connection)]
pub struct ConnectionView {
    /// Connection id, `con_…`.
    #[schema(value_type = String)]
    id: ConnectionId,
    /// Provider of the account.
    provider: ProviderKind,
    /// E-mail address of the account.
    email: String,
    /// OAuth scopes that the owner has granted.
    scopes: Vec<String>,
    /// Status of the grant.
    status: ConnectionStatus,
    /// Why the grant does not work, and what the user can do about it.
    status_reason: Option<String>,
    /// When the grant was last given.
    granted_at: DateTime<Utc>,
    /// When the account was first linked.
    created_at: DateTime<Utc>,
}

impl From<Connection> for ConnectionView {
    fn from(connection: Connection) -> Self {
        Self {
            id: connection.id,
            provider: connection.provider,
            email: connection.email,
            scopes: connection.scopes,
            status: connection.status,
            status_reason: connection.status_reason,
            granted_at: connection.granted_at,
            created_at: connection.created_at,
        }
    }
}

/// Lists the accounts that the caller has linked.
///
/// If the status of an account is `NEEDS_REAUTH`, link it again in the same way as the first time.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/connections", operation_id = "listConnections", tag = "oauth", security(("bearer" = [])),
    responses((status = 200, body = Connections), Problems))]
pub async fn list(State(context): State<Context>, caller: Caller) -> ApiResult<Json<Connections>> {
    let linked = context.store.connections(caller.user()).await?.into_iter();
    let linked = linked.filter(|connection| connection.status != ConnectionStatus::Disconnected);
    Ok(Json(Connections {
        connections: linked.map(ConnectionView::from).collect(),
        next_cursor: None,
    }))
}
