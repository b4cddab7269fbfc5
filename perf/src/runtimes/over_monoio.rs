//! On monoio: reads into plain buffers (it has no registered ones), the head put before the chunk, one send for both.

use std::io;
use std::rc::Rc;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::fs::File;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};

use super::CHUNK;
use super::wire::{ALIGN, Job, Picker, REQUEST_BYTES, chunks, head, is_whole};
use crate::error::{PerfError, Result};

struct Shared {
    files: Vec<File>,
    picker: Picker,
    size: usize,
    head: Vec<u8>,
}

/// Serves until the process ends. The report has bound the process to its core.
pub(crate) fn serve(job: Job) -> Result<()> {
    let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(1024);
    let mut runtime = builder.build().map_err(PerfError::io("monoio"))?;
    runtime.block_on(async move {
        let picker = Picker::new(job.files.len());
        let files: io::Result<Vec<File>> = job.files.into_iter().map(File::from_std).collect();
        let shared = Rc::new(Shared {
            files: files.map_err(PerfError::io("files"))?,
            picker,
            size: job.size,
            head: head(job.size),
        });
        let options = ListenerOpts::new().reuse_addr(true);
        let listener =
            TcpListener::bind_with_config(job.listen, &options).map_err(PerfError::io("listen"))?;
        loop {
            let (socket, _) = listener.accept().await.map_err(PerfError::io("accept"))?;
            socket.set_nodelay(true).map_err(PerfError::io("nodelay"))?;
            let shared = shared.clone();
            monoio::spawn(async move {
                let _ = shared.connection(socket).await;
            });
        }
    })
}

impl Shared {
    async fn connection(&self, mut socket: TcpStream) -> io::Result<()> {
        let mut request = vec![0u8; REQUEST_BYTES].into_boxed_slice();
        let mut body = vec![0u8; ALIGN + ALIGN + CHUNK].into_boxed_slice();
        // Where in the buffer a chunk is aligned, with room for a head before it.
        let start = ALIGN + (ALIGN - body.as_ptr().addr() % ALIGN) % ALIGN;
        loop {
            let mut filled = 0;
            while !is_whole(&request[..filled]) {
                if filled == REQUEST_BYTES {
                    return Ok(());
                }
                let (count, back) = socket.read(request.slice_mut(filled..)).await;
                request = back.into_inner();
                match count? {
                    0 => return Ok(()),
                    count => filled += count,
                }
            }
            body = self.answer(&mut socket, body, start).await?;
        }
    }

    async fn answer(
        &self,
        socket: &mut TcpStream,
        mut body: Box<[u8]>,
        start: usize,
    ) -> io::Result<Box<[u8]>> {
        let file = &self.files[self.picker.next()];
        for (offset, len) in chunks(self.size) {
            let (count, back) = file.read_at(body.slice_mut(start..start + len), offset).await;
            body = back.into_inner();
            if count? != len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let from = if offset == 0 { start - self.head.len() } else { start };
            if offset == 0 {
                body[from..start].copy_from_slice(&self.head);
            }
            let (sent, back) = socket.write_all(body.slice(from..start + len)).await;
            body = back.into_inner();
            sent?;
        }
        Ok(body)
    }
}
