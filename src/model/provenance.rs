//! Where a policy set comes from, if it says so. Not part of its revision, which depends on content alone.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::controls::is_unprintable;

/// Name of the file that gives a set's provenance.
pub const PROVENANCE_FILE: &str = "REVISION";
/// Longest name of a commit: a SHA-256.
const LONGEST_COMMIT: usize = 64;
/// Longest author, in letters.
const LONGEST_AUTHOR: usize = 100;
/// Most sources of one set that are shown.
const MOST: usize = 3;

/// The commit of a policy set, and its author.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// Commit, at most 64 letters; several of a set made of several parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commit: Vec<String>,
    /// Author, at most 100 letters; several as above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub author: Vec<String>,
}

impl Provenance {
    /// Returns the content of texts of [`PROVENANCE_FILE`]: a commit alone, or lines `commit: ..` and `author: ..`.
    /// Anything that is not a commit is dropped, and so are characters of an author that would change how a terminal or
    /// page shows the rest; `None` if nothing remains.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let (mut commits, mut authors) = (BTreeSet::new(), BTreeSet::new());
        for line in texts.into_iter().flat_map(str::lines) {
            match line.split_once(':').map(|(key, value)| (key.trim(), value)) {
                Some(("commit", text)) => commits.extend(commit(text)),
                Some(("author", text)) => authors.extend(author(text)),
                Some(_) => {}
                None => commits.extend(commit(line)),
            }
        }
        let [commit, author] = [commits, authors].map(|found| found.into_iter().take(MOST).collect::<Vec<_>>());
        (!commit.is_empty() || !author.is_empty()).then_some(Self { commit, author })
    }

    /// Returns the text of a [`PROVENANCE_FILE`] with this content.
    pub fn text(commit: Option<&str>, author: Option<&str>) -> Option<String> {
        // One line each, whatever the value contains.
        let line = |key: &str, value: &str| format!("{key}: {}\n", value.replace(['\n', '\r'], " "));
        let lines = [commit.map(|text| line("commit", text)), author.map(|text| line("author", text))];
        let text: String = lines.into_iter().flatten().collect();
        (!text.is_empty()).then_some(text)
    }
}

fn commit(text: &str) -> Option<String> {
    let text = text.trim();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=LONGEST_COMMIT).contains(&text.len()) && text.bytes().all(letter)).then(|| text.to_owned())
}

fn author(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|letter| !is_unprintable(*letter)).take(LONGEST_AUTHOR).collect();
    (!text.is_empty()).then_some(text)
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commit, author } = self;
        let of = if commit.is_empty() { String::new() } else { format!("commit {}", commit.join(", ")) };
        let by = if author.is_empty() { String::new() } else { format!("by {}", author.join(", ")) };
        let gap = if of.is_empty() || by.is_empty() { "" } else { " " };
        write!(f, "{of}{gap}{by}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_alone_or_with_its_author_is_read_and_what_is_odd_is_left_out() {
        let long = "a".repeat(65);
        for (text, expected) in [
            ("3f2a9c1\n", Some("commit 3f2a9c1")),
            (
                "commit: 3f2a9c1\nauthor: Ann Lee <ann@example.com>\ndate: today",
                Some("commit 3f2a9c1 by Ann Lee <ann@example.com>"),
            ),
            ("author:  Ann \u{1b}[31m\u{202e}Lee\u{7}", Some("by Ann [31mLee")),
            ("commit: <script>\n", None),
            (long.as_str(), None),
            ("", None),
        ] {
            let found = Provenance::read([text]).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let long = format!("author: {}", "x".repeat(500));
        assert_eq!(Provenance::read([&*long]).unwrap().author[0].len(), 100);
    }

    #[test]
    fn a_set_of_several_parts_names_each_of_them_up_to_three() {
        let text = |number| Provenance::text(Some(&format!("c{number}")), Some("Ann\ncommit: forged")).unwrap();
        let texts: Vec<_> = (1..9).map(text).collect();
        let found = Provenance::read(texts.iter().map(String::as_str)).unwrap();
        assert_eq!(found.to_string(), "commit c1, c2, c3 by Ann commit: forged");
        assert_eq!(Provenance::text(None, None), None);
    }
}
