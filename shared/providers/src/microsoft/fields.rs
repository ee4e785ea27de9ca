//! The properties of an event that are read. Graph returns `originalStart`, `occurrenceId`,
//! `cancelledOccurrences` and `exceptionOccurrences` only if they are selected
//! (microsoft-graph-docs#5524, #9887), so every request selects the properties that it reads. Only
//! delta queries do not support `$select`.

macro_rules! event_fields {
    () => {
        "id,changeKey,iCalUId,type,seriesMasterId,originalStart,occurrenceId,transactionId,subject,body,start,end,isAllDay,\
         originalStartTimeZone,originalEndTimeZone,recurrence,location,locations,showAs,sensitivity,importance,categories,isReminderOn,\
         reminderMinutesBeforeStart,attendees,organizer,isOrganizer,responseStatus,isCancelled,isOnlineMeeting,onlineMeeting,\
         onlineMeetingUrl,webLink"
    };
}

/// The properties of an event, an occurrence or an exception.
pub(super) const EVENT_FIELDS: &str = event_fields!();
/// The properties of a series. Only a `GET` of a single event returns `cancelledOccurrences`.
pub(super) const SERIES_FIELDS: &str = concat!(event_fields!(), ",cancelledOccurrences");
