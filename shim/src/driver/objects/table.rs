//! A table of what is known of the driver's objects of one kind, by handle.
//!
//! The driver gives a handle that was freed to the next who asks, perhaps on another thread and before this library learns
//! that the first was freed. So an entry is taken out before the driver frees its object, and put back if the driver
//! refuses ([`Table::take`], [`Table::put_back`]); and who looked at an entry before a call of the driver's changes it
//! afterwards only if it is still the same ([`Generation`]).

use crate::base::lock::Lock;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number that no other entry of the table ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// An entry that was taken out.
#[derive(Debug)]
pub(crate) struct Taken<K, V> {
    key: K,
    generation: Generation,
    pub(crate) value: V,
}

struct Entries<K, V> {
    by_handle: Option<HashMap<K, (Generation, V)>>,
    made: u64,
}

/// Entries by handle.
pub(crate) struct Table<K, V> {
    entries: Lock<Entries<K, V>>,
    /// Entries that there are, so that a look where there are none takes no lock.
    count: AtomicUsize,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(crate) const fn new() -> Self {
        Table { entries: Lock::new(Entries { by_handle: None, made: 0 }), count: AtomicUsize::new(0) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<K, (Generation, V)>, &mut u64) -> T) -> T {
        let mut entries = self.entries.lock();
        let Entries { by_handle, made } = &mut *entries;
        let by_handle = by_handle.get_or_insert_default();
        let done = act(by_handle, made);
        self.count.store(by_handle.len(), Ordering::Relaxed);
        done
    }

    /// Whether there is no entry at all.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Whether there is one entry at most.
    #[inline]
    pub(crate) fn is_one_at_most(&self) -> bool {
        self.count.load(Ordering::Relaxed) <= 1
    }

    /// Enters an object that the driver made, in the place of one whose end was not seen.
    pub(crate) fn insert(&self, key: K, value: V) {
        self.with(|entries, made| {
            *made += 1;
            entries.insert(key, (Generation(*made), value));
        });
    }

    /// The entry's generation, and what `look` says of it.
    pub(crate) fn look<T>(&self, key: K, look: impl FnOnce(&V) -> T) -> Option<(Generation, T)> {
        if self.is_empty() {
            return None;
        }
        self.with(|entries, _| entries.get(&key).map(|(generation, value)| (*generation, look(value))))
    }

    /// Changes an entry, which is a new one if it was not there.
    pub(crate) fn change<T>(&self, key: K, new: impl FnOnce() -> V, change: impl FnOnce(&mut V) -> T) -> T {
        self.with(|entries, made| {
            let (_, value) = entries.entry(key).or_insert_with(|| {
                *made += 1;
                (Generation(*made), new())
            });
            change(value)
        })
    }

    /// Takes an entry out, before the driver frees its object.
    pub(crate) fn take(&self, key: K) -> Option<Taken<K, V>> {
        self.take_if(key, |_| true)
    }

    /// Takes an entry out if `goes` says so, which may change it.
    pub(crate) fn take_if(&self, key: K, goes: impl FnOnce(&mut V) -> bool) -> Option<Taken<K, V>> {
        if self.is_empty() {
            return None;
        }
        self.with(|entries, _| {
            if !goes(&mut entries.get_mut(&key)?.1) {
                return None;
            }
            entries.remove(&key).map(|(generation, value)| Taken { key, generation, value })
        })
    }

    /// Puts an entry back whose object the driver did not free, unless its handle is another's by now.
    pub(crate) fn put_back(&self, taken: Taken<K, V>) {
        self.with(|entries, _| {
            entries.entry(taken.key).or_insert((taken.generation, taken.value));
        });
    }

    /// Removes an entry if it is still that of this generation.
    pub(crate) fn remove_if_still(&self, key: K, generation: Generation) {
        self.with(|entries, _| {
            if entries.get(&key).is_some_and(|(now, _)| *now == generation) {
                entries.remove(&key);
            }
        });
    }

    /// The entries of which `is_it` is true.
    pub(crate) fn matching(&self, is_it: impl Fn(&K, &V) -> bool) -> Vec<(K, Generation)> {
        if self.is_empty() {
            return Vec::new();
        }
        self.with(|entries, _| {
            let found = entries.iter().filter(|(key, (_, value))| is_it(key, value));
            found.map(|(key, (generation, _))| (*key, *generation)).collect()
        })
    }

    /// Keeps the entries of which `stays` is true; whether any is left. Nobody changes the table meanwhile.
    pub(crate) fn retain(&self, mut stays: impl FnMut(&K, &V) -> bool) -> bool {
        if self.is_empty() {
            return false;
        }
        self.with(|entries, _| {
            entries.retain(|key, (_, value)| stays(key, value));
            !entries.is_empty()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_another_thread_made_during_a_free_stays() {
        let table = Table::new();
        table.insert(7, "first");
        let taken = table.take(7).expect("it is there");
        // The driver frees the object, and gives its handle to another thread.
        table.insert(7, "second");
        assert_eq!(taken.value, "first");
        assert_eq!(table.look(7, |value| *value).map(|(_, value)| value), Some("second"));
    }

    #[test]
    fn an_entry_comes_back_where_the_driver_refuses_to_free_its_object() {
        let table = Table::new();
        table.insert(7, "first");
        let (generation, _) = table.look(7, |_| ()).expect("it is there");
        let taken = table.take(7).expect("it is there");
        assert!(table.is_empty());
        table.put_back(taken);
        assert_eq!(table.look(7, |value| *value), Some((generation, "first")));
    }

    #[test]
    fn an_entry_that_is_put_back_does_not_take_the_place_of_a_new_one() {
        let table = Table::new();
        table.insert(7, "first");
        let taken = table.take(7).expect("it is there");
        table.insert(7, "second");
        table.put_back(taken);
        assert_eq!(table.look(7, |value| *value).map(|(_, value)| value), Some("second"));
    }

    #[test]
    fn an_entry_goes_only_in_the_generation_that_was_looked_at() {
        let table = Table::new();
        table.insert(7, ());
        let (first, ()) = table.look(7, |_| ()).expect("it is there");
        table.insert(7, ());
        table.remove_if_still(7, first);
        let (second, ()) = table.look(7, |_| ()).expect("the newer entry stays");
        table.remove_if_still(7, second);
        assert!(table.is_empty());
    }
}
