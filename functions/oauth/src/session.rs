//! `GET /api/v1/calendar/oauth/session/{id}`

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::calendar::accounts::offered_calendars;
use shared::domain::calendar::{AccessRole, AccountCalendar, DEFAULT_COLOR, ProviderKind};
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// The calendars of an account that was just linked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CalendarOffer {
    /// Provider of the account.
    provider: ProviderKind,
    /// E-mail address of the account.
    user_email: String,
    /// The calendars, the primary one first.
    calendars: Vec<Offered>,
    /// OAuth scopes that the owner has granted.
    scopes: Vec<String>,
    /// When the session expires.
    expires_at: DateTime<Utc>,
}

/// A calendar of an account, which can be selected.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offered {
    /// The provider's id of the calendar, for `selectedCalendarIds`.
    id: String,
    /// Name at the provider.
    name: String,
    /// Colour as `#RRGGBB`.
    color: String,
    /// Whether it is the account's primary calendar.
    is_primary: bool,
    /// Whether it is connected already.
    is_selected: bool,
    /// Whether the account's owner has hidden it at the provider.
    is_hidden: bool,
    /// The account's access to the calendar.
    access_role: AccessRole,
}

/// Lists the calendars of an account that was just linked.
///
/// The session stays valid until a selection is made or it expires.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/session/{id}", operation_id = "getSelection", tag = "oauth", security(("bearer" = [])),
    params(("id" = String, Path, description = "Session id, from the parameter `session` of the redirect")), responses((status = 200, body = CalendarOffer), Problems))]
pub async fn get(
    State(context): State<Context>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<CalendarOffer>> {
    let offer = offered_calendars(&context, caller.user(), &id).await?;
    let connected = offer.connected;
    let calendars = offer.selection.calendars.into_iter();
    Ok(Json(CalendarOffer {
        provider: offer.selection.provider,
        user_email: offer.selection.email,
        calendars: calendars
            .map(|calendar| offered(calendar, &connected))
            .collect(),
        scopes: offer.connection.scopes,
        expires_at: offer.selection.until,
    }))
}

pub fn offered(calendar: AccountCalendar, connected: &[String]) -> Offered {
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
