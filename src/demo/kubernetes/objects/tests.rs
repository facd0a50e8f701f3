//! Versions, history, generations, dry runs, watches and pages of the store.

use super::*;

const SHOP: (Resource, &str, &str) = (Resource::Deployments, "shop", "checkout");

fn store() -> Objects {
    let objects = Objects::default();
    objects.add_deployment("shop", "checkout", 3);
    objects
}

fn scale_to(objects: &Objects, who: &str, replicas: u32, version: Option<&str>) -> Result<Arc<Value>, Refusal> {
    let author = Author { part: Some(Subresource::Scale), ..Author::named(who) };
    objects.update(SHOP.0, SHOP.1, SHOP.2, &author, |old| {
        let mut new = old.clone();
        set(&mut new, &["spec", "replicas"], json!(replicas));
        if let Some(version) = version {
            set(&mut new, &["metadata", "resourceVersion"], json!(version));
        }
        Ok(new)
    })
}

#[test]
fn a_write_with_an_old_version_is_a_conflict_and_changes_nothing() {
    let objects = store();
    let read = objects.get(SHOP.0, SHOP.1, SHOP.2).unwrap();
    let version = text(&read, "/metadata/resourceVersion");
    objects.set_status("shop", "checkout", 3, 2);
    assert!(matches!(scale_to(&objects, "flyball", 5, Some(version)), Err(Refusal::Conflict { .. })));
    assert_eq!(objects.wanted("shop", "checkout"), Some(3));
}

#[test]
fn the_history_holds_every_accepted_write_and_nothing_else() {
    let objects = store();
    scale_to(&objects, "flyball", 5, None).unwrap();
    scale_to(&objects, "flyball", 5, None).unwrap();
    objects.set_status("shop", "checkout", 5, 5);
    let stored = scale_to(&objects, "someone", 4, None).unwrap();
    let moves: Vec<_> = objects.history().into_iter().map(|write| (write.who, write.from, write.to)).collect();
    let expected = [("plant", None, Some(3)), ("flyball", Some(3), Some(5)), ("someone", Some(5), Some(4))];
    assert_eq!(moves, expected.map(|(who, from, to)| (who.to_owned(), from, to)));
    let owners = stored.pointer("/metadata/managedFields").unwrap().as_array().unwrap();
    let owners: Vec<_> = owners.iter().map(|entry| (text(entry, "/manager"), text(entry, "/subresource"))).collect();
    assert_eq!(owners, [("someone", "scale")]);
}

#[test]
fn a_generation_counts_changes_of_spec_and_is_seen_by_a_status() {
    let objects = store();
    let generations = |objects: &Objects| {
        let object = objects.get(SHOP.0, SHOP.1, SHOP.2).unwrap();
        let read = |pointer| object.pointer(pointer).and_then(Value::as_u64).unwrap();
        (read("/metadata/generation"), read("/status/observedGeneration"))
    };
    assert_eq!(generations(&objects), (1, 1));
    scale_to(&objects, "flyball", 5, None).unwrap();
    assert_eq!(generations(&objects), (2, 1));
    objects.set_status("shop", "checkout", 5, 3);
    assert_eq!(generations(&objects), (2, 2));
}

#[test]
fn a_dry_run_checks_and_stores_nothing() {
    let objects = store();
    let author = Author { dry_run: true, ..Author::named("flyball") };
    let change = |replicas: Value| {
        move |old: &Value| {
            let mut new = old.clone();
            set(&mut new, &["spec", "replicas"], replicas);
            Ok(new)
        }
    };
    let answered = objects.update(SHOP.0, SHOP.1, SHOP.2, &author, change(json!(9))).unwrap();
    assert_eq!(replicas_of(&answered), Some(9));
    assert_eq!(objects.wanted("shop", "checkout"), Some(3));
    for (replicas, code) in [(json!(-1), 422), (json!(3_000_000_000_u64), 400), (json!("four"), 400)] {
        let refusal = objects.update(SHOP.0, SHOP.1, SHOP.2, &author, change(replicas)).unwrap_err();
        assert_eq!(refusal.code(), code);
    }
}

#[test]
fn an_object_made_anew_is_another_object() {
    let objects = store();
    let uid = |objects: &Objects| text(&objects.get(SHOP.0, SHOP.1, SHOP.2).unwrap(), "/metadata/uid").to_owned();
    let first = uid(&objects);
    objects.add_deployment("shop", "checkout", 3);
    assert_ne!(uid(&objects), first);
}

#[test]
fn changes_are_told_in_order_until_compacted() {
    let objects = store();
    let seen = *objects.newest().borrow();
    scale_to(&objects, "flyball", 5, None).unwrap();
    objects.delete(SHOP.0, SHOP.1, SHOP.2, &Author::named("someone")).unwrap();
    let (changes, _) = objects.changes(SHOP.0, Some("shop"), seen).unwrap();
    let happenings: Vec<_> = changes.iter().map(|(happening, _)| *happening).collect();
    assert_eq!(happenings, [Happening::Modified, Happening::Deleted]);
    assert!(objects.changes(SHOP.0, Some("other"), seen).unwrap().0.is_empty());
    objects.compact();
    assert_eq!(objects.changes(SHOP.0, None, seen), Err(Refusal::Expired));
    assert!(objects.changes(SHOP.0, None, *objects.newest().borrow()).is_ok());
}

#[test]
fn a_list_comes_in_pages() {
    let objects = Objects::default();
    for name in ["a", "b", "c"] {
        objects.add_deployment("shop", name, 1);
    }
    objects.add_deployment("zoo", "d", 1);
    let first = objects.list(Resource::Deployments, Some("shop"), None, 2);
    assert_eq!((first.items.len(), first.remaining), (2, 1));
    let second = objects.list(Resource::Deployments, Some("shop"), first.last.as_ref(), 2);
    assert_eq!((second.items.len(), second.last), (1, None));
    assert_eq!(objects.list(Resource::Deployments, None, None, usize::MAX).items.len(), 4);
}
