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

/// All linked accounts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// The oldest first.
    connections: Vec<ConnectionView>,
    /// Always null: nobody has so many that they do not fit.
    next_cursor: Option<String>,
}

/// A linked account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Connection)]
pub struct ConnectionView {
    /// `con_…`
    #[schema(value_type = String)]
    id: ConnectionId,
    /// With whom it is.
    provider: ProviderKind,
    /// Its address.
    email: String,
    /// What its owner has granted.
    scopes: Vec<String>,
    /// Whether that works.
    status: ConnectionStatus,
    /// Why it does not, and what to do.
    status_reason: Option<String>,
    /// When it was last granted.
    granted_at: DateTime<Utc>,
    /// When it was first linked.
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

/// The accounts that the caller has linked. One that needs a new grant is linked again in the same way as at first.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/connections", tag = "oauth", security(("bearer" = [])),
    responses((status = 200, body = Connections), Problems))]
pub async fn list(State(context): State<Context>, caller: Caller) -> ApiResult<Json<Connections>> {
    let linked = context.store.connections(caller.user()).await?.into_iter();
    let linked = linked.filter(|connection| connection.status != ConnectionStatus::Disconnected);
    Ok(Json(Connections {
        connections: linked.map(ConnectionView::from).collect(),
        next_cursor: None,
    }))
}
