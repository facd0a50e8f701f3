//! The loss that more weight on a model would have saved: when calm, and when a seasonal change is predicted.

use super::{Lanes, MODELS, Moving};
use crate::forecast::lanes::{larger, smaller, zip};
use crate::forecast::three::Three;
use crate::model::outlook::HORIZONS;

/// The loss that more weight on a model would have saved, by the slope of the loss at the published point: the models
/// that pull the mix the right way count, not those with the smallest errors alone (ML-Poly: Gaillard, Stoltz and van
/// Erven 2014, discounted).
#[derive(Debug, Clone, Copy)]
pub(super) struct Regrets {
    pub(super) sum: Lanes,
    pub(super) squares: Lanes,
}

impl Regrets {
    pub(super) const NOTHING: Self = Self { sum: [0.0; HORIZONS.len()], squares: [0.0; HORIZONS.len()] };

    /// Returns these regrets, with those of `other` at the horizons in `apart`.
    pub(super) fn or(&self, other: &Self, apart: Moving) -> Self {
        let pick = |own: &Lanes, other: &Lanes| {
            std::array::from_fn(|horizon| if apart[horizon] { other[horizon] } else { own[horizon] })
        };
        Self { sum: pick(&self.sum, &other.sum), squares: pick(&self.squares, &other.squares) }
    }

    pub(super) fn scale(&mut self, factor: f64) {
        self.sum.iter_mut().for_each(|sum| *sum *= factor as f32);
        self.squares.iter_mut().for_each(|square| *square *= (factor * factor) as f32);
    }

    /// Adds a saving, clipped at `most`.
    pub(super) fn add(&mut self, saved: &Lanes, most: &Lanes, keep: f32) {
        let bounded = zip(saved, most, |saved, most| larger(-most, smaller(most, saved)));
        self.sum = zip(&self.sum, &bounded, |sum, saved| sum * keep + saved);
        self.squares = zip(&self.squares, &bounded, |squares, saved| squares * keep + saved * saved);
    }

    /// The same at some horizons alone.
    pub(super) fn add_where(&mut self, at: Moving, saved: &Lanes, most: &Lanes, keep: f32) {
        let mut added = *self;
        added.add(saved, most, keep);
        *self = self.or(&added, at);
    }
}

/// Regrets when a seasonal change is predicted: accuracy in calm minutes says little about accuracy in a surge, and the
/// many calm minutes would outvote it.
///
/// Read only when something moves, and stored accordingly compactly: sums and sums of squares.
#[derive(Debug, Clone)]
pub struct Surges(pub(super) [[[Three; HORIZONS.len()]; 2]; MODELS]);

impl Surges {
    /// Returns the state before any outcome.
    pub fn new() -> Self {
        Self([[[Three::ZERO; HORIZONS.len()]; 2]; MODELS])
    }

    pub(super) fn get(&self) -> [Regrets; MODELS] {
        self.0.each_ref().map(|kept| {
            let [sum, squares] = kept.map(|lanes| lanes.map(Three::get));
            Regrets { sum, squares }
        })
    }

    pub(super) fn set(&mut self, regrets: &[Regrets; MODELS]) {
        self.0 = regrets.each_ref().map(|regrets| [regrets.sum, regrets.squares].map(|lanes| lanes.map(Three::of)));
    }
}
