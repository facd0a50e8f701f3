//! `flyball policy whatif`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::inputs::InputArgs;
use crate::cli::{Output, print_line};
use crate::model::RuleTrace;
use crate::model::explain::{self, Flip, flips};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flyball policy whatif shop/checkout                  every rule, on the newest inputs \
     of a service\n  \
                        flyball policy whatif shop/checkout --rule scale_up  one rule"
)]
pub struct WhatIfArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Only this rule.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn what_if(args: &WhatIfArgs) -> anyhow::Result<ExitCode> {
    let Some(inputs) = args.inputs.read(1, args.output).await? else { return Ok(ExitCode::from(2)) };
    let record = inputs.newest()?;
    let proposal = inputs.again(record)?;
    let wanted = |rule: &&RuleTrace| args.rule.as_ref().is_none_or(|name| **name == *rule.rule);
    let rules: Vec<_> = proposal.rules.iter().filter(wanted).collect();
    if let (Some(name), true) = (&args.rule, rules.is_empty()) {
        let known: Vec<_> = proposal.rules.iter().map(|rule| &*rule.rule).collect();
        anyhow::bail!("the set has no rule `{name}`; known: {}", known.join(", "));
    }
    if args.output == Output::Json {
        let rules = rules.into_iter().map(|rule| {
            let (matches, flips) = flips(rule);
            json!({ "rule": &*rule.rule, "matches": matches, "flips": flips })
        });
        print_line(json!({ "decision": record.id, "rules": rules.collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_line(format!("{} at {}: {}", record.id, record.at, explain::choice(&proposal.choice)))?;
    for rule in rules {
        let (matches, flips) = flips(rule);
        print_line(format!("\n{} {}", rule.rule, heading(rule, matches, &flips)))?;
        for flip in flips {
            let value = flip.value.map_or_else(String::new, |value| {
                // In the unit and the precision of the bound, which `needed` names.
                let scale = flip.unit.alike(&[value, value + flip.change.unwrap_or_default()]);
                format!(" {}", scale.show(value))
            });
            print_line(format!("  {}{value}: {}", flip.condition, flip.needed))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn heading(rule: &RuleTrace, matches: bool, flips: &[Flip]) -> &'static str {
    match (matches, flips.len()) {
        (true, 0) => "applies whatever the conditions are: it failed or is muted",
        (true, _) if rule.limit.is_some() => "applies; any of these would end that:",
        (true, _) => "matches; any of these would end that:",
        (false, 0) => "does not match, but not because of a condition: its size is unknown, it failed or is muted",
        (false, 1) => "does not match; this would be enough:",
        (false, _) => "does not match; it takes all of these:",
    }
}
