//! Who leads, looked at from outside all the time: every gateway is asked by a thread of its own, which never waits for another.

use std::time::Duration;

use crate::cluster::GATEWAYS;
use crate::findings::Finding;
use crate::http::{Client, Request};
use crate::scene::Scene;

use parking_lot::Mutex;

/// Between two looks at one gateway.
const LOOK: Duration = Duration::from_millis(10);
/// How long a gateway may take to say it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A gateway's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// When it was asked, in nanoseconds since the round's begin.
    pub asked: u64,
    /// When it had answered.
    pub answered: u64,
    /// Whether it leads.
    pub leads: bool,
    /// Which life of its process said it.
    pub life: u64,
}

/// What each gateway said.
#[derive(Debug, Default)]
pub struct Watch {
    words: [Mutex<Vec<Word>>; GATEWAYS],
}

impl Watch {
    /// Asks one gateway until the round is over.
    pub fn look(&self, scene: &Scene<'_>, gateway: usize) {
        let mut client = Client::new(PATIENCE, scene.cluster.bearer());
        let request = Request { method: "GET", target: "/v1/health?apr=true", body: b"" };
        while !scene.is_over() {
            let (life, asked) = (scene.cluster.starts(gateway), scene.now());
            // Who does not answer says nothing.
            if let Ok(answer) = client.ask(scene.cluster.public(gateway), &request)
                && life == scene.cluster.starts(gateway)
            {
                let word = Word { asked, answered: scene.now(), leads: answer.status == 200, life };
                self.words[gateway].lock().push(word);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// When another gateway than `not` first said that it leads, asked after `since`.
    pub fn led(&self, since: u64, not: Option<usize>) -> Option<u64> {
        let others = (0..GATEWAYS).filter(|gateway| Some(*gateway) != not);
        let first = |gateway: usize| {
            let words = self.words[gateway].lock();
            words.iter().find(|word| word.leads && word.asked >= since).map(|word| word.answered)
        };
        others.filter_map(first).min()
    }

    /// Notes every pair of gateways that led at once.
    pub fn judge(&self, scene: &Scene<'_>) {
        let words: Vec<Vec<Word>> = self.words.iter().map(|words| words.lock().clone()).collect();
        for what in doubles(&words) {
            scene.findings.note(Finding::Double, || what.clone());
        }
    }
}

/// One said that it leads, then another did, then the first one again, and it never said otherwise in between.
fn doubles(words: &[Vec<Word>]) -> Vec<String> {
    let mut found = Vec::new();
    for (gateway, own) in words.iter().enumerate() {
        for pair in own.windows(2) {
            let [before, after] = pair else { continue };
            if !(before.leads && after.leads && before.life == after.life) {
                continue;
            }
            let between = |w: &&Word| w.leads && w.asked >= before.answered && w.answered <= after.asked;
            for (other, words) in words.iter().enumerate().filter(|(other, _)| *other != gateway) {
                if let Some(word) = words.iter().find(between) {
                    let ms = |ns: u64| ns / 1_000_000;
                    found.push(format!(
                        "n{gateway} led at {} ms and at {} ms, n{other} at {} ms",
                        ms(before.answered),
                        ms(after.asked),
                        ms(word.answered)
                    ));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(at: u64, leads: bool, life: u64) -> Word {
        Word { asked: at, answered: at + 1, leads, life }
    }

    #[test]
    fn two_that_lead_at_once_are_found() {
        let check = |first: &[Word], second: &[Word], expected: usize| {
            assert_eq!(
                doubles(&[first.to_vec(), second.to_vec(), vec![]]).len(),
                expected,
                "{first:?} {second:?}"
            );
        };
        let leads = |at| word(at, true, 1);
        check(&[leads(0), leads(10)], &[leads(5)], 1);
        check(&[leads(0), leads(10)], &[word(5, false, 1)], 0);
        check(&[leads(0)], &[leads(5), leads(7)], 0);
        check(&[leads(0), word(3, false, 1), leads(10)], &[leads(5)], 0);
        // Another life of the first one may have been elected meanwhile.
        check(&[leads(0), word(10, true, 2)], &[leads(5)], 0);
        // Which of two words at one moment came first is not known.
        check(&[leads(0), leads(10)], &[Word { asked: 0, ..leads(5) }], 0);
    }
}
