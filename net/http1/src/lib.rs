//! HTTP/1.1 without sockets: bytes to request head and strict body framing, response to bytes.
//!
//! The parser refuses whatever two implementations could read differently: every error means "answer and close".
//! This crate refuses to know sockets, clocks, files and what a request means.
//!
//! ```
//! # use weir_http::{parse_head, Framing, HeaderSlots};
//! let bytes = b"GET /v1/health?prr=true HTTP/1.1\r\nHost: a\r\n\r\nnext";
//! let mut slots = HeaderSlots::default();
//! let (head, used) = parse_head(bytes, &mut slots).unwrap().unwrap();
//! assert_eq!((head.path, head.query, head.framing()), ("/v1/health", "prr=true", Framing::None));
//! assert_eq!(&bytes[used..], b"next");
//! ```

mod chunk;
mod date;
mod error;
mod fields;
mod head;
mod lines;
mod method;
mod parse;
mod reply;
mod request;
mod response;
mod status;
mod target;
mod trailer;
mod uri;

pub use chunk::{ChunkDecoder, ChunkStep};
pub use date::DateText;
pub use error::HttpError;
pub use fields::Framing;
pub use head::{Head, HeaderSlots, OwnedHead};
pub use method::Method;
pub use parse::{Parsed, parse, parse_head};
pub use reply::{Reply, parse_reply};
pub use request::RequestHead;
pub use response::{BodyLength, CHUNK_END, CONTINUE, FieldLines, LAST_CHUNK, ResponseHead, write_chunk_head};
pub use status::reason;
pub use trailer::Trailers;
pub use uri::{Escapes, Plus, QueryPairs, percent_decode, percent_decode_bytes, query_pairs, query_value};
