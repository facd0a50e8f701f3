//! The list of figures, and how they are displayed and stored.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::Figures;

/// A figure that is promised.
pub struct Figure {
    /// Its name.
    pub id: &'static str,
    unit: &'static str,
    /// `None` if it is only reported.
    bar: Option<f64>,
    /// `None` if it only explains others.
    aim: Option<f64>,
    /// Whether more is better.
    more: bool,
}

const fn figure(id: &'static str, unit: &'static str, bar: f64, aim: f64) -> Figure {
    Figure { id, unit, bar: Some(bar), aim: Some(aim), more: false }
}

const fn at_least(id: &'static str, unit: &'static str, bar: f64, aim: f64) -> Figure {
    Figure { id, unit, bar: Some(bar), aim: Some(aim), more: true }
}

const fn reported(id: &'static str, unit: &'static str, aim: f64) -> Figure {
    Figure { id, unit, bar: None, aim: Some(aim), more: false }
}

/// A figure of the machine, which explains another one.
const fn machine(id: &'static str, unit: &'static str) -> Figure {
    Figure { id, unit, bar: None, aim: None, more: false }
}

/// The figures of policies.
pub const POLICY_FIGURES: [Figure; 13] = [
    figure("decision_us", "us", 16.0, 10.0),
    figure("decision_10x20_us", "us", 150.0, 80.0),
    figure("vs_regorus", "", 2.2, 1.5),
    figure("vs_opa_eval", "", 0.6, 0.4),
    figure("reload_60_files_ms", "ms", 60.0, 20.0),
    figure("save_to_in_force_ms", "ms", 1000.0, 700.0),
    at_least("parity_inputs", "", 100_000.0, 1_000_000.0),
    figure("parity_differences", "", 0.0, 0.0),
    at_least("hostile_classes", "", 12.0, 12.0),
    at_least("hostile_scripts", "", 180.0, 400.0),
    figure("hostile_over_deadline_ms_max", "ms", 10.0, 3.0),
    figure("bytes_per_extra_service", "B", 2048.0, 512.0),
    at_least("condition_coverage_shipped_policies", "", 1.0, 1.0),
];

/// The figures of forecasts.
pub const FORECAST_FIGURES: [Figure; 20] = [
    figure("mase_vs_best_simple", "", 0.82, 0.75),
    figure("series_lost", "", 0.0, 0.0),
    figure("msis_vs_simple", "", 0.85, 0.75),
    figure("coverage95_error_series", "", 0.015, 0.01),
    figure("coverage95_error_horizon", "", 0.02, 0.015),
    at_least("daily_coverage_p10", "", 0.9, 0.92),
    figure("max10_exceedance_error", "", 0.015, 0.01),
    figure("max30_exceedance_error", "", 0.02, 0.01),
    figure("missing_penalty", "", 0.05, 0.02),
    figure("outlier_penalty", "", 0.1, 0.05),
    figure("relevel_steps", "", 10.0, 5.0),
    figure("false_authority", "", 2.0, 0.0),
    figure("update_p50_us", "us", 2.0, 1.0),
    figure("update_p99_us", "us", 10.0, 4.0),
    figure("update_allocations", "B", 0.0, 0.0),
    figure("cold_fit_ms", "ms", 250.0, 100.0),
    figure("warm_refit_ms", "ms", 30.0, 10.0),
    figure("kib_per_metric", "KiB", 12.0, 8.0),
    reported("m4_hourly_owa", "", 0.45),
    reported("m4_hourly_msis", "", 7.5),
];

/// The figures of alarms.
pub const ANOMALY_FIGURES: [Figure; 3] = [
    at_least("nab_standard", "", 58.0, 65.0),
    figure("false_alarms_per_metric_week", "", 1.0, 0.2),
    figure("step_found_steps", "", 2.0, 1.0),
];

/// All figures of the loop; of each, less is better.
pub const FIGURES: [Figure; 20] = [
    figure("sample_to_patch_p50_ms", "ms", 3.0, 1.0),
    figure("sample_to_patch_p99_ms", "ms", 10.0, 3.0),
    machine("disk_sync_p50_ms", "ms"),
    figure("batch_1k_decided_ms", "ms", 50.0, 20.0),
    figure("cpu_cores_10k", "cores", 0.3, 0.1),
    figure("rss_mib_10k", "MiB", 1200.0, 700.0),
    figure("queries_per_tick_10k", "", 10.0, 6.0),
    figure("cpu_growth_1k_to_10k", "", 1.5, 1.1),
    figure("tick_lateness_p99_ms_10k", "ms", 250.0, 50.0),
    figure("policy_decision_us", "us", 20.0, 12.0),
    figure("forecast_update_p50_us", "us", 2.0, 1.0),
    figure("forecast_update_p99_us", "us", 10.0, 4.0),
    figure("kill_switch_worst_ms", "ms", 1000.0, 100.0),
    figure("neighbours_added_p99_ms", "ms", 10.0, 2.0),
    figure("neighbours_added_max_ms", "ms", 50.0, 20.0),
    figure("kills_lost_or_doubled", "", 0.0, 0.0),
    figure("start_ready_ms", "ms", 300.0, 100.0),
    figure("start_ready_full_journal_ms", "ms", 300.0, 100.0),
    figure("idle_rss_mib", "MiB", 40.0, 20.0),
    figure("binary_mb", "MB", 30.0, 20.0),
];

/// A figure with its result.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub id: &'static str,
    /// `None` if it could not be measured.
    value: Option<f64>,
    unit: &'static str,
    /// `None` if the figure is only reported.
    bar: Option<f64>,
    /// `None` if the figure only explains others.
    aim: Option<f64>,
    better: &'static str,
    /// Whether the bar is reached.
    pub ok: bool,
    command: String,
}

impl Figure {
    /// Returns the row with the value of this figure, if it was measured.
    pub fn row(&self, values: &Figures) -> Row {
        let value = values.iter().find(|(id, value)| *id == self.id && value.is_finite()).map(|(_, value)| *value);
        Row {
            id: self.id,
            // No figure is repeatable to better than a thousandth of its unit.
            value: value.map(|value| (value * 1000.0).round() / 1000.0),
            unit: self.unit,
            bar: self.bar,
            aim: self.aim,
            better: if self.more { "higher" } else { "lower" },
            ok: self
                .bar
                .is_none_or(|bar| value.is_some_and(|value| if self.more { value >= bar } else { value <= bar })),
            command: format!("just score {}", self.id),
        }
    }
}

impl Row {
    /// Returns whether a value reaches the aim.
    fn reaches(&self, value: f64) -> bool {
        self.aim.is_some_and(|aim| if self.better == "higher" { value >= aim } else { value <= aim })
    }
}

/// Prints the table.
pub fn print(rows: &[Row]) {
    println!("\n{:<36} {:>12} {:<6} {:>8} {:>8}  ok", "id", "value", "unit", "bar", "aim");
    for row in rows {
        let value = row.value.map_or("not measured".to_owned(), |value| value.to_string());
        let verdict = match row.value {
            Some(value) if row.reaches(value) => "yes, aim reached",
            _ if row.bar.is_none() => "reported",
            Some(_) if row.ok => "yes",
            Some(_) => "NO",
            None => "NO, FAILED",
        };
        let [bar, aim] = [row.bar, row.aim].map(|bound| bound.map_or("-".to_owned(), |bound| bound.to_string()));
        println!("{:<36} {value:>12} {:<6} {bar:>8} {aim:>8}  {verdict}", row.id, row.unit);
    }
}

/// Writes the rows as JSON and returns the path. Rows added to the file by `scripts/rivals/run` are kept.
pub fn write(rows: &[&Row], name: &str) -> anyhow::Result<PathBuf> {
    let directory = crate::process::target().join("scores");
    std::fs::create_dir_all(&directory)?;
    let file = directory.join(name);
    let before = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Vec<Value>>(&text).ok());
    let kept = before.into_iter().flatten().filter(|row| row["command"] == "just score rivals");
    let rows = rows.iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>()?;
    let all: Vec<Value> = rows.into_iter().chain(kept).collect();
    std::fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
    Ok(file)
}
