//! Whole numbers in a range.

use std::marker::PhantomData;

use super::Kind;
use crate::config::written::Written;

/// A whole number from `least` to `most`, both included.
pub(in crate::config) fn count<T>(least: u32, most: u32) -> Count<T> {
    Count { least, most, becomes: PhantomData }
}

pub(in crate::config) struct Count<T> {
    least: u32,
    most: u32,
    becomes: PhantomData<T>,
}

impl<T: TryFrom<u32>> Kind for Count<T> {
    type Value = T;

    fn read(&self, written: &Written<'_>) -> Option<T> {
        let Some(number) = written.number() else {
            return written.not_a("a whole number", format!("write a number from {}", self.range()));
        };
        let fits = u32::try_from(number).ok().filter(|number| (self.least..=self.most).contains(number));
        match fits.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Some(number),
            None => written
                .wrong(format!("{number} is out of range"), format!("write a number from {}", self.range())),
        }
    }

    fn range(&self) -> String {
        format!("{} to {}", self.least, self.most)
    }
}
