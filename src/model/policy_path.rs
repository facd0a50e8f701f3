//! What a file of a policy set is, by its path.

use super::provenance::PROVENANCE_FILE;

/// Files that end so hold rules, libraries or tests.
const SCRIPT_SUFFIX: &str = ".rhai";
/// Files that end so hold the tests of a set; they are not loaded with it.
pub const TEST_SUFFIX: &str = "_test.rhai";
/// Files that end so hold recorded inputs for those tests.
pub const RECORDING_SUFFIX: &str = ".jsonl";
/// Files that end so hold data for the rules.
pub const DATA_SUFFIX: &str = ".data.json";

/// Tells whether a file of this name belongs to a set: rules, libraries and tests, data for them, recorded inputs, and
/// where all of it comes from.
pub fn is_of_a_set(name: &str) -> bool {
    let is_one = |ending: &&str| name.len() > ending.len() && name.ends_with(*ending);
    name == PROVENANCE_FILE || [SCRIPT_SUFFIX, DATA_SUFFIX, RECORDING_SUFFIX].iter().any(is_one)
}

/// Tells whether a file of a set is there for its tests alone: a test, or inputs that were recorded for one.
pub fn is_for_tests(path: &str) -> bool {
    path.ends_with(TEST_SUFFIX) || path.ends_with(RECORDING_SUFFIX)
}

/// Tells whether a file of a set says where it comes from.
pub fn is_provenance(path: &str) -> bool {
    path.rsplit('/').next() == Some(PROVENANCE_FILE)
}

/// Returns the path of the library that a name without a slash stands for, as keys of ConfigMaps are: `lib.slo.rhai` is
/// `lib/slo.rhai`. `None` for every other file.
pub fn library_of(name: &str) -> Option<String> {
    let library = name.strip_prefix("lib.").and_then(|rest| rest.strip_suffix(SCRIPT_SUFFIX));
    library.map(|library| format!("lib/{library}.rhai"))
}
