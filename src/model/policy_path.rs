//! What a file of a policy set is, judged by its path.

use super::provenance::PROVENANCE_FILE;

/// Suffix of rules, libraries and tests.
const SCRIPT_SUFFIX: &str = ".rhai";
/// Suffix of the tests of a set; they are not loaded with it.
pub const TEST_SUFFIX: &str = "_test.rhai";
/// Suffix of recorded inputs for those tests.
pub const RECORDING_SUFFIX: &str = ".jsonl";
/// Suffix of data for the rules.
pub const DATA_SUFFIX: &str = ".data.json";

/// Returns whether a file of this name belongs to a set: rules, libraries and tests, their data, recorded inputs, and
/// the provenance.
pub fn is_of_a_set(name: &str) -> bool {
    let is_one = |ending: &&str| name.len() > ending.len() && name.ends_with(*ending);
    name == PROVENANCE_FILE || [SCRIPT_SUFFIX, DATA_SUFFIX, RECORDING_SUFFIX].iter().any(is_one)
}

/// Returns whether a file of a set exists only for its tests: a test, or inputs recorded for one.
pub fn is_for_tests(path: &str) -> bool {
    path.ends_with(TEST_SUFFIX) || path.ends_with(RECORDING_SUFFIX)
}

/// Returns whether a file of a set gives its provenance.
pub fn is_provenance(path: &str) -> bool {
    path.rsplit('/').next() == Some(PROVENANCE_FILE)
}

/// Returns the path of the library that a name without a slash, such as a ConfigMap key, stands for: `lib.slo.rhai` is
/// `lib/slo.rhai`. `None` for every other file.
pub fn library_of(name: &str) -> Option<String> {
    let library = name.strip_prefix("lib.").and_then(|rest| rest.strip_suffix(SCRIPT_SUFFIX));
    library.map(|library| format!("lib/{library}.rhai"))
}
