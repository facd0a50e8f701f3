//! The fields read of a `HorizontalPodAutoscaler`, and what the autoscalers of a namespace mean for one target.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::{Autoscaler, Autoscaling, TargetRef};

use super::annotations::FLOOR_BASELINE;
use super::api_server::FIELD_MANAGER;
use super::cache::{Metadata, Object};
use super::workload::{Condition, count, shown};

/// An `autoscaling/v2` `HorizontalPodAutoscaler`, to the extent it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct HorizontalPodAutoscaler {
    /// Its metadata.
    pub(super) metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    scale_target_ref: Reference,
    /// The raw values, whatever they are.
    min_replicas: Option<Value>,
    max_replicas: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    api_version: String,
    kind: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    current_replicas: i64,
    desired_replicas: i64,
    /// Go writes an empty list as null.
    conditions: Option<Vec<Condition>>,
}

impl Object for HorizontalPodAutoscaler {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Returns what the autoscalers in the namespace of `target` mean for it.
pub(super) fn autoscaling<'a>(
    all: impl Iterator<Item = &'a HorizontalPodAutoscaler>,
    target: &TargetRef,
) -> Autoscaling {
    let mut on_target = all.filter(|one| one.scales(target));
    let Some(one) = on_target.next() else { return Autoscaling::Nobody };
    let others: Vec<&str> = on_target.map(|other| other.metadata.name.as_str()).collect();
    let name = &one.metadata.name;
    if !others.is_empty() {
        let why = format!("HPAs {name}, {} scale it concurrently", others.join(", "));
        return Autoscaling::Closed { why };
    }
    // Its owner would overwrite the bounds: KEDA for its ScaledObjects, the operators of applications.
    if let Some(owner) = one.metadata.owner_references.iter().find(|owner| owner.controller) {
        let why = format!("HPA {name} belongs to {} {}, which sets its floor", owner.kind, owner.name);
        return Autoscaling::Closed { why };
    }
    match one.state() {
        Ok(state) => Autoscaling::Autoscaler(state),
        Err(why) => Autoscaling::Closed { why: format!("HPA {name}: {why}") },
    }
}

impl HorizontalPodAutoscaler {
    fn scales(&self, target: &TargetRef) -> bool {
        let of = &self.spec.scale_target_ref;
        of.api_version.starts_with("apps/") && of.kind == target.kind.as_str() && of.name == target.name
    }

    /// Returns the floor; the API's default is one.
    pub(super) fn floor(&self) -> Result<u32, String> {
        self.spec.min_replicas.as_ref().map_or(Ok(1), |floor| number("spec.minReplicas", floor))
    }

    fn state(&self) -> Result<Autoscaler, String> {
        let floor = self.floor()?;
        let owner = self.metadata.owner_of(|spec| spec.min_replicas.is_some());
        Ok(Autoscaler {
            name: self.metadata.name.as_str().into(),
            uid: self.metadata.uid.clone(),
            floor,
            baseline: self.baseline(floor, owner.as_deref()),
            ceiling: number("spec.maxReplicas", &self.spec.max_replicas)?,
            current: u32::try_from(self.status.current_replicas).unwrap_or(0),
            desired: u32::try_from(self.status.desired_replicas).unwrap_or(0),
            owner,
            trouble: self.trouble(),
        })
    }

    /// Returns the floor before our first raise, which is recorded as long as the current floor is ours. A floor that
    /// somebody else has set since is their choice, and the new baseline.
    fn baseline(&self, floor: u32, owner: Option<&str>) -> u32 {
        let recorded = self.metadata.annotations.floor_baseline();
        recorded.filter(|_| owner == Some(FIELD_MANAGER)).map_or(floor, |recorded| recorded.min(floor))
    }

    /// Returns why it does not scale; `None` if it says that it does.
    fn trouble(&self) -> Option<String> {
        let conditions = self.status.conditions.as_deref().unwrap_or_default();
        let find = |kind: &str| conditions.iter().find(|condition| condition.r#type == kind);
        match (find("AbleToScale"), find("ScalingActive")) {
            (Some(able), _) if able.status != "True" => Some(able.why()),
            (_, Some(active)) if active.status == "True" => None,
            (_, Some(active)) => Some(active.why()),
            (_, None) => Some("it has not evaluated its metrics yet".to_owned()),
        }
    }
}

fn number(field: &str, value: &Value) -> Result<u32, String> {
    count(value).ok_or_else(|| format!("{field} is {}, expected a number from 0 to 2147483647", shown(value)))
}

/// Returns the patch fields that move the floor to `to` and record `baseline`, if the two differ.
pub(super) fn floor_patch(to: u32, baseline: u32) -> (Value, Value) {
    let recorded = if to > baseline { json!(baseline.to_string()) } else { Value::Null };
    (json!({ FLOOR_BASELINE: recorded }), json!({ "minReplicas": to }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TargetKind;

    fn target() -> TargetRef {
        TargetRef { kind: TargetKind::Deployment, namespace: "shop".to_owned(), name: "checkout".to_owned() }
    }

    fn hpa(name: &str, metadata: Value, spec: Value, conditions: &Value) -> HorizontalPodAutoscaler {
        let mut object = json!({
            "metadata": { "name": name, "uid": "h", "resourceVersion": "7" },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout" },
                "maxReplicas": 10,
            },
            "status": { "currentReplicas": 3, "desiredReplicas": 4, "conditions": conditions },
        });
        for (part, fields) in [("metadata", metadata), ("spec", spec)] {
            for (key, value) in fields.as_object().unwrap() {
                object[part][key] = value.clone();
            }
        }
        serde_json::from_value(object).unwrap()
    }

    fn plain(name: &str, metadata: Value, spec: Value) -> HorizontalPodAutoscaler {
        hpa(name, metadata, spec, &json!([{ "type": "ScalingActive", "status": "True" }]))
    }

    fn seen(all: &[HorizontalPodAutoscaler]) -> Autoscaling {
        autoscaling(all.iter(), &target())
    }

    fn one(all: HorizontalPodAutoscaler) -> Autoscaler {
        match seen(&[all]) {
            Autoscaling::Autoscaler(one) => one,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn x2_an_autoscaler_is_found_by_what_it_scales() {
        let of = |reference: Value| plain("checkout", json!({}), json!({ "scaleTargetRef": reference }));
        for reference in [
            json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "checkout" }),
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "other" }),
            json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Deployment", "name": "checkout" }),
        ] {
            assert_eq!(seen(&[of(reference.clone())]), Autoscaling::Nobody, "{reference}");
        }
        let found = one(plain("checkout", json!({}), json!({ "minReplicas": 2 })));
        assert_eq!((found.floor, found.ceiling, found.current, found.desired), (2, 10, 3, 4));
        assert_eq!(one(plain("checkout", json!({}), json!({}))).floor, 1, "the API's default");
    }

    #[test]
    fn x2_two_autoscalers_or_one_that_belongs_to_something_leave_no_lever() {
        let closed = |all: &[HorizontalPodAutoscaler]| match seen(all) {
            Autoscaling::Closed { why } => why,
            other => panic!("{other:?}"),
        };
        let two = [plain("a", json!({}), json!({})), plain("b", json!({}), json!({}))];
        assert_eq!(closed(&two), "HPAs a, b scale it concurrently");
        let owner = json!([{ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "so", "controller": true, "uid": "s" }]);
        let keda = plain("keda-hpa-so", json!({ "ownerReferences": owner }), json!({}));
        assert_eq!(closed(&[keda]), "HPA keda-hpa-so belongs to ScaledObject so, which sets its floor");
        let odd = plain("odd", json!({}), json!({ "minReplicas": -1 }));
        assert!(closed(&[odd]).contains("-1"));
    }

    #[test]
    fn x1_the_baseline_is_what_was_recorded_as_long_as_the_floor_is_ours() {
        let check = |owner: &str, recorded: &str, expected: u32| {
            let fields = json!({ "f:spec": { "f:minReplicas": {} } });
            let metadata = json!({
                "annotations": { FLOOR_BASELINE: recorded, "other": "x" },
                "managedFields": [{ "manager": owner, "operation": "Update", "fieldsV1": fields }],
            });
            let found = one(plain("checkout", metadata, json!({ "minReplicas": 6 })));
            assert_eq!((found.baseline, found.owner.as_deref()), (expected, Some(owner)), "{owner} {recorded}");
        };
        check("flyball", "2", 2);
        check("kubectl-edit", "2", 6);
        check("flyball", "8", 6);
        check("flyball", "many", 6);
        assert_eq!(one(plain("checkout", json!({}), json!({ "minReplicas": 6 }))).baseline, 6);
        assert_eq!(floor_patch(6, 2).0, json!({ FLOOR_BASELINE: "2" }));
        assert_eq!(floor_patch(2, 2).0, json!({ FLOOR_BASELINE: null }), "nothing is left behind");
    }

    #[test]
    fn an_autoscaler_that_does_not_scale_says_why() {
        let check = |conditions: Value, expected: Option<&str>| {
            let found = one(hpa("checkout", json!({}), json!({}), &conditions));
            assert_eq!(found.trouble.as_deref(), expected, "{conditions}");
        };
        let condition =
            |kind: &str, status: &str| json!({ "type": kind, "status": status, "reason": "Why", "message": "words" });
        check(json!([condition("AbleToScale", "True"), condition("ScalingActive", "True")]), None);
        check(json!([condition("AbleToScale", "True"), condition("ScalingActive", "False")]), Some("Why: words"));
        check(json!([condition("AbleToScale", "False"), condition("ScalingActive", "True")]), Some("Why: words"));
        check(Value::Null, Some("it has not evaluated its metrics yet"));
    }
}
