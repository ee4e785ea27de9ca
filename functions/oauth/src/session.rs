//! `GET /api/v1/calendar/oauth/session/{id}`

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::calendar::accounts::offered_calendars;
use shared::domain::calendar::{AccessRole, AccountCalendar, DEFAULT_COLOR, ProviderKind};
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// What can be chosen from.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CalendarOffer {
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
    access_role: AccessRole,
}

/// The calendars of an account that was just linked. Looking does not use the session up.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/session/{id}", tag = "oauth", security(("bearer" = [])),
    params(("id" = String, Path, description = "as the page was given it")), responses((status = 200, body = CalendarOffer), Problems))]
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
