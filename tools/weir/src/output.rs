//! Standard output, for people or as JSON. Progress and errors go to standard error.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::ToolError;

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// One result: `value` as JSON, or what `people` writes.
    pub(crate) fn result(
        self,
        value: &impl Serialize,
        people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), ToolError> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = if self.json {
            serde_json::to_writer_pretty(&mut out, value)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        } else {
            people(&mut out)
        };
        written.and_then(|()| out.flush()).map_err(ToolError::Output)
    }

    /// A list whose end is not known yet.
    pub(crate) fn list(self) -> Lines {
        Lines { out: BufWriter::new(io::stdout()), json: self.json, some: false }
    }
}

/// A list on its way: an array in JSON, lines otherwise.
pub(crate) struct Lines {
    out: BufWriter<io::Stdout>,
    json: bool,
    some: bool,
}

impl Lines {
    /// One entry.
    pub(crate) fn entry(
        &mut self,
        value: &impl Serialize,
        line: impl FnOnce() -> String,
    ) -> Result<(), ToolError> {
        let written = if self.json {
            let open = if self.some { ",\n " } else { "[" };
            self.some = true;
            write!(self.out, "{open}")
                .and_then(|()| serde_json::to_writer(&mut self.out, value).map_err(io::Error::from))
        } else {
            writeln!(self.out, "{}", line())
        };
        written.map_err(ToolError::Output)
    }

    /// What has been printed becomes visible.
    pub(crate) fn flush(&mut self) -> Result<(), ToolError> {
        self.out.flush().map_err(ToolError::Output)
    }

    /// The end of the list.
    pub(crate) fn end(mut self) -> Result<(), ToolError> {
        let close = match (self.json, self.some) {
            (true, true) => "]\n",
            (true, false) => "[]\n",
            (false, _) => "",
        };
        self.out.write_all(close.as_bytes()).and_then(|()| self.out.flush()).map_err(ToolError::Output)
    }
}

/// Tells a failure and what to do about it. A standard error that cannot be written is nobody's any more.
pub(crate) fn failure(error: &ToolError, json: bool) {
    let hint = error.hint();
    let text = if json {
        let mut value = json!({ "error": error.to_string() });
        if let (Value::Object(fields), Some(hint)) = (&mut value, hint) {
            fields.insert("hint".into(), hint.into());
        }
        value.to_string()
    } else {
        let hint = hint.map(|h| format!("\n       {h}")).unwrap_or_default();
        format!("error: {error}{hint}")
    };
    drop(writeln!(io::stderr(), "{text}"));
}

/// Bytes for people: `12.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Bytes in a time for people: `12.3 MiB/s`.
pub(crate) fn speed(bytes: u64, seconds: f64) -> String {
    let per_second = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
    format!("{}/s", size(per_second as u64))
}

/// Names come from the node: control characters do not reach a terminal.
pub(crate) fn printable(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        let check = |bytes, text: &str| assert_eq!(size(bytes), text);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check((1 << 20) - 1, "1.0 MiB");
        check(3 << 29, "1.5 GiB");
        check(u64::MAX, "16384.0 PiB");
        assert_eq!(speed(10 << 20, 2.0), "5.0 MiB/s");
        assert_eq!(speed(1, 0.0), "0 B/s");
        assert_eq!(printable("a\u{1b}[2Jé"), "a\\u{1b}[2Jé");
    }
}
