//! A ConfigMap with policies, to the extent it is read. Anyone who may write ConfigMaps may label them: what a
//! namespace holds beyond the limit of a policy set is counted, but not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::adapters::policy_set::SetSize;
use crate::model::policy_path::is_of_a_set;

use super::cache::{Metadata, Object};

/// A ConfigMap with policies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PolicyMap {
    metadata: Metadata,
    data: Contents,
}

/// The files of one ConfigMap.
#[derive(Debug, Clone)]
struct Contents {
    size: SetSize,
    /// By key; `None` once they were dropped because the namespace holds too much.
    files: Option<BTreeMap<String, Arc<str>>>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { size: SetSize::default(), files: Some(BTreeMap::new()) }
    }
}

impl PolicyMap {
    /// Returns how much it holds.
    pub(super) fn size(&self) -> SetSize {
        self.data.size
    }

    /// Returns its files by key; `None` if they were dropped.
    pub(super) fn files(&self) -> Option<impl Iterator<Item = (&String, &Arc<str>)>> {
        self.data.files.as_ref().map(BTreeMap::iter)
    }
}

impl Object for PolicyMap {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn shed<'a>(all: impl Iterator<Item = &'a mut Self>) {
        let mut all: Vec<&mut Self> = all.collect();
        let sizes = sizes(all.iter().map(|map| &**map));
        let too_large = sizes.into_iter().filter(|(_, size)| size.check().is_err());
        let too_large: BTreeSet<String> = too_large.map(|(namespace, _)| namespace.to_owned()).collect();
        for map in all.iter_mut().filter(|map| too_large.contains(&map.metadata.namespace)) {
            map.data.files = None;
        }
    }

    fn is_missed<'a>(all: impl Iterator<Item = &'a Self>) -> bool {
        let all: Vec<&Self> = all.collect();
        let sizes = sizes(all.iter().copied());
        let fits = |map: &Self| sizes.get(&*map.metadata.namespace).is_some_and(|size| size.check().is_ok());
        all.iter().any(|map| map.data.files.is_none() && fits(map))
    }
}

/// Returns the total size of the ConfigMaps of each namespace.
fn sizes<'a>(all: impl Iterator<Item = &'a PolicyMap>) -> BTreeMap<&'a str, SetSize> {
    let mut sizes: BTreeMap<&str, SetSize> = BTreeMap::new();
    for map in all {
        let size = sizes.entry(&map.metadata.namespace).or_default();
        *size = size.with(map.size());
    }
    sizes
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(ContentsVisitor)
    }
}

struct ContentsVisitor;

impl<'de> Visitor<'de> for ContentsVisitor {
    type Value = Contents;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the data of a ConfigMap")
    }

    /// Go writes an empty map as null.
    fn visit_none<E>(self) -> Result<Contents, E> {
        Ok(Contents::default())
    }

    fn visit_unit<E>(self) -> Result<Contents, E> {
        Ok(Contents::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Contents, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Contents, A::Error> {
        let (mut size, mut files) = (SetSize::default(), Some(BTreeMap::new()));
        while let Some(key) = map.next_key::<String>()? {
            if !is_of_a_set(&key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let text: Arc<str> = map.next_value()?;
            size.add(&key, text.len());
            files = files.filter(|_| size.check().is_ok());
            if let Some(files) = &mut files {
                files.insert(key, text);
            }
        }
        Ok(Contents { size, files })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::adapters::kubernetes::cache::{Cache, Tick};

    fn map(namespace: &str, name: &str, version: u64, data: &Value) -> PolicyMap {
        let metadata = json!({ "namespace": namespace, "name": name, "resourceVersion": version.to_string() });
        serde_json::from_value(json!({ "metadata": metadata, "data": data })).unwrap()
    }

    fn held(cache: &Cache<PolicyMap>) -> usize {
        let files = cache.objects().unwrap().filter_map(PolicyMap::files).flatten();
        files.map(|(_, text)| text.len()).sum()
    }

    #[test]
    fn only_what_is_of_a_set_is_kept() {
        let data = json!({ "up.rhai": "x", "flyball.jsonl": "{}", "ballast": "x".repeat(1 << 20) });
        let kept = map("shop", "ours", 1, &data);
        let keys: Vec<&String> = kept.files().unwrap().map(|(key, _)| key).collect();
        assert_eq!(keys, ["flyball.jsonl", "up.rhai"]);
        assert_eq!(map("shop", "ours", 1, &Value::Null).files().unwrap().count(), 0);
        let many: serde_json::Map<_, _> = (0..10_000).map(|at| (format!("{at}.rhai"), json!("x"))).collect();
        assert!(map("shop", "ours", 1, &many.into()).files().is_none(), "of many small ones none");
    }

    /// A tenant that labels a gigabyte costs flyball nothing.
    #[test]
    fn what_a_namespace_holds_beyond_a_set_is_dropped_and_read_again_once_it_fits() {
        let now = Tick::now();
        let large = json!({ "a.rhai": "x".repeat(200_000) });
        let mut cache: Cache<PolicyMap> = Cache::new(std::time::Duration::from_mins(1), now);
        let platform = || map("flyball-system", "base", 1, &json!({ "up.rhai": "0123456789" }));
        cache.listed(1, vec![platform()], now).unwrap();
        for at in 2..1000 {
            cache.changed(map("shop", &format!("m{at}"), at, &large), now);
            assert!(held(&cache) <= 10 + 2 * 1024 * 1024, "{at}: {}", held(&cache));
        }
        assert_eq!(held(&cache), 10, "the set of the platform, and nothing of the tenant");
        assert_eq!(cache.resume(), Some(999));
        for at in 2..1000 {
            assert!(cache.resume().is_some() || at > 900, "{at}");
            cache.deleted(&map("shop", &format!("m{at}"), 1000 + at, &large), now);
        }
        cache.changed(map("shop", "m1", 3000, &json!({ "a.rhai": "x" })), now);
        assert_eq!((held(&cache), cache.resume()), (11, Some(3000)), "nothing is missing any more");
        // The remaining ones fit, and have to be read again.
        let mut cache: Cache<PolicyMap> = Cache::new(std::time::Duration::from_mins(1), now);
        let listed = |count: u64| (1..=count).map(|at| map("shop", &format!("m{at}"), at, &large)).collect::<Vec<_>>();
        cache.listed(20, listed(11), now).unwrap();
        assert_eq!((held(&cache), cache.resume()), (0, Some(20)));
        cache.deleted(&map("shop", "m11", 21, &large), now);
        assert_eq!((held(&cache), cache.resume()), (0, None), "a list is needed");
        cache.listed(22, listed(10), now).unwrap();
        assert_eq!((held(&cache), cache.resume()), (2_000_000, Some(22)));
    }
}
