//! Names whose latest acknowledged state is not in its file yet, in the order in which they became so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use weir_types::{Bucket, ObjectName};

use crate::DiskPath;

/// A name with its bucket.
pub(crate) type Key = (Bucket, ObjectName);

/// What the disk holds of an unfiled name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OnDisk {
    /// Neither under its plain nor under its escaped path.
    Absent,
    /// A file at this path, and what lies beside it.
    At {
        /// The file.
        path: DiskPath,
        /// The file in `%ck` that goes when this one does.
        beside: Option<DiskPath>,
    },
}

struct Waiting {
    on_disk: OnDisk,
    /// Bytes of memory that the name's state takes.
    bytes: usize,
}

/// The line of unfiled names: a name stands where its first unfiled change put it, however often it changes after.
#[derive(Default)]
pub(crate) struct Backlog {
    names: HashMap<Arc<Key>, Waiting>,
    line: VecDeque<Arc<Key>>,
    /// Names that found no room on the disk.
    stuck: Vec<Arc<Key>>,
    entered: u64,
    left: u64,
    bytes: usize,
}

impl Backlog {
    /// Notes a change. What the disk holds is kept from the name's first unfiled change.
    pub(crate) fn enter(&mut self, key: &Arc<Key>, on_disk: OnDisk, bytes: usize) {
        self.bytes += bytes;
        match self.names.get_mut(key) {
            Some(waiting) => self.bytes -= std::mem::replace(&mut waiting.bytes, bytes),
            None => {
                self.names.insert(key.clone(), Waiting { on_disk, bytes });
                self.line.push_back(key.clone());
                self.entered += 1;
            }
        }
    }

    /// Whether anything waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Bytes of memory that what waits takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Names in the line.
    pub(crate) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// The name that has waited longest, and what the disk holds of it. It waits until it is [`leave`](Self::leave)d.
    pub(crate) fn next(&mut self) -> Option<(Arc<Key>, OnDisk)> {
        while let Some(key) = self.line.pop_front() {
            self.left += 1;
            if let Some(waiting) = self.names.get(&key) {
                return Some((key, waiting.on_disk.clone()));
            }
        }
        None
    }

    /// What the disk holds of a name that waits.
    pub(crate) fn on_disk(&self, key: &Key) -> Option<OnDisk> {
        self.names.get(key).map(|w| w.on_disk.clone())
    }

    /// The name waits no more: it is filed, or something greater has taken its place.
    pub(crate) fn leave(&mut self, key: &Key) {
        if let Some(waiting) = self.names.remove(key) {
            self.bytes -= waiting.bytes;
        }
    }

    /// A bucket's names wait no more.
    pub(crate) fn leave_bucket(&mut self, bucket: &Bucket) {
        let bytes = &mut self.bytes;
        self.names.retain(|key, waiting| {
            let stays = key.0 != *bucket;
            if !stays {
                *bytes -= waiting.bytes;
            }
            stays
        });
    }

    /// The name that came [`next`](Self::next) could not be filed for lack of room.
    pub(crate) fn stick(&mut self, key: Arc<Key>) {
        self.stuck.push(key);
    }

    /// Whether names found no room.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// Names that found no room go to the front of the line again.
    pub(crate) fn retry(&mut self) {
        self.left -= self.stuck.len() as u64;
        for key in self.stuck.drain(..).rev() {
            self.line.push_front(key);
        }
    }

    /// A mark behind all who wait now.
    pub(crate) fn mark(&self) -> u64 {
        self.entered
    }

    /// Whether all who waited when the mark was taken are filed.
    pub(crate) fn is_past(&self, mark: u64) -> bool {
        self.left >= mark && self.stuck.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    fn key(name: &str) -> Arc<Key> {
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        Arc::new((bucket, ObjectName::new(name).unwrap()))
    }

    #[test]
    fn names_leave_in_the_order_of_their_first_change() {
        let mut b = Backlog::default();
        let (one, two) = (key("one"), key("two"));
        b.enter(&one, OnDisk::Absent, 10);
        b.enter(&two, OnDisk::Absent, 5);
        b.enter(&one, OnDisk::At { path: DiskPath::root(), beside: None }, 7);
        assert_eq!((b.bytes(), b.mark()), (12, 2));
        let mark = b.mark();
        assert_eq!(b.next(), Some((one.clone(), OnDisk::Absent)));
        b.leave(&one);
        assert!(!b.is_past(mark));
        assert_eq!(b.next(), Some((two.clone(), OnDisk::Absent)));
        b.stick(two.clone());
        assert!(!b.is_past(mark) && b.is_stuck() && b.on_disk(&two).is_some());
        b.retry();
        assert!(!b.is_past(mark));
        assert_eq!(b.next().unwrap().0, two);
        b.leave(&two);
        assert!(b.is_past(mark) && b.is_empty() && b.bytes() == 0);
        assert_eq!(b.next(), None);
    }

    #[test]
    fn a_name_that_left_early_is_passed_over() {
        let mut b = Backlog::default();
        let (one, two) = (key("one"), key("two"));
        b.enter(&one, OnDisk::Absent, 1);
        b.enter(&two, OnDisk::Absent, 1);
        b.leave(&one);
        b.enter(&one, OnDisk::Absent, 1);
        assert_eq!(b.next().unwrap().0, one);
        b.leave(&one);
        assert_eq!(b.next().unwrap().0, two);
        b.leave_bucket(&two.0);
        assert_eq!(b.next(), None);
        assert!(b.is_past(b.mark()) && b.is_empty());
    }
}
