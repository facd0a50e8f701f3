//! A cursor over the parsed file that knows its path, so that a fault in one place does not hide the next: each read
//! either returns a value or notes why not.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

use super::durations::{self, NoSpan};
use super::faults::Faults;
use crate::model::explain::did_you_mean;

/// What a parameter may be.
const QUANTITY: &str = "a number, or a duration with a unit";

/// The result of reading a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Given<T> {
    /// Absent.
    #[default]
    Absent,
    /// Present but faulty: the fault is noted.
    Faulty,
    /// Present.
    Is(T),
}

impl<T> Given<T> {
    /// Returns the value, or `default` if absent.
    pub fn or_default(self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Faulty => None,
            Self::Is(value) => Some(value),
        }
    }

    /// Returns the value, and notes a missing one with `remedy`.
    pub fn required(self, path: &str, remedy: &str, faults: &mut Faults) -> Option<T> {
        if matches!(self, Self::Absent) {
            faults.add(path, format!("is missing; {remedy}"));
        }
        self.optional()
    }

    /// Returns the value if there is one.
    pub fn optional(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Faulty => None,
        }
    }

    /// Returns this if present, otherwise `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if matches!(self, Self::Absent) { other } else { self }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// The key, from the top of the file.
    pub path: String,
    value: &'a Value,
    spelling: Spelling,
}

/// A mapping whose keys are known.
#[derive(Debug, Clone)]
pub struct Table<'a> {
    /// The key, from the top of the file.
    pub path: String,
    entries: &'a Map<String, Value>,
    spelling: Spelling,
}

/// The spelling of known keys. This module names them as the file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// `error_ratio`: the settings file.
    File,
    /// `errorRatio`: objects of the Kubernetes API.
    Object,
}

impl Spelling {
    fn of(self, key: &str) -> Cow<'_, str> {
        let mut words = key.split('_');
        let first = words.next().unwrap_or_default();
        if self == Self::File || first.len() == key.len() {
            return Cow::Borrowed(key);
        }
        Cow::Owned(words.fold(first.to_owned(), |mut text, word| {
            let mut letters = word.chars();
            text.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            text + letters.as_str()
        }))
    }
}

impl<'a> Node<'a> {
    /// Returns the top level of the file.
    pub fn top(value: &'a Value) -> Self {
        Self { path: String::new(), value, spelling: Spelling::File }
    }

    /// Returns the value of a top-level key of the file.
    pub fn at(key: &str, value: &'a Value) -> Self {
        Self { path: key.to_owned(), ..Self::top(value) }
    }

    /// Returns the `spec` of an object of the Kubernetes API.
    pub fn spec_of_object(value: &'a Value) -> Self {
        Self { path: "spec".to_owned(), value, spelling: Spelling::Object }
    }

    /// Returns the mapping if all keys are among `known`; other keys are noted with the nearest known one.
    pub fn table(&self, known: &[&str], faults: &mut Faults) -> Option<Table<'a>> {
        let entries = self.mapping(faults)?;
        let spelled: Vec<Cow<'_, str>> = known.iter().map(|key| self.spelling.of(key)).collect();
        let known: Vec<&str> = spelled.iter().map(AsRef::as_ref).collect();
        for key in entries.keys().filter(|key| !known.contains(&key.as_str())) {
            faults.add(key_path(&self.path, key), unknown("key", key, &known));
        }
        Some(Table { path: self.path.clone(), entries, spelling: self.spelling })
    }

    /// Returns the entries of a mapping with free names.
    pub fn named(&self, faults: &mut Faults) -> Option<Vec<(&'a str, Self)>> {
        let entry =
            |(name, value): (&'a String, &'a Value)| (name.as_str(), self.inner(key_path(&self.path, name), value));
        Some(self.mapping(faults)?.iter().map(entry).collect())
    }

    /// Returns the items of a list.
    pub fn items(&self, faults: &mut Faults) -> Option<Vec<Self>> {
        match self.value {
            Value::Array(items) => {
                let item = |(index, value)| self.inner(format!("{}[{index}]", self.path), value);
                Some(items.iter().enumerate().map(item).collect())
            }
            other => self.wrong(other, "a list", faults),
        }
    }

    /// Returns whether this is the text `word`.
    pub fn is(&self, word: &str) -> bool {
        self.value.as_str() == Some(word)
    }

    /// Returns whether this is a text.
    pub fn is_text(&self) -> bool {
        self.value.is_string()
    }

    /// Returns a text that is not empty.
    pub fn text(&self, faults: &mut Faults) -> Option<&'a str> {
        match self.value {
            Value::String(text) if text.trim().is_empty() => self.refuse("is empty; set a value", faults),
            Value::String(text) => Some(text),
            other => self.wrong(other, "a string; quote it if it is meant as one", faults),
        }
    }

    /// Returns `true` or `false`.
    pub fn flag(&self, faults: &mut Faults) -> Option<bool> {
        match self.value {
            Value::Bool(flag) => Some(*flag),
            other => self.wrong_scalar(other, "true or false", faults),
        }
    }

    /// Returns a number from `least` to `most`.
    pub fn number(&self, least: f64, most: f64, faults: &mut Faults) -> Option<f64> {
        match self.value.as_f64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => self.refuse(&format!("{} is not between {least} and {most}", bare(number)), faults),
            None => self.wrong_scalar(self.value, "a number", faults),
        }
    }

    /// Returns a whole number from `least`.
    pub fn count(&self, least: u32, faults: &mut Faults) -> Option<u32> {
        if let Some(count) = self.value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|at| *at >= least) {
            return Some(count);
        }
        let whole = self.value.as_f64().filter(|number| number.fract() == 0.0);
        match whole {
            // `4e1` and `040` are 40.
            Some(number) if (f64::from(least)..=f64::from(u32::MAX)).contains(&number) => Some(number as u32),
            Some(number) if number > f64::from(u32::MAX) => {
                self.refuse(&format!("{} is above {}", bare(number), u32::MAX), faults)
            }
            Some(number) if number < f64::from(least) => {
                self.refuse(&format!("{} is below {least}", bare(number)), faults)
            }
            _ => self.wrong_scalar(self.value, &format!("a whole number of at least {least}"), faults),
        }
    }

    /// Returns a whole number from 0 to `most`.
    pub fn count_to(&self, most: u32, faults: &mut Faults) -> Option<u32> {
        let count = self.count(0, faults)?;
        if count > most { self.refuse(&format!("{count} is above {most}"), faults) } else { Some(count) }
    }

    /// Returns a span of time from `least` to `most`.
    pub fn span(&self, least: Duration, most: Duration, faults: &mut Faults) -> Option<Duration> {
        match self.value.as_str().map_or(Err(NoSpan::Text), durations::parse) {
            Ok(span) if (least..=most).contains(&span) => Some(span),
            Ok(span) => {
                let [span, least, most] = [span, least, most].map(durations::show);
                self.refuse(&format!("{span} is not between {least} and {most}"), faults)
            }
            Err(why) => self.refuse(&format!("{} {why}", shown(self.value)), faults),
        }
    }

    /// Returns a number, or a span of time in seconds.
    pub fn quantity(&self, faults: &mut Faults) -> Option<f64> {
        match self.value {
            Value::Number(_) => self.number(f64::MIN, f64::MAX, faults),
            Value::String(text) => match durations::parse(text) {
                Ok(span) => Some(span.as_secs_f64()),
                Err(NoSpan::Text) => self.wrong(self.value, QUANTITY, faults),
                Err(why) => self.refuse(&format!("{} {why}", shown(self.value)), faults),
            },
            other => self.wrong(other, QUANTITY, faults),
        }
    }

    /// Returns which of `all` this is, by the word for each.
    pub fn one_of<T: Copy>(&self, all: &[T], word: impl Fn(T) -> &'static str, faults: &mut Faults) -> Option<T> {
        let text = self.text(faults)?;
        let found = all.iter().copied().find(|one| word(*one) == text);
        let words = || all.iter().copied().map(&word).collect::<Vec<_>>();
        found.or_else(|| self.refuse(&unknown("value", text, &words()), faults))
    }

    /// Returns the text, which must be one of `names`.
    pub fn name_among(&self, names: &[&str], faults: &mut Faults) -> Option<&'a str> {
        let text = self.text(faults)?;
        if names.contains(&text) { Some(text) } else { self.refuse(&unknown("value", text, names), faults) }
    }

    /// Returns the value under a key, if this is a mapping that has it, whatever else it contains.
    pub fn inside(&self, key: &str) -> Option<Self> {
        Some(self.inner(key_path(&self.path, key), self.value.get(key)?))
    }

    /// Notes a fault here.
    pub fn refuse<T>(&self, message: &str, faults: &mut Faults) -> Option<T> {
        faults.add(self.path.clone(), message);
        None
    }

    fn inner(&self, path: String, value: &'a Value) -> Self {
        Self { path, value, spelling: self.spelling }
    }

    fn mapping(&self, faults: &mut Faults) -> Option<&'a Map<String, Value>> {
        match self.value {
            Value::Object(entries) => Some(entries),
            other => self.wrong(other, "a mapping of keys", faults),
        }
    }

    /// Refuses anything other than a number or flag. A quoted one is a text, and shown without quotes it would look
    /// valid.
    fn wrong_scalar<T>(&self, value: &Value, expected: &str, faults: &mut Faults) -> Option<T> {
        let plain = |text: &str| match text {
            "true" | "false" => Some(text.to_owned()),
            text => text.parse().ok().filter(|number: &f64| number.is_finite()).map(bare),
        };
        match value.as_str().and_then(plain) {
            Some(plain) => {
                let text = shown(value);
                self.refuse(&format!("the string {text} is not {expected}; write {plain}, without quotes"), faults)
            }
            None => self.wrong(value, expected, faults),
        }
    }

    fn wrong<T>(&self, value: &Value, expected: &str, faults: &mut Faults) -> Option<T> {
        self.refuse(&format!("{} is not {expected}", shown(value)), faults)
    }
}

impl<'a> Table<'a> {
    /// Returns the path of a key.
    pub fn at(&self, key: &str) -> String {
        key_path(&self.path, &self.spelling.of(key))
    }

    /// Returns whether a key has the value `null`.
    pub fn is_null(&self, key: &str) -> bool {
        self.entries.get(&*self.spelling.of(key)).is_some_and(Value::is_null)
    }

    /// Reads a key; `null` counts as absent.
    pub fn read<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        read: impl FnOnce(&Node<'a>, &mut Faults) -> Option<T>,
    ) -> Given<T> {
        match self.entries.get(&*self.spelling.of(key)) {
            None | Some(Value::Null) => Given::Absent,
            Some(value) => {
                let node = Node { path: self.at(key), value, spelling: self.spelling };
                read(&node, faults).map_or(Given::Faulty, Given::Is)
            }
        }
    }
}

/// Returns the message that `word` is unknown, with the nearest of `known`, or all of them.
pub fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let meant = did_you_mean(word, known);
    let told = match known {
        _ if !meant.is_empty() => meant,
        [] => "; none is declared".to_owned(),
        known => format!("; known are {}", known.join(", ")),
    };
    format!("unknown {what} `{word}`{told}")
}

fn key_path(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns a value as shown in messages; a text is cut, a collection only named.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 40;
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        Value::String(text) if text.chars().count() > LONGEST => {
            format!("`{}...`", text.chars().take(LONGEST).collect::<String>())
        }
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) if number.is_f64() => format!("`{}`", bare(number.as_f64().unwrap_or_default())),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
    }
}

/// Returns a number as people write it: in full, unless that is unusually long.
fn bare(number: f64) -> String {
    if number == 0.0 || (1e-6..1e21).contains(&number.abs()) { number.to_string() } else { format!("{number:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    #[test]
    fn a_number_or_flag_that_is_a_text_is_told_to_be_one() {
        let counted = |text: &str| {
            let (tree, mut faults) = (parse_yaml(text).unwrap(), Faults::default());
            let read = Node::at("max", &tree).count(1, &mut faults).map(|count| count.to_string());
            read.unwrap_or_else(|| faults.0.remove(0).message)
        };
        assert_eq!(["4e1", "40.0", "040"].map(counted), ["40", "40", "40"]);
        let expected = "is not a whole number of at least 1";
        assert_eq!(counted("'2'"), format!("the string `2` {expected}; write 2, without quotes"));
        assert_eq!(counted("'040'"), format!("the string `040` {expected}; write 40, without quotes"));
        assert_eq!(counted("many"), format!("`many` {expected}"));
        let (tree, mut faults) = (Value::from("true"), Faults::default());
        assert_eq!(Node::at("allow", &tree).flag(&mut faults), None);
        assert_eq!(faults.0[0].message, "the string `true` is not true or false; write true, without quotes");
        let (tree, mut faults) = (Value::from("0.5"), Faults::default());
        assert_eq!(Node::at("share", &tree).number(0.0, 1.0, &mut faults), None);
        assert_eq!(faults.0[0].message, "the string `0.5` is not a number; write 0.5, without quotes");
    }

    #[test]
    fn the_parser_of_yaml_speaks_to_who_wrote_the_file() {
        let said = parse_yaml("a: 1\n---\nb: 2\n").unwrap_err().to_string();
        assert!(said.contains("is not valid YAML: it has several documents, keep one"), "{said}");
    }
}
