//! Open Policy Agent itself with the four rules: built from its Go module by `scripts/lab/build opa`, once per machine.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Facts, Outcome, REGO};

/// The queried decision.
const DECISION: &str = "flyball/parity/action";

/// If set, what needs the program is skipped where its modules cannot be downloaded.
const WITHOUT: &str = "FLYBALL_LAB_WITHOUT_OPA";

/// Fails unless the program may be absent after its build said this.
pub fn may_be_absent(said: &str, is_allowed: bool) -> anyhow::Result<()> {
    let unreachable = ["dial tcp", "no such host", "i/o timeout", "TLS handshake timeout"];
    ensure!(unreachable.iter().any(|part| said.contains(part)), "OPA cannot be built: {said}");
    ensure!(is_allowed, "OPA's Go modules cannot be downloaded; set {WITHOUT}=1 to skip what needs them: {said}");
    Ok(())
}

/// The program.
pub struct Opa(PathBuf);

impl Opa {
    /// Returns the program, built if necessary (a minute). `None`, said on standard error, if its modules cannot be
    /// downloaded and the environment allows that.
    ///
    /// # Errors
    /// When it cannot be built, and for want of modules that is not allowed.
    pub fn new() -> anyhow::Result<Option<Self>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Command::new(root.join("scripts/lab/build")).arg("opa").output()?;
        let said = String::from_utf8_lossy(&built.stderr);
        if built.status.success() {
            return Ok(Some(Self(String::from_utf8(built.stdout)?.trim().into())));
        }
        may_be_absent(&said, std::env::var_os(WITHOUT).is_some())?;
        // Not a macro, whose output is hidden if the test passes.
        writeln!(std::io::stderr(), "NOT RUN: the comparison with Open Policy Agent, as {WITHOUT} allows")?;
        Ok(None)
    }

    /// Decides about all inputs, in one process.
    pub fn decide(&self, inputs: &[Facts]) -> anyhow::Result<Vec<Outcome>> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("rules"))?;
        fs::create_dir_all(path("inputs"))?;
        fs::write(path("rules/four_rules.rego"), REGO)?;
        for (number, facts) in inputs.iter().enumerate() {
            fs::write(path("inputs").join(format!("{number:06}.json")), facts.rego().to_json_str()?)?;
        }
        let output = Command::new(&self.0)
            .args(["exec", "--v0-compatible", "--decision", DECISION, "--bundle"])
            .args([path("rules"), path("inputs")])
            .output()?;
        ensure!(output.status.success(), "opa exec: {}", String::from_utf8_lossy(&output.stderr));
        let mut results = serde_json::from_slice::<Value>(&output.stdout)?["result"].take();
        let results = results.as_array_mut().context("a list of results")?;
        results.sort_by_key(|result| result["path"].to_string());
        results.iter().map(outcome).collect()
    }

    /// Returns the median time per input, us: the evaluation alone, as `opa bench` measures it.
    pub fn bench(&self, facts: &Facts) -> anyhow::Result<f64> {
        let directory = tempfile::tempdir()?;
        let (rules, input) = (directory.path().join("four_rules.rego"), directory.path().join("input.json"));
        fs::write(&rules, REGO)?;
        fs::write(&input, facts.rego().to_json_str()?)?;
        let query = format!("data.{}", DECISION.replace('/', "."));
        let mut command = Command::new(&self.0);
        command.args(["bench", "--v0-compatible", "--format", "json", "--data"]).arg(rules).arg("--input").arg(input);
        let output = command.arg(query).output()?;
        ensure!(output.status.success(), "opa bench: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let median = report["Extra"]["histogram_timer_rego_query_eval_ns_median"].as_f64();
        Ok(median.context("the median of opa bench")? / 1e3)
    }
}

fn outcome(result: &Value) -> anyhow::Result<Outcome> {
    if result["error"]["code"] == "eval_conflict_error" {
        return Ok(Outcome::Conflict);
    }
    let kind = result["result"]["type"].as_str().with_context(|| format!("an action: {result}"))?;
    super::kind(kind)
}
