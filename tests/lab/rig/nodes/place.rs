//! Room on the nodes: places with one address each. Pure.

use std::collections::BTreeMap;
use std::fmt;

use tokio::time::Instant;

/// A place on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the node, from 1.
    pub node: u8,
    /// Number of the place on it, from 1.
    pub slot: u8,
}

impl fmt::Display for Place {
    /// Writes the address of the pod there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "10.244.{}.{}", self.node, self.slot)
    }
}

/// All nodes and the pods in their places.
#[derive(Debug)]
pub struct Room {
    ready: u8,
    most: u8,
    slots: u8,
    coming: Option<Instant>,
    taken: BTreeMap<String, Place>,
}

impl Room {
    /// Returns empty nodes: `ready` of them ready, `most` at most, each with `slots` places.
    pub fn new(ready: u8, most: u8, slots: u8) -> Self {
        Self { ready, most, slots, coming: None, taken: BTreeMap::new() }
    }

    /// Returns how many nodes are ready.
    pub fn nodes(&self) -> u8 {
        self.ready
    }

    /// Returns the pods that have a place.
    pub fn placed(&self) -> impl Iterator<Item = String> + '_ {
        self.taken.keys().cloned()
    }

    /// Returns the place of a pod, a new one on the emptiest ready node if it has none; `None` if all are full.
    pub fn find(&mut self, pod: &str) -> Option<Place> {
        if let Some(place) = self.taken.get(pod) {
            return Some(*place);
        }
        let load = |node: &u8| self.taken.values().filter(|place| place.node == *node).count();
        let node = (1..=self.ready).min_by_key(load)?;
        self.take(pod, node)
    }

    /// Returns the place of a pod on a node, a free one if it has none; `None` if the node is full.
    pub fn take(&mut self, pod: &str, node: u8) -> Option<Place> {
        if let Some(place) = self.taken.get(pod) {
            return Some(*place);
        }
        let free = |slot: &u8| !self.taken.values().any(|place| *place == Place { node, slot: *slot });
        let place = Place { node, slot: (1..=self.slots).find(free)? };
        self.taken.insert(pod.to_owned(), place);
        Some(place)
    }

    /// Releases the place of a pod.
    pub fn free(&mut self, pod: &str) {
        self.taken.remove(pod);
    }

    /// Starts another node, ready at `when`, and returns its number; `None` if one is starting or all are started.
    pub fn grow(&mut self, when: Instant) -> Option<u8> {
        if self.coming.is_some() || self.ready >= self.most {
            return None;
        }
        self.coming = Some(when);
        Some(self.ready + 1)
    }

    /// Returns the node that has become ready.
    pub fn started(&mut self, now: Instant) -> Option<u8> {
        self.coming.take_if(|when| *when <= now)?;
        self.ready += 1;
        Some(self.ready)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pods_spread_and_keep_their_places() {
        let mut room = Room::new(2, 2, 2);
        let places: Vec<String> =
            ["a", "b", "c", "d"].iter().filter_map(|pod| room.find(pod)).map(|p| p.to_string()).collect();
        assert_eq!(places, ["10.244.1.1", "10.244.2.1", "10.244.1.2", "10.244.2.2"]);
        assert_eq!(room.find("a"), Some(Place { node: 1, slot: 1 }));
        assert_eq!(room.find("e"), None);
        room.free("c");
        assert_eq!(room.find("e"), Some(Place { node: 1, slot: 2 }));
    }

    #[test]
    fn a_node_more_comes_after_its_start_time_and_one_at_a_time() {
        let (mut room, now) = (Room::new(1, 2, 1), Instant::now());
        let later = now + Duration::from_secs(20);
        assert!(room.find("a").is_some() && room.find("b").is_none());
        assert_eq!((room.grow(later), room.grow(later)), (Some(2), None));
        assert_eq!((room.started(now), room.find("b")), (None, None));
        assert_eq!(room.started(later), Some(2));
        assert!(room.find("b").is_some());
        assert_eq!(room.grow(later), None);
    }
}
