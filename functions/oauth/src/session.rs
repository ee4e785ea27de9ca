//! `GET /api/v1/calendar/oauth/session/{id}`

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::app::App;
use shared::domain::calendar::{Access, AccountCalendar, DEFAULT_COLOR, ProviderKind};
use shared::domain::ids::ConnectionId;
use shared::http::{Answer, Caller, Json, Problem, Problems};
use utoipa::ToSchema;

/// What can be chosen from.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// With whom the account is.
    provider: ProviderKind,
    /// The account's address.
    user_email: String,
    /// Its calendars, its own first.
    calendars: Vec<Offered>,
    /// What was granted.
    scopes: Vec<String>,
    /// Until when a choice can be made.
    expires_at: DateTime<Utc>,
}

/// A calendar that can be chosen.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Offered {
    /// The provider's id, to be sent back.
    id: String,
    /// Its name.
    name: String,
    /// `#RRGGBB`
    color: String,
    /// Whether it is the account's own.
    is_primary: bool,
    /// Whether it is connected already.
    is_selected: bool,
    /// Whether the account's owner has hidden it at the provider.
    is_hidden: bool,
    /// What the account may do with it.
    access_role: Access,
}

/// The calendars of an account that was just linked. Looking does not use the session up.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/session/{id}", tag = "oauth", security(("bearer" = [])),
    params(("id" = String, Path, description = "as the page was given it")), responses((status = 200, body = Session), Problems))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<Session>> {
    let selection = app
        .store
        .selection(caller.user(), &id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let connection = app
        .store
        .connection(caller.user(), selection.connection_id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let connected = connected(&app, &caller, selection.connection_id).await?;
    let calendars = selection
        .calendars
        .into_iter()
        .map(|calendar| offered(calendar, &connected))
        .collect();
    Ok(Json(Session {
        provider: selection.provider,
        user_email: selection.email,
        calendars,
        scopes: connection.scopes,
        expires_at: selection.until,
    }))
}

/// The keys of this account's calendars that are connected.
async fn connected(app: &App, caller: &Caller, connection: ConnectionId) -> Answer<Vec<String>> {
    let calendars = app
        .store
        .calendars(caller.user())
        .await?
        .into_iter()
        .map(|state| state.calendar);
    let connected =
        calendars.filter(|calendar| calendar.is_connected && calendar.connection_id == connection);
    Ok(connected
        .map(|calendar| calendar.source.remote_id().to_owned())
        .collect())
}

fn offered(calendar: AccountCalendar, connected: &[String]) -> Offered {
    Offered {
        is_selected: connected.contains(&calendar.remote_id),
        id: calendar.remote_id,
        name: calendar.name,
        color: calendar.color.unwrap_or_else(|| DEFAULT_COLOR.to_owned()),
        is_primary: calendar.is_primary,
        is_hidden: calendar.is_hidden,
        access_role: calendar.access,
    }
}
