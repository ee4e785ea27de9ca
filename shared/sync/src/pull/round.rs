//! Rounds: the pages from one request to its last page.
//!
//! Graph was seen to repeat the last page of a delta query for ever under new links (msgraph-sdk-dotnet#3070, #3082), so a round is
//! given up once it brings nothing new.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use calweave_providers::ChangePage;

/// How many pages a round may have.
const MAX_PAGES: usize = 2_000;
/// How many empty pages may follow each other. Graph sends some where nothing matches the query.
const MAX_EMPTY_PAGES: usize = 20;

/// What a round has brought so far.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Hashes of the entries of all pages.
    seen: HashSet<u64>,
    pages: usize,
    empty_pages: usize,
}

impl Round {
    /// Adds a page. Returns whether the round makes progress, so that the next page is worth a request.
    pub fn add(&mut self, page: &ChangePage) -> bool {
        self.pages += 1;
        if page.entries.is_empty() {
            self.empty_pages += 1;
            return self.pages < MAX_PAGES && self.empty_pages < MAX_EMPTY_PAGES;
        }
        self.empty_pages = 0;
        let count = self.seen.len();
        self.seen.extend(page.entries.iter().map(hash));
        self.pages < MAX_PAGES && self.seen.len() > count
    }
}

fn hash(entry: &String) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(entries: &[&str]) -> ChangePage {
        ChangePage {
            entries: entries.iter().map(|entry| (*entry).to_owned()).collect(),
            ..ChangePage::default()
        }
    }

    #[test]
    fn a_page_that_only_repeats_ends_the_round() {
        let mut round = Round::default();
        assert!(round.add(&page(&["a 1", "b 1"])));
        assert!(round.add(&page(&["a 1", "c 1"])), "one is new");
        assert!(round.add(&page(&["a 2"])), "another version is new");
        assert!(!round.add(&page(&["b 1", "a 1"])));
    }

    #[test]
    fn a_few_empty_pages_are_no_end() {
        let mut round = Round::default();
        assert!((1..MAX_EMPTY_PAGES).all(|_| round.add(&page(&[]))));
        assert!(!round.add(&page(&[])));
    }

    #[test]
    fn too_many_pages_end_the_round() {
        let mut round = Round::default();
        let goes_on = (0..MAX_PAGES).take_while(|number| round.add(&page(&[&number.to_string()])));
        assert_eq!(goes_on.count(), MAX_PAGES - 1);
    }
}
