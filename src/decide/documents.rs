//! Data documents alongside the rules of a set: prices, limits, names, read by `data("pricing")`. They are part of the
//! set's revision, and constant; what depends on a service is a parameter.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rhai::{Array, Dynamic, FLOAT, FuncRegistration, INT, Map, Module};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::decide::api::quantity::ScriptResult;
use crate::decide::compile::unmarked;
use crate::decide::engine::{MAX_ELEMENTS, MAX_STRING};
use crate::decide::fault::{FaultKind, PolicyFault, Told, UNNAMED, no_member};
use crate::model::explain::did_you_mean;
use crate::model::policy_path::DATA_SUFFIX;

/// How deep a document may be nested.
const MAX_DEPTH: usize = 8;

/// The documents of a set by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents(Arc<BTreeMap<String, Dynamic>>);

/// Returns the name of the document in a file.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default().trim_end_matches(DATA_SUFFIX)
}

impl Documents {
    /// Reads the documents among the files of a set; errors become faults.
    pub(super) fn read(files: &[(&str, &str)]) -> (Self, Vec<PolicyFault>) {
        let (mut documents, mut faults) = (BTreeMap::new(), Vec::new());
        for (path, text) in files {
            let name = name_of(path);
            let parsed = serde_json::from_str::<Strict>(unmarked(text)).map(|Strict(value)| value).map_err(|error| {
                PolicyFault {
                    line: Some(error.line()),
                    column: Some(error.column().max(1)),
                    ..PolicyFault::of(path, format!("is not JSON: {error}"))
                }
            });
            let valued = |value: Value| too_large(&value).map_or_else(|| value_of(&value, 0), Err);
            let read = parsed.and_then(|value| valued(value).map_err(|message| PolicyFault::of(path, message)));
            match read {
                Ok(value) => {
                    if documents.insert(name.to_owned(), value).is_some() {
                        let message = format!("two documents are named `{name}`: rename one");
                        faults.push(PolicyFault::of(path, message));
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        (Self(Arc::new(documents)), faults)
    }

    /// Extends a fault about a missing member with the members that exist, if its line reads one off a document, as in
    /// `data("prices").spot.eu`; otherwise with a document member that may have been meant.
    pub(super) fn name_members(&self, fault: &mut PolicyFault, scripts: &[(&str, &str)]) {
        let Some(FaultKind::UnknownMember(name)) = fault.kind.as_deref() else { return };
        let text = scripts.iter().find(|(path, _)| *path == fault.file).map_or("", |(_, text)| text);
        let line = fault.line.and_then(|line| text.lines().nth(line.checked_sub(1)?)).unwrap_or_default();
        let beside = line.split("data(\"").skip(1).find_map(|rest| {
            let (document, path) = rest.split_once("\")")?;
            siblings(self.0.get(document)?, path, name)
        });
        let told = match &beside {
            Some(names) if names.is_empty() => "; it is empty".to_owned(),
            Some(names) => format!("; known: {}", listed(names)),
            None => UNNAMED.to_owned(),
        };
        let all = beside.unwrap_or_else(|| self.0.values().flat_map(members).collect());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let meant = did_you_mean(name, &all);
        fault.message = format!("{}{told}{meant}", no_member(name));
    }

    /// Registers `data(..)` with the functions of a set.
    pub(super) fn register(&self, library: &mut Module) {
        let documents = self.clone();
        FuncRegistration::new("data").with_purity(true).set_into_module(
            library,
            move |name: &str| -> ScriptResult<Dynamic> {
                documents.0.get(name).cloned().ok_or_else(|| {
                    let known: Vec<_> = documents.0.keys().map(String::as_str).collect();
                    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                    let message = format!("data(\"{name}\"): the set has no {name}{DATA_SUFFIX}; known: {known}");
                    Told { kind: FaultKind::AbsentDocument(name.to_owned()), message }.into()
                })
            },
        );
    }
}

/// Returns the members of the object from which `path` (`.spot["eu"].high`) reads the missing `name`.
fn siblings(value: &Dynamic, path: &str, name: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix('.').or_else(|| path.strip_prefix("[\""))?;
    let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
    let (key, rest) = rest.split_at(end);
    let map = value.read_lock::<Map>()?;
    match map.get(key) {
        Some(inner) => siblings(inner, rest.strip_prefix("\"]").unwrap_or(rest), name),
        None => (key == name).then(|| map.keys().map(ToString::to_string).collect()),
    }
}

/// Returns the names of all members of a value, at any depth.
fn members(value: &Dynamic) -> Vec<String> {
    let Some(map) = value.read_lock::<Map>() else { return Vec::new() };
    map.iter().flat_map(|(key, inner)| std::iter::once(key.to_string()).chain(members(inner))).collect()
}

/// Joins as many names as a reader will read.
fn listed(names: &[String]) -> String {
    const READ: usize = 20;
    let shown = names.iter().take(READ).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(READ) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// A value whose objects have each key once; the plain reader would silently keep the last of two.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, on: bool) -> Result<Value, E> {
        Ok(on.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = serde_json::Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
            let Strict(value) = entries.next_value()?;
            values.insert(key, value);
        }
        Ok(values.into())
    }
}

/// Returns why a script could not read the document: the engine counts a value including everything nested in it.
fn too_large(value: &Value) -> Option<String> {
    let mut size = Size::default();
    size.add(value);
    let limits = [
        (size.entries, MAX_ELEMENTS, "entries of objects"),
        (size.elements, MAX_ELEMENTS, "elements of lists"),
        (size.bytes, MAX_STRING, "bytes of text"),
    ];
    let (count, most, what) = limits.into_iter().find(|(count, most, _)| count > most)?;
    Some(format!("it has {count} {what} in total, the limit is {most}: split it into several documents"))
}

/// What the engine counts in a value: members of objects, elements of lists, lengths of texts.
#[derive(Default)]
struct Size {
    entries: usize,
    elements: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Object(entries) => {
                self.entries = self.entries.saturating_add(entries.len());
                entries.values().for_each(|inner| self.add(inner));
            }
            Value::Array(elements) => {
                self.elements = self.elements.saturating_add(elements.len());
                elements.iter().for_each(|inner| self.add(inner));
            }
            Value::String(text) => self.bytes = self.bytes.saturating_add(text.len()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn value_of(value: &Value, depth: usize) -> Result<Dynamic, String> {
    if depth > MAX_DEPTH {
        return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
    }
    let deeper = |value| value_of(value, depth.saturating_add(1));
    Ok(match value {
        Value::Null => return Err("null is not allowed: remove the key".to_owned()),
        Value::Bool(on) => Dynamic::from(*on),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Dynamic::from(whole as INT),
            (None, Some(real)) if real.is_finite() => Dynamic::from(real as FLOAT),
            _ => return Err(format!("{number} is not a finite number")),
        },
        Value::Array(list) => list.iter().map(deeper).collect::<Result<Array, _>>()?.into(),
        Value::Object(entries) => {
            let read = entries.iter().map(|(key, value)| Ok((key.as_str().into(), deeper(value)?)));
            read.collect::<Result<Map, String>>()?.into()
        }
    })
}
