//! The only file of this module with I/O: reads the settings file, and the environment for values that a container
//! image needs to override.

use std::env;
use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value;

use super::faults::Faults;
use super::tree::Node;
use super::{KILL_SWITCH, LISTEN, PolicySource, Settings, Switch, listen_address, parse_yaml, revision, switch};
use crate::model::ids::is_dns_subdomain;

/// Most characters of the reporter of an Event, as in the API.
const REPORTER: usize = 128;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file {}{}", path.display(), remedy(source))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The state directory is an existing file.
    #[error("`state` is the file {}, name a directory", path.display())]
    State {
        /// The file.
        path: PathBuf,
    },
    /// The file was read, but its content is invalid.
    #[error("the settings file {} has {faults}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// All its faults.
        faults: Faults,
    },
}

/// Returns the remedy for a file that cannot be read, if it is obvious.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => " (name another with --config FILE; `flyball init` creates one to start from)",
        io::ErrorKind::IsADirectory => " (name the file in it, such as flyball.yaml)",
        io::ErrorKind::PermissionDenied => " (permission denied; run as the user that flyball runs as)",
        io::ErrorKind::InvalidData => " (settings are YAML in UTF-8)",
        _ => "",
    }
}

/// Variables that override a top-level key of the file.
const OVERRIDES: &[(&str, &str)] = &[
    ("FLYBALL_LISTEN", "listen"),
    ("FLYBALL_STATE", "state"),
    ("FLYBALL_LEADERSHIP", "leadership"),
    ("FLYBALL_INTENTS", "intents"),
];

/// Returns the settings in the file at `path`. The variables of [`OVERRIDES`] override their keys. Relative paths are
/// relative to the directory of the file.
///
/// # Errors
/// [`ConfigError::Unreadable`] when the file cannot be read, [`ConfigError::Invalid`] with all its faults.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let text = read_file(path).map_err(unreadable)?;
    let whole = std::path::absolute(path).map_err(unreadable)?;
    let directory = whole.parent().unwrap_or(Path::new("/"));
    let mut settings = read(&text, &overrides(), directory)
        .map_err(|faults| ConfigError::Invalid { path: path.to_owned(), faults })?;
    let faults = faults_of_switch(&settings, &whole);
    if !faults.0.is_empty() {
        return Err(ConfigError::Invalid { path: path.to_owned(), faults });
    }
    if let Some(pod) = env::var("HOSTNAME").ok().filter(|pod| pod.len() <= REPORTER && is_dns_subdomain(pod)) {
        settings.instance = pod;
    }
    Ok(settings)
}

/// Returns the overrides that are set: variable, key, value.
fn overrides() -> Vec<(&'static str, &'static str, String)> {
    OVERRIDES.iter().filter_map(|(variable, key)| Some((*variable, *key, env::var(variable).ok()?))).collect()
}

/// Returns the faulty settings in the file at `path`, to the extent policies can be checked against them; `None` if
/// they say too little about the policies or the signals that those may name.
pub fn part_of(path: &Path) -> Option<Settings> {
    let whole = std::path::absolute(path).ok()?;
    let (part, faults) = read_part(&read_file(path).ok()?, &overrides(), whole.parent()?);
    let hidden = |path: &str| ["sources", "signals"].iter().any(|section| path.starts_with(section));
    part.filter(|_| !faults.0.iter().any(|fault| hidden(&fault.path)))
}

/// Notes a kill switch with the path of another file: each change of the switch would overwrite that.
fn faults_of_switch(settings: &Settings, file: &Path) -> Faults {
    let mut faults = Faults::default();
    let Switch::File(path) = &settings.kill_switch else { return faults };
    let switch = real(path);
    // At its default path, a state directory among the policies is not the fault of the switch.
    let is_default = *path == settings.state.join(KILL_SWITCH);
    let is_policy = || match &settings.policies {
        PolicySource::Directory(policies) => switch.starts_with(real(policies)) && !is_default,
        PolicySource::ConfigMaps => false,
    };
    let taken = if switch == real(file) {
        Some("the settings file")
    } else if switch == real(&settings.journal_file()) {
        Some("the journal")
    } else if is_policy() {
        Some("in the directory of the policies")
    } else {
        path.is_dir().then_some("a directory")
    };
    if let Some(taken) = taken {
        let message = format!("{} is {taken}; use a separate file, such as {KILL_SWITCH}", switch.display());
        faults.add("kill_switch", message);
    }
    faults
}

/// Returns a path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let of_parent = || Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(of_parent).unwrap_or_else(|| path.to_owned())
}

impl Settings {
    /// Returns the file of the journal.
    pub fn journal_file(&self) -> PathBuf {
        self.state.join("journal.redb")
    }

    /// Returns the canonical path of the state directory: absolute, without symbolic links as far as it exists.
    pub fn place(&self) -> PathBuf {
        let whole = || std::path::absolute(&self.state).unwrap_or_else(|_| self.state.clone());
        fs::canonicalize(&self.state).unwrap_or_else(|_| whole())
    }
}

/// Largest file that is read, bytes: ten thousand services with every possible key take a third of it.
const LONGEST: u64 = 64 << 20;

/// Reads a regular file.
fn read_file(path: &Path) -> io::Result<String> {
    // The opened file is the one checked, and a pipe does not block. For a directory, the read reports what it is.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = fs::File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() && !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        let why = format!("it is larger than {} MiB", LONGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.split(|byte| *byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} has a byte that is not UTF-8"))
    })
}

/// Refuses a state directory that is not a directory.
///
/// # Errors
/// [`ConfigError::State`].
pub fn check_state(settings: &Settings) -> Result<(), ConfigError> {
    let state = &settings.state;
    if state.exists() && !state.is_dir() { Err(ConfigError::State { path: state.clone() }) } else { Ok(()) }
}

/// Returns the kill switch named in the settings file at `path`, whatever other faults the file has: nobody should have
/// to fix settings before stopping writes.
///
/// # Errors
/// [`ConfigError::Unreadable`] when the file cannot be read; [`ConfigError::Invalid`] when it is not YAML or names
/// neither `kill_switch` nor `state`.
pub fn kill_switch_of(path: &Path) -> Result<Switch, ConfigError> {
    let tree = tree_of(path)?;
    let text = |key: &str| tree.get(key).and_then(Value::as_str).map(str::to_owned);
    let state = || Some(PathBuf::from(env::var("FLYBALL_STATE").ok().or_else(|| text("state"))?).join(KILL_SWITCH));
    let written = text("kill_switch").map(PathBuf::from).or_else(state).ok_or_else(|| {
        let mut faults = Faults::default();
        faults.add("kill_switch", "is not set, and neither is `state`; name the file with --file");
        ConfigError::Invalid { path: path.to_owned(), faults }
    })?;
    match switch(written, text("namespace").as_deref()) {
        Switch::File(file) => {
            let whole = std::path::absolute(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            Ok(Switch::File(whole.parent().unwrap_or(Path::new("/")).join(file)))
        }
        in_cluster @ Switch::ConfigMap { .. } => Ok(in_cluster),
    }
}

/// Returns the listen address in the settings file at `path`, whatever other faults the file has.
///
/// # Errors
/// [`ConfigError::Unreadable`] when the file cannot be read; [`ConfigError::Invalid`] when it is not YAML or `listen`
/// is not an address.
pub fn listen_of(path: &Path) -> Result<SocketAddr, ConfigError> {
    let tree = tree_of(path)?;
    let Some(listen) = env::var("FLYBALL_LISTEN").ok().map(Value::from).or_else(|| tree.get("listen").cloned()) else {
        return Ok(LISTEN);
    };
    let mut faults = Faults::default();
    let address = listen_address(&Node::at("listen", &listen), &mut faults);
    address.ok_or_else(|| ConfigError::Invalid { path: path.to_owned(), faults })
}

fn tree_of(path: &Path) -> Result<Value, ConfigError> {
    let text = read_file(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse_yaml(&text).map_err(|faults| ConfigError::Invalid { path: path.to_owned(), faults })
}

/// Returns the name of the current user, or the number if a container has no names.
pub fn user() -> String {
    let name = |variable| env::var(variable).ok().filter(|name| !name.trim().is_empty());
    let number = || fs::metadata("/proc/self").map_or("unknown".to_owned(), |own| format!("uid {}", own.uid()));
    name("USER").or_else(|| name("LOGNAME")).unwrap_or_else(number)
}

/// The environment's description of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// It only supports plain lines (`TERM=dumb`).
    pub is_dumb: bool,
    /// Colour is unwanted (`NO_COLOR` is set and not empty; <https://no-color.org>).
    pub no_colour: bool,
}

/// Returns the terminal as described by the environment.
pub fn terminal() -> Terminal {
    let is_dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Terminal { is_dumb, no_colour }
}

/// Parses `text` with `overrides` (variable, key, value); relative paths are relative to `directory`.
fn read(text: &str, overrides: &[(&str, &str, String)], directory: &Path) -> Result<Settings, Faults> {
    match read_part(text, overrides, directory) {
        (Some(settings), faults) if faults.0.is_empty() => Ok(settings),
        (_, faults) => Err(faults),
    }
}

/// Parses as much as possible, and returns all faults.
fn read_part(text: &str, overrides: &[(&str, &str, String)], directory: &Path) -> (Option<Settings>, Faults) {
    let mut tree = match parse_yaml(text) {
        Ok(tree) => tree,
        Err(faults) => return (None, faults),
    };
    let revision = revision(&tree);
    if let Value::Object(top) = &mut tree {
        for (_, key, value) in overrides {
            top.insert((*key).to_owned(), Value::String(value.clone()));
        }
    }
    let (mut settings, mut faults) = Settings::part_of_tree(&tree);
    for fault in &mut faults.0 {
        if let Some((variable, key, _)) = overrides.iter().find(|(_, key, _)| fault.path == *key) {
            fault.path = format!("{key} (from {variable})");
        }
    }
    if let Some(settings) = &mut settings {
        settings.revision = revision;
        let place = |path: &mut PathBuf| *path = directory.join(&*path);
        place(&mut settings.state);
        if let PolicySource::Directory(policies) = &mut settings.policies {
            place(policies);
        }
        if let Switch::File(switch) = &mut settings.kill_switch {
            place(switch);
        }
        let files = settings
            .sources
            .iter_mut()
            .flat_map(|source| [&mut source.access.bearer_token_file, &mut source.access.ca_file]);
        files.flatten().for_each(place);
    }
    (settings, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/flyball.example.yaml");

    #[test]
    fn relative_paths_start_at_the_directory_of_the_file() {
        let settings = read(EXAMPLE, &[], Path::new("/srv/flyball")).unwrap();
        assert_eq!(settings.policies, PolicySource::Directory("/srv/flyball/policies".into()));
        assert_eq!(settings.state, Path::new("/var/lib/flyball"));
    }

    /// A comment changes nothing, and overridden values do not belong to the file.
    #[test]
    fn settings_are_told_from_what_the_file_held_before() {
        let of =
            |text: &str, overrides: &[(&str, &str, String)]| read(text, overrides, Path::new("/srv")).unwrap().revision;
        let listen = [("FLYBALL_LISTEN", "listen", "0.0.0.0:80".to_owned())];
        let first = of(EXAMPLE, &[]);
        assert_eq!(of(&format!("# a word\n{EXAMPLE}"), &listen), first);
        assert_eq!(Settings::parse(EXAMPLE).unwrap().revision, first);
        assert_ne!(of(&EXAMPLE.replacen("mode: auto", "mode: shadow", 1), &[]), first);
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
    fn the_kill_switch_is_found_in_faulty_settings() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("flyball.yaml");
        for (text, expected) in
            [("state: run\nservices: 7\n", "run/killswitch.yaml"), ("kill_switch: /x/off\nlisten: nowhere", "/x/off")]
        {
            fs::write(&file, text).unwrap();
            assert_eq!(kill_switch_of(&file).unwrap(), Switch::File(directory.path().join(expected)));
        }
        fs::write(&file, "kill_switch: configmap\nnamespace: platform\nservices: 7\n").unwrap();
        assert_eq!(kill_switch_of(&file).unwrap(), Switch::ConfigMap { namespace: Some("platform".to_owned()) });
        fs::write(&file, "listen: 127.0.0.1:1\nservices: 7\n").unwrap();
        assert_eq!(listen_of(&file).unwrap().port(), 1);
        assert!(kill_switch_of(&file).unwrap_err().to_string().contains("kill_switch"));
    }

    #[test]
    fn a_kill_switch_at_the_place_of_something_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("flyball.yaml");
        fs::create_dir_all(directory.path().join("policies/own")).unwrap();
        let example = EXAMPLE.replace("/var/lib/flyball", "run");
        for (switch, expected) in [
            ("flyball.yaml", "flyball.yaml is the settings file; use a separate file"),
            ("policies/../flyball.yaml", "is the settings file"),
            ("run/journal.redb", "journal.redb is the journal"),
            ("policies/capacity.rhai", "capacity.rhai is in the directory of the policies"),
            ("policies/own", "is in the directory of the policies"),
            (".", "is a directory"),
        ] {
            let lines = example.lines().filter(|line| !line.starts_with("kill_switch:"));
            let text = lines.collect::<Vec<_>>().join("\n");
            fs::write(&file, format!("{text}\nkill_switch: {switch}\n")).unwrap();
            let error = load(&file).unwrap_err().to_string();
            assert!(error.contains("1 fault\n  kill_switch: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("/nowhere/flyball.yaml")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("cannot read the settings file /nowhere/flyball.yaml (name another"), "{error}");
    }
}
