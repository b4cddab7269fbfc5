//! The live view: one line of figures that changes with every second, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::Progress;
use crate::text;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Shows how a run goes on.
pub(crate) struct View {
    bar: Option<ProgressBar>,
    visible: bool,
    /// Put before the figures.
    label: String,
}

impl View {
    pub(crate) fn new(visible: bool) -> Self {
        Self { bar: None, visible, label: String::new() }
    }

    /// Says what comes next, before the figures.
    pub(crate) fn label(&mut self, text: &str) {
        self.label = format!("{text}: ");
    }

    pub(crate) fn show(&mut self, progress: Progress<'_>) {
        if !self.visible {
            return;
        }
        match progress {
            Progress::Prefill(names) => self.replace(None, format!("writing {names} objects")),
            Progress::Begin(warmup, duration) => {
                let note = if warmup.is_zero() { "" } else { "warming up" };
                self.replace(duration, note.to_owned());
            }
            Progress::Second(row) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(row.second);
                    let (requests, gib) = (row.requests_per_second, row.gib_per_second);
                    let errors =
                        if row.errors > 0 { format!("   {} errors", row.errors) } else { String::new() };
                    let latency = text::latency(&row.latency_us);
                    bar.set_message(format!(
                        "{}{requests:.0}/s   {gib:.3} GiB/s   {latency}{errors}",
                        self.label
                    ));
                }
            }
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn replace(&mut self, duration: Option<Duration>, message: String) {
        self.end();
        let (bar, template) = match duration {
            Some(duration) => (ProgressBar::new(duration.as_secs()), "{bar:20} {pos}/{len} s   {msg}"),
            None => (ProgressBar::new_spinner(), "{spinner} {elapsed}   {msg}"),
        };
        // A template of ours that could not be read would leave indicatif's own.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(TICK);
        bar.set_message(format!("{}{message}", self.label));
        self.bar = Some(bar);
    }
}
