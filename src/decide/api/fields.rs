//! Option maps (`#{ .. }`) read strictly: missing and unknown entries are errors.

use rhai::{Dynamic, Map};

use crate::decide::api::quantity::{ScriptResult, type_word};

/// The entries of an option map that have not been read yet.
pub(crate) struct Fields {
    of: &'static str,
    known: &'static [&'static str],
    entries: Map,
}

impl Fields {
    /// Takes the entries of the options of `of`; only `known` ones are allowed.
    ///
    /// # Errors
    /// When there is any other entry.
    pub(crate) fn new(of: &'static str, known: &'static [&'static str], entries: Map) -> ScriptResult<Self> {
        if let Some(extra) = entries.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("{of}: unknown option `{extra}`; known: {}", known.join(", ")).into());
        }
        Ok(Self { of, known, entries })
    }

    /// Returns an entry that may be absent.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<Dynamic> {
        self.entries.remove(key)
    }

    /// Returns an entry.
    ///
    /// # Errors
    /// When it is absent.
    pub(crate) fn required(&mut self, key: &'static str) -> ScriptResult<Dynamic> {
        let known = self.known;
        self.entries
            .remove(key)
            .ok_or_else(|| format!("{}: option `{key}` is missing; known: {}", self.of, known.join(", ")).into())
    }

    /// Returns a text.
    ///
    /// # Errors
    /// When it is absent or not a text.
    pub(crate) fn text(&mut self, key: &'static str) -> ScriptResult<String> {
        let value = self.required(key)?;
        let word = type_word(&value);
        value.into_string().map_err(|_| format!("{}: option `{key}` is {word}, expected a text", self.of).into())
    }

    /// Returns a whole number.
    ///
    /// # Errors
    /// When it is absent or not a whole number.
    pub(crate) fn integer(&mut self, key: &'static str) -> ScriptResult<i64> {
        let value = self.required(key)?;
        value.as_int().map_err(|_| {
            format!("{}: option `{key}` is {}, expected a whole number", self.of, type_word(&value)).into()
        })
    }
}
