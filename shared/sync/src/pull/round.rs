//! Rounds: the pages from one request to its last page, and what they have brought.
//!
//! Graph was seen to repeat the last page of a delta query for ever under new links (msgraph-sdk-dotnet#3070, #3082), so a round is
//! given up once it brings nothing new.

use std::collections::HashSet;

use calweave_domain::ids::EventId;

/// How many pages a round may have.
const MAX_PAGES: usize = 2_000;
/// How many empty pages may follow each other. Graph sends some where nothing matches the query.
const MAX_EMPTY_PAGES: usize = 20;

/// What a provider has sent, as hashes: events by their id, entries and series by a text of their own.
#[derive(Debug, Default)]
pub(super) struct Seen {
    all: HashSet<u64>,
    /// Those that are in no record yet.
    fresh: Vec<u64>,
}

impl Seen {
    /// Adds what an earlier invocation has recorded.
    pub fn restore(&mut self, hashes: Vec<u64>) {
        self.all.extend(hashes);
    }

    /// Adds a text. Returns whether it is new.
    pub fn insert(&mut self, text: &str) -> bool {
        let hash = hash(text);
        let is_new = self.all.insert(hash);
        if is_new {
            self.fresh.push(hash);
        }
        is_new
    }

    /// Adds an event.
    pub fn insert_event(&mut self, id: &EventId) {
        self.insert(&id.to_string());
    }

    /// Returns whether an event was sent.
    pub fn contains(&self, id: &EventId) -> bool {
        self.all.contains(&hash(&id.to_string()))
    }

    /// Returns whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes the hashes that are in no record yet.
    pub fn take_fresh(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.fresh)
    }
}

/// FNV-1a. The hash is stored, so it has to be the same in each version of this program.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Counts the pages of a round.
#[derive(Debug, Default)]
pub(super) struct Round {
    pages: usize,
    empty_pages: usize,
}

impl Round {
    /// Adds a page with these entries. Returns whether the round makes progress, so that the next page is worth a request.
    pub fn add(&mut self, entries: &[String], seen: &mut Seen) -> bool {
        self.pages += 1;
        if entries.is_empty() {
            self.empty_pages += 1;
            return self.pages < MAX_PAGES && self.empty_pages < MAX_EMPTY_PAGES;
        }
        self.empty_pages = 0;
        let mut has_new = false;
        for entry in entries {
            has_new |= seen.insert(entry);
        }
        has_new && self.pages < MAX_PAGES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn a_page_that_only_repeats_ends_the_round() {
        let (mut round, mut seen) = (Round::default(), Seen::default());
        assert!(round.add(&page(&["a 1", "b 1"]), &mut seen));
        assert!(round.add(&page(&["a 1", "c 1"]), &mut seen), "one is new");
        assert!(
            round.add(&page(&["a 2"]), &mut seen),
            "another version is new"
        );
        assert!(!round.add(&page(&["b 1", "a 1"]), &mut seen));
    }

    #[test]
    fn a_few_empty_pages_are_no_end() {
        let (mut round, mut seen) = (Round::default(), Seen::default());
        assert!((1..MAX_EMPTY_PAGES).all(|_| round.add(&[], &mut seen)));
        assert!(!round.add(&[], &mut seen));
    }

    #[test]
    fn too_many_pages_end_the_round() {
        let (mut round, mut seen) = (Round::default(), Seen::default());
        let mut goes_on = |number: &usize| round.add(&page(&[&number.to_string()]), &mut seen);
        assert_eq!(
            (0..MAX_PAGES).take_while(|number| goes_on(number)).count(),
            MAX_PAGES - 1
        );
    }

    #[test]
    fn what_was_recorded_is_known_to_the_next_invocation() {
        let mut seen = Seen::default();
        assert!(seen.insert("a") && !seen.insert("a"));
        let mut next = Seen::default();
        next.restore(seen.take_fresh());
        assert!(!next.insert("a") && next.take_fresh().is_empty());
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c, "as published for FNV-1a");
    }
}
