//! Lists the calendars of an account with `calendarList.list`
//! (<https://developers.google.com/calendar/api/v3/reference/calendarList/list>).

use calweave_domain::calendar::{AccessRole, AccountCalendar, normalise_color};
use calweave_domain::zones::resolve;
use serde_json::Value;

use super::{GoogleRequest, GoogleSession, Result};

/// Maximum number of pages that are read. No account is expected to have more. If one does, the
/// calendars on its further pages are left out.
const MAX_PAGES: usize = 40;

/// Returns the calendars that are not deleted: the primary calendar first, then by name.
pub(super) async fn list(session: &GoogleSession) -> Result<Vec<AccountCalendar>> {
    let mut calendars = Vec::new();
    let mut page: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let mut request = GoogleRequest::get(&["users", "me", "calendarList"]);
        request.query = vec![
            ("maxResults", "250".to_owned()),
            ("showHidden", "true".to_owned()),
        ];
        request
            .query
            .extend(page.take().map(|token| ("pageToken", token)));
        let answer = session.call(request).await?;
        calendars.extend(
            answer["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(read),
        );
        page = answer["nextPageToken"].as_str().map(str::to_owned);
        if page.is_none() {
            break;
        }
    }
    calendars.sort_by_key(|calendar| (!calendar.is_primary, calendar.name.clone()));
    Ok(calendars)
}

/// Converts an entry of the list. Returns `None` if it is deleted or has no id.
fn read(entry: &Value) -> Option<AccountCalendar> {
    let text = |name: &str| {
        entry[name]
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    if entry["deleted"] == true {
        return None;
    }
    let access = match text("accessRole") {
        Some("owner") => AccessRole::Owner,
        Some("writer" | "writerWithoutPrivateAccess") => AccessRole::Writer,
        Some("freeBusyReader") => AccessRole::FreeBusyReader,
        // An unknown role is assumed to permit reading.
        _ => AccessRole::Reader,
    };
    Some(AccountCalendar {
        remote_id: text("id")?.to_owned(),
        name: text("summaryOverride")
            .or(text("summary"))
            .unwrap_or("Calendar")
            .to_owned(),
        color: text("backgroundColor").and_then(normalise_color),
        access,
        is_primary: entry["primary"] == true,
        is_hidden: entry["hidden"] == true,
        is_shared: false,
        time_zone: text("timeZone").and_then(resolve),
    })
}
