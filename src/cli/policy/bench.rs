//! `flyball policy bench`

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::inputs::{InputArgs, Inputs, moment};
use crate::cli::{Output, print_finding, warn_line};
use crate::decide::{Decider, decide};
use crate::model::explain::counted;

/// Measured decisions.
const DECISIONS: usize = 20_000;
/// Decisions before the measurement.
const WARM_UP: usize = 1_000;
/// Recorded inputs used in turn.
const INPUTS: u16 = 64;

#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0; 1 the median is above --most; 2 the set or the inputs could not be read.\n\n\
                        Example:\n  flyball policy bench shop/checkout --most 25   as a gate, in microseconds")]
pub struct BenchArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Fail if the median decision takes longer than this, microseconds.
    #[arg(long, value_name = "US", value_parser = most, allow_negative_numbers = true)]
    most: Option<f64>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn most(text: &str) -> Result<f64, String> {
    let most: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of microseconds"))?;
    if most > 0.0 { Ok(most) } else { Err(format!("{text} us is out of range, expected more than 0")) }
}

pub async fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let Some(inputs) = args.inputs.read(INPUTS, args.output).await? else { return Ok(ExitCode::from(2)) };
    let times = times(&inputs)?;
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last()).copied().unwrap_or(0.0);
    let (median, tail) = (at(0.5), at(0.99));
    let costs: Vec<_> = inputs.set.costs().collect();
    let total: usize = costs.iter().map(|(_, operations)| operations).sum();
    // Every part of every condition is evaluated each time, so the cost of a rule is proportional to its operations.
    let share = |operations: usize| median * operations as f64 / total.max(1) as f64;
    match args.output {
        Output::Json => {
            let rules = costs
                .iter()
                .map(|(rule, operations)| json!({ "rule": rule, "operations": operations, "us": share(*operations) }));
            print_finding(json!({
                "revision": inputs.set.revision().as_str(),
                "decisions": times.len(),
                "p50_us": median,
                "p99_us": tail,
                "rules": rules.collect::<Vec<_>>(),
            }))?;
        }
        Output::Text => {
            print_finding(format!(
                "revision {}, {}",
                inputs.set.revision(),
                counted(inputs.records.len(), "recorded input")
            ))?;
            print_finding(format!(
                "{median:.1} us per decision (p99 {tail:.1} us), every condition traced, wall-clock time"
            ))?;
            for (rule, operations) in &costs {
                print_finding(format!(
                    "  {:>6.1} us  {rule} ({})",
                    share(*operations),
                    counted(*operations, "operation")
                ))?;
            }
        }
    }
    if let Some(most) = args.most.filter(|most| median > *most) {
        warn_line(format_args!("the median of {median:.1} us is above --most {most} us"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the time of each decision in ascending order, microseconds.
fn times(inputs: &Inputs) -> anyhow::Result<Vec<f64>> {
    let specs: Vec<_> = inputs.records.iter().map(|record| inputs.spec(record)).collect::<Result<_, _>>()?;
    let (mut decider, mut times) = (Decider::new(), Vec::with_capacity(DECISIONS));
    let cases = inputs.records.iter().zip(specs).cycle().take(DECISIONS + WARM_UP);
    for (position, (record, spec)) in cases.enumerate() {
        let started = Instant::now();
        black_box(decide(&mut decider, &inputs.set, spec, &record.features, &record.outlook, moment(record)));
        if position >= WARM_UP {
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
