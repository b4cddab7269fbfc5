//! A report: what was measured, where, how, and what came out, as text, as data and as plots.

pub(crate) mod plot;
pub(crate) mod table;

use std::path::PathBuf;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{PerfError, Result};
use crate::options::Common;
use crate::rig::command;
use crate::rig::machine::Machine;

/// A report in the making. Its directory is `<reports>/<name>`, with `-<part>` when it is a part of the whole, and with `-quick`
/// when it is for a look and not for judging.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    title: &'static str,
    dir: PathBuf,
    quick: bool,
    started: OffsetDateTime,
    begin: std::time::Instant,
    parts: Vec<String>,
    plots: Vec<(String, String)>,
    data: Vec<Value>,
}

impl Report {
    pub(crate) fn new(name: &'static str, title: &'static str, common: &Common) -> Self {
        // What was recorded before belongs to another report.
        command::take_record();
        Self {
            name,
            title,
            dir: common.report_dir(name),
            quick: common.quick,
            started: OffsetDateTime::now_utc(),
            begin: std::time::Instant::now(),
            parts: Vec::new(),
            plots: Vec::new(),
            data: Vec::new(),
        }
    }

    /// A paragraph, a heading or a table.
    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.parts.push(text.into());
    }

    /// A plot, shown where it is added.
    pub(crate) fn plot(&mut self, file: &str, alt: &str, svg: String) {
        self.parts.push(format!("![{alt}]({file}.svg)"));
        self.plots.push((format!("{file}.svg"), svg));
    }

    /// One row of the data file.
    pub(crate) fn row(&mut self, row: Value) {
        self.data.push(row);
    }

    /// Writes report.md, data.json, commands.txt and the plots; gives the directory.
    pub(crate) fn write(self) -> Result<PathBuf> {
        let dir = self.dir.clone();
        // Plots of an earlier run that this one does not have would be taken for its own.
        if dir.is_dir() {
            for entry in std::fs::read_dir(&dir).map_err(PerfError::io(dir.display().to_string()))?.flatten()
            {
                if entry.path().extension().is_some_and(|e| e == "svg") {
                    std::fs::remove_file(entry.path()).map_err(PerfError::io("old plot"))?;
                }
            }
        }
        std::fs::create_dir_all(&dir).map_err(PerfError::io(dir.display().to_string()))?;
        let put = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(PerfError::io(path.display().to_string()))
        };
        let commands = commands(&command::take_record());
        let head = self.head();
        put("commands.txt", &commands)?;
        put("report.md", &format!("{}\n{}\n", head.text(self.title), self.parts.join("\n\n")))?;
        let data =
            json!({ "report": self.name, "quick": self.quick, "head": head.json(), "rows": self.data });
        put("data.json", &format!("{data:#}\n"))?;
        for (name, svg) in &self.plots {
            put(name, svg)?;
        }
        Ok(dir)
    }

    fn head(&self) -> Head {
        Head {
            quick: self.quick,
            machine: Machine::here(),
            date: self.started.format(&Rfc3339).unwrap_or_default(),
            minutes: self.begin.elapsed().as_secs_f64() / 60.0,
            commit: commit(),
            invoked: invoked(),
            tools: tools(),
        }
    }
}

/// The circumstances of a report.
#[derive(Debug)]
struct Head {
    quick: bool,
    machine: Machine,
    date: String,
    minutes: f64,
    commit: String,
    invoked: String,
    tools: String,
}

impl Head {
    fn text(&self, title: &str) -> String {
        let quick = if self.quick {
            "> **Quick pass**: few and short runs, to see that it works. No figure of it is for judging.\n\n"
        } else {
            ""
        };
        format!(
            "# {title}\n\n{quick}| | |\n|---|---|\n| machine | {} |\n| date | {}, took {:.0} minutes |\n| commit | {} |\n\
             | command | `{}`; every single one in [commands.txt](commands.txt) |\n| tools | {} |\n",
            self.machine, self.date, self.minutes, self.commit, self.invoked, self.tools
        )
    }

    fn json(&self) -> Value {
        json!({
            "machine": self.machine, "date": self.date, "minutes": self.minutes, "commit": self.commit,
            "command": self.invoked, "tools": self.tools,
        })
    }
}

/// The commit that is checked out, and whether the tree differs from it.
pub(crate) fn commit() -> String {
    let git = |arguments: &str| {
        let mut command = std::process::Command::new("git");
        command.arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments.split(' '));
        let said = command.output().ok().filter(|o| o.status.success()).map(|o| o.stdout);
        said.map(|s| String::from_utf8_lossy(&s).trim().to_owned())
    };
    match (
        git("rev-parse --short=12 HEAD"),
        git("status --porcelain --untracked-files=no -- :/ :!/perf/reports"),
    ) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with changes"),
        _ => "unknown".into(),
    }
}

fn invoked() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo run --release -p weir-perf -- {}", arguments.join(" "))
}

fn tools() -> String {
    let version = |program: &str, flag: &str| {
        let path = crate::rig::place::find(program)?;
        let output = std::process::Command::new(path).arg(flag).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&said).lines().next()?.trim().replace("nginx version: ", ""))
    };
    let all = [("fio", "--version"), ("nginx", "-v"), ("valgrind", "--version"), ("mkfs.xfs", "-V")];
    all.iter().filter_map(|(program, flag)| version(program, flag)).collect::<Vec<_>>().join(", ")
}

/// The record as lines, each once, with how often it was run.
fn commands(record: &[String]) -> String {
    let mut lines: Vec<(&str, usize)> = Vec::new();
    for line in record {
        match lines.iter_mut().find(|(known, _)| known == line) {
            Some((_, count)) => *count += 1,
            None => lines.push((line, 1)),
        }
    }
    let lines = lines.iter().map(|(line, count)| match count {
        1 => format!("{line}\n"),
        _ => format!("{line}   # {count} times\n"),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_commands_stand_once() {
        let record = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(commands(&record), "a   # 2 times\nb\n");
    }

    #[test]
    fn a_report_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let common = Common {
            part: Some("y".into()),
            quick: true,
            reports: dir.path().to_owned(),
            base: dir.path().to_owned(),
            weir: None,
            server_cpu: 0,
            load_cpu: 1,
        };
        let mut report = Report::new("x", "X", &common);
        report.text("words");
        report.plot("p", "a plot", "<svg/>".into());
        report.row(json!({"a": 1}));
        std::fs::create_dir(dir.path().join("x-y-quick")).unwrap();
        std::fs::write(dir.path().join("x-y-quick/old.svg"), "").unwrap();
        let at = report.write().unwrap();
        assert_eq!(at, dir.path().join("x-y-quick"));
        let text = std::fs::read_to_string(at.join("report.md")).unwrap();
        for word in ["# X", "Quick pass", "words", "![a plot](p.svg)", "| commit |", "| machine |"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let data: Value = serde_json::from_slice(&std::fs::read(at.join("data.json")).unwrap()).unwrap();
        assert_eq!(data["rows"][0]["a"], 1);
        assert!(at.join("p.svg").exists() && !at.join("old.svg").exists());
    }
}
