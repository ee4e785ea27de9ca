//! Maps between the ids of events at a provider (remote ids) and Calweave's event ids.
//!
//! The id of an event that was read from a provider is derived from its remote id. An event that
//! was created in Calweave gets a remote id from which its event id can be computed. Creating it
//! twice therefore makes one event.
//!
//! Google uses that remote id as the event's id. The event is recognised even if Google sends
//! nothing but the id. Ids of deleted events stay taken, so the remote id includes a counter, the
//! generation. Microsoft uses it as the `transactionId`, and assigns its own ids.

use calweave_domain::ids::{CalendarId, EventId};

/// The prefix of remote ids that Calweave makes. Google accepts ids of 5 to 1024 characters, each
/// `0`–`9` or `a`–`v`.
const PREFIX: &str = "cv";
/// Crockford's base32 alphabet, used by Calweave's ids.
const OURS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The base32hex alphabet (RFC 4648 section 7), used by Google's ids.
const THEIRS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Replaces each character with the one at the same position in the other alphabet. Returns `None`
/// if a character is not in `from`.
fn translate(text: &str, from: &[u8; 32], to: &[u8; 32]) -> Option<String> {
    text.bytes()
        .map(|byte| {
            from.iter()
                .position(|other| *other == byte)
                .map(|at| char::from(to[at]))
        })
        .collect()
}

/// Returns the remote id under which an event that was made in Calweave is created. `generation`
/// counts how often the event was recreated at the provider.
pub fn remote_id(event: &EventId, generation: u32) -> String {
    let digest = translate(event.digest(), OURS, THEIRS).unwrap_or_default();
    format!("{PREFIX}{digest}{generation:x}")
}

/// Returns the event id of the event or series with the remote id `remote`.
pub fn event_id(calendar: CalendarId, remote: &str) -> EventId {
    own_id(calendar, remote).unwrap_or_else(|| EventId::of(calendar, remote))
}

/// Returns the event id that a remote id encodes. Returns `None` if Calweave did not make the
/// remote id.
pub fn own_id(calendar: CalendarId, remote: &str) -> Option<EventId> {
    let (digest, generation) = remote
        .strip_prefix(PREFIX)?
        .split_at_checked(EventId::DIGEST_LEN)?;
    u32::from_str_radix(generation, 16).ok()?;
    EventId::with_digest(calendar, translate(digest, THEIRS, OURS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_made_here_is_recognised() {
        let calendar = CalendarId::from_bytes([7; 16]);
        for number in 0..200 {
            let event = EventId::of(calendar, &number.to_string());
            for generation in [0, 1, 300] {
                let remote = remote_id(&event, generation);
                assert!(
                    remote.bytes().all(|byte| THEIRS.contains(&byte)),
                    "{remote}"
                );
                assert_eq!(event_id(calendar, &remote), event);
            }
        }
        for foreign in [
            "",
            "cv",
            "cvabc",
            "7nvlnf6b2e0v1c",
            "cv00000000000000000000",
            "cv0000000000000000000w1",
        ] {
            assert_eq!(event_id(calendar, foreign), EventId::of(calendar, foreign));
        }
    }
}
