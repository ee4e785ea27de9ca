//! The starts of one period of a recurrence rule. There can be millions, so they are not listed but indexed.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// The starts of one period: each of its times on each of its days, or those of them that `BYSETPOS` selects.
pub(super) struct Starts<'a> {
    pub(super) days: Vec<NaiveDate>,
    pub(super) times: &'a [NaiveTime],
    pub(super) positions: Option<Vec<usize>>,
}

impl Starts<'_> {
    pub(super) fn len(&self) -> usize {
        match &self.positions {
            Some(positions) => positions.len(),
            None => self.days.len() * self.times.len(),
        }
    }

    /// Returns a start by its index; they are in order.
    pub(super) fn get(&self, index: usize) -> Option<NaiveDateTime> {
        let index = match &self.positions {
            Some(positions) => *positions.get(index)?,
            None => index,
        };
        let day = self.days.get(index / self.times.len())?;
        Some(day.and_time(self.times[index % self.times.len()]))
    }

    /// Returns the index of the first start at or after `low`.
    pub(super) fn position(&self, low: NaiveDateTime) -> usize {
        let day = self.days.partition_point(|day| *day < low.date());
        let time = match self.days.get(day) {
            Some(date) if *date == low.date() => {
                self.times.partition_point(|time| *time < low.time())
            }
            _ => 0,
        };
        let index = day * self.times.len() + time;
        match &self.positions {
            Some(positions) => positions.partition_point(|position| *position < index),
            None => index,
        }
    }
}

/// Returns the indices that `BYSETPOS` selects of `len` starts, in order.
pub(super) fn positions(by_set_pos: &[i32], len: usize) -> Vec<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let index = |position: &i32| match i64::from(*position) {
        position @ 1.. => position - 1,
        position => len + position,
    };
    let chosen = by_set_pos.iter().map(index);
    let chosen = chosen.filter(|index| (0..len).contains(index));
    let mut chosen: Vec<usize> = chosen
        .filter_map(|index| usize::try_from(index).ok())
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}
