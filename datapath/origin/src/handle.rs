//! The way in: a handle whose calls run on the origin threads and answer by futures that need no runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use futures_channel::oneshot;
use futures_util::FutureExt;
use weir_types::limits::ORIGIN_CALLS_MAX;
use weir_types::{ObjectName, Provider, RangeSpec};

use crate::s3::{Client, Core};
use crate::{
    ListPage, ListQuery, OriginBucket, OriginError, OriginObject, OriginStats, OriginStream, OriginsConfig,
    RemoteBucket,
};

/// The running origin threads; dropping it ends them and every stream.
#[derive(Debug)]
pub struct Origins {
    handle: OriginsHandle,
    threads: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Origins {
    /// Starts the threads. Fails when an endpoint cannot be understood or a thread cannot be made; the endpoints are
    /// not contacted.
    pub fn start(config: OriginsConfig) -> Result<Self, OriginError> {
        let threads_max = config.threads.max(1);
        let core = Arc::new(Core::new(config)?);
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for n in 0..threads_max {
            let fail =
                |e: std::io::Error| OriginError::Config { place: "threads".into(), got: e.to_string() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
            workers.push((runtime.handle().clone(), Arc::new(Client::new(core.clone())?)));
            let (stop, stopped) = oneshot::channel();
            let thread = std::thread::Builder::new().name(format!("origin-{n}"));
            // The runtime is dropped by its own thread: that drops every task on it.
            let thread = thread.spawn(move || runtime.block_on(stopped).unwrap_or_default()).map_err(fail)?;
            threads.push((stop, thread));
        }
        let shared =
            Shared { core, workers, next: AtomicUsize::new(0), calls: Arc::new(AtomicUsize::new(0)) };
        Ok(Self { handle: OriginsHandle { shared: Arc::new(shared) }, threads })
    }

    /// What callers keep.
    pub fn handle(&self) -> OriginsHandle {
        self.handle.clone()
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        let threads: Vec<_> = self.threads.drain(..).map(|(stop, thread)| (stop.send(()), thread)).collect();
        for (_, thread) in threads {
            if thread.join().is_err() {
                tracing::error!("an origin thread had panicked");
            }
        }
    }
}

/// Asks origins. Calls start at once, on an origin thread; their futures may be polled anywhere and cancel the call
/// when dropped.
#[derive(Clone, Debug)]
pub struct OriginsHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    /// A runtime and its own connections per thread; never empty.
    workers: Vec<(tokio::runtime::Handle, Arc<Client>)>,
    next: AtomicUsize,
    calls: Arc<AtomicUsize>,
}

/// The answer of a call; dropping it cancels the call.
#[derive(Debug)]
pub struct Call<T>(Result<oneshot::Receiver<Result<T, OriginError>>, Option<OriginError>>);

impl<T> Future for Call<T> {
    type Output = Result<T, OriginError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(receiver) => receiver.poll_unpin(cx).map(|answer| answer.unwrap_or(Err(OriginError::Stopped))),
            Err(refusal) => Poll::Ready(Err(refusal.take().unwrap_or(OriginError::Stopped))),
        }
    }
}

impl<T> Unpin for Call<T> {}

impl OriginsHandle {
    /// Whether any origin of `provider` is configured.
    pub fn serves(&self, provider: Provider) -> bool {
        self.shared.core.serves(provider)
    }

    /// Buckets that the credentials of the origins of `provider` can list. Origins that do not let them be listed
    /// (anonymous, or by policy) count as having none; fails only when no origin answers.
    pub fn list_buckets(&self, provider: Provider) -> Call<Vec<OriginBucket>> {
        self.call(move |client| async move { client.list_buckets(provider).await })
    }

    /// Whether the bucket is there, and at which endpoint; `BucketNotFound` when no origin has it.
    pub fn head_bucket(&self, bucket: &RemoteBucket) -> Call<OriginBucket> {
        let bucket = bucket.clone();
        self.call(move |client| async move { client.head_bucket(&bucket).await })
    }

    /// One page of a listing.
    pub fn list_page(&self, bucket: &RemoteBucket, query: ListQuery) -> Call<ListPage> {
        let bucket = bucket.clone();
        self.call(move |client| async move { client.list_page(&bucket, &query).await })
    }

    /// Facts about an object.
    pub fn head(&self, bucket: &RemoteBucket, object: &ObjectName) -> Call<OriginObject> {
        let (bucket, object) = (bucket.clone(), object.clone());
        self.call(move |client| async move { client.head(&bucket, &object).await })
    }

    /// An object's bytes, whole or one range, of any version or (`if_match`: an ETag without quotes) of one.
    /// Resolves when the head has come. A body that breaks is taken up again by range and If-Match, a few times.
    /// Whole objects are checked against the origin's checksum where it keeps one.
    pub fn get(
        &self,
        bucket: &RemoteBucket,
        object: &ObjectName,
        range: Option<RangeSpec>,
        if_match: Option<String>,
    ) -> Call<OriginStream> {
        let (bucket, object) = (bucket.clone(), object.clone());
        self.call(move |client| async move { client.get(&bucket, &object, range, if_match).await })
    }

    /// Counters since start.
    pub fn stats(&self) -> OriginStats {
        self.shared.core.stats()
    }

    fn call<T, F>(&self, work: impl FnOnce(Arc<Client>) -> F) -> Call<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, OriginError>> + Send + 'static,
    {
        let shared = &*self.shared;
        let waiting = shared.calls.fetch_add(1, Ordering::Relaxed);
        let slot = CallSlot(shared.calls.clone());
        if waiting >= ORIGIN_CALLS_MAX {
            return Call(Err(Some(OriginError::Busy { waiting })));
        }
        let turn = shared.next.fetch_add(1, Ordering::Relaxed) % shared.workers.len();
        let (mut sender, receiver) = oneshot::channel();
        let (runtime, client) = &shared.workers[turn];
        let work = work(client.clone());
        let task = async move {
            let _slot = slot;
            let answer = futures_util::select_biased! {
                () = sender.cancellation().fuse() => return,
                answer = work.fuse() => answer,
            };
            // The caller may have gone in this very moment: the answer, a stream with it, is dropped.
            drop(sender.send(answer));
        };
        runtime.spawn(task);
        Call(Ok(receiver))
    }
}

/// One of [`ORIGIN_CALLS_MAX`], given back on drop.
struct CallSlot(Arc<AtomicUsize>);

impl Drop for CallSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
