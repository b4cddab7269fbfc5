//! What a workload was promised, and what may therefore be found after a crash.
//!
//! A workload prints to its standard output, one line each:
//!
//! * `begin ID SEQ NAME VALUE`: operation ID starts; if it happens, NAME holds VALUE (`-`: NAME is gone);
//! * `ack ID SEQ`: it was acknowledged as durable.
//!
//! SEQ is what the `seq` file of the disk held when the line was made: no line needs to be received in time. IDs are the
//! workload's own, each used once; NAME and VALUE hold no white space. One name has one operation in flight at a time;
//! other names may go on beside it. Other lines are passed on to the reader of the rig's output.

use crate::RigError;
use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::path::Path;

/// The value of a name that is not there.
pub const ABSENT: &str = "-";

/// One operation on one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The changed name.
    pub name: String,
    /// What it holds afterwards.
    pub value: String,
    /// Records on the disk when it began.
    pub begun: u64,
    /// Records on the disk when it was acknowledged, if it was.
    pub acked: Option<u64>,
}

/// All operations of a run, in the order in which they began.
#[derive(Debug, Default)]
pub struct History {
    ops: Vec<Op>,
    ids: HashMap<String, usize>,
}

/// What may be found under one name after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The name.
    pub name: String,
    /// What was acknowledged last.
    pub acked: String,
    /// What had begun since, any of which may have happened.
    pub begun: Vec<String>,
}

impl Allowed {
    /// Whether `found` keeps every promise.
    pub fn admits(&self, found: &str) -> bool {
        self.acked == found || self.begun.iter().any(|v| v == found)
    }
}

impl History {
    /// Takes one line of the workload; false if it is not part of the protocol.
    pub fn line(&mut self, line: &str) -> Result<bool, RigError> {
        let wrong = |expected| RigError::Line { line: line.to_owned(), expected };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["begin", id, seq, name, value] => {
                let begun = seq.parse().map_err(|_| wrong("begin ID SEQ NAME VALUE with SEQ a number"))?;
                if self.ids.insert((*id).to_owned(), self.ops.len()).is_some() {
                    return Err(wrong("an ID that was not used before"));
                }
                let (name, value) = ((*name).to_owned(), (*value).to_owned());
                self.ops.push(Op { name, value, begun, acked: None });
                Ok(true)
            }
            ["ack", id, seq] => {
                let seq = seq.parse().map_err(|_| wrong("ack ID SEQ with SEQ a number"))?;
                let op = self.ids.get(*id).and_then(|i| self.ops.get_mut(*i));
                let op = op.ok_or_else(|| wrong("the ID of an operation that began"))?;
                op.acked = Some(seq);
                Ok(true)
            }
            ["begin" | "ack", ..] => Err(wrong("begin ID SEQ NAME VALUE or ack ID SEQ")),
            _ => Ok(false),
        }
    }

    /// Reads a kept history.
    pub fn read(path: &Path) -> Result<Self, RigError> {
        let file = std::fs::File::open(path).map_err(RigError::io("open", path))?;
        let mut history = Self::default();
        for line in std::io::BufReader::new(file).lines() {
            history.line(&line.map_err(RigError::io("read", path))?)?;
        }
        Ok(history)
    }

    /// Every operation, in the order in which they began.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Operations that were acknowledged when the disk had `until` records.
    pub fn acked(&self, until: u64) -> usize {
        self.ops.iter().filter(|op| op.acked.is_some_and(|a| a <= until)).count()
    }

    /// What may be found if the power fails when the disk has `until` records, by name.
    pub fn allowed(&self, until: u64) -> Vec<Allowed> {
        let mut names: BTreeMap<&str, Allowed> = BTreeMap::new();
        for op in &self.ops {
            let now = names.entry(&op.name).or_insert_with(|| Allowed {
                name: op.name.clone(),
                acked: ABSENT.to_owned(),
                begun: Vec::new(),
            });
            if op.acked.is_some_and(|a| a <= until) {
                now.acked = op.value.clone();
                now.begun.clear();
            } else if op.begun < until {
                now.begun.push(op.value.clone());
            }
        }
        names.into_values().collect()
    }
}

/// Writes what may be found for a checker: NAME, the acknowledged value, then the begun ones, separated by tabs.
pub fn write_allowed(path: &Path, allowed: &[Allowed]) -> Result<(), RigError> {
    let mut text = String::new();
    for a in allowed {
        text.push_str(&a.name);
        for value in std::iter::once(&a.acked).chain(&a.begun) {
            text.push('\t');
            text.push_str(value);
        }
        text.push('\n');
    }
    std::fs::write(path, text).map_err(RigError::io("write", path))
}

/// Reads what [`write_allowed`] wrote.
pub fn read_allowed(path: &Path) -> Result<Vec<Allowed>, RigError> {
    let text = std::fs::read_to_string(path).map_err(RigError::io("read", path))?;
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t').map(str::to_owned);
        let (Some(name), Some(acked)) = (words.next(), words.next()) else {
            return Err(RigError::Line { line: line.to_owned(), expected: "NAME and at least one value" });
        };
        all.push(Allowed { name, acked, begun: words.collect() });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(lines: &[&str]) -> History {
        let mut h = History::default();
        for line in lines {
            assert!(h.line(line).unwrap(), "{line}");
        }
        h
    }

    #[test]
    fn a_crash_point_divides_promised_from_possible() {
        let h = history(&[
            "begin 1 10 a v1",
            "ack 1 20",
            "begin 2 20 a v2",
            "begin 3 25 b v1",
            "ack 3 30",
            "ack 2 40",
            "begin 4 40 a -",
        ]);
        let check = |until, expected: &[(&str, &[&str])]| {
            let found: Vec<(String, Vec<String>)> =
                h.allowed(until).into_iter().map(|a| (a.acked, a.begun)).collect();
            let expected: Vec<(String, Vec<String>)> = expected
                .iter()
                .map(|(acked, begun)| ((*acked).into(), begun.iter().map(|b| (*b).into()).collect()))
                .collect();
            assert_eq!(found, expected, "until {until}");
        };
        check(5, &[("-", &[]), ("-", &[])]);
        check(15, &[("-", &["v1"]), ("-", &[])]);
        check(20, &[("v1", &[]), ("-", &[])]);
        check(29, &[("v1", &["v2"]), ("-", &["v1"])]);
        check(30, &[("v1", &["v2"]), ("v1", &[])]);
        check(40, &[("v2", &[]), ("v1", &[])]);
        check(41, &[("v2", &["-"]), ("v1", &[])]);
        assert_eq!(h.acked(30), 2);
    }

    #[test]
    fn lines_that_are_wrong() {
        let check = |line: &str| assert!(history(&["begin 1 1 a v"]).line(line).is_err(), "{line}");
        check("begin 2 x a v");
        check("begin 2 1 a");
        check("begin 1 1 a v");
        check("ack 7 1");
        check("ack 1");
        assert!(!history(&[]).line("a word of its own").unwrap());
    }

    #[test]
    fn allowed_is_kept_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allowed");
        let all = history(&["begin 1 1 a v1", "ack 1 2", "begin 2 2 a v2", "begin 3 2 b v1"]).allowed(9);
        write_allowed(&path, &all).unwrap();
        assert_eq!(read_allowed(&path).unwrap(), all);
        assert!(all[0].admits("v1") && all[0].admits("v2") && !all[0].admits("-"));
    }
}
