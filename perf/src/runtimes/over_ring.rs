//! On our own reactor: reads by a ring of the disk into registered buffers, the head put before the chunk, one send for both.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use weir_ring::{Buf, DiskRing, Fd, Handle, Reactor, ReactorConfig, sys};

use super::CHUNK;
use super::wire::{ALIGN, Job, Picker, REQUEST_BYTES, chunks, head, is_whole};
use crate::error::{PerfError, Result};

/// Connections at once: each keeps one buffer.
const CONNECTIONS: usize = 128;

struct Shared {
    handle: Handle,
    disk: DiskRing,
    files: Vec<Fd>,
    picker: Picker,
    size: usize,
    head: Vec<u8>,
}

/// Serves until the process ends.
pub(crate) fn serve(job: Job) -> Result<()> {
    let config = ReactorConfig {
        spin: Duration::ZERO,
        buffers: CONNECTIONS,
        buffer_bytes: ALIGN + CHUNK,
        cpu: Some(job.cpu),
        ..ReactorConfig::default()
    };
    let reactor = Reactor::new(&config).map_err(|e| PerfError::Refused(e.to_string()))?;
    let handle = reactor.handle();
    let disk = handle.disk_ring().map_err(|e| PerfError::Refused(e.to_string()))?;
    let shared = Rc::new(Shared {
        disk,
        picker: Picker::new(job.files.len()),
        files: job.files.into_iter().map(Fd::from).collect(),
        size: job.size,
        head: head(job.size),
        handle: handle.clone(),
    });
    reactor.block_on(async move {
        let listener = handle.listen(job.listen, 1024).map_err(PerfError::io("listen"))?;
        loop {
            let (socket, _) = handle.accept(&listener).await.map_err(PerfError::io("accept"))?;
            sys::nodelay(&socket, true).map_err(PerfError::io("nodelay"))?;
            let shared = shared.clone();
            // Beyond the bound on tasks the connection is closed.
            let _ = handle.spawn(async move {
                let _ = shared.connection(&socket).await;
            });
        }
    })
}

impl Shared {
    async fn connection(&self, socket: &Fd) -> io::Result<()> {
        let mut request = self.handle.buffers().heap(REQUEST_BYTES);
        let mut body = self.handle.buffers().take().await;
        loop {
            request.set_len(0);
            while !is_whole(&request) {
                let at = request.len();
                if at == REQUEST_BYTES {
                    return Ok(());
                }
                let (count, back) = self.handle.recv(socket, request, at, REQUEST_BYTES - at).await;
                request = back;
                if count? == 0 {
                    return Ok(());
                }
            }
            body = self.answer(socket, body).await?;
        }
    }

    async fn answer(&self, socket: &Fd, mut body: Buf) -> io::Result<Buf> {
        let file = &self.files[self.picker.next()];
        for (offset, len) in chunks(self.size) {
            let (count, back) = self.disk.read(file, body, ALIGN, len, offset).await;
            body = back;
            if count? != len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let from = if offset == 0 { ALIGN - self.head.len() } else { ALIGN };
            if offset == 0 {
                body[from..ALIGN].copy_from_slice(&self.head);
            }
            let (sent, back) = self.handle.send_all(socket, body, from..ALIGN + len).await;
            body = back;
            sent?;
        }
        Ok(body)
    }
}
