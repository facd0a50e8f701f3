//! What decision records hide.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SignalTemplate;
use super::faults::Faults;
use super::sources::Declared;
use super::tree::{Node, Table, unknown};
use crate::model::{RecordMask, SignalName};

/// Reads `records`. A signal has to be declared: a mask with a typo would expose what it should hide.
pub fn mask(top: &Table<'_>, signals: &Declared<SignalTemplate>, faults: &mut Faults) -> Option<RecordMask> {
    let read = top.read("records", faults, |node, faults| {
        let table = node.table(&["mask"], faults)?;
        table.read("mask", faults, |node, faults| fields(node, signals, faults)).or_default(RecordMask::default())
    });
    read.or_default(RecordMask::default())
}

fn fields(node: &Node<'_>, declared: &Declared<SignalTemplate>, faults: &mut Faults) -> Option<RecordMask> {
    let table = node.table(&["signals", "parameters", "notes"], faults)?;
    let known = |name: &str| {
        let declared_name = SignalName::new(name).filter(|_| declared.names.iter().any(|known| known == name));
        declared_name.ok_or_else(|| unknown("signal", name, &declared.names()))
    };
    let signals = table.read("signals", faults, |node, faults| names(node, faults, known));
    let parameter = |name: &str| match SignalName::new(name) {
        Some(_) => Ok(Arc::from(name)),
        None => Err(format!("`{name}` is not a valid name for policies (a-z, 0-9 and _, a letter first)")),
    };
    let parameters = table.read("parameters", faults, |node, faults| names(node, faults, parameter));
    let notes = table.read("notes", faults, Node::flag);
    let (signals, parameters) = (signals.or_default(BTreeSet::new()), parameters.or_default(BTreeSet::new()));
    Some(RecordMask { signals: signals?, parameters: parameters?, notes: notes.or_default(false)? })
}

fn names<T: Ord>(
    node: &Node<'_>,
    faults: &mut Faults,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<BTreeSet<T>> {
    let items = node.items(faults)?;
    let one = |item: &Node<'_>, faults: &mut Faults| {
        let name = item.text(faults)?;
        read(name).map_err(|why| item.refuse::<()>(&why, faults)).ok()
    };
    let found: Vec<Option<T>> = items.iter().map(|item| one(item, faults)).collect();
    found.into_iter().collect()
}
