//! A bounded number of stories, one shelf per upstream, so that a flood of one does not push out all of the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::told::Told;
use crate::policy::Direction;

/// Whose shelf; `None`: requests that no route matched.
type Place = Option<(Direction, Arc<str>)>;

pub(super) struct Shelves {
    count_max: usize,
    bytes_max: usize,
    shelves: HashMap<Place, Shelf>,
    count: usize,
    bytes: usize,
    forgotten: u64,
}

/// Oldest first.
#[derive(Default)]
struct Shelf {
    stories: VecDeque<(u64, Arc<Told>)>,
    bytes: usize,
}

impl Shelves {
    pub fn new(count_max: usize, bytes_max: usize) -> Shelves {
        Shelves { count_max, bytes_max, shelves: HashMap::new(), count: 0, bytes: 0, forgotten: 0 }
    }

    /// Takes one in, and returns those that had to leave for it.
    pub fn put(&mut self, number: u64, told: Arc<Told>) -> Vec<Arc<Told>> {
        let place = told.upstream.as_ref().map(|name| (told.direction, Arc::clone(name)));
        let bytes = told.bytes();
        let shelf = self.shelves.entry(place.clone()).or_default();
        shelf.bytes += bytes;
        shelf.stories.push_back((number, told));
        self.count += 1;
        self.bytes += bytes;
        let mut left = Vec::new();
        while self.count > self.count_max || self.bytes > self.bytes_max {
            let Some(gone) = self.let_go(&place) else { break };
            left.push(gone);
        }
        left
    }

    /// The oldest story of the newcomer's shelf if that has more than its share, else of the fullest one.
    fn let_go(&mut self, newcomer: &Place) -> Option<Arc<Told>> {
        let share = self.bytes / self.shelves.len().max(1);
        let own = self.shelves.get(newcomer).is_some_and(|shelf| shelf.bytes > share);
        let place = if own {
            newcomer.clone()
        } else {
            self.shelves.iter().max_by_key(|(_, shelf)| shelf.bytes).map(|(place, _)| place.clone())?
        };
        let shelf = self.shelves.get_mut(&place)?;
        let (_, gone) = shelf.stories.pop_front()?;
        let bytes = gone.bytes();
        shelf.bytes = shelf.bytes.saturating_sub(bytes);
        if shelf.stories.is_empty() {
            self.shelves.remove(&place);
        }
        self.count -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.forgotten += 1;
        Some(gone)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(u64, Arc<Told>)> {
        self.shelves.values().flat_map(|shelf| &shelf.stories)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
