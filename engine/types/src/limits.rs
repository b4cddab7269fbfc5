//! Every limit in one place. A queue, buffer or name without a bound here is a bug.
//! Figures are defaults; those a node lets its operator change are read from its configuration instead.

/// Longest object name in bytes: S3's limit, taken for both APIs.
pub const OBJECT_NAME_BYTES_MAX: usize = 1024;
/// Longest bucket name in bytes: AIS allows 64, S3 63.
pub const BUCKET_NAME_BYTES_MAX: usize = 64;
/// Longest single component a Linux file system can hold, in bytes.
pub const FILE_COMPONENT_BYTES_MAX: usize = 255;
/// Custom metadata of one object, keys and values together, in bytes (AIS and S3: 2 KiB).
pub const CUSTOM_META_BYTES_MAX: usize = 2048;
/// Checksums of the parts of a multipart object that are kept with it, as text, in bytes: 24 of the longest kind.
pub const PART_CHECKSUMS_BYTES_MAX: usize = 1024;
/// Buckets of one cluster.
pub const BUCKETS_MAX: usize = 10_000;

/// Request line with method, target and version, in bytes.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 << 10;
/// Whole request head in bytes, request line included.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Header lines of one request.
pub const HEADERS_MAX: usize = 100;
/// One chunk-size line of a chunked body, extensions included, in bytes (an aws-chunked line carries a signature).
pub const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;
/// Chunk extensions of one chunked body in bytes, all chunks together: they carry nothing here.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 16 << 10;
/// Trailer section of a chunked body in bytes.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;
/// Body of a control request (JSON, XML) in bytes.
pub const CONTROL_BODY_BYTES_MAX: usize = 16 << 20;
/// XML body of an S3 request in bytes.
pub const XML_BYTES_MAX: usize = 4 << 20;

/// Connections of one shard.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Seconds a client may take to send a request head once its first byte came.
pub const HEAD_SECONDS_MAX: u64 = 10;
/// Seconds a connection may idle between requests.
pub const IDLE_SECONDS_MAX: u64 = 75;
/// Seconds without a byte moving in a body, either way, before the connection is closed.
pub const STALL_SECONDS_MAX: u64 = 30;
/// Bytes per second that a client must send of a body, on the average: slower ones are cut.
pub const BODY_RATE_MIN: u64 = 1 << 10;
/// Seconds that a body may fall behind [`BODY_RATE_MIN`] at its begin.
pub const BODY_GRACE_SECONDS: u64 = 10;
/// Control requests waiting for the control core.
pub const CONTROL_QUEUE_MAX: usize = 1024;
/// Changes waiting for one mountpath's committer.
pub const COMMIT_QUEUE_MAX: usize = 4096;
/// Changes a committer takes into one batch.
pub const COMMIT_BATCH_MAX: usize = 64;

/// Largest object whose content goes through its mountpath's journal, in bytes.
pub const JOURNAL_OBJECT_BYTES_MAX: u64 = 64 << 10;
/// Memory of one mountpath for the content of such objects on its way to the committer and in its hands, in bytes: of those
/// that wait in its queue, and of one batch.
pub const COMMIT_BODIES_BYTES_MAX: usize =
    (COMMIT_QUEUE_MAX + COMMIT_BATCH_MAX) * JOURNAL_OBJECT_BYTES_MAX as usize;
/// Name and client-given metadata of an object that goes through the journal, in bytes: its record then fits into an
/// attribute of every file system.
pub const JOURNAL_ATTRS_BYTES_MAX: usize = 600;
/// One of the two journal segments of a mountpath, in bytes. A smaller file system gives a 64th of itself for each.
pub const JOURNAL_SEGMENT_BYTES: u64 = 64 << 20;
/// Names that have entries in one journal segment.
pub const JOURNAL_SEGMENT_NAMES_MAX: usize = 64 << 10;
/// One write of a journal, in bytes.
pub const JOURNAL_BATCH_BYTES_MAX: usize = 1 << 20;
/// Memory of one mountpath for objects that are in its journal and not yet in their files, in bytes.
pub const JOURNAL_UNFILED_BYTES_MAX: usize = 32 << 20;
/// Directories that one thread keeps open of one mountpath: those it works in.
pub const OPEN_DIRS_MAX: usize = 256;
/// Milliseconds without a change after which all of a mountpath's journal is filed.
pub const JOURNAL_IDLE_MILLIS: u64 = 50;
/// Milliseconds after which a change in a journal is due for its file, at most, whatever the load.
pub const JOURNAL_AGE_MILLIS_MAX: u64 = 1000;

/// Largest object by a single PUT, in bytes: 5 TiB.
pub const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// Parts of one multipart upload.
pub const PARTS_MAX: u32 = 10_000;
/// Open multipart uploads of one mountpath.
pub const UPLOADS_MAX: usize = 10_000;

/// One registered I/O buffer in bytes: the chunk of every transfer.
pub const IO_BUFFER_BYTES: usize = 256 << 10;
/// Registered I/O buffers of one shard.
pub const IO_BUFFERS: usize = 512;
/// Bytes of large reads and writes that a node's shards have in flight on one disk, at most: enough to keep it busy, few
/// enough that a small read need not wait long behind them.
pub const DISK_BULK_BYTES: usize = 1 << 20;
/// The same for each thread that works in the background.
pub const DISK_BACKGROUND_BYTES: usize = 256 << 10;
/// Calls of one shard that may wait for one disk (opens, syncs, allocations), at most: each takes a thread of the kernel, so
/// that a slow disk holds this many and no more.
pub const DISK_CALLS_MAX: u32 = 16;
/// Block covered by one block checksum, at most, in bytes.
pub const CHECKSUM_BLOCK_BYTES_MAX: u32 = 256 << 10;
/// Block checksums kept inside the metadata record; more go beside the object.
pub const CHECKSUM_BLOCKS_INLINE_MAX: usize = 32;

/// Objects that a node keeps open, all shards together; a quarter of the limit of open files where that is less.
pub const OPEN_OBJECTS_MAX: usize = 16 << 10;
/// Objects up to this size are kept in memory once they are read again, in bytes.
pub const HOT_OBJECT_BYTES_MAX: u64 = 64 << 10;
/// Memory for them, all shards of a node together, in bytes.
pub const HOT_BYTES_MAX: usize = 256 << 20;
/// Objects that one shard remembers to have read, to tell a second read from a first: 8 bytes each.
pub const SEEN_OBJECTS: usize = 64 << 10;
/// Request targets that one shard remembers the meaning of.
pub const ROUTES_MAX: usize = 32 << 10;

/// Entries of one AIS listing page.
pub const LIST_PAGE_MAX: usize = 10_000;
/// Keys of one S3 listing page or one multi-object delete.
pub const S3_PAGE_MAX: usize = 1000;
/// Memory of all listing indexes of a node, in bytes; a bucket past it is walked for each page.
pub const LIST_INDEX_BYTES_MAX: usize = 512 << 20;

/// Concurrent origin streams of one node.
pub const ORIGIN_STREAMS_MAX: usize = 256;
/// Chunks buffered between the origin's runtime and a shard, per stream.
pub const ORIGIN_CHUNKS_MAX: usize = 16;
/// Largest chunk of an origin's body handed to a shard, in bytes: it fits one I/O buffer.
pub const ORIGIN_CHUNK_BYTES_MAX: usize = IO_BUFFER_BYTES;
/// Calls on origins that wait or run, streams included; more are answered busy at once.
pub const ORIGIN_CALLS_MAX: usize = 4096;
/// Times a broken origin stream is taken up again where it broke.
pub const ORIGIN_RESUMES_MAX: u32 = 3;
/// Times a call on an origin is tried again after a passing failure (connection refused, 500, 503).
pub const ORIGIN_RETRIES_MAX: u32 = 3;
/// Body of an origin's listing or error answer, in bytes.
pub const ORIGIN_XML_BYTES_MAX: usize = 8 << 20;
/// Seconds to connect to an origin, TLS included.
pub const ORIGIN_CONNECT_SECONDS_MAX: u64 = 5;
/// Seconds an origin may take to answer a request with its head.
pub const ORIGIN_HEAD_SECONDS_MAX: u64 = 30;
/// Seconds an origin's body may stand still while there is room for it, before it counts as broken.
pub const ORIGIN_STALL_SECONDS_MAX: u64 = 20;

/// Submission entries of a shard's socket ring; completions get four times as many.
pub const RING_ENTRIES: u32 = 1024;
/// Submission entries of a disk ring.
pub const DISK_RING_ENTRIES: u32 = 256;
/// Disk rings of one reactor: mountpaths of one node.
pub const DISK_RINGS_MAX: usize = 128;
/// Mountpaths of a node, those out of service included.
pub const MOUNTPATHS_MAX: usize = 64;
/// Objects that a resilver moves at the same time.
pub const RESILVER_OBJECTS_MAX: usize = 16;
/// Seconds that a change waits for the set of disks to change, before it is refused.
pub const DISK_CHANGE_SECONDS_MAX: u64 = 10;
/// Reads that a disk may fail before it is taken out of service; a failed write takes it out at once.
pub const DISK_READ_ERRORS_MAX: u64 = 8;
/// Microseconds a reactor looks for work before it sleeps in the kernel.
pub const SPIN_MICROS: u64 = 50;
/// Tasks of one shard: each connection has one, some start another.
pub const SHARD_TASKS_MAX: usize = 2 * CONNECTIONS_MAX + 1024;
/// Operations of one reactor that wait for the kernel; one more is answered EAGAIN.
pub const OPERATIONS_MAX: usize = 64 << 10;
/// Polls of tasks in one turn of a reactor, before the rings are looked at again.
pub const TURN_POLLS_MAX: usize = 256;
/// Entries of the kernel's table of registered buffers.
pub const REGISTERED_BUFFERS_MAX: usize = 16 << 10;
/// One registered buffer in bytes: the kernel takes no longer one.
pub const BUFFER_BYTES_MAX: usize = 1 << 30;
/// Futures standing in line for one pool's buffers.
pub const BUFFER_WAITERS_MAX: usize = 64 << 10;
/// Seconds a reactor that ends waits for the kernel to complete its operations; after that their memory is leaked, never freed.
pub const TEARDOWN_SECONDS_MAX: u64 = 10;

/// Access keys of one node.
pub const ACCESS_KEYS_MAX: usize = 1024;
/// Derived signing keys kept by one shard.
pub const SIGNING_KEYS_MAX: usize = 64;
/// Seconds a signed request's date may be away from this node's clock, either way.
pub const SIGNATURE_SKEW_SECONDS_MAX: u64 = 15 * 60;
/// Seconds a presigned URL may be valid: seven days.
pub const PRESIGNED_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Seconds a bearer token may be issued for: 90 days, as AIS's AuthN.
pub const TOKEN_SECONDS_MAX: u64 = 90 * 24 * 3600;
/// Bytes of one bearer token.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Fewest bytes of a token key: HS256 is as strong as its key.
pub const TOKEN_KEY_BYTES_MIN: usize = 16;

/// Fewest bytes of a cluster's join secret.
pub const JOIN_SECRET_BYTES_MIN: usize = 16;
/// Seconds that the clocks of two nodes may be apart.
pub const PEER_SKEW_SECONDS_MAX: u64 = 60;
/// Bytes of a page of the log that a node can be asked for; it keeps two, of all lines and of severe ones.
pub const LOG_PAGE_BYTES: usize = 512 << 10;
/// Nodes of one cluster, gateways and targets together.
pub const NODES_MAX: usize = 1024;
/// Gateways of one cluster that vote, at most.
pub const VOTERS_MAX: usize = 5;
/// Milliseconds that a lease of a node lasts: without another word of the leader's majority it takes no changes after.
pub const LEASE_MILLIS: u64 = 3000;
/// Milliseconds between two keepalives of a node.
pub const KEEPALIVE_MILLIS: u64 = 400;
/// Milliseconds that a request between nodes may take on the control network, connecting included.
pub const PEER_CALL_MILLIS_MAX: u64 = 5000;
/// Body of a request or answer between nodes on the control network, in bytes: a snapshot goes in pieces.
pub const PEER_BODY_BYTES_MAX: usize = 24 << 20;
/// Entries of a page of a listing between nodes, in bytes; what does not fit is asked for next.
pub const PEER_PAGE_BYTES_MAX: usize = 8 << 20;
/// Names that a target counts in answer to one question.
pub const PEER_COUNT_MAX: u64 = 200_000;
/// Uploads of a page of them between nodes.
pub const PEER_UPLOADS_MAX: usize = 5000;
/// Connections that a node takes on its control listener.
pub const PEER_CONNECTIONS_MAX: usize = 1024;
/// One change of what the cluster agrees on, encoded, in bytes.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Changes that go to another node in one request: all together fit [`PEER_BODY_BYTES_MAX`].
pub const COMMANDS_PER_REQUEST_MAX: u64 = 16;
/// Requests that one shard has passed on to other nodes at once; more are answered 503.
pub const RELAYS_MAX: usize = 1024;
/// Those to one node: one that stands still does not keep requests from the others.
pub const RELAYS_TO_ONE_MAX: usize = 512;
/// Memory of one of them for its body, either way, in bytes.
pub const RELAY_BUFFER_BYTES: usize = 128 << 10;
/// Connections to one peer that a shard keeps for later requests.
pub const PEER_IDLE_MAX: usize = 64;
/// Seconds that it keeps one: less than the peer does ([`IDLE_SECONDS_MAX`]).
pub const PEER_IDLE_SECONDS_MAX: u64 = 30;
/// Seconds to connect to a peer.
pub const PEER_CONNECT_SECONDS_MAX: u64 = 2;
/// Seconds that a peer may take to answer what was passed on to it: a large upload is put together meanwhile.
pub const PEER_ANSWER_SECONDS_MAX: u64 = 120;
/// Connections of one shard for what peers pass on, beyond [`CONNECTIONS_MAX`].
pub const RELAYED_CONNECTIONS_MAX: usize = 1000;
/// Seconds that a node waits for its own view of the cluster to reach that of a request.
pub const CATCH_UP_SECONDS_MAX: u64 = 5;

/// Sets of owners that came before the one of now and are remembered while objects move; beyond them every target is asked.
pub const OWNER_SETS_MAX: usize = 8;
/// Objects that one target has on their way to their owners at once.
pub const MOVES_TOGETHER_MAX: usize = 8;
/// Damaged objects that a target remembers while it moves the others; what is more is read again each time.
pub const DAMAGED_KNOWN_MAX: usize = 10_000;
/// Seconds that an owner may take to fetch an object that is moved to it, beside a second for each MiB.
pub const MOVE_SECONDS_MAX: u64 = 30;

/// Jobs that run at once.
pub const JOBS_RUNNING_MAX: usize = 64;
/// Jobs that have ended and are still known.
pub const JOBS_KEPT_MAX: usize = 500;
/// Names of a node whose copies are mended at once because a reader found one missing or damaged.
pub const MENDED_AT_ONCE_MAX: usize = 64;
/// Objects of a target that may wait for copies which are made after the answer; when there are more, a PUT waits for its copies.
pub const COPIES_AFTER_MAX: usize = 1024;
/// How many of them are copied at once.
pub const COPIES_AFTER_TOGETHER_MAX: usize = 8;
/// Objects that a target copies at once for one job.
pub const JOB_COPIES_MAX: usize = 16;
/// Objects that a target chooses at once, by the time they were last read, for eviction from one mountpath.
pub const EVICTIONS_MAX: usize = 32_768;
/// Seconds between two looks at a disk's space while nothing changes on it.
pub const SPACE_LOOK_SECONDS: u64 = 5;
/// Files that a look at a disk's health reads, and as many that it writes.
pub const HEALTH_FILES_MAX: usize = 100;
/// Bytes that it reads of each file, and writes to one.
pub const HEALTH_FILE_BYTES_MAX: usize = 1 << 20;
/// Seconds that it may take: a disk that takes longer has failed.
pub const HEALTH_SECONDS_MAX: u64 = 120;
/// Label of a mountpath, in bytes.
pub const MOUNTPATH_LABEL_BYTES_MAX: usize = 128;
/// Seconds between two looks at how full the disks are, at least, whatever is configured.
pub const CAPACITY_LOOK_SECONDS_MIN: u64 = 1;
/// Entries of one directory whose files become objects, and directories that wait to be looked into.
pub const PROMOTE_ENTRIES_MAX: usize = 100_000;
/// Directories that a node's setting may allow for that.
pub const PROMOTE_DIRS_MAX: usize = 64;
/// Names that one template of a job may stand for.
pub const TEMPLATE_NAMES_MAX: u64 = 10_000_000;

/// Connections that wait to be accepted by one shard.
pub const LISTEN_BACKLOG: u32 = 1024;
/// Directory reads, listings and assemblies waiting for the walker.
pub const WALKER_QUEUE_MAX: usize = 1024;
/// Connections on their way from the shard that accepted them to the one that serves them.
pub const HANDOVER_QUEUE_MAX: usize = 4096;

/// Connections of one run of the load generator.
pub const LOAD_CONNECTIONS_MAX: usize = 16 << 10;
/// Threads of the load generator.
pub const LOAD_THREADS_MAX: usize = 256;
/// Endpoints of one run, and servers that one connection's redirects may lead to.
pub const LOAD_ENDPOINTS_MAX: usize = 64;
/// Seconds that the load generator measures, and that its report has a row for: a day.
pub const LOAD_SECONDS_MAX: u64 = 24 * 3600;
/// Requests of an open loop that wait in one thread for a connection; later ones are counted and left out.
pub const LOAD_QUEUE_MAX: u64 = 1 << 20;
/// Bytes of the answers to requests that failed, kept for the report's message, each.
pub const LOAD_ERROR_BYTES_MAX: usize = 300;
/// Kinds of failures that a report tells apart.
pub const LOAD_FAILURES_MAX: usize = 64;
/// Bytes that the load generator makes or checks at a time, for each connection.
pub const LOAD_CHUNK_BYTES: usize = 128 << 10;
/// Seconds that requests under way at the end of a run are waited for.
pub const LOAD_DRAIN_SECONDS_MAX: u64 = 10;
