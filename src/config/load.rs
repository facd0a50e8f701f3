//! The one file of this module with I/O: reads the settings file, and the environment where a container
//! image needs another value than its file holds.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::faults::Faults;
use super::{Settings, parse_yaml};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was read, and its content is not valid.
    #[error("the settings file {} has {faults}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        faults: Faults,
    },
}

/// Variables that replace a key at the top of the file.
const OVERRIDES: &[(&str, &str)] = &[("FLYBALL_LISTEN", "listen"), ("FLYBALL_STATE", "state")];

/// Returns the settings in the file at `path`. `FLYBALL_LISTEN` and `FLYBALL_STATE` replace `listen` and
/// `state`. Relative paths in the file start at the directory of the file.
///
/// # Errors
/// [`ConfigError::Unreadable`] when the file cannot be read, [`ConfigError::Invalid`] with all its faults.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let whole = std::path::absolute(path).map_err(unreadable)?;
    let directory = whole.parent().unwrap_or(Path::new("/"));
    let overrides = OVERRIDES.iter().filter_map(|(variable, key)| Some((*variable, *key, env::var(variable).ok()?)));
    let overrides: Vec<_> = overrides.collect();
    read(&text, &overrides, directory).map_err(|faults| ConfigError::Invalid { path: path.to_owned(), faults })
}

/// Returns the kill switch that the file at `path` names, whatever else is wrong with the file: stopping writes must
/// not wait for that to be mended.
///
/// # Errors
/// [`ConfigError::Unreadable`] when the file cannot be read, [`ConfigError::Invalid`] when it is not YAML or names
/// neither a kill switch nor a state directory.
pub fn kill_switch(path: &Path) -> Result<PathBuf, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let invalid = |faults| ConfigError::Invalid { path: path.to_owned(), faults };
    let whole = std::path::absolute(path).map_err(unreadable)?;
    let tree = parse_yaml(&fs::read_to_string(path).map_err(unreadable)?).map_err(invalid)?;
    let key = |key: &str| tree.get(key).and_then(Value::as_str).map(str::to_owned);
    let state = env::var("FLYBALL_STATE").ok().or_else(|| key("state"));
    let switch = key("kill_switch").map(PathBuf::from).or_else(|| Some(Path::new(&state?).join("killswitch.yaml")));
    let missing = || {
        let mut faults = Faults::default();
        faults.add("kill_switch", "is not named, and neither is `state`, beside which it would be");
        invalid(faults)
    };
    Ok(whole.parent().unwrap_or(Path::new("/")).join(switch.ok_or_else(missing)?))
}

/// Reads `text` with `overrides` (variable, key, value); relative paths start at `directory`.
fn read(text: &str, overrides: &[(&str, &str, String)], directory: &Path) -> Result<Settings, Faults> {
    let mut tree = parse_yaml(text)?;
    if let Value::Object(top) = &mut tree {
        for (_, key, value) in overrides {
            top.insert((*key).to_owned(), Value::String(value.clone()));
        }
    }
    let mut settings = Settings::from_tree(&tree).map_err(|mut faults| {
        for fault in &mut faults.0 {
            if let Some((variable, key, _)) = overrides.iter().find(|(_, key, _)| fault.path == *key) {
                fault.path = format!("{key} (from {variable})");
            }
        }
        faults
    })?;
    let place = |path: &mut PathBuf| *path = directory.join(&*path);
    place(&mut settings.state);
    place(&mut settings.policies);
    place(&mut settings.kill_switch);
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/flyball.example.yaml");

    #[test]
    fn relative_paths_start_at_the_directory_of_the_file() {
        let text = EXAMPLE.replace("policies: /etc/flyball/policies", "policies: policies");
        let settings = read(&text, &[], Path::new("/srv/flyball")).unwrap();
        assert_eq!(settings.policies, Path::new("/srv/flyball/policies"));
        assert_eq!(settings.state, Path::new("/var/lib/flyball"));
    }

    #[test]
    fn a_variable_replaces_a_key_and_is_named_when_it_is_wrong() {
        let listen = |value: &str| read(EXAMPLE, &[("FLYBALL_LISTEN", "listen", value.to_owned())], Path::new("/"));
        assert_eq!(listen("0.0.0.0:80").unwrap().listen.port(), 80);
        let faults = listen("everywhere").unwrap_err();
        assert_eq!(
            faults.to_string(),
            "1 fault\n  listen (from FLYBALL_LISTEN): `everywhere` is not address:port, such as 127.0.0.1:9464"
        );
    }

    #[test]
    fn the_kill_switch_is_found_in_settings_that_are_wrong_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("flyball.yaml");
        for (text, expected) in [
            ("state: here\nservices: 7\n", Some("here/killswitch.yaml")),
            ("state: here\nkill_switch: /run/switch.yaml\nlisten: nowhere\n", Some("/run/switch.yaml")),
            ("services: []\n", None),
            ("state: [\n", None),
        ] {
            fs::write(&file, text).unwrap();
            let found = kill_switch(&file).ok();
            assert_eq!(found, expected.map(|path| directory.path().join(path)), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("/nowhere/flyball.yaml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the settings file /nowhere/flyball.yaml");
    }
}
