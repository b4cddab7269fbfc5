//! On glommio: its files hand out buffers of their own, so a small body is copied behind its head to be sent at once, and the head of
//! a large one is sent before it.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use glommio::io::DmaFile;
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use super::wire::{Job, Picker, REQUEST_BYTES, chunks, head, is_whole};
use crate::error::{PerfError, Result};

/// Up to here a copy costs less than one more send.
const COPIED_MAX: usize = 64 << 10;

struct Shared {
    files: Vec<DmaFile>,
    picker: Picker,
    size: usize,
    head: Vec<u8>,
}

/// Serves until the process ends.
pub(crate) fn serve(job: Job, dir: &Path) -> Result<()> {
    let builder = LocalExecutorBuilder::new(Placement::Fixed(job.cpu)).spin_before_park(Duration::ZERO);
    let executor = builder.make().map_err(refused)?;
    let paths = super::files::list(dir)?;
    executor.run(async move {
        let mut files = Vec::new();
        for path in &paths {
            files.push(DmaFile::open(path).await.map_err(refused)?);
        }
        let shared =
            Rc::new(Shared { picker: Picker::new(files.len()), files, size: job.size, head: head(job.size) });
        let listener = TcpListener::bind(job.listen).map_err(refused)?;
        loop {
            let socket = listener.accept().await.map_err(refused)?;
            socket.set_nodelay(true).map_err(refused)?;
            let shared = shared.clone();
            glommio::spawn_local(async move {
                let _ = shared.connection(socket).await;
            })
            .detach();
        }
    })
}

fn refused(error: glommio::GlommioError<()>) -> PerfError {
    PerfError::Refused(format!("glommio: {error}"))
}

impl Shared {
    async fn connection(&self, mut socket: TcpStream) -> io::Result<()> {
        let mut request = vec![0u8; REQUEST_BYTES];
        let mut joined = Vec::with_capacity(self.head.len() + COPIED_MAX);
        loop {
            let mut filled = 0;
            while !is_whole(&request[..filled]) {
                match socket.read(&mut request[filled..]).await? {
                    0 => return Ok(()),
                    count => filled += count,
                }
            }
            self.answer(&mut socket, &mut joined).await?;
        }
    }

    async fn answer(&self, socket: &mut TcpStream, joined: &mut Vec<u8>) -> io::Result<()> {
        let file = &self.files[self.picker.next()];
        for (offset, len) in chunks(self.size) {
            let body =
                file.read_at_aligned(offset, len).await.map_err(|e| io::Error::other(e.to_string()))?;
            if body.len() != len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.size <= COPIED_MAX {
                joined.clear();
                joined.extend_from_slice(&self.head);
                joined.extend_from_slice(&body);
                socket.write_all(joined).await?;
            } else {
                if offset == 0 {
                    socket.write_all(&self.head).await?;
                }
                socket.write_all(&body).await?;
            }
        }
        Ok(())
    }
}
