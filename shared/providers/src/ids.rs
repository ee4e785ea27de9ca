//! Which event of a provider is which of ours.
//!
//! An event that came from a provider has an id here that follows from its id there. One that was made here is given a
//! name there that ours can be read from again, so creating it twice makes one event. Google takes it for the event's id,
//! so that the event is recognised even when nothing but that is said of it; as ids of deleted events stay taken, a
//! counter goes with it. Microsoft takes it for the `transactionId`, and gives ids of its own.

use calweave_domain::ids::{CalendarId, EventId};

/// What the names of our own making begin with. Google takes `0`–`9` and `a`–`v`, 5 to 1024 of them.
const PREFIX: &str = "cv";
/// Crockford's alphabet, which our ids are written in, …
const OURS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// … and that of base32hex (RFC 4648 7), which Google's are.
const THEIRS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

fn translate(text: &str, from: &[u8; 32], to: &[u8; 32]) -> Option<String> {
    text.bytes()
        .map(|byte| {
            from.iter()
                .position(|other| *other == byte)
                .map(|at| char::from(to[at]))
        })
        .collect()
}

/// The name under which an event that was made here is created.
pub fn remote_id(event: &EventId, generation: u32) -> String {
    let digest = translate(event.digest(), OURS, THEIRS).unwrap_or_default();
    format!("{PREFIX}{digest}{generation:x}")
}

/// Our id of an event, or of a series, that a provider calls `remote`.
pub fn event_id(calendar: CalendarId, remote: &str) -> EventId {
    own_id(calendar, remote).unwrap_or_else(|| EventId::of(calendar, remote))
}

/// Ours, of a name that was made here.
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
