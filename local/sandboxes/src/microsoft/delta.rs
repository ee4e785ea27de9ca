//! `calendarView/delta`. The window is fixed by the first request; occurrences are returned in
//! short form; `@removed` may mean that an event has only left the window; and items may repeat.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::Answer;
use super::errors::Refusal;
use super::state::{Calendar, State, Stored};
use super::view::{self, Preferences, etag, is_within, occurrences, render};

/// Query options that a delta query does not support.
const REFUSED: [&str; 5] = ["$select", "$expand", "$filter", "$orderby", "$search"];

/// The content of a delta or skip token.
struct Place {
    /// The version up to which the client knew the changes when the round began; 0 in the first
    /// round.
    since: u64,
    /// The version up to which this round has returned the changes.
    after: u64,
    /// The version up to which this round returns changes.
    until: u64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// How often this round has repeated its last page.
    repeats: u64,
}

impl Place {
    fn write(&self) -> String {
        let stamp = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!(
            "{}~{}~{}~{}~{}~{}",
            self.since,
            self.after,
            self.until,
            stamp(self.from),
            stamp(self.to),
            self.repeats
        )
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('~').collect();
        let [since, after, until, from, to, repeats] = parts.as_slice() else {
            return None;
        };
        let time = |text: &str| {
            DateTime::parse_from_rfc3339(text)
                .ok()
                .map(|at| at.to_utc())
        };
        let (since, after, until) = (
            since.parse().ok()?,
            after.parse().ok()?,
            until.parse().ok()?,
        );
        Some(Self {
            since,
            after,
            until,
            from: time(from)?,
            to: time(to)?,
            repeats: repeats.parse().ok()?,
        })
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one delta round: its window, its page and its token"
)]
pub(super) fn changes(
    state: &mut State,
    base: &str,
    calendar_id: &str,
    query: &[(String, String)],
    preferences: Preferences,
) -> Answer {
    let parameter = |name: &str| {
        query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    if let Some(name) = REFUSED.iter().find(|name| parameter(name).is_some()) {
        return Err(Refusal::new(
            400,
            "ErrorInvalidUrlQuery",
            format!("The following parameters are not supported with change tracking: {name}"),
        ));
    }
    let calendar = state
        .calendars
        .get(calendar_id)
        .ok_or_else(Refusal::not_found)?;
    let time = |name: &str| {
        parameter(name)
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|at| at.to_utc())
    };
    let unknown = || {
        Refusal::new(
            410,
            "SyncStateNotFound",
            "The sync state generation is not found.",
        )
    };
    let (mut place, is_first) = match (parameter("$deltatoken"), parameter("$skiptoken")) {
        (Some(token), _) => {
            let last = Place::read(token).ok_or_else(unknown)?;
            if last.until < calendar.tokens_since {
                return Err(unknown());
            }
            (
                Place {
                    since: last.until.max(1),
                    after: last.until,
                    until: state.version,
                    ..last
                },
                true,
            )
        }
        (None, Some(token)) => (Place::read(token).ok_or_else(unknown)?, false),
        (None, None) => {
            let (Some(from), Some(to)) = (time("startDateTime"), time("endDateTime")) else {
                return Err(Refusal::new(
                    400,
                    "ErrorInvalidParameter",
                    "This request requires a time window specified by the query string parameters StartDateTime and EndDateTime.",
                ));
            };
            (
                Place {
                    since: 0,
                    after: 0,
                    until: state.version,
                    from,
                    to,
                    repeats: 0,
                },
                true,
            )
        }
    };
    let mut found: Vec<(u64, Group<'_>)> = calendar
        .events
        .values()
        .filter(|stored| stored.event["type"] != "exception")
        .map(|stored| (stored.version, Group::There(stored)))
        .chain(
            calendar
                .removed
                .iter()
                .map(|(version, id)| (*version, Group::Removed(id))),
        )
        .filter(|(version, _)| *version > place.after && *version <= place.until)
        .collect();
    found.sort_by_key(|(version, _)| *version);
    let mut value: Vec<Value> = Vec::new();
    let mut more = false;
    // Every third incremental round begins with an empty page, as Graph may return one.
    let is_empty =
        is_first && place.since > 0 && state.deltas.is_multiple_of(3) && !found.is_empty();
    let before = place.after;
    for (version, group) in found {
        // Changes of the same version stay on one page.
        if is_empty || (value.len() >= state.page && version > place.after) {
            more = true;
            break;
        }
        value.extend(group.items(calendar, &place, preferences));
        place.after = version;
    }
    // Repeats an item on each later page, as Graph may.
    if let (Some(first), false) = (value.first().cloned(), is_first) {
        value.push(first);
    }
    if is_first {
        state.deltas += 1;
        state.full_reads += u64::from(place.since == 0);
    }
    if calendar.is_endless && !more && !value.is_empty() {
        more = true;
        place.after = before;
        place.repeats += 1;
    }
    let (name, token) = if more {
        ("nextLink", "$skiptoken")
    } else {
        ("deltaLink", "$deltatoken")
    };
    let path = format!("{base}/v1.0/me/calendars/{calendar_id}/calendarView/delta");
    let mut answer = json!({ "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(event)", "value": value });
    let mut link = reqwest::Url::parse(&path).map_err(|_| Refusal::not_found())?;
    link.query_pairs_mut().append_pair(token, &place.write());
    answer[format!("@odata.{name}")] = String::from(link).into();
    Ok(Some(answer))
}

/// A unit of changes: an event with its occurrences, or a removal.
enum Group<'a> {
    There(&'a Stored),
    Removed(&'a str),
}

impl Group<'_> {
    /// Returns the items of this event. A series is never split between two pages.
    fn items(&self, calendar: &Calendar, place: &Place, preferences: Preferences) -> Vec<Value> {
        let gone = |id: &str| json!({ "@odata.type": "#microsoft.graph.event", "id": id, "@removed": { "reason": "deleted" } });
        let is_known = place.since > 0;
        match self {
            Self::Removed(id) if is_known => vec![gone(id)],
            Self::Removed(_) => vec![],
            Self::There(stored) => {
                let id = stored.event["id"].as_str().unwrap_or_default();
                if stored.event["recurrence"].is_null() {
                    return match is_within(&stored.event, place.from, place.to) {
                        true => vec![render(&stored.event, stored.version, preferences)],
                        // Listed as removed, even if it never was in the window.
                        false if is_known => vec![gone(id)],
                        false => vec![],
                    };
                }
                let mut items: Vec<Value> = occurrences(calendar, stored, place.from, place.to)
                    .into_iter()
                    .map(|one| {
                        let is_whole = one.event["type"] == "exception";
                        if is_whole {
                            render(&one.event, one.version, preferences)
                        } else {
                            stub(&one, preferences)
                        }
                    })
                    .collect();
                if items.is_empty() {
                    return if is_known { vec![gone(id)] } else { vec![] };
                }
                // Graph does not always list the series master. Here, it depends on the version.
                if stored.version.is_multiple_of(2) {
                    items.insert(0, render(&stored.event, stored.version, preferences));
                }
                items
            }
        }
    }
}

/// Renders an occurrence in the short form that Graph lists: ids, type and times.
fn stub(one: &Stored, preferences: Preferences) -> Value {
    let whole = view::render(&one.event, one.version, preferences);
    json!({
        "@odata.type": "#microsoft.graph.event", "@odata.etag": etag(one.version), "seriesMasterId": whole["seriesMasterId"],
        "type": "occurrence", "id": whole["id"], "start": whole["start"], "end": whole["end"]
    })
}
