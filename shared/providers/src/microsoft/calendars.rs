//! The calendars of a mailbox (<https://learn.microsoft.com/graph/api/user-list-calendars>).

use calweave_domain::calendar::{AccessRole, AccountCalendar, normalise_color};
use calweave_domain::zones::resolve;
use serde_json::Value;

use super::{GraphRequest, GraphSession, ProviderError, Result};

/// The maximum number of pages to read. No account is expected to have more; further pages are
/// ignored.
const MAX_PAGES: usize = 40;

/// Lists the calendars of the account: the default calendar first, then by name.
pub(super) async fn list(session: &GraphSession) -> Result<Vec<AccountCalendar>> {
    let time_zone = match session
        .call(GraphRequest::get(&["me", "mailboxSettings"]))
        .await
    {
        Ok(settings) => settings["timeZone"].as_str().and_then(resolve),
        // The scope is not granted, or there are no settings. A calendar without a zone uses the
        // zone of its user.
        Err(ProviderError::Refused { .. } | ProviderError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut entries: Vec<Value> = Vec::new();
    let mut request = GraphRequest::get(&["me", "calendars"]);
    request.query = vec![("$top", "100".to_owned())];
    let mut answer = session.call(request).await?;
    for _ in 0..MAX_PAGES {
        entries.extend(answer["value"].as_array().into_iter().flatten().cloned());
        let Some(next) = answer["@odata.nextLink"].as_str().map(str::to_owned) else {
            break;
        };
        answer = session.call(GraphRequest::follow(&next)).await?;
    }
    let owner = |entry: &Value| entry["owner"]["address"].as_str().map(str::to_lowercase);
    // An account may have several addresses. Both the owner of the default calendar and the
    // account's own address count as the account.
    let default = entries
        .iter()
        .find(|entry| entry["isDefaultCalendar"] == true);
    let own = [default.and_then(owner), Some(session.email.to_lowercase())];
    let is_shared = |entry: &Value| owner(entry).is_some_and(|owner| !own.contains(&Some(owner)));
    let known = entries
        .iter()
        .filter_map(|entry| read(entry, is_shared(entry)));
    let mut calendars: Vec<AccountCalendar> = known
        .map(|calendar| AccountCalendar {
            time_zone,
            ..calendar
        })
        .collect();
    calendars.sort_by_key(|calendar| (!calendar.is_primary, calendar.name.clone()));
    Ok(calendars)
}

fn read(entry: &Value, is_shared: bool) -> Option<AccountCalendar> {
    let text = |name: &str| {
        entry[name]
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    let access = match (entry["canEdit"] == true, is_shared) {
        (true, false) => AccessRole::Owner,
        (true, true) => AccessRole::Writer,
        (false, _) => AccessRole::Reader,
    };
    Some(AccountCalendar {
        remote_id: text("id")?.to_owned(),
        name: text("name").unwrap_or("Calendar").to_owned(),
        color: text("hexColor")
            .or_else(|| named_color(text("color")?))
            .and_then(normalise_color),
        access,
        is_primary: entry["isDefaultCalendar"] == true,
        is_hidden: false,
        is_shared,
        time_zone: None,
    })
}

/// The hex value that Outlook shows for a named colour.
fn named_color(name: &str) -> Option<&'static str> {
    Some(match name {
        "lightBlue" => "#A6D1F5",
        "lightGreen" => "#87D28E",
        "lightOrange" => "#FCAB73",
        "lightGray" => "#C0C0C0",
        "lightYellow" => "#F5E26D",
        "lightTeal" => "#4AC4CC",
        "lightPink" => "#F08FBC",
        "lightBrown" => "#CBA287",
        "lightRed" => "#F88C9B",
        _ => return None,
    })
}
