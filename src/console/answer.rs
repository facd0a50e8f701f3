//! JSON answers: a duration is a number of seconds, in a field whose name says so.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::model::time::seconds;

/// An answer in JSON.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_value(&self.0) {
            Ok(answer) => Json(seconds::in_seconds(answer)).into_response(),
            Err(error) => ApiError::internal(format!("cannot build the answer: {error}")).into_response(),
        }
    }
}

/// Reference to the schema of a duration in a document.
const SPAN: &str = "#/components/schemas/Duration";

/// Returns a schema, or a document of schemas, adjusted to the answers as serialized.
pub(super) fn described(schema: Value) -> Value {
    match schema {
        Value::Array(items) => Value::Array(items.into_iter().map(described).collect()),
        Value::Object(fields) => Value::Object(fields_described(fields)),
        plain => plain,
    }
}

fn fields_described(mut schema: Map<String, Value>) -> Map<String, Value> {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let mut renamed = Vec::new();
    if let Some(properties) = properties {
        let named = std::mem::take(properties).into_iter().map(|(name, value)| {
            if value["$ref"] != SPAN {
                return (name, value);
            }
            let told = format!("{name}_seconds");
            renamed.push((name, told.clone()));
            let mut number = json!({ "type": "number", "minimum": 0 });
            if let Some(what) = value.get("description") {
                number["description"] = what.clone();
            }
            (told, number)
        });
        *properties = named.collect();
    }
    let required = schema.get_mut("required").and_then(Value::as_array_mut);
    for name in required.into_iter().flatten() {
        if let Some((_, told)) = renamed.iter().find(|(old, _)| name == old) {
            *name = json!(told);
        }
    }
    // A default is not a schema, but a value as serialized.
    let field =
        |(name, value)| if name == "default" { (name, seconds::in_seconds(value)) } else { (name, described(value)) };
    schema.into_iter().map(field).collect()
}
