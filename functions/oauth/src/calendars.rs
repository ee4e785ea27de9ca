//! `GET` and `PUT /api/v1/calendar/oauth/connections/{id}/calendars`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::calendar::accounts::{choose_calendars, listed_calendars};
use shared::domain::calendar::ProviderKind;
use shared::domain::ids::ConnectionId;
use shared::http::limits::OAuthLimit;
use shared::http::views::CalendarView;
use shared::http::{ApiResult, AuditLog, Caller, Id, Json, Problems};
use utoipa::ToSchema;

use crate::Context;
use crate::session::{Offered, offered};

/// The calendars of a linked account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountCalendars {
    /// Provider of the account.
    provider: ProviderKind,
    /// E-mail address of the account.
    user_email: String,
    /// The calendars, the primary one first.
    calendars: Vec<Offered>,
}

/// Lists the calendars of a linked account, as its provider has them now.
///
/// 409 if the account has to be linked again, 503 if the provider does not answer.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/connections/{id}/calendars", operation_id = "listAccountCalendars", tag = "oauth", security(("bearer" = [])),
    params(("id" = String, Path, description = "Connection id, `con_…`")), responses((status = 200, body = AccountCalendars), Problems))]
pub async fn list(
    State(context): State<Context>,
    caller: Caller,
    _: OAuthLimit,
    Id(id): Id<ConnectionId>,
) -> ApiResult<Json<AccountCalendars>> {
    let listed = Box::pin(listed_calendars(&context, caller.user(), id)).await?;
    let connected = listed.connected;
    let calendars = listed.calendars.into_iter();
    Ok(Json(AccountCalendars {
        provider: listed.connection.provider,
        user_email: listed.connection.email,
        calendars: calendars
            .map(|calendar| offered(calendar, &connected))
            .collect(),
    }))
}

/// A choice of calendars.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The provider's ids of the calendars to be connected; at least one.
    #[serde(alias = "selected_calendar_ids")]
    selected_calendar_ids: Vec<String>,
}

/// The result of a choice.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChosenCalendars {
    /// The calendars of the account that are connected now.
    calendars: Vec<CalendarView>,
}

/// Chooses which calendars of a linked account are connected.
///
/// Calendars that are not in the list are disconnected, as by `DELETE /calendar/calendars/{id}`; others are connected, and their
/// events follow within seconds. What is connected and stays so does not change. 409 while another request chooses, or if the
/// account has to be linked again.
#[utoipa::path(put, path = "/api/v1/calendar/oauth/connections/{id}/calendars", operation_id = "chooseAccountCalendars", tag = "oauth", security(("bearer" = [])),
    params(("id" = String, Path, description = "Connection id, `con_…`")), request_body = Choice,
    responses((status = 200, body = ChosenCalendars), Problems))]
pub async fn choose(
    State(context): State<Context>,
    caller: Caller,
    _: OAuthLimit,
    audit: AuditLog,
    Id(id): Id<ConnectionId>,
    Json(body): Json<Choice>,
) -> ApiResult<Json<ChosenCalendars>> {
    let user = caller.user();
    let chosen = choose_calendars(&context, user, id, &body.selected_calendar_ids);
    let chosen = Box::pin(chosen).await?;
    for calendar in &chosen.added {
        let id = Some(calendar.to_string());
        audit.success(user, "CALENDAR_CONNECT", id).await;
    }
    for calendar in &chosen.removed {
        let id = Some(calendar.to_string());
        audit.success(user, "CALENDAR_DISCONNECT", id).await;
    }
    let calendars = chosen.calendars.into_iter();
    Ok(Json(ChosenCalendars {
        calendars: calendars.map(CalendarView::from).collect(),
    }))
}
