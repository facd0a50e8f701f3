//! Known events of the forecast: a list, each with a name, a time and either a factor or a similar day.

use jiff::civil::Date;

use super::faults::Faults;
use super::services::service_id;
use super::tree::{Given, Node};
use crate::forecast::params::{Event, FACTORS, Shape, Zone, moment};
use crate::model::Timestamp;

const KEYS: &[&str] = &["name", "from", "to", "factor", "like", "services"];

/// Reads the list. Times without a zone are in `zone`.
pub fn events(node: &Node<'_>, zone: &Zone, faults: &mut Faults) -> Option<Vec<Event>> {
    // All are read, so that a fault in one does not hide those in others.
    let events: Vec<Option<Event>> = node.items(faults)?.iter().map(|node| event(node, zone, faults)).collect();
    events.into_iter().collect()
}

/// Returns whether a day is over at a time.
fn is_past(date: Date, at: Timestamp, zone: &Zone) -> bool {
    date.tomorrow().ok().and_then(|next| moment(&next.to_string(), zone).ok()).is_some_and(|over| over <= at)
}

fn event(node: &Node<'_>, zone: &Zone, faults: &mut Faults) -> Option<Event> {
    let table = node.table(KEYS, faults)?;
    let name = table.read("name", faults, |node, faults| Some(node.text(faults)?.to_owned()));
    let name = name.required(&table.at("name"), "set the name of the event", faults);
    let mut time = |key: &str, remedy: &str| -> Option<Timestamp> {
        let read = table.read(key, faults, |node, faults| match moment(node.text(faults)?, zone) {
            Ok(at) => Some(at),
            Err(message) => node.refuse(&message, faults),
        });
        read.required(&table.at(key), remedy, faults)
    };
    let (from, to) = (time("from", "set when it starts"), time("to", "set when it ends"));
    let factor = table.read("factor", faults, |node, faults| node.number(FACTORS.0, FACTORS.1, faults));
    let like = table.read("like", faults, |node, faults| match node.text(faults)?.parse::<Date>() {
        Ok(date) => Some(date),
        Err(_) => node.refuse("is not a date; dates look like 2026-11-22", faults),
    });
    let shape = match (factor, like) {
        (Given::Absent, Given::Absent) => node.refuse("needs `factor` or `like`", faults),
        (factor, Given::Absent) => factor.optional().map(Shape::Factor),
        (Given::Absent, like) => like.optional().map(Shape::Like),
        _ => node.refuse("set only one of `factor` and `like`", faults),
    };
    let services = table.read("services", faults, |node, faults| {
        node.items(faults)?.iter().map(|node| service_id(node, faults)).collect::<Option<Vec<_>>>()
    });
    let (from, to, services) = (from?, to?, services.or_default(Vec::new())?);
    if from >= to {
        return node.refuse("`to` must be after `from`", faults);
    }
    if let Some(Shape::Like(date)) = &shape
        && !is_past(*date, from, zone)
    {
        faults.add(table.at("like"), format!("{date} is not before the event; use an earlier day"));
        return None;
    }
    Some(Event { name: name?, from, to, shape: shape?, services })
}
