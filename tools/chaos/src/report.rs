//! What all rounds together came to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::events::Kind;
use crate::findings::Finding;
use crate::round::Outcome;

/// For no longer may reads of objects fail that are not on the lost node.
const UNREAD_AIM: Duration = Duration::from_secs(1);
/// Within this time another leads.
const LED_AIM: Duration = Duration::from_secs(3);

/// Figures of the rounds of one kind.
#[derive(Debug, Default)]
pub struct Total {
    rounds: u64,
    bad: u64,
    operations: u64,
    failed: u64,
    acknowledged: u64,
    findings: [u64; Finding::ALL.len()],
    unread: Vec<Duration>,
    led_after: Vec<Duration>,
}

impl Total {
    /// Adds a round.
    pub fn add(&mut self, outcome: &Outcome) {
        self.rounds += 1;
        self.bad += u64::from(!outcome.is_good());
        self.operations += outcome.operations;
        self.failed += outcome.failed;
        self.acknowledged += outcome.acknowledged;
        self.findings.iter_mut().zip(outcome.findings).for_each(|(all, more)| *all += more);
        self.unread.push(outcome.unread);
        self.led_after.extend(outcome.led_after);
    }

    fn line(&self) -> String {
        let Self { rounds, bad, operations, failed, acknowledged, findings, unread, led_after } = self;
        let found: Vec<String> = Finding::ALL
            .iter()
            .zip(findings)
            .map(|(finding, count)| format!("{count} {}", finding.name()))
            .collect();
        let led = match (led_after.iter().min(), led_after.iter().max()) {
            (Some(least), Some(most)) => format!(
                "; another leader within {} to {} ms{}",
                least.as_millis(),
                most.as_millis(),
                over(led_after, LED_AIM)
            ),
            _ => String::new(),
        };
        format!(
            "{rounds} rounds, {bad} of them bad; {operations} operations judged, {failed} without an outcome; \
             {acknowledged} objects acknowledged; {}; reads off lost nodes failed for {} ms at most{}{led}",
            found.join(", "),
            unread.iter().max().map_or(0, Duration::as_millis),
            over(unread, UNREAD_AIM)
        )
    }
}

/// How often it took longer than it should. A busy machine does that: no round is bad by it.
fn over(times: &[Duration], aim: Duration) -> String {
    let missed = times.iter().filter(|time| **time > aim).count();
    format!(" (aim {} ms, missed in {missed} of {})", aim.as_millis(), times.len())
}

/// Figures by kind.
#[derive(Debug, Default)]
pub struct Report {
    kinds: BTreeMap<Kind, Total>,
    all: Total,
}

impl Report {
    /// Adds a round.
    pub fn add(&mut self, outcome: &Outcome) {
        self.kinds.entry(outcome.kind).or_default().add(outcome);
        self.all.add(outcome);
    }

    /// Operations that were judged so far.
    pub fn operations(&self) -> u64 {
        self.all.operations
    }

    /// Good rounds, and bad ones.
    pub fn counts(&self) -> (u64, u64) {
        (self.all.rounds - self.all.bad, self.all.bad)
    }

    /// A line for each kind, and one for all.
    pub fn lines(&self) -> Vec<String> {
        let kinds = self.kinds.iter().map(|(kind, total)| format!("{}: {}", kind.name(), total.line()));
        kinds.chain([format!("all: {}", self.all.line())]).collect()
    }
}
