//! Minutes as the state of a signal keeps them, of which there are many.

use crate::model::Minute;

/// A minute in four bytes, which hold four thousand years.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ShortMinute(i32);

impl ShortMinute {
    /// Before all others.
    pub const FIRST: Self = Self(i32::MIN);

    /// Returns the nearest one.
    pub fn of(minute: Minute) -> Self {
        Self(i32::try_from(minute.0).unwrap_or(i32::MAX))
    }

    /// Returns it as others know it.
    pub fn get(self) -> Minute {
        Minute(self.0.into())
    }

    /// Returns the minutes from it to `now`.
    pub fn age(self, now: Minute) -> i64 {
        now.0.saturating_sub(self.0.into())
    }
}
