//! The response body of a slot.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::calendar::slots::SlotState;
use shared::domain::ids::{CalendarId, EventId, SlotId};
use shared::domain::link::LinkStatus;
use shared::domain::rule::Rule;
use shared::domain::slot::SlotTime;
use shared::domain::time::{rfc3339, to_instant};
use utoipa::ToSchema;

/// A slot.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Slot)]
pub struct SlotView {
    /// Slot id, `slt_…`.
    #[schema(value_type = String)]
    id: SlotId,
    /// Title.
    title: String,
    /// Category, as free text.
    label: Option<String>,
    /// Weekday of a weekly slot, such as `MONDAY`; null for a slot that takes place once.
    day_of_week: Option<String>,
    /// Start: RFC 3339 for a slot that takes place once, a time of day for a weekly one.
    start_time: String,
    /// End, exclusive, in the same form as `startTime`.
    end_time: String,
    /// IANA time zone.
    timezone: &'static str,
    /// Id of the calendar that shows the slot, `cal_…`; null for a slot without a calendar.
    #[schema(value_type = Option<String>)]
    calendar_id: Option<CalendarId>,
    /// Id of its event in that calendar, `evt_…`.
    #[schema(value_type = Option<String>)]
    event_id: Option<EventId>,
    /// Sync status of the event; null for a slot without a calendar.
    sync_status: Option<LinkStatus>,
    /// When the slot was created.
    created_at: DateTime<Utc>,
    /// When the slot was last changed through this API.
    updated_at: DateTime<Utc>,
}

impl From<SlotState> for SlotView {
    fn from(SlotState { slot, sync_status }: SlotState) -> Self {
        let (day_of_week, start_time, end_time, zone) = match slot.when {
            SlotTime::Dated { start, end, zone } => (
                None,
                rfc3339(to_instant(start, zone), zone),
                rfc3339(to_instant(end, zone), zone),
                zone,
            ),
            SlotTime::Weekly {
                weekday,
                start,
                end,
                zone,
            } => {
                let name = Rule::weekday_name(weekday).to_owned();
                (
                    Some(name),
                    start.format("%H:%M:%S").to_string(),
                    end.format("%H:%M:%S").to_string(),
                    zone,
                )
            }
        };
        Self {
            id: slot.id,
            title: slot.title,
            label: slot.label,
            day_of_week,
            start_time,
            end_time,
            timezone: zone.name(),
            calendar_id: slot.calendar_id,
            event_id: slot.event_id,
            sync_status,
            created_at: slot.created_at,
            updated_at: slot.updated_at,
        }
    }
}
