//! The loop's forecaster run over a series to its end, with its results for the last steps.

use std::collections::VecDeque;

use anyhow::Context;
use serde::Serialize;

use crate::forecast::evaluate::{Online, Series};
use crate::model::AnomalyKind;
use crate::model::outlook::{Parts, SignalOutlook};

/// Number of last steps whose results are kept.
const KEPT: usize = 120;

/// A past step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Told {
    /// Its value.
    pub value: Option<f64>,
    /// The components of the forecast for the next step.
    pub parts: Option<Parts>,
    /// The kind of the alarm that it raised.
    pub alarm: Option<AnomalyKind>,
}

/// Returns the forecast from the end of the series, and the steps before it, oldest first.
pub fn run(series: &Series) -> anyhow::Result<(SignalOutlook, Vec<Told>)> {
    let mut online = Online::new(series).context("cannot set up the evaluation")?;
    let (mut last, mut told) = (None, VecDeque::with_capacity(KEPT));
    for (index, value) in series.values.iter().enumerate() {
        let step = series.step(index);
        let outlook = online.step(step, *value);
        if told.len() == KEPT {
            told.pop_front();
        }
        told.push_back(Told {
            value: *value,
            parts: outlook.and_then(|outlook| outlook.parts),
            alarm: outlook.filter(|outlook| outlook.alarm).and_then(|outlook| outlook.anomaly_kind),
        });
        last = outlook.filter(|outlook| !outlook.points.is_empty()).cloned();
        online.fit(step);
    }
    let outlook = last.context("too short to forecast: at least 10 values are needed")?;
    Ok((outlook, told.into()))
}
