//! Compact minutes for the state of a signal, which holds many.

use crate::model::Minute;

/// A minute in four bytes, enough for four thousand years.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ShortMinute(i32);

impl ShortMinute {
    /// Before all others.
    pub const FIRST: Self = Self(i32::MIN);

    /// Returns the nearest representable minute.
    pub fn of(minute: Minute) -> Self {
        Self(i32::try_from(minute.0).unwrap_or(i32::MAX))
    }

    /// Converts to a [`Minute`].
    pub fn get(self) -> Minute {
        Minute(self.0.into())
    }

    /// Returns the minutes from this one to `now`.
    pub fn age(self, now: Minute) -> i64 {
        now.0.saturating_sub(self.0.into())
    }
}
