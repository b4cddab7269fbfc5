//! A response on its way: its head goes with the first bytes of the body.

use std::ops::Range;

use crate::conn::{BULK_BYTES_MIN, Conn};
use crate::disk::RingBuf;
use crate::fail::Failure;

/// What was sent of a response.
pub(super) struct Outgoing<'c> {
    pub(super) conn: &'c Conn,
    head: Option<Vec<u8>>,
    /// Bytes of the body that left.
    pub(super) sent: u64,
}

impl<'c> Outgoing<'c> {
    pub(super) fn new(conn: &'c Conn, head: Vec<u8>) -> Self {
        Self { conn, head: Some(head), sent: 0 }
    }

    /// A body whose head has left already.
    pub(super) fn headless(conn: &'c Conn) -> Self {
        Self { conn, head: None, sent: 0 }
    }

    /// Whether the client may have seen the head.
    pub(super) fn head_left(&self) -> bool {
        self.head.is_none()
    }

    /// Sends the next bytes of the body.
    pub(super) async fn send(&mut self, buf: RingBuf, range: Range<usize>) -> Result<(), Failure> {
        let len = range.len() as u64;
        let mut left = range;
        if len > BULK_BYTES_MIN as u64 {
            self.head_alone().await?;
        } else if let Some(head) = self.head.take() {
            let sent = self.conn.send_now(&head, buf.get(left.clone()).unwrap_or_default(), false)?;
            match sent.checked_sub(head.len()) {
                Some(of_body) => left.start += of_body,
                // The socket is full of an earlier answer.
                None => self.conn.send_head(head.get(sent..).unwrap_or_default()).await?,
            }
        }
        if !left.is_empty() {
            self.conn.send(buf.0, left).await?;
        }
        self.sent += len;
        Ok(())
    }

    /// The same without copying; whether the kernel copied all the same.
    pub(super) async fn send_zero_copy(
        &mut self,
        buf: RingBuf,
        range: Range<usize>,
    ) -> Result<bool, Failure> {
        self.head_alone().await?;
        let len = range.len() as u64;
        let copied = self.conn.send_zero_copy(buf.0, range).await?;
        self.sent += len;
        Ok(copied)
    }

    /// Sends bytes that stay where they are, as much as the socket takes at once, and copies the rest.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let head = self.head.take().unwrap_or_default();
        self.conn.send_two(&head, bytes).await?;
        self.sent += bytes.len() as u64;
        Ok(())
    }

    /// Sends the head before bytes that leave another way.
    pub(super) async fn head_alone(&mut self) -> Result<(), Failure> {
        match self.head.take() {
            Some(head) => Ok(self.conn.send_head(&head).await?),
            None => Ok(()),
        }
    }

    /// Sends a head that no body followed.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        match self.head.take() {
            Some(head) => Ok(self.conn.send_bytes(&head).await?),
            None => Ok(()),
        }
    }
}
