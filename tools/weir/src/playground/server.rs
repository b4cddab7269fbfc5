//! The embedded S3 server: s3s-fs over hyper, on loopback, on a thread of its own, with a key made for this run.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::Rng;
use rand::distr::Alphanumeric;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::{Semaphore, oneshot};

use crate::error::ToolError;

/// Connections at once; the node in front uses fewer.
const CONNECTIONS_MAX: usize = 512;

/// The running server; stops when dropped.
pub(super) struct Server {
    addr: SocketAddr,
    pub(super) access_key: String,
    pub(super) secret_key: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the buckets below `root` on a free port.
    pub(super) fn start(root: &Path) -> Result<Self, ToolError> {
        let fail = |e: &dyn std::fmt::Display| ToolError::Node(format!("the sample's S3 server: {e}"));
        let files = s3s_fs::FileSystem::new(root).map_err(|e| fail(&format!("{e:?}")))?;
        let (access_key, secret_key) = (random(20), random(40));
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(access_key.as_str(), secret_key.as_str()));
        let service = service.build();

        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|e| fail(&e))?;
        listener.set_nonblocking(true).map_err(|e| fail(&e))?;
        let addr = listener.local_addr().map_err(|e| fail(&e))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| fail(&e))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("sample-origin".into());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, service) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self {
            addr,
            access_key,
            secret_key,
            stop: Some(stop),
            thread: Some(thread.map_err(|e| fail(&e))?),
        })
    }

    /// Its endpoint.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the sample's S3 server had panicked");
        }
    }
}

async fn accept(listener: TcpListener, service: S3Service) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the sample's S3 server"),
    };
    let room = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(permit) = room.clone().acquire_owned().await {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of descriptors, for one: it passes.
                tracing::warn!(%error, "the sample's S3 server");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        drop(socket.set_nodelay(true));
        let service = service.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "the sample's S3 server");
            }
        });
    }
}

fn random(len: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(len).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;
    use weir_origin::{Credentials, OriginConfig, OriginError, Origins, OriginsConfig, RemoteBucket};
    use weir_types::{Bucket, BucketName, ObjectName, Provider};

    use super::*;

    #[test]
    fn the_sample_is_served_to_whoever_has_the_key() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sample")).unwrap();
        std::fs::write(dir.path().join("sample/o"), "hello").unwrap();
        let server = Server::start(dir.path()).unwrap();
        let bucket = RemoteBucket::of(&Bucket::global(Provider::Aws, BucketName::new("sample").unwrap()));
        let head = |credentials: Credentials| {
            let origin = OriginConfig { credentials, ..OriginConfig::s3(server.url()) };
            let origins =
                Origins::start(OriginsConfig { origins: vec![origin], ..OriginsConfig::default() }).unwrap();
            block_on(origins.handle().head(&bucket, &ObjectName::new("o").unwrap())).map(|facts| facts.size)
        };
        assert_eq!(head(Credentials::key(&*server.access_key, &*server.secret_key)), Ok(5));
        assert!(matches!(head(Credentials::Anonymous), Err(OriginError::Denied { .. })));
        let other = Server::start(dir.path()).unwrap();
        assert_ne!((&server.access_key, &server.secret_key), (&other.access_key, &other.secret_key));
        let closed = server.addr;
        drop(server);
        assert!(std::net::TcpStream::connect(closed).is_err());
    }
}
