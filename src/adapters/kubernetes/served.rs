//! Whether the server has the custom resources as this version ships them, according to its `OpenAPI` document: every
//! account may read that, but few the definitions themselves.

use serde_json::Value;

use super::api_server::ApiServer;
use super::failure::Failure;
use super::loops::CRDS;

/// The server's document for all flyball kinds.
const DOCUMENT: &str = "/openapi/v3/apis/flyball.dev/v1alpha1";

/// Returns where the schemas of the server differ from the shipped ones, in order; `None` if the server publishes none.
/// Kinds that it lacks are left out.
///
/// # Errors
/// Why it does not answer.
pub async fn differences(server: &ApiServer) -> Result<Option<Vec<String>>, String> {
    match server.get(DOCUMENT).await {
        Ok(document) => compare(&document).map(Some),
        Err(Failure::Status { code: 403 | 404, .. }) => Ok(None),
        Err(failure) => Err(failure.to_string()),
    }
}

fn compare(document: &Value) -> Result<Vec<String>, String> {
    let schemas = document["components"]["schemas"].as_object().into_iter().flat_map(|schemas| schemas.values());
    let schemas: Vec<&Value> = schemas.collect();
    let mut found = Vec::new();
    for text in CRDS.split("\n---\n") {
        let crd: Value = serde_saphyr::from_str(text).map_err(|error| format!("the shipped resources: {error}"))?;
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
        let shipped = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let is_of_kind = |schema: &&&Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
            kinds.into_iter().any(|one| one["group"] == "flyball.dev" && one["kind"] == kind)
        };
        let Some(served) = schemas.iter().find(is_of_kind) else { continue };
        // The server adds the metadata of all objects.
        for (name, place) in [
            ("spec", "/properties/spec"),
            ("status", "/properties/status"),
            ("x-kubernetes-validations", "/x-kubernetes-validations"),
        ] {
            differ(&format!("{kind}.{name}"), shipped.pointer(place), served.pointer(place), &mut found);
        }
    }
    Ok(found)
}

/// Notes where two parts of a schema differ; descriptions do not count.
fn differ(path: &str, shipped: Option<&Value>, served: Option<&Value>, found: &mut Vec<String>) {
    match (shipped, served) {
        (Some(Value::Object(shipped)), Some(Value::Object(served))) => {
            let more = served.keys().filter(|key| !shipped.contains_key(*key));
            for key in shipped.keys().chain(more).filter(|key| *key != "description") {
                let inner = if key == "properties" { path.to_owned() } else { format!("{path}.{key}") };
                differ(&inner, shipped.get(key), served.get(key), found);
            }
        }
        (Some(Value::Array(shipped)), Some(Value::Array(served))) if shipped.len() == served.len() => {
            shipped.iter().zip(served).for_each(|(one, other)| differ(path, Some(one), Some(other), found));
        }
        (Some(Value::Number(shipped)), Some(Value::Number(served))) if shipped.as_f64() == served.as_f64() => {}
        (shipped, served) if shipped == served => {}
        _ => found.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As a server writes it: its input plus the metadata of all objects, numbers with or without a fraction.
    fn document() -> Value {
        let mut schemas = serde_json::Map::new();
        for text in CRDS.split("\n---\n") {
            let crd: Value = serde_saphyr::from_str(text).unwrap();
            let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
            let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
            schema["properties"]["metadata"] = json!({ "allOf": [{ "$ref": "ObjectMeta" }], "default": {} });
            schema["x-kubernetes-group-version-kind"] =
                json!([{ "group": "flyball.dev", "version": "v1alpha1", "kind": kind }]);
            schemas.insert(format!("dev.flyball.v1alpha1.{kind}"), schema);
        }
        json!({ "components": { "schemas": schemas } })
    }

    #[test]
    fn a_schema_of_another_version_is_told_by_the_place() {
        let same = document();
        assert_eq!(compare(&same), Ok(Vec::new()));
        let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
            let mut other = document();
            change(&mut other["components"]["schemas"]["dev.flyball.v1alpha1.ServiceLoop"]["properties"]["spec"]);
            assert_eq!(compare(&other).unwrap(), expected);
        };
        check(&|spec| spec["properties"]["bounds"]["properties"]["min"]["minimum"] = json!(1.0), &[]);
        check(&|spec| spec["description"] = json!("in other words"), &[]);
        check(
            &|spec| spec["properties"]["bounds"]["properties"]["min"]["minimum"] = json!(0),
            &["ServiceLoop.spec.bounds.min.minimum"],
        );
        check(&|spec| drop(spec["properties"].as_object_mut().unwrap().remove("guards")), &["ServiceLoop.spec.guards"]);
        check(&|spec| spec["properties"]["later"] = json!({ "type": "string" }), &["ServiceLoop.spec.later"]);
        check(&|spec| spec["x-kubernetes-validations"] = json!([]), &["ServiceLoop.spec.x-kubernetes-validations"]);
    }

    #[test]
    fn a_kind_that_is_not_there_is_told_elsewhere() {
        assert_eq!(compare(&json!({})), Ok(Vec::new()));
    }
}
