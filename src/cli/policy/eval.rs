//! `flyball policy eval`

use std::process::ExitCode;

use clap::Args;

use super::inputs::InputArgs;
use crate::cli::{Output, print_line};
use crate::model::explain;
use crate::model::time::seconds;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flyball policy eval shop/checkout                    the configured set on the newest \
     recorded inputs\n  \
                        flyball policy eval shop/checkout@1-42 -p ./edited   an edited set on the inputs of one \
                        decision\n  \
                        flyball explain shop/checkout -o json > then.json && flyball policy eval --input then.json"
)]
pub struct EvalArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Show every condition of every rule, not only the choice.
    #[arg(long)]
    explain: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn eval(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let Some(inputs) = args.inputs.read(1, args.output).await? else { return Ok(ExitCode::from(2)) };
    let record = inputs.newest()?;
    let proposal = inputs.again(record)?;
    match args.output {
        Output::Json => print_line(seconds::in_seconds(serde_json::to_value(&proposal)?))?,
        Output::Text => {
            let then = record.proposal.revision.as_ref().map_or("no revision", |revision| revision.as_str());
            let (then, now) = (format!("then ({then})"), format!("now ({})", inputs.set.revision()));
            let width = then.len().max(now.len());
            print_line(format!("{} at {}, by the revision of that time and by the current one", record.id, record.at))?;
            print_line(format!("{then:<width$}  {}", explain::choice(&record.proposal.choice)))?;
            print_line(format!("{now:<width$}  {}", explain::choice(&proposal.choice)))?;
            if args.explain {
                print_line(explain::rules(&proposal))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
