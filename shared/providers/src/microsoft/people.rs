//! Converts the attendees and the organizer of Graph's event resource.

use calweave_domain::details::{Attendee, RsvpStatus};
use serde_json::Value;

use super::GraphSession;
use super::read::text;

/// The attendees and the organizer; empty if nobody is invited.
pub(super) fn attendees(session: &GraphSession, item: &Value) -> Vec<Attendee> {
    let own = session.email.as_str();
    let organizer = text(&item["organizer"]["emailAddress"], "address").unwrap_or_default();
    let listed = item["attendees"].as_array().into_iter().flatten();
    let listed = listed.filter_map(|one| attendee(item, one, own, &organizer));
    let mut attendees = merged(listed.collect());
    let is_invited = matches!(
        item["responseStatus"]["response"].as_str(),
        Some("notResponded" | "accepted" | "declined" | "tentativelyAccepted")
    );
    let is_listed = attendees.iter().any(|one| one.is_self);
    if is_invited && !is_same(own, &organizer) && !is_listed && !own.is_empty() {
        // The account's owner is invited as a member of a group.
        attendees.push(Attendee {
            email: own.to_owned(),
            rsvp_status: rsvp(&item["responseStatus"]),
            is_self: true,
            ..Attendee::default()
        });
    }
    let has_organizer = attendees.iter().any(|one| one.is_organizer);
    if !attendees.is_empty() && !organizer.is_empty() && !has_organizer {
        let name = text(&item["organizer"]["emailAddress"], "name");
        attendees.push(Attendee {
            display_name: name.filter(|name| *name != organizer),
            rsvp_status: RsvpStatus::Accepted,
            is_organizer: true,
            is_optional: false,
            // The account may have several addresses.
            is_self: item["isOrganizer"] == true || is_same(own, &organizer),
            email: organizer,
        });
    }
    attendees
}

/// Splits an address that was entered as `Name <address>`.
fn split_address(address: &str) -> (Option<&str>, &str) {
    let parts = address
        .strip_suffix('>')
        .and_then(|rest| rest.split_once('<'));
    match parts {
        Some((name, address)) if address.contains('@') => {
            let name = name.trim().trim_matches('"');
            (Some(name).filter(|name| !name.is_empty()), address.trim())
        }
        _ => (None, address),
    }
}

/// Merges entries of the same address. An answer counts more than none.
fn merged(attendees: Vec<Attendee>) -> Vec<Attendee> {
    let mut merged: Vec<Attendee> = Vec::with_capacity(attendees.len());
    for one in attendees {
        match merged
            .iter_mut()
            .find(|other| is_same(&other.email, &one.email))
        {
            None => merged.push(one),
            Some(other) if other.rsvp_status == RsvpStatus::NeedsAction => {
                other.rsvp_status = one.rsvp_status;
            }
            Some(_) => {}
        }
    }
    merged
}

/// Whether two addresses are the same, and not empty.
fn is_same(one: &str, other: &str) -> bool {
    !one.is_empty() && one.eq_ignore_ascii_case(other)
}

fn attendee(item: &Value, one: &Value, own: &str, organizer: &str) -> Option<Attendee> {
    let address = text(&one["emailAddress"], "address")?;
    let (name, email) = split_address(&address);
    let (name, email) = (name.map(str::to_owned), email.to_owned());
    let (is_self, is_organizer) = (is_same(own, &email), is_same(organizer, &email));
    // The response of the account's owner is a property of the event.
    let response = if is_self && item["responseStatus"].is_object() {
        &item["responseStatus"]
    } else {
        &one["status"]
    };
    Some(Attendee {
        display_name: name.or_else(|| {
            let name = text(&one["emailAddress"], "name");
            name.filter(|name| *name != email && *name != address)
        }),
        rsvp_status: if is_organizer {
            RsvpStatus::Accepted
        } else {
            rsvp(response)
        },
        is_organizer,
        is_optional: one["type"] == "optional",
        is_self,
        email,
    })
}

fn rsvp(status: &Value) -> RsvpStatus {
    match status["response"].as_str() {
        Some("accepted" | "organizer") => RsvpStatus::Accepted,
        Some("declined") => RsvpStatus::Declined,
        Some("tentativelyAccepted") => RsvpStatus::Tentative,
        _ => RsvpStatus::NeedsAction,
    }
}
