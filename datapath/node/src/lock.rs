//! What keeps a second process off the same directory and the same port.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::NodeError;

/// How long a listener of a process that is gone may still be there.
const PREDECESSOR_MAX: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(5);

/// Holds a directory and ports until dropped. The kernel lets go of both when the process dies.
#[derive(Debug)]
pub(crate) struct Locks {
    _dir: File,
    // An abstract socket named after the address: SO_REUSEPORT would let another process of the same user join in.
    _ports: Vec<UnixListener>,
}

impl Locks {
    /// Takes both or says who has to yield.
    pub(crate) fn take(dir: &Path, listen: impl IntoIterator<Item = SocketAddr>) -> Result<Self, NodeError> {
        let path = dir.join("lock");
        let io = |what: &Path, error| NodeError::Io { what: what.display().to_string(), error };
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| io(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let what = format!("directory {}", dir.display());
                return Err(NodeError::Locked { what, choose: "--dir" });
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(io(&path, e)),
        }
        let ports = listen.into_iter().map(port).collect::<Result<_, _>>()?;
        Ok(Self { _dir: file, _ports: ports })
    }
}

/// Holds one address, if it is free.
fn port(listen: SocketAddr) -> Result<UnixListener, NodeError> {
    let io = |what: &Path, error| NodeError::Io { what: what.display().to_string(), error };
    {
        let taken = || NodeError::Locked { what: format!("address {listen}"), choose: "--port" };
        let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("weir-{}", listen.port()))
            .map_err(|e| io(Path::new("abstract socket"), e))?;
        let port = UnixListener::bind_addr(&name).map_err(|_| taken())?;
        // A foreign server on the port is found by a plain bind. So is our own predecessor: a killed process's listeners
        // outlive it for the moments that the kernel takes to wind up its rings.
        let give_up = Instant::now() + PREDECESSOR_MAX;
        loop {
            match TcpListener::bind(listen) {
                Ok(_) => return Ok(port),
                Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < give_up => sleep(RETRY),
                Err(e) if e.kind() == ErrorKind::AddrInUse => return Err(taken()),
                Err(error) => return Err(NodeError::Io { what: format!("listen on {listen}"), error }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_refused() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        let busy = Locks::take(a.path(), [addr]).unwrap_err().to_string();
        assert!(busy.contains(&addr.to_string()), "{busy}");
        drop(free);
        let held = Locks::take(a.path(), [addr]).unwrap();
        let dir = Locks::take(a.path(), [addr]).unwrap_err().to_string();
        assert!(dir.contains("directory"), "{dir}");
        let port = Locks::take(b.path(), [addr]).unwrap_err().to_string();
        assert!(port.contains("--port"), "{port}");
        drop(held);
        Locks::take(b.path(), [addr]).unwrap();
    }
}
