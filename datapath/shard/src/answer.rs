//! Whole answers: status, fields and a body that is at hand.

use std::fmt;

use bytes::Bytes;
use weir_http::{BodyLength, HttpError, Method, ResponseHead};

use crate::conn::{Conn, ConnError};

/// An answer whose body, if any, is in memory.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// What `Content-Length` says where no body is sent (HEAD).
    pub(crate) length: Option<u64>,
    /// The connection ends after it.
    pub(crate) close: bool,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, kind: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("Content-Type", kind)
    }

    /// Writes the head; fields that no head can carry are left out and reported.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, method: Method, date: &str, keep: bool) {
        let length = match self.status {
            100..200 | 204 | 304 => BodyLength::Absent,
            _ => BodyLength::Length(self.length.unwrap_or(self.body.len() as u64)),
        };
        let fields = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        write_head(out, self.status, date, fields, length, keep);
        if method != Method::Head && length != BodyLength::Absent {
            out.extend_from_slice(&self.body);
        }
    }

    /// Sends it.
    pub(crate) async fn send(
        &self,
        conn: &Conn,
        method: Method,
        date: &str,
        keep: bool,
    ) -> Result<(), ConnError> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        self.write_head(&mut out, method, date, keep);
        conn.send_bytes(&out).await
    }
}

/// Writes a response head from its parts.
pub(crate) fn write_head<'f>(
    out: &mut Vec<u8>,
    status: u16,
    date: &str,
    fields: impl Iterator<Item = (&'f str, &'f str)>,
    length: BodyLength,
    keep: bool,
) {
    let mut head = start_head(out, status, date);
    for (name, value) in fields {
        add_field(&mut head, name, value);
    }
    head.finish(length, keep);
}

/// Begins a response head.
pub(crate) fn start_head<'o>(out: &'o mut Vec<u8>, status: u16, date: &str) -> ResponseHead<'o> {
    let mut head = ResponseHead::new(out, status);
    report("Date", head.date(date).map(drop));
    head
}

/// Adds a field; one that no head can carry is left out and reported.
pub(crate) fn add_field(head: &mut ResponseHead<'_>, name: &str, value: impl fmt::Display) {
    report(name, head.header_display(name, value).map(drop));
}

/// Reports a field that was left out.
pub(crate) fn report(name: &str, done: Result<(), HttpError>) {
    if let Err(error) = done {
        tracing::warn!("response field {name:?} left out: {error}");
    }
}
