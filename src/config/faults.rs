//! The faults of a settings file, each with the path of its key, all at once.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::explain::counted;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, from the top of the file: `services[3].bounds.min`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, what was expected, what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// The faults of a file, in the order of its sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Adds one.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { path: path.into(), message: message.into() });
    }
}

impl fmt::Display for Faults {
    /// Writes one line per fault; the same fault in many services is one line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<(&Fault, usize)> = Vec::new();
        let mut places = BTreeMap::new();
        for fault in &self.0 {
            let place = *places.entry((below_service(&fault.path), &fault.message)).or_insert(lines.len());
            match lines.get_mut(place) {
                Some((_, more)) => *more += 1,
                None => lines.push((fault, 0)),
            }
        }
        f.write_str(&counted(self.0.len(), "fault"))?;
        for (fault, more) in lines {
            write!(f, "\n  {fault}")?;
            if more > 0 {
                write!(f, " (and the same for {more} more)")?;
            }
        }
        Ok(())
    }
}

/// Returns a path below `services[N]` without the number, any other path unchanged.
fn below_service(path: &str) -> &str {
    path.strip_prefix("services[").and_then(|rest| rest.split_once(']')).map_or(path, |(_, key)| key)
}
