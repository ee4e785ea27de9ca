//! `GET` and `POST /api/v1/slots`, `GET`, `PUT` and `DELETE /api/v1/slots/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::calendar::slots::{
    SlotDraft, change_slot, create_slot, list_slots, read_slot, remove_slot,
};
use shared::domain::ids::SlotId;
use shared::http::limits::EventWriteLimit;
use shared::http::{ApiResult, AuditLog, Caller, Id, Json, Problems};
use utoipa::ToSchema;

use crate::Context;
use crate::view::SlotView;

/// The slots of the caller.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// The slots, in the order of their creation.
    slots: Vec<SlotView>,
    /// Always null: the list has one page.
    next_cursor: Option<String>,
}

/// Lists the slots of the caller.
///
/// A slot with an event takes its time and title from the event. If the event was deleted, the slot is left out.
#[utoipa::path(get, path = "/api/v1/slots", operation_id = "listSlots", tag = "slots", security(("bearer" = [])), responses((status = 200, body = Slots), Problems))]
pub async fn list(State(context): State<Context>, caller: Caller) -> ApiResult<Json<Slots>> {
    let slots = list_slots(&context, caller.user()).await?;
    Ok(Json(Slots {
        slots: slots.into_iter().map(SlotView::from).collect(),
        next_cursor: None,
    }))
}

/// Returns a slot.
#[utoipa::path(get, path = "/api/v1/slots/{id}", operation_id = "getSlot", tag = "slots", security(("bearer" = [])),
    params(("id" = String, Path, description = "Slot id, `slt_…`")), responses((status = 200, body = SlotView), Problems))]
pub async fn get(
    State(context): State<Context>,
    caller: Caller,
    Id(id): Id<SlotId>,
) -> ApiResult<Json<SlotView>> {
    let slot = read_slot(&context, caller.user(), id).await?;
    Ok(Json(slot.into()))
}

/// Creates a slot.
///
/// With `calendarId`, also creates an event in that calendar. 409 if another slot overlaps; of several concurrent
/// requests for the same time, one succeeds.
#[utoipa::path(post, path = "/api/v1/slots", operation_id = "createSlot", tag = "slots", security(("bearer" = [])), request_body = SlotDraft,
    responses((status = 201, body = SlotView), Problems))]
pub async fn create(
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    Json(body): Json<SlotDraft>,
) -> ApiResult<(StatusCode, Json<SlotView>)> {
    let slot = create_slot(&context, caller.user(), body).await?;
    let id = slot.slot.id.to_string();
    audit.success(caller.user(), "SLOT_CREATE", Some(id)).await;
    Ok((StatusCode::CREATED, Json(slot.into())))
}

/// Updates a slot and its event.
///
/// Omitted fields keep their values. 409 if another slot overlaps the new time.
#[utoipa::path(put, path = "/api/v1/slots/{id}", operation_id = "updateSlot", tag = "slots", security(("bearer" = [])), request_body = SlotDraft,
    params(("id" = String, Path, description = "Slot id, `slt_…`")), responses((status = 200, body = SlotView), Problems))]
pub async fn change(
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    Id(id): Id<SlotId>,
    Json(body): Json<SlotDraft>,
) -> ApiResult<Json<SlotView>> {
    let slot = change_slot(&context, caller.user(), id, body).await?;
    let id = id.to_string();
    audit.success(caller.user(), "SLOT_UPDATE", Some(id)).await;
    Ok(Json(slot.into()))
}

/// Deletes a slot and its event.
#[utoipa::path(delete, path = "/api/v1/slots/{id}", operation_id = "deleteSlot", tag = "slots", security(("bearer" = [])),
    params(("id" = String, Path, description = "Slot id, `slt_…`")), responses((status = 204), Problems))]
pub async fn delete(
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    Id(id): Id<SlotId>,
) -> ApiResult<StatusCode> {
    remove_slot(&context, caller.user(), id).await?;
    let id = id.to_string();
    audit.success(caller.user(), "SLOT_DELETE", Some(id)).await;
    Ok(StatusCode::NO_CONTENT)
}
