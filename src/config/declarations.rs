//! Services declared outside the settings file, by the same rules and over the same defaults.

use serde_json::Value;

use super::faults::Faults;
use super::services::{Partial, spec_of_object};
use super::sources::Declared;
use super::tree::Node;
use super::{SignalTemplate, validate};
use crate::model::{ServiceId, ServiceSpec};

/// What declarations are parsed against: the declared signals, and the defaults of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Declarations {
    defaults: Partial,
    signals: Declared<SignalTemplate>,
}

impl Declarations {
    pub(super) fn new(defaults: Partial, signals: Declared<SignalTemplate>) -> Self {
        Self { defaults, signals }
    }

    /// Returns the service `id` that the `spec` of an object declares. Its keys are those of a service in the file, in
    /// the spelling of the Kubernetes API (`errorRatio`), and `paused`.
    ///
    /// # Errors
    /// All faults, with paths from `spec`.
    pub fn read(&self, id: &ServiceId, spec: &Value) -> Result<ServiceSpec, Faults> {
        let mut faults = Faults::default();
        let read = spec_of_object(&Node::spec_of_object(spec), id, &self.defaults, &self.signals, &mut faults);
        let read = read.map(|spec| [("spec".to_owned(), spec)]);
        if let Some(alone) = &read {
            validate::services(alone, &self.signals, &mut faults);
        }
        match read {
            Some([(_, spec)]) if faults.0.is_empty() => Ok(spec),
            _ => Err(faults),
        }
    }

    /// Returns for each service its collisions with those before it: the same target, the same series. Each is valid on
    /// its own.
    pub fn collisions(&self, services: &[ServiceSpec]) -> Vec<Vec<String>> {
        let named: Vec<_> = services.iter().map(|spec| (spec.id.to_string(), spec.clone())).collect();
        let mut faults = Faults::default();
        validate::services(&named, &self.signals, &mut faults);
        let of = |name: &String| {
            let own = |path: &str| path.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'));
            faults.0.iter().filter(|fault| own(&fault.path)).map(|fault| fault.message.clone()).collect()
        };
        named.iter().map(|(name, _)| of(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Settings;
    use crate::model::Mode;

    fn declarations() -> Declarations {
        let example = include_str!("../../docs/flyball.example.yaml");
        let text = example.split("\nservices:").next().unwrap().to_owned() + "\nservices: serviceloops\n";
        let settings = Settings::parse(&text).unwrap();
        assert!(settings.listed().is_empty());
        settings.declarations().unwrap().clone()
    }

    fn read(name: &str, spec: &Value) -> Result<ServiceSpec, Vec<String>> {
        let id = format!("shop/{name}").parse().unwrap();
        declarations().read(&id, spec).map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_object_falls_back_to_the_defaults_and_to_its_own_name() {
        let spec = read("checkout", &json!({})).unwrap();
        assert_eq!(spec.target.to_string(), "Deployment shop/checkout");
        assert_eq!((spec.mode, spec.bounds.max, &*spec.labels["service"]), (Mode::Shadow, 40, "checkout"));
        let spec =
            read("checkout", &json!({"mode": "auto", "allowLowering": true, "slo": {"errorRatio": 0.05}})).unwrap();
        assert!(spec.allow_lowering && (spec.slo.error_ratio - 0.05).abs() < 1e-9 && (spec.slo.p99 - 0.2).abs() < 1e-9);
        assert_eq!(read("checkout", &json!({"mode": "auto", "paused": true})).unwrap().mode, Mode::Observe);
    }

    #[test]
    fn all_faults_are_named_in_the_spelling_of_the_object() {
        let check = |spec: Value, expected: &[&str]| assert_eq!(read("checkout", &spec).unwrap_err(), expected);
        check(
            json!({"slo": {"error_ratio": 0.1}, "bounds": {"min": 50}, "budgets": {"per10Min": -1}, "name": "a/b"}),
            &[
                "spec.name: unknown key `name`; did you mean `mode`?",
                "spec.slo.error_ratio: unknown key `error_ratio`; did you mean `errorRatio`?",
                "spec.budgets.per10Min: -1 is below 0",
                "spec.bounds.min: 50 is above max 40; lower min or raise max",
            ],
        );
        check(
            json!({"target": {"namespace": "other"}}),
            &["spec.target.namespace: unknown key `namespace`; known are kind, name"],
        );
        let missing = |signal: &str| {
            format!(
                "spec.labels.service: is missing, and signal `{signal}` groups by it; set its value for this service"
            )
        };
        let expected = ["rps", "p99", "errors"].map(missing);
        assert_eq!(read("checkout", &json!({"labels": {"namespace": "shop"}})).unwrap_err(), expected);
        check(json!([]), &["spec: a list is not a mapping of keys"]);
    }

    /// Otherwise it would be scaled by the load of other services, and could block their own loop.
    #[test]
    fn an_object_reads_no_series_of_another_namespace() {
        let found = read("checkout", &json!({"labels": {"namespace": "bank", "service": "checkout"}})).unwrap_err();
        assert_eq!(
            found,
            ["spec.labels.namespace: `bank` is another namespace; a ServiceLoop can only read series of its own: shop"]
        );
        assert!(read("checkout", &json!({"labels": {"namespace": "shop", "service": "web"}})).is_ok());
    }

    #[test]
    fn the_later_of_two_with_one_target_or_the_same_series_is_told() {
        let one = read("checkout", &json!({})).unwrap();
        let same_target = read("other", &json!({"target": {"name": "checkout"}})).unwrap();
        let same_series = read("third", &json!({"labels": {"namespace": "shop", "service": "checkout"}})).unwrap();
        let found = declarations().collisions(&[one, same_target, same_series]);
        let [first, second, third] = found.as_slice() else { panic!("{found:?}") };
        assert!(first.is_empty());
        assert_eq!(
            second,
            &["Deployment shop/checkout is already the target of shop/checkout; two loops would fight over it"]
        );
        assert!(third[0].contains("has the same label values (shop, checkout) for shop/checkout"), "{third:?}");
    }
}
