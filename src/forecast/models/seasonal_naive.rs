//! What was a day ago comes again. Needs a day, knows every surge that recurs by the clock, adapts to nothing.

use super::{Ahead, Model, Origin, Past, Path};
use crate::forecast::history::{DAY, History};
use crate::model::Minute;
use crate::model::outlook::{HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "seasonal_naive";

/// Minutes of yesterday that a missing one may be taken from instead.
const REACH: i64 = 30;

/// Yesterday; its values lie in the shared history.
#[derive(Debug, Clone, Default)]
pub struct SeasonalNaive {}

impl Model for SeasonalNaive {
    fn observe(&mut self, _minute: Minute, _value: Option<f64>, _past: Past<'_>) {}

    fn ahead(&self, origin: &Origin<'_>) -> Option<Ahead> {
        let mut path = Path::default();
        for (point, minutes) in path.iter_mut().zip(HORIZONS) {
            *point = yesterday(origin.past.history, origin.minute.plus(i64::from(minutes)))?;
        }
        let [first, ..] = path;
        Some(Ahead { path, parts: Parts { season: first, ..Parts::default() } })
    }
}

/// Returns the value a day before `minute`, or of the nearest minute before that within reach.
fn yesterday(history: &History, minute: Minute) -> Option<f64> {
    (0..=REACH).find_map(|back| history.get(minute.plus(-DAY - back)))
}
