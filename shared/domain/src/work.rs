//! Bounds of the work that rules may cause.

/// The work that may still be spent on rules. Each day, finer period and start that is examined costs one.
///
/// A request or a feed has one budget for all of its rules, and each rule at most [`Work::ONE_RULE`] of it. So many costly
/// rules cost no more than a few, and one costly rule leaves some for the others.
#[derive(Debug)]
pub struct Work {
    left: usize,
    /// What is left for the rule that is being examined.
    left_for_one: usize,
}

impl Work {
    /// The share of one rule: enough to count through one cycle of the calendar, twice.
    pub const ONE_RULE: usize = 400_000;
    /// The work of a request that shows events.
    pub const REQUEST: usize = 4_000_000;
    /// The work of reading a feed.
    pub const FEED: usize = 8_000_000;

    /// Creates a budget.
    pub const fn new(units: usize) -> Self {
        Self {
            left: units,
            left_for_one: 0,
        }
    }

    /// Returns what is left.
    pub const fn left(&self) -> usize {
        self.left
    }

    /// Creates the budget of a single rule.
    pub const fn one_rule() -> Self {
        let mut work = Self::new(Self::ONE_RULE);
        work.next_rule();
        work
    }

    /// Takes a share out of this budget; [`Work::take_back`] returns what is left of it.
    pub(super) fn lend(&mut self) -> Self {
        let mut share = Self::new((self.left / 2).min(Self::ONE_RULE));
        self.left -= share.left;
        self.next_rule();
        share.next_rule();
        share
    }

    /// Takes back a share. Returns whether it was used up.
    pub(super) const fn take_back(&mut self, share: &Self) -> bool {
        self.left += share.left;
        share.left_for_one == 0
    }

    /// Begins the share of the next rule.
    pub(super) const fn next_rule(&mut self) {
        self.left_for_one = if self.left < Self::ONE_RULE {
            self.left
        } else {
            Self::ONE_RULE
        };
    }

    /// Spends some work; `None` if it is used up.
    pub(super) const fn spend(&mut self, units: usize) -> Option<()> {
        if units > self.left_for_one {
            self.left -= self.left_for_one;
            self.left_for_one = 0;
            return None;
        }
        self.left_for_one -= units;
        self.left -= units;
        Some(())
    }
}
