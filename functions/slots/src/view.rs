//! A slot as the API shows it.

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
    /// `slt_…`
    #[schema(value_type = String)]
    id: SlotId,
    /// What it is for.
    title: String,
    /// What kind of thing that is.
    label: Option<String>,
    /// The weekday of a weekly slot; null for a dated one.
    day_of_week: Option<String>,
    /// RFC 3339 of a dated slot, a time of day of a weekly one.
    start_time: String,
    /// Exclusive, in the same form.
    end_time: String,
    /// IANA name.
    timezone: &'static str,
    /// The calendar that shows it.
    #[schema(value_type = Option<String>)]
    calendar_id: Option<CalendarId>,
    /// The event there.
    #[schema(value_type = Option<String>)]
    event_id: Option<EventId>,
    /// Whether the calendar's provider has it; null for a slot without a calendar.
    sync_status: Option<LinkStatus>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed here.
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
