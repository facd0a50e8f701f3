//! The kill switch as the ConfigMap `flyball-killswitch`, operated with `kubectl` alone.
//!
//! A watch is only an accelerator; right before a write the object itself is read. Engaged if it is missing or
//! unreadable, has an unknown key or value, or its watch went silent.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::model::controls::escape_controls;
use crate::model::kill::KillOrder;
use crate::model::{ActionClass, KillState, ServiceId};
use crate::ports::{Awaited, KillSwitch};

use super::api_server::ApiServer;
use super::cache::Tick;
use super::config_map::ConfigMap;
use super::failure::Failure;
use super::watch::{Informer, Selected};

/// Name of the ConfigMap.
pub const NAME: &str = "flyball-killswitch";
/// Longest time for a read before it counts as unreadable.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// The switch. Dropping it ends its watch.
pub struct KillMap {
    server: ApiServer,
    path: String,
    seen: Informer<ConfigMap>,
    namespace: String,
}

impl KillMap {
    /// Starts to watch the ConfigMap in `namespace`, flyball's own. Needs a running tokio.
    pub fn start(server: &ApiServer, namespace: &str) -> Self {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let selected = Selected { fields: Some(format!("metadata.name={NAME}")), ..Selected::default() };
        let (changes, _) = watch::channel(0);
        let seen = Informer::start(server, path.clone(), selected, changes);
        Self { server: server.within(READ_WITHIN), path, seen, namespace: namespace.to_owned() }
    }

    /// Reads the order; `None` if the ConfigMap does not exist.
    async fn fetch(&self) -> Result<Option<KillOrder>, String> {
        match self.server.get::<ConfigMap>(&format!("{}/{NAME}", self.path)).await {
            Ok(map) => order(&map.data).map(Some),
            Err(Failure::Status { code: 404, .. }) => Ok(None),
            Err(failure) => Err(failure.to_string()),
        }
    }

    fn named(&self, read: Result<Option<KillOrder>, String>) -> KillState {
        match read {
            Ok(Some(order)) => KillState::readable(order),
            Ok(None) => {
                let error = format!(
                    "ConfigMap {}/{NAME}: does not exist; run `kubectl create -f deploy/base/killswitch.yaml` to allow \
                     writes",
                    self.namespace
                );
                KillState::Missing { error }
            }
            Err(why) => KillState::Unreadable { error: format!("ConfigMap {}/{NAME}: {why}", self.namespace) },
        }
    }
}

impl KillSwitch for KillMap {
    fn seen(&self) -> KillState {
        let cache = self.seen.cache.lock();
        let read = match cache.current(&self.namespace, NAME, Tick::now()) {
            Err(reason) => Err(reason),
            Ok(None) => Ok(None),
            Ok(Some(map)) => order(&map.data).map(Some),
        };
        drop(cache);
        self.named(read)
    }

    fn waiting_for(&self) -> Option<Awaited> {
        self.seen.waiting_for(&format!("ConfigMap {NAME}"))
    }

    fn read(&self) -> BoxFuture<'_, KillState> {
        Box::pin(async { self.named(self.fetch().await) })
    }
}

/// Parses the order in the data of the ConfigMap.
///
/// # Errors
/// The first unknown key or value: a switch that cannot be understood stops everything.
fn order(data: &BTreeMap<String, String>) -> Result<KillOrder, String> {
    let mut order = KillOrder::default();
    let mut decided = false;
    for (key, word) in data {
        let subject = key.split_once('.').map_or((key.as_str(), None), |(kind, name)| (kind, Some(name)));
        match subject {
            ("by", None) => order.by.clone_from(word),
            ("reason", None) => order.reason.clone_from(word),
            ("global", None) => {
                order.all = engaged(key, word)?;
                decided = true;
            }
            ("service", Some(name)) => {
                let id: Option<ServiceId> =
                    name.split_once('.').and_then(|(space, name)| ServiceId::new(space, name).ok());
                let id =
                    id.ok_or_else(|| format!("`{key}` does not name a service, expected service.NAMESPACE.NAME"))?;
                if engaged(key, word)? {
                    order.services.insert(id);
                }
            }
            ("class", Some(name)) => {
                let class = ActionClass::ALL.into_iter().find(|class| class.as_str() == name);
                let class = class.ok_or_else(|| format!("`{key}` does not name a class of actions"))?;
                if engaged(key, word)? {
                    order.classes.insert(class);
                }
            }
            _ => {
                return Err(format!(
                    "unknown key `{}`; known are global, service.*, class.*, by, reason",
                    escape_controls(key)
                ));
            }
        }
    }
    if decided { Ok(order) } else { Err("key `global` is missing, expected engaged or released".to_owned()) }
}

fn engaged(key: &str, word: &str) -> Result<bool, String> {
    match word {
        "engaged" => Ok(true),
        "released" => Ok(false),
        other => Err(format!("`{key}` is `{}`, expected engaged or released", escape_controls(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[(&str, &str)]) -> Result<KillOrder, String> {
        order(&data.iter().map(|(key, word)| ((*key).to_owned(), (*word).to_owned())).collect())
    }

    #[test]
    fn an_order_names_what_is_stopped() {
        assert_eq!(read(&[("global", "released")]), Ok(KillOrder::default()));
        let found = read(&[
            ("by", "ops"),
            ("class.rollout", "engaged"),
            ("class.scale", "released"),
            ("global", "released"),
            ("reason", "drill"),
            ("service.shop.checkout", "engaged"),
        ]);
        let expected = KillOrder {
            all: false,
            services: ["shop/checkout".parse().unwrap()].into(),
            classes: [ActionClass::Rollout].into(),
            by: "ops".to_owned(),
            reason: "drill".to_owned(),
        };
        assert_eq!(found, Ok(expected));
        assert!(read(&[("global", "engaged")]).unwrap().all);
    }

    #[test]
    fn inv_09_what_cannot_be_understood_is_no_order() {
        let check = |data: &[(&str, &str)], expected: &str| {
            let error = read(data).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(&[], "key `global` is missing");
        check(&[("reason", "drill")], "key `global` is missing");
        check(&[("global", "Released")], "`global` is `Released`, expected engaged or released");
        check(&[("global", "released"), ("pause", "yes")], "unknown key `pause`");
        check(&[("global", "released"), ("service.checkout", "engaged")], "does not name a service");
        check(&[("global", "released"), ("class.everything", "engaged")], "does not name a class");
    }
}
