//! The last of this process's log, for those who ask a node for it: two pages of a bounded size, of all lines and of what is
//! severe. The log itself goes to standard error.

use std::io::{self, Write};
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use weir_ais::AisError;
use weir_types::limits::LOG_PAGE_BYTES;

use crate::runtime::now_ns;

/// The last lines of a log. A process has one: [`LogTail::of_process`].
#[derive(Debug)]
pub struct LogTail {
    all: Mutex<Pages>,
    severe: Mutex<Pages>,
}

/// A page that grows, and the one before it.
#[derive(Debug)]
struct Pages {
    now: Vec<u8>,
    before: Vec<u8>,
}

impl Pages {
    fn new() -> Self {
        Self { now: first_line("Started up"), before: Vec::new() }
    }

    fn add(&mut self, line: &[u8]) {
        let line = line.get(..LOG_PAGE_BYTES / 2).unwrap_or(line);
        if self.now.len() + line.len() > LOG_PAGE_BYTES {
            self.rotate();
        }
        self.now.extend_from_slice(line);
    }

    fn rotate(&mut self) {
        self.before = std::mem::replace(&mut self.now, first_line("Rotated"));
    }
}

fn first_line(what: &str) -> Vec<u8> {
    format!("{what} at {}, weir {}\n", weir_ais::rfc3339(now_ns()), env!("CARGO_PKG_VERSION")).into_bytes()
}

impl LogTail {
    fn new() -> Self {
        Self { all: Mutex::new(Pages::new()), severe: Mutex::new(Pages::new()) }
    }

    /// That of this process. It begins when it is first asked for.
    pub fn of_process() -> &'static Self {
        static LOG: OnceLock<LogTail> = OnceLock::new();
        LOG.get_or_init(Self::new)
    }

    /// Adds a line with its end; `severe`: a warning or an error.
    pub fn add(&self, line: &[u8], severe: bool) {
        self.all.lock().add(line);
        if severe {
            self.severe.lock().add(line);
        }
    }

    /// The page that grows, from a byte of it on.
    pub(crate) fn text(&self, severe: bool, offset: u64) -> Result<Vec<u8>, AisError> {
        let pages = self.pages(severe).lock();
        let rest = usize::try_from(offset).ok().and_then(|offset| pages.now.get(offset..));
        rest.map(<[u8]>::to_vec).ok_or_else(|| {
            AisError::Bad(format!(
                "offset={offset}: the log has {} bytes, it was likely rotated",
                pages.now.len()
            ))
        })
    }

    /// Both pages, as files of a tar.gz.
    pub(crate) fn archive(&self, severe: bool) -> io::Result<Vec<u8>> {
        let name = if severe { "ERROR" } else { "INFO" };
        let (before, now) = {
            let pages = self.pages(severe).lock();
            (pages.before.clone(), pages.now.clone())
        };
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (file, text) in [(format!("weir.{name}.1"), before), (format!("weir.{name}"), now)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o640);
            header.set_mtime(now_ns() / 1_000_000_000);
            archive.append_data(&mut header, file, text.as_slice())?;
        }
        archive.into_inner()?.finish()
    }

    /// Begins new pages.
    pub(crate) fn rotate(&self) {
        self.all.lock().rotate();
        self.severe.lock().rotate();
    }

    fn pages(&self, severe: bool) -> &Mutex<Pages> {
        if severe { &self.severe } else { &self.all }
    }
}

/// Takes one line, however many pieces it comes in, and adds it at the end.
#[derive(Debug)]
pub struct LogLine {
    log: &'static LogTail,
    line: Vec<u8>,
    severe: bool,
}

impl LogLine {
    /// A line of the process's log.
    pub fn new(severe: bool) -> Self {
        Self { log: LogTail::of_process(), line: Vec::new(), severe }
    }
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        self.log.add(&self.line, self.severe);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn pages_are_bounded_and_turned() {
        let log = LogTail::new();
        log.add(b"one\n", false);
        log.add(b"two\n", true);
        let text = String::from_utf8(log.text(false, 0).unwrap()).unwrap();
        assert!(text.starts_with("Started up at 2") && text.ends_with("\none\ntwo\n"), "{text}");
        let severe = String::from_utf8(log.text(true, 0).unwrap()).unwrap();
        assert!(severe.ends_with("\ntwo\n") && !severe.contains("one"), "{severe}");
        let end = text.len() as u64;
        assert_eq!(log.text(false, end - 4).unwrap(), b"two\n");
        assert_eq!(log.text(false, end).unwrap(), b"");
        assert!(log.text(false, end + 1).unwrap_err().to_string().contains("rotated"));
        let line = vec![b'x'; 1000];
        (0..LOG_PAGE_BYTES / 500).for_each(|_| log.add(&line, false));
        let pages = log.all.lock();
        assert!(pages.now.len() <= LOG_PAGE_BYTES && pages.before.len() <= LOG_PAGE_BYTES);
        assert!(pages.now.starts_with(b"Rotated at "));
    }

    #[test]
    fn an_archive_has_both_pages() {
        let log = LogTail::new();
        log.add(b"before\n", true);
        log.rotate();
        log.add(b"after\n", true);
        let archive = log.archive(true).unwrap();
        let mut files = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
        let texts = files.entries().unwrap().map(|file| {
            let mut file = file.unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            (file.path().unwrap().display().to_string(), text)
        });
        let texts: Vec<_> = texts.collect();
        assert!(texts[0].0 == "weir.ERROR.1" && texts[0].1.ends_with("before\n"), "{texts:?}");
        assert!(texts[1].0 == "weir.ERROR" && texts[1].1.ends_with("after\n"), "{texts:?}");
    }
}
