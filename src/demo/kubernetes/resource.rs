//! The kinds the API double serves, and their JSON: manifests, the scale view, merge patches, field owners.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::status::Refusal;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `apps/v1` `Deployment`.
    Deployments,
    /// `apps/v1` `StatefulSet`.
    StatefulSets,
    /// `autoscaling/v2` `HorizontalPodAutoscaler`; nothing here acts on it.
    Autoscalers,
    /// `v1` `ConfigMap`.
    ConfigMaps,
    /// `events.k8s.io/v1` `Event`.
    Events,
    /// `coordination.k8s.io/v1` `Lease`.
    Leases,
    /// `flyball.dev/v1alpha1` `ServiceLoop`, without schema validation.
    ServiceLoops,
    /// `flyball.dev/v1alpha1` `LoopAction`, without schema validation.
    LoopActions,
    /// `flyball.dev/v1alpha1` `PlatformBound`, without schema validation.
    PlatformBounds,
}

/// The properties of a kind.
struct Facts {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    subresource: Option<Subresource>,
}

/// A part of an object that is read and written separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// Its replicas.
    Scale,
    /// The status, as its controller reports it.
    Status,
}

impl Subresource {
    /// Returns the name in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Status => "status",
        }
    }
}

impl Resource {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Deployments,
        Self::StatefulSets,
        Self::Autoscalers,
        Self::ConfigMaps,
        Self::Events,
        Self::Leases,
        Self::ServiceLoops,
        Self::LoopActions,
        Self::PlatformBounds,
    ];

    fn facts(self) -> Facts {
        let facts = |group, version, plural, kind, subresource| Facts {
            group,
            version,
            plural,
            kind,
            namespaced: self != Self::PlatformBounds,
            subresource,
        };
        match self {
            Self::Deployments => facts("apps", "v1", "deployments", "Deployment", Some(Subresource::Scale)),
            Self::StatefulSets => facts("apps", "v1", "statefulsets", "StatefulSet", Some(Subresource::Scale)),
            Self::Autoscalers => facts(
                "autoscaling",
                "v2",
                "horizontalpodautoscalers",
                "HorizontalPodAutoscaler",
                Some(Subresource::Status),
            ),
            Self::ConfigMaps => facts("", "v1", "configmaps", "ConfigMap", None),
            Self::Events => facts("events.k8s.io", "v1", "events", "Event", None),
            Self::Leases => facts("coordination.k8s.io", "v1", "leases", "Lease", None),
            Self::ServiceLoops => {
                facts("flyball.dev", "v1alpha1", "serviceloops", "ServiceLoop", Some(Subresource::Status))
            }
            Self::LoopActions => {
                facts("flyball.dev", "v1alpha1", "loopactions", "LoopAction", Some(Subresource::Status))
            }
            Self::PlatformBounds => facts("flyball.dev", "v1alpha1", "platformbounds", "PlatformBound", None),
        }
    }

    /// Returns the kind served under `plural` in a version of a group (empty for the core group).
    pub fn find(group: &str, version: &str, plural: &str) -> Option<Self> {
        let same = |facts: Facts| (facts.group, facts.version, facts.plural) == (group, version, plural);
        Self::ALL.into_iter().find(|one| same(one.facts()))
    }

    /// Returns the API group; empty for the core group.
    pub fn group(self) -> &'static str {
        self.facts().group
    }

    /// Returns the name in paths.
    pub fn plural(self) -> &'static str {
        self.facts().plural
    }

    /// Returns the kind as manifests write it.
    pub fn kind(self) -> &'static str {
        self.facts().kind
    }

    /// Returns group and version as manifests write them.
    pub fn api_version(self) -> String {
        let Facts { group, version, .. } = self.facts();
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
    }

    /// Returns whether its objects are namespaced.
    pub fn namespaced(self) -> bool {
        self.facts().namespaced
    }

    /// Returns whether it has a scale subresource (and with it `spec` and `status`).
    pub fn scales(self) -> bool {
        self.facts().subresource == Some(Subresource::Scale)
    }

    /// Returns the field of `spec` whose owner is tracked: the replica count or its minimum.
    pub fn counted(self) -> Option<&'static str> {
        match self {
            Self::Deployments | Self::StatefulSets => Some("replicas"),
            Self::Autoscalers => Some("minReplicas"),
            Self::ConfigMaps
            | Self::Events
            | Self::Leases
            | Self::ServiceLoops
            | Self::LoopActions
            | Self::PlatformBounds => None,
        }
    }

    /// Returns its subresource with that name.
    pub fn subresource(self, name: &str) -> Option<Subresource> {
        self.facts().subresource.filter(|sub| sub.as_str() == name)
    }

    /// Returns whether the server counts the changes of its `spec`, and keeps `status` separate.
    pub fn has_status(self) -> bool {
        self.facts().subresource.is_some()
    }

    /// Returns the name in messages: `deployments.apps`, `configmaps`.
    pub fn qualified(self) -> String {
        if self.group().is_empty() { self.plural().to_owned() } else { format!("{}.{}", self.plural(), self.group()) }
    }
}

/// Returns whether an equality-based label selector (`a=b,c`) matches `object`; an empty one matches all.
pub fn selected(object: &Value, selector: &str) -> bool {
    let labels = object.pointer("/metadata/labels");
    selector.split(',').filter(|term| !term.is_empty()).all(|term| {
        let (key, wanted) = term.split_once('=').map_or((term, None), |(key, value)| (key, Some(value)));
        let found = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        found.is_some_and(|found| wanted.is_none_or(|wanted| found == wanted.trim_start_matches('=')))
    })
}

/// Returns the manifest of a Deployment with `replicas`, as a user would apply it.
pub fn deployment(namespace: &str, name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "namespace": namespace, "name": name, "labels": { "app": name } },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "service" }] },
            },
        },
    })
}

/// Returns the scale subresource of `object`. As in the Go type (`omitempty`), zero replicas are left out.
pub fn scale_view(object: &Value) -> Value {
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
    let spec = if replicas == 0 { json!({}) } else { json!({ "replicas": replicas }) };
    let mut metadata = Map::new();
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.pointer(&format!("/metadata/{key}")) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    let selector = format!("app={}", text(object, "/metadata/name"));
    let present = object.pointer("/status/replicas").cloned().unwrap_or(json!(0));
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec,
        "status": { "replicas": present, "selector": selector },
    })
}

/// Returns `object` with the replicas and the precondition from `scale`.
///
/// # Errors
/// `Invalid` when `scale` names another object.
pub fn with_scale(object: &Value, scale: &Value) -> Result<Value, Refusal> {
    if text(scale, "/metadata/name") != text(object, "/metadata/name") {
        return Err(Refusal::Bad("the name of the object does not match the name on the URL".to_owned()));
    }
    let mut changed = object.clone();
    let replicas = scale.pointer("/spec/replicas").filter(|value| !value.is_null()).cloned().unwrap_or(json!(0));
    set(&mut changed, &["spec", "replicas"], replicas);
    set(&mut changed, &["metadata", "resourceVersion"], json!(text(scale, "/metadata/resourceVersion")));
    Ok(changed)
}

/// Returns `object` after the merge patch `patch` (RFC 7386).
pub fn merge(object: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (key, change) in patch {
        if change.is_null() {
            fields.remove(key);
        } else {
            let old = fields.remove(key).unwrap_or(Value::Null);
            fields.insert(key.clone(), merge(old, change));
        }
    }
    Value::Object(fields)
}

/// Longest note of an Event, bytes.
const NOTE_LIMIT: usize = 1024;

/// Checks what an API server checks before it stores `object`; fills in the default of one replica.
///
/// # Errors
/// `Undecodable` for a wrong type or size, `Invalid` for an invalid object.
pub fn check(resource: Resource, object: &mut Value) -> Result<(), Refusal> {
    let invalid =
        |reason: String| Refusal::Invalid { resource, name: text(object, "/metadata/name").to_owned(), reason };
    if object.pointer("/metadata/name").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(invalid("metadata.name: Required value: name or generateName is required".to_owned()));
    }
    let note = text(object, "/note").len();
    if resource == Resource::Events && note > NOTE_LIMIT {
        return Err(invalid(format!("note: Invalid value: can have at most {NOTE_LIMIT} characters")));
    }
    let Some(field) = resource.counted() else { return Ok(()) };
    let least = i64::from(resource == Resource::Autoscalers);
    let Some(number) = int32(object, field)? else {
        set(object, &["spec", field], json!(1));
        return check_ceiling(resource, object);
    };
    if number < least {
        let reason = format!("spec.{field}: Invalid value: {number}: must be greater than or equal to {least}");
        return Err(invalid(reason));
    }
    check_ceiling(resource, object)
}

/// Checks that the ceiling of an autoscaler is set, and not below its floor.
fn check_ceiling(resource: Resource, object: &Value) -> Result<(), Refusal> {
    if resource != Resource::Autoscalers {
        return Ok(());
    }
    let (floor, ceiling) = (int32(object, "minReplicas")?.unwrap_or(1), int32(object, "maxReplicas")?.unwrap_or(0));
    let reason = match ceiling {
        0 => "spec.maxReplicas: Required value: must be set and greater than 0".to_owned(),
        _ if ceiling < floor => {
            format!("spec.maxReplicas: Invalid value: {ceiling}: must be greater than or equal to `minReplicas`")
        }
        _ => return Ok(()),
    };
    Err(Refusal::Invalid { resource, name: text(object, "/metadata/name").to_owned(), reason })
}

/// Returns a number of `spec`; `None` if it is absent.
fn int32(object: &Value, field: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = object.pointer(&format!("/spec/{field}")).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let number = value.as_i64().filter(|number| i32::try_from(*number).is_ok());
    let odd = || Refusal::Undecodable(format!("spec.{field}: cannot unmarshal {value} into type int32"));
    number.map(Some).ok_or_else(odd)
}

/// Makes `manager` the owner of `spec.<field>`, as the server does when it changes the value.
pub fn own_count(object: &mut Value, field: &str, manager: &str, subresource: bool, time: &str) {
    let others = object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut entries: Vec<Value> = others;
    let owned = format!("f:{field}");
    entries.retain(|entry| entry.pointer(&format!("/fieldsV1/f:spec/{owned}")).is_none());
    let mut entry = json!({
        "manager": manager, "operation": "Update", "apiVersion": text(object, "/apiVersion"),
        "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { owned: {} } },
    });
    if subresource {
        // The server records no time for changes through the scale.
        set(&mut entry, &["subresource"], json!("scale"));
    } else {
        set(&mut entry, &["time"], json!(time));
    }
    entries.push(entry);
    set(object, &["metadata", "managedFields"], Value::Array(entries));
}

/// Returns a UID that is unique to `seed`, in the form of a UUID.
pub fn uid(seed: &str) -> String {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(Sha256::digest(seed)).for_each(|(byte, hashed)| *byte = hashed);
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Returns the string at `pointer`; empty if there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Sets the field at `path`, creating the objects on the way.
pub fn set(object: &mut Value, path: &[&str], value: Value) {
    let Some((last, way)) = path.split_last() else { return };
    let mut place = object;
    for key in way {
        let Some(fields) = as_fields(place) else { return };
        place = fields.entry((*key).to_owned()).or_insert_with(|| json!({}));
    }
    if let Some(fields) = as_fields(place) {
        fields.insert((*last).to_owned(), value);
    }
}

/// Removes the field at `path`, if it exists.
pub fn unset(object: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else { return };
    let place = way.iter().try_fold(object, |place, key| place.get_mut(*key));
    if let Some(Value::Object(fields)) = place {
        fields.remove(*last);
    }
}

/// Returns the fields of `value`, which becomes an object if it is not one.
fn as_fields(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

/// Returns `object` with the status of `written`.
///
/// # Errors
/// `Bad` when `written` names another object.
pub fn with_status(object: &Value, written: &Value) -> Result<Value, Refusal> {
    if text(written, "/metadata/name") != text(object, "/metadata/name") {
        return Err(Refusal::Bad("the name of the object does not match the name on the URL".to_owned()));
    }
    let mut changed = object.clone();
    set(&mut changed, &["status"], written.get("status").cloned().unwrap_or(Value::Null));
    for field in ["resourceVersion", "uid"] {
        set(&mut changed, &["metadata", field], json!(text(written, &format!("/metadata/{field}"))));
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patches_follow_rfc_7386() {
        let check = |object: Value, patch: Value, expected: Value| assert_eq!(merge(object, &patch), expected);
        check(json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2}));
        check(json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2}));
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 3}}), json!({"a": {"b": 3, "c": 2}}));
        check(json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]}));
        check(json!({"a": 1}), json!([1]), json!([1]));
    }

    #[test]
    fn a_scale_of_zero_leaves_the_number_out_as_the_go_type_does() {
        assert_eq!(scale_view(&deployment("shop", "checkout", 0))["spec"], json!({}));
        assert_eq!(scale_view(&deployment("shop", "checkout", 2))["spec"], json!({"replicas": 2}));
    }
}
