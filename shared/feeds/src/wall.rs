//! The wall-clock times of iCalendar values.

use calcard::common::PartialDateTime;
use calweave_domain::time::next_day;
use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

/// A date or time as written in a feed, before its zone is resolved.
pub(super) enum Wall {
    Date(NaiveDate),
    Utc(NaiveDateTime),
    Floating(NaiveDateTime),
}

/// Converts a parsed date or time; `None` if it does not exist, such as 30 February. Second 60 is read as 59, and hour
/// 24 as hour 0 of the next day.
pub(super) fn wall(at: &PartialDateTime) -> Option<Wall> {
    // The years that RFC 3339 can represent.
    let year = at.year.filter(|year| (1..=9999).contains(year))?;
    let date = NaiveDate::from_ymd_opt(i32::from(year), u32::from(at.month?), u32::from(at.day?))?;
    let Some(hour) = at.hour else {
        return Some(Wall::Date(date));
    };
    let (date, hour) = if hour == 24 {
        (next_day(date), 0)
    } else {
        (date, hour)
    };
    let (minute, second) = (at.minute.unwrap_or(0), at.second.unwrap_or(0).min(59));
    let local = date.and_hms_opt(u32::from(hour), u32::from(minute), u32::from(second))?;
    Some(match at.tz_hour {
        None => Wall::Floating(local),
        Some(hours) => {
            let offset = i64::from(hours) * 3600 + i64::from(at.tz_minute.unwrap_or(0)) * 60;
            let offset = TimeDelta::seconds(if at.tz_minus { -offset } else { offset });
            Wall::Utc(local.checked_sub_signed(offset)?)
        }
    })
}
