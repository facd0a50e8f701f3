//! The API description, generated from the table of paths and the types that serve them.

use axum::Json;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::answer::described;
use super::error::ApiError;
use super::operations::{Describe, Operation, operations};

/// The version of `OpenAPI`; its schemas are JSON Schema 2020-12.
const VERSION: &str = "3.1.0";

/// Path parameters and their descriptions.
const PARTS: [(&str, &str); 3] = [
    ("namespace", "Namespace of the service"),
    ("name", "Name of the service"),
    ("cycle", "Cycle of the decision, as /api/v1/decisions lists it"),
];

pub(super) async fn document() -> Json<Value> {
    let mut document = described(describe(&operations()));
    // No longer referenced.
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.remove("Duration");
    }
    Json(document)
}

fn describe(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let refusal = refusal(&mut generator);
    let paths: Map<String, Value> = operations
        .iter()
        .map(|operation| (operation.path.to_owned(), json!({ "get": path(operation, &refusal, &mut generator) })))
        .collect();
    json!({
        "openapi": VERSION,
        "info": {
            "title": "flyball",
            "description": "Read-only API of a running flyball.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn path(operation: &Operation, refusal: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = PARTS.iter().filter_map(|(name, what)| part(operation.path, name, what)).collect();
    parameters.extend(operation.query.into_iter().flat_map(fields));
    let mut content = json!({ "application/json": { "schema": (operation.answer)(generator) } });
    if operation.text {
        content["text/plain"] = json!({ "schema": { "type": "string" } });
    }
    json!({
        "summary": operation.summary,
        "parameters": parameters,
        "responses": { "200": { "description": operation.summary, "content": content }, "default": refusal },
    })
}

fn refusal(generator: &mut SchemaGenerator) -> Value {
    let schema = generator.subschema_for::<ApiError>();
    let content = json!({ "application/json": { "schema": schema } });
    json!({ "description": "The error and its remedy", "content": content })
}

/// Returns the parameter `name` if `path` contains it.
fn part(path: &str, name: &str, what: &str) -> Option<Value> {
    let schema = json!({ "type": "string" });
    let parameter = json!({ "name": name, "in": "path", "required": true, "description": what, "schema": schema });
    path.contains(&format!("{{{name}}}")).then_some(parameter)
}

/// Returns a query parameter for each field of a type, in its deserialized form, where a field with a default may be
/// omitted.
fn fields(query: Describe) -> Vec<Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = query(&mut settings.into_generator());
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut field): (String, Value)| {
        let what = field.as_object_mut().and_then(|field| field.remove("description"));
        let required = required.contains(&json!(name));
        json!({ "name": name, "in": "query", "required": required, "description": what, "schema": field })
    };
    fields.into_iter().map(parameter).collect()
}
