//! s3s-fs over hyper on a thread of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

/// The server; stops with the process.
pub(crate) struct Server {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// An anonymous one.
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// One that wants this key.
    pub(crate) fn with(key: Option<(&str, &str)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        if let Some((id, secret)) = key {
            builder.set_auth(SimpleAuth::from_single(id, secret));
        }
        let service = builder.build();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    drop(http.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        };
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
        });
        Self { dir, addr }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Makes a bucket.
    pub(crate) fn bucket(&self, name: &str) {
        std::fs::create_dir_all(self.dir.path().join(name)).unwrap();
    }

    /// Puts an object behind the server's back, as a new file: a body under way goes on with the old one.
    pub(crate) fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let path: PathBuf = self.dir.path().join(bucket).join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = self.dir.path().join("made-beside");
        std::fs::write(&made, bytes).unwrap();
        std::fs::rename(made, path).unwrap();
    }
}
