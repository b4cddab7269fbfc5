use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_cluster::{ClusterView, Node};
use weir_types::limits::LEASE_MILLIS;

use super::process::Process;
use crate::runtime::{self, Bug, planted};

/// How long a lease lasts.
pub(super) const LEASE: Duration = Duration::from_millis(LEASE_MILLIS);
/// A process that was not heard of for this long is away. Longer than its lease, so that the lease is over by then.
pub(super) const AWAY_AFTER: Duration = Duration::from_millis(LEASE_MILLIS + 2000);
/// For how long a majority's word stands for leadership: less than a voter of it waits before it votes for another.
const CLAIM: Duration = Duration::from_millis(1000);
/// How many may be about to join at once; beyond, all are challenged anew.
const JOINING_MAX: usize = 1024;

/// What the leader of one term knows of the others. It forgets everything when it does not lead any more.
///
/// Leases of the term before may run until one lease after this one began: until then everybody counts as having one.
#[derive(Debug)]
pub(crate) struct Leading {
    pub(crate) term: u64,
    since: Instant,
    /// Every change up to this index may have been answered: who has not applied it gets no lease.
    answered: u64,
    /// When a majority was last asked that then confirmed the leadership.
    quorum_at: Option<Instant>,
    heard: BTreeMap<String, Heard>,
    /// Those that are new, until they are on the map: with what they were challenged, and when they were last heard.
    joining: BTreeMap<String, (u64, Instant)>,
    /// Leadership is on its way to another: nothing new is begun.
    pub(crate) handing_over: bool,
}

#[derive(Debug)]
struct Heard {
    at: Instant,
    lent_until: Option<Instant>,
    /// Its control listener, if that is known.
    endpoint: Option<String>,
    /// Every life of the process that may hold a lease has applied the log up to here.
    applied: u64,
    /// Which life of it was heard last, if that is known; messages of an earlier one may still come.
    life: Option<u64>,
    /// The end of the log when that life was heard first. Others may act on what an earlier life had applied, long before it is
    /// answered: this one gets no lease before it has applied that too.
    owed: u64,
    /// How often that was another than before.
    lives: u64,
}

impl Heard {
    fn new(at: Instant, applied: u64, life: Option<u64>, owed: u64) -> Self {
        Self { at, lent_until: None, endpoint: None, applied, life, owed, lives: 0 }
    }

    /// A life of the process says how far it has applied the log, which ends at `end`. One that begins stands where its last
    /// snapshot was.
    fn says(&mut self, applied: u64, life: u64, end: u64) {
        if self.life == Some(life) {
            self.applied = self.applied.max(applied);
        } else {
            self.life = Some(life);
            self.lives += 1;
            self.owed = end;
            self.applied = self.applied.min(applied);
        }
    }
}

/// Somebody who is behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Behind {
    pub(super) process: Process,
    /// How many lives of it were known: what it is asked now is answered by the last of them, or one that is not known yet.
    lives: Option<u64>,
}

impl Leading {
    /// A term that begins: `last_log` is the end of the log as it was taken over.
    pub(crate) fn new(term: u64, last_log: u64, now: Instant) -> Self {
        Self {
            term,
            since: now,
            answered: last_log,
            quorum_at: None,
            heard: BTreeMap::new(),
            joining: BTreeMap::new(),
            handing_over: false,
        }
    }

    /// A majority confirmed the leadership, asked at `asked`.
    pub(super) fn confirmed(&mut self, asked: Instant) {
        self.quorum_at = self.quorum_at.max(Some(asked));
    }

    /// Whether no other can lead at `now`.
    pub(crate) fn is_sure(&self, now: Instant) -> bool {
        self.quorum_at.is_some_and(|at| now < at + CLAIM || planted(Bug::ClaimForEver))
    }

    /// Whether who has applied so far has every change that may have been answered.
    pub(super) fn has_all(&self, applied: u64) -> bool {
        applied >= self.answered || planted(Bug::LeaseBehind)
    }

    /// Whether the map has this node at another address from which it was heard of within a lease.
    pub(super) fn is_elsewhere(&self, view: &ClusterView, node: &Node, now: Instant) -> bool {
        let moved = view.smap.node(node.id.as_str()).is_some_and(|m| m.intra_control != node.intra_control);
        moved && self.heard.get(node.id.as_str()).is_some_and(|h| now < h.at + LEASE)
    }

    /// Whether somebody else was heard of from this listener within a lease.
    pub(super) fn is_taken(&self, id: &str, endpoint: &str, now: Instant) -> bool {
        self.heard.iter().any(|(other, heard)| {
            other != id && heard.endpoint.as_deref() == Some(endpoint) && now < heard.at + LEASE
        })
    }

    /// Notes the listener of one who was heard.
    pub(super) fn lives_at(&mut self, id: &str, endpoint: &str) {
        if let Some(heard) = self.heard.get_mut(id)
            && heard.endpoint.as_deref() != Some(endpoint)
        {
            heard.endpoint = Some(endpoint.to_owned());
        }
    }

    /// What a process has to say first that `is_new` to the map, unless that is what it `said`: it speaks now, then. Who is not
    /// new is challenged anew when it is the next time.
    pub(super) fn challenge(
        &mut self,
        id: &str,
        is_new: bool,
        said: Option<u64>,
        now: Instant,
    ) -> Option<u64> {
        if !is_new {
            self.joining.remove(id);
            return None;
        }
        if self.joining.len() >= JOINING_MAX && !self.joining.contains_key(id) {
            self.joining.clear();
        }
        let by_chance = || (u64::from_le_bytes(runtime::random()), now);
        let (nonce, at) = self.joining.entry(id.to_owned()).or_insert_with(by_chance);
        *at = now;
        (said != Some(*nonce)).then_some(*nonce)
    }

    /// Whether it is about to be on the map.
    pub(super) fn is_joining(&self, id: &str) -> bool {
        self.joining.contains_key(id)
    }

    /// Notes a sign of a life; gives how long a lease it is answered with. `may` says whether it can have one, `end` is that
    /// of the leader's log.
    pub(super) fn hear(
        &mut self,
        id: &str,
        (applied, life): (u64, u64),
        end: u64,
        may: bool,
        now: Instant,
    ) -> Option<Duration> {
        let may = may && self.has_all(applied);
        let heard =
            self.heard.entry(id.to_owned()).or_insert_with(|| Heard::new(now, applied, Some(life), end));
        heard.at = now;
        heard.says(applied, life, end);
        if !may || applied < heard.owed {
            return None;
        }
        let left = self.quorum_at?.checked_add(LEASE)?.checked_duration_since(now)?;
        // The node counts from when it asked, which was before now.
        heard.lent_until = heard.lent_until.max(Some(now + left));
        Some(left)
    }

    /// Notes that a process that was behind has applied the log up to `index`, unless another life of it was heard since it
    /// was asked.
    pub(super) fn applied(&mut self, behind: &Behind, index: u64, now: Instant) {
        let id = behind.process.id.as_str();
        match self.heard.get_mut(id) {
            Some(heard) if Some(heard.lives) == behind.lives => heard.applied = heard.applied.max(index),
            None if behind.lives.is_none() => {
                self.heard.insert(id.to_owned(), Heard::new(now, index, None, index));
            }
            Some(_) | None => {}
        }
    }

    /// Until when the process may hold a lease, of this leader's or the one before.
    pub(super) fn lent_until(&self, id: &str) -> Instant {
        let of_before = if planted(Bug::OldLeasesForgotten) { self.since } else { self.since + LEASE };
        self.heard.get(id).and_then(|h| h.lent_until).map_or(of_before, |until| until.max(of_before))
    }

    /// Those of `all` that may hold a lease at `now` and are not known to have applied `index`. Also who is away: the map may
    /// say so of somebody who came back before it said so.
    pub(super) fn behind(&self, all: &[Process], index: u64, now: Instant) -> Vec<Behind> {
        let behind = |p: &Process| {
            let id = p.id.as_str();
            let heard = self.heard.get(id);
            let skipped = p.away && planted(Bug::AwayHasNoLease);
            let is_behind = !skipped && heard.is_none_or(|h| h.applied < index) && now < self.lent_until(id);
            is_behind.then(|| Behind { process: p.clone(), lives: heard.map(|h| h.lives) })
        };
        all.iter().filter_map(behind).collect()
    }

    /// Changes up to `index` are about to be answered. Only when nobody is behind.
    pub(super) fn answered(&mut self, index: u64) {
        self.answered = self.answered.max(index);
    }

    /// Those of `all` that were not heard of for [`AWAY_AFTER`].
    pub(super) fn silent<'p>(&self, all: &'p [Process], now: Instant) -> Vec<&'p Process> {
        let last = |p: &Process| self.heard.get(p.id.as_str()).map_or(self.since, |h| h.at.max(self.since));
        all.iter()
            .filter(|p| !p.away && now >= last(p) + AWAY_AFTER && now >= self.lent_until(p.id.as_str()))
            .collect()
    }

    /// Forgets those that are not among `all`, and of those that are new who is silent.
    pub(super) fn keep_only(&mut self, all: &[Process], now: Instant) {
        self.joining.retain(|_, (_, at)| now < *at + AWAY_AFTER);
        self.heard.retain(|id, _| all.iter().any(|p| p.id.as_str() == id));
    }
}

#[cfg(test)]
mod tests {
    use weir_cluster::NodeId;

    use super::*;

    fn process(id: &str) -> Process {
        let id = NodeId::new(id).unwrap();
        Process { endpoint: "h:1".into(), nodes: vec![id.clone()], id, away: false }
    }

    fn ids(found: &[&Process]) -> Vec<String> {
        found.iter().map(|p| p.id.to_string()).collect()
    }

    fn behind(leading: &Leading, all: &[Process], index: u64, now: Instant) -> Vec<String> {
        leading.behind(all, index, now).iter().map(|b| b.process.id.to_string()).collect()
    }

    #[test]
    fn leases_of_the_term_before_are_waited_out() {
        let begin = Instant::now();
        let mut leading = Leading::new(2, 10, begin);
        let all = [process("target01"), process("target02")];
        let soon = begin + LEASE / 2;
        assert_eq!(behind(&leading, &all, 11, soon), ["target01", "target02"]);
        let asked = leading.behind(&all[..1], 11, soon);
        leading.applied(&asked[0], 11, soon);
        assert_eq!(behind(&leading, &all, 11, soon), ["target02"]);
        assert!(leading.behind(&all, 11, begin + LEASE).is_empty());
    }

    #[test]
    fn a_lease_needs_a_majority_and_all_that_was_answered() {
        let begin = Instant::now();
        let mut leading = Leading::new(2, 10, begin);
        assert_eq!(leading.hear("target01", (10, 1), 0, true, begin), None, "nobody confirmed");
        assert!(!leading.is_sure(begin));
        leading.confirmed(begin);
        assert!(leading.is_sure(begin) && !leading.is_sure(begin + CLAIM));
        assert_eq!(leading.hear("target01", (9, 1), 0, true, begin), None, "behind");
        assert_eq!(leading.hear("target01", (10, 1), 0, false, begin), None, "may not");
        let later = begin + LEASE / 4;
        assert_eq!(leading.hear("target01", (10, 1), 0, true, later), Some(LEASE - LEASE / 4));
        leading.answered(11);
        assert_eq!(leading.hear("target01", (10, 1), 0, true, later), None);
        assert_eq!(
            leading.hear("target01", (11, 1), 0, true, begin + LEASE * 2),
            None,
            "the majority's word is old"
        );
    }

    #[test]
    fn who_holds_a_lease_is_waited_for() {
        let begin = Instant::now();
        let mut leading = Leading::new(2, 10, begin);
        let all = [process("target01")];
        let now = begin + LEASE * 3;
        leading.confirmed(now);
        assert!(leading.behind(&all, 11, now).is_empty(), "nobody has one");
        leading.hear("target01", (10, 1), 0, true, now).unwrap();
        assert_eq!(behind(&leading, &all, 11, now), ["target01"]);
        assert!(leading.behind(&all, 10, now).is_empty());
        assert!(leading.behind(&all, 11, now + LEASE).is_empty());
        // The map says that it is away since it came back: the change was on its way.
        let away = [Process { away: true, ..process("target01") }];
        assert_eq!(behind(&leading, &away, 11, now), ["target01"]);
    }

    #[test]
    fn one_listener_is_one_process() {
        let begin = Instant::now();
        let mut leading = Leading::new(2, 10, begin);
        leading.confirmed(begin);
        leading.hear("target02", (10, 1), 10, true, begin).unwrap();
        leading.lives_at("target02", "h:1");
        assert!(
            leading.is_taken("target01", "h:1", begin + LEASE / 2),
            "a late word of who was there before"
        );
        assert!(!leading.is_taken("target01", "h:2", begin + LEASE / 2));
        assert!(!leading.is_taken("target02", "h:1", begin + LEASE / 2), "its own");
        assert!(!leading.is_taken("target01", "h:1", begin + LEASE), "it left");
    }

    #[test]
    fn a_word_from_the_past_takes_nobody_in() {
        let now = Instant::now();
        let mut leading = Leading::new(2, 10, now);
        let mut challenge = |is_new, said| leading.challenge("target01", is_new, said, now);
        let nonce = challenge(true, None).unwrap();
        assert_eq!(challenge(true, None), Some(nonce), "sent twice");
        assert_eq!(challenge(true, Some(nonce)), None);
        assert_eq!(challenge(true, Some(nonce)), None, "it is not on the map yet");
        assert_eq!(challenge(false, Some(nonce)), None);
        // It was removed, and what it said then comes again.
        let again = challenge(true, Some(nonce)).unwrap();
        assert_ne!(again, nonce);
        assert_eq!(challenge(true, None), Some(again));
        assert!(leading.is_joining("target01"));
        leading.keep_only(&[], now + AWAY_AFTER);
        assert!(!leading.is_joining("target01"), "it went silent");
        for other in 0..2 * JOINING_MAX {
            leading.challenge(&format!("other{other}"), true, None, now).unwrap();
        }
        assert!(leading.joining.len() <= JOINING_MAX);
    }

    #[test]
    fn a_new_life_waits_for_what_others_may_act_on() {
        let begin = Instant::now();
        let mut leading = Leading::new(2, 10, begin);
        leading.confirmed(begin);
        assert!(leading.hear("target01", (12, 1), 12, true, begin).is_some());
        // Applied by the first life, and by others, and not answered; the second life does not know of it yet.
        assert_eq!(leading.hear("target01", (10, 2), 12, true, begin), None);
        assert_eq!(leading.hear("target01", (11, 2), 13, true, begin), None);
        assert!(leading.hear("target01", (12, 2), 14, true, begin).is_some());
        // The one that goes on waits for nothing but answers.
        assert!(leading.hear("target01", (12, 2), 15, true, begin).is_some());
    }

    #[test]
    fn what_an_earlier_life_had_applied_says_nothing() {
        let begin = Instant::now();
        let mut leading = Leading::new(2, 9, begin);
        let all = [process("target01")];
        let now = begin + LEASE * 3;
        leading.confirmed(now);
        leading.hear("target01", (10, 1), 0, true, now).unwrap();
        let asked = leading.behind(&all, 11, now);
        // A second life begins before the answer of the first comes.
        leading.hear("target01", (9, 2), 0, true, now).unwrap();
        leading.applied(&asked[0], 11, now);
        assert_eq!(behind(&leading, &all, 10, now), ["target01"]);
        // Late words of the first life.
        leading.hear("target01", (11, 1), 0, true, now).unwrap();
        assert_eq!(behind(&leading, &all, 10, now), ["target01"]);
        leading.hear("target01", (11, 2), 0, true, now).unwrap();
        let asked = leading.behind(&all, 11, now);
        leading.applied(&asked[0], 11, now);
        assert!(leading.behind(&all, 11, now).is_empty());
    }

    #[test]
    fn silence_is_noticed_after_the_lease() {
        let begin = Instant::now();
        let mut leading = Leading::new(2, 10, begin);
        let all = [process("target01"), process("target02")];
        leading.confirmed(begin + LEASE);
        leading.hear("target01", (10, 1), 0, true, begin + LEASE).unwrap();
        assert!(leading.silent(&all, begin + AWAY_AFTER - Duration::from_millis(1)).is_empty());
        assert_eq!(ids(&leading.silent(&all, begin + AWAY_AFTER)), ["target02"]);
        assert_eq!(leading.silent(&all, begin + LEASE + AWAY_AFTER).len(), 2);
        leading.keep_only(&all[1..], begin);
        assert!(leading.heard.is_empty());
    }
}
