//! `flyball init`: settings and a policy to start from. Existing files are never touched.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use crate::config::Settings;
use crate::model::ServiceId;

use super::{print_line, program};

/// The settings template, for the service and the server below.
const STARTER: &str = include_str!("../../docs/flyball.starter.yaml");
const SERVICE: &str = "shop/checkout";
const PROMETHEUS: &str = "http://127.0.0.1:9090";
/// The shipped policy that sizes by the arrival rate, and its tests.
const POLICIES: [(&str, &str); 2] = [
    ("capacity.rhai", include_str!("../../deploy/policies/capacity.rhai")),
    ("capacity_test.rhai", include_str!("../../deploy/policies/capacity_test.rhai")),
];

#[derive(Debug, Args)]
#[command(
    after_help = "Writes DIR/flyball.yaml and DIR/policies, and never overwrites a file. The service is in shadow: \
     flyball decides and records, but does not write to the cluster.\n\nExample:\n  \
                        flyball init --service shop/cart --prometheus http://prometheus:9090"
)]
pub struct InitArgs {
    /// Output directory; created if it does not exist.
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// The service to observe (namespace/name).
    #[arg(long, default_value = SERVICE)]
    service: ServiceId,
    /// Base URL of the Prometheus with its series.
    #[arg(long, value_name = "URL", default_value = PROMETHEUS)]
    prometheus: String,
}

pub fn init(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let text = settings(&args.service, &args.prometheus);
    // A faulty URL is refused here, not by a later reader of the file.
    Settings::parse(&text)
        .map_err(|faults| anyhow::anyhow!("nothing was written: the settings would have {faults}"))?;
    let policies = POLICIES.map(|(name, text)| (PathBuf::from("policies").join(name), text));
    let files: Vec<(PathBuf, &str)> = std::iter::once((PathBuf::from("flyball.yaml"), text.as_str()))
        .chain(policies)
        .map(|(name, text)| (args.directory.join(name), text))
        .collect();
    refuse_to_overwrite(&args.directory, &files)?;
    write(&args.directory.join("policies"), &files)?;
    for (path, _) in &files {
        print_line(format!("wrote {}", shown(path)))?;
    }
    next(&args.directory, &args.service)
}

/// Creates the directory and writes the files. A partial result would block the next attempt: if a file cannot be
/// written, the earlier ones are removed.
fn write(directory: &Path, files: &[(PathBuf, &str)]) -> anyhow::Result<()> {
    let unwritable = |path: &Path| {
        format!("nothing was written: cannot write {}; name a directory that you can write to", path.display())
    };
    let made: Vec<&Path> = directory.ancestors().take_while(|place| !place.exists()).collect();
    let mut written: Vec<&Path> = Vec::new();
    let undo = |written: &[&Path]| {
        written.iter().for_each(|path| drop(fs::remove_file(path)));
        // Only if it is empty.
        made.iter().for_each(|place| drop(fs::remove_dir(place)));
    };
    fs::create_dir_all(directory).inspect_err(|_| undo(&[])).with_context(|| unwritable(directory))?;
    for (path, text) in files {
        // A file created since the check is kept.
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.inspect(|_| written.push(path));
        let done = file.and_then(|mut file| file.write_all(text.as_bytes()));
        done.inspect_err(|_| undo(&written)).with_context(|| unwritable(path))?;
    }
    Ok(())
}

/// Returns the settings for one service with telemetry on this server.
fn settings(service: &ServiceId, prometheus: &str) -> String {
    let (namespace, name) = (service.namespace(), service.name());
    STARTER
        .replace(
            "Deployment `checkout` in namespace `shop`",
            &format!("Deployment `{name}` in namespace `{namespace}`"),
        )
        .replace("namespace=\"shop\", service=\"checkout\"", &format!("namespace=\"{namespace}\", service=\"{name}\""))
        .replace(SERVICE, service.as_str())
        .replace(PROMETHEUS, prometheus)
}

/// Refuses if something is in the way: a file of the same name, or policies that would mix with ours.
fn refuse_to_overwrite(directory: &Path, files: &[(PathBuf, &str)]) -> anyhow::Result<()> {
    let policies = directory.join("policies");
    let full = fs::read_dir(&policies).is_ok_and(|mut entries| entries.next().is_some());
    let in_the_way = files.iter().map(|(path, _)| path).filter(|path| path.symlink_metadata().is_ok());
    let in_the_way = in_the_way.chain(full.then_some(&policies)).map(|path| shown(path)).collect::<Vec<_>>();
    if in_the_way.is_empty() {
        return Ok(());
    }
    bail!(
        "nothing was written: {} already there; name another directory, as in `flyball init DIR`",
        match &in_the_way[..] {
            [one] => format!("{one} is"),
            several => format!("{} are", several.join(", ")),
        }
    )
}

/// Prints the next steps.
fn next(directory: &Path, service: &ServiceId) -> anyhow::Result<ExitCode> {
    let flyball = program();
    let config = if directory == Path::new(".") {
        String::new()
    } else {
        format!(" -c {}", directory.join("flyball.yaml").display())
    };
    print_line(format!("\n{service} is in shadow: flyball decides and records, but does not write to the cluster."))?;
    print_line("Put your queries in flyball.yaml, then:")?;
    for (command, what) in [
        (format!("check{config}"), "finds faults in settings and policies"),
        (format!("doctor{config}"), "checks your Prometheus and your cluster"),
        (format!("run{config}"), "observes, forecasts and decides"),
        (format!("status{config}"), "shows its health, from a second terminal"),
    ] {
        print_line(format!(
            "  {:<width$}  {what}",
            format!("{flyball} {command}"),
            width = flyball.len() + config.len() + 7
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a path as a person would type it.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_names_the_service_and_the_server_that_were_given() {
        let text = settings(&"web/cart".parse().unwrap(), "http://prometheus:9090");
        let settings = Settings::parse(&text).unwrap();
        let service = &settings.listed()[0];
        assert_eq!((service.id.as_str(), settings.sources[0].url.as_str()), ("web/cart", "http://prometheus:9090"));
        assert_eq!((service.target.namespace.as_str(), service.target.name.as_str()), ("web", "cart"));
        assert!(text.contains("Deployment `cart` in namespace `web`") && !text.contains("checkout"), "{text}");
    }

    /// A partial result is rolled back; what existed before stays.
    #[test]
    fn half_a_start_is_taken_back() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::write(path("mine"), "mine").unwrap();
        let files = [(path("new/flyball.yaml"), "a"), (path("none/capacity.rhai"), "b")];
        let error = write(&path("new/policies"), &files).unwrap_err().to_string();
        assert!(
            error.contains("nothing was written: cannot write ") && error.contains("none/capacity.rhai"),
            "{error}"
        );
        assert!(!path("new").exists());
        assert!(write(&path("new/policies"), &[(path("new/a"), "a"), (path("mine"), "b")]).is_err());
        assert!(!path("new").exists());
        assert_eq!(fs::read_to_string(path("mine")).unwrap(), "mine");
    }

    /// The starter configuration writes nothing to the cluster and needs no other process.
    #[test]
    fn the_starter_is_safe() {
        let settings = Settings::parse(STARTER).unwrap();
        assert!(settings.listed().iter().all(|service| service.mode == crate::model::Mode::Shadow));
        assert!(settings.leadership.is_none() && settings.intents == crate::config::IntentStore::Journal);
        assert!(settings.forecast.events.is_empty() && settings.declarations().is_none());
        assert!(STARTER.lines().count() < 60, "small enough to read");
    }
}
