//! The chunked transfer coding (RFC 9112, 7.1), decoded incrementally: any split of the bytes gives the same body.
//!
//! Stricter than the grammar where implementations differ: no white space around the size, at most 16 digits, lines
//! end in CR LF only, extensions are printable and bounded both per line and per body, trailers as in
//! [`crate::Trailers`].

use weir_types::limits::{
    CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX, OBJECT_BYTES_MAX, TRAILER_BYTES_MAX,
};

use crate::{HttpError, Trailers};

/// Digits of a chunk size: what 64 bits hold.
const SIZE_DIGITS_MAX: u32 = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the digits of a size.
    Size { value: u64, digits: u32 },
    /// In the extensions, which are checked and dropped.
    Extension { size: u64 },
    /// After the CR of a chunk-size line.
    SizeLf { size: u64 },
    /// In the data of a chunk.
    Data { left: u64 },
    /// Before the CR that ends a chunk's data.
    DataCr,
    /// Before the LF that ends a chunk's data.
    DataLf,
    /// In a trailer line.
    Trailer,
    /// After the CR of a trailer line.
    TrailerLf,
    /// After the last byte.
    End,
    /// After an error: nothing more is read.
    Failed(HttpError),
}

/// Decoder of one chunked body.
///
/// ```
/// # use weir_http::ChunkDecoder;
/// let mut decoder = ChunkDecoder::default();
/// let mut pending: &[u8] = b"3\r\nabc\r\n0\r\n\r\nnext";
/// let mut body = Vec::new();
/// loop {
///     let step = decoder.decode(pending).unwrap();
///     pending = &pending[step.framing..];
///     if step.end {
///         break;
///     }
///     let taken = step.data.len(); // or fewer, where there is no room
///     body.extend_from_slice(&step.data[..taken]);
///     decoder.took(taken);
///     pending = &pending[taken..];
/// }
/// assert_eq!((&body[..], pending), (&b"abc"[..], &b"next"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: State,
    /// Data bytes still allowed.
    room: u64,
    max: u64,
    line_bytes: usize,
    extension_bytes: usize,
    line: Vec<u8>,
    trailers: Trailers,
}

/// What one call of [`ChunkDecoder::decode`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkStep<'i> {
    /// Bytes of framing at the front of the input. They are consumed and must not be given again.
    pub framing: usize,
    /// Data that follows them; it stays the caller's until [`ChunkDecoder::took`] says how much of it was taken.
    pub data: &'i [u8],
    /// Whether the body has ended with the last byte of `framing`. What follows is the next message.
    pub end: bool,
}

impl Default for ChunkDecoder {
    /// A decoder of a body of at most the largest object.
    fn default() -> Self {
        Self::new(OBJECT_BYTES_MAX)
    }
}

impl ChunkDecoder {
    /// A decoder of a body of at most `body_bytes_max` bytes; the chunk that goes beyond is refused by its size line.
    pub fn new(body_bytes_max: u64) -> Self {
        Self {
            state: State::Size { value: 0, digits: 0 },
            room: body_bytes_max,
            max: body_bytes_max,
            line_bytes: 0,
            extension_bytes: 0,
            line: Vec::new(),
            trailers: Trailers::default(),
        }
    }

    /// Reads framing from the front of `input` up to data, the end of the body or the end of `input`.
    /// A step without data that is not the end asks for more input. An error is final.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<ChunkStep<'i>, HttpError> {
        let mut at = 0;
        loop {
            if let State::Data { left } = self.state {
                let rest = input.get(at..).unwrap_or_default();
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                return Ok(ChunkStep { framing: at, data: rest.get(..len).unwrap_or_default(), end: false });
            }
            if self.state == State::End {
                return Ok(ChunkStep { framing: at, data: &[], end: true });
            }
            let Some(&byte) = input.get(at) else {
                return Ok(ChunkStep { framing: at, data: &[], end: false });
            };
            at += 1;
            self.state = match self.step(byte) {
                Ok(state) => state,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            };
        }
    }

    /// Says that `n` bytes of the data last shown were taken. More than was shown counts as all of it.
    pub fn took(&mut self, n: usize) {
        if let State::Data { left } = &mut self.state {
            *left = left.saturating_sub(n as u64);
            if *left == 0 {
                self.state = State::DataCr;
            }
        }
    }

    /// Whether the whole body, trailers included, was read.
    pub fn done(&self) -> bool {
        self.state == State::End
    }

    /// The trailers; complete once [`done`](Self::done).
    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    fn step(&mut self, byte: u8) -> Result<State, HttpError> {
        match self.state {
            State::Size { value, digits } => self.size(value, digits, byte),
            State::Extension { size } => self.extension(size, byte),
            State::SizeLf { size } => match (byte, size) {
                (b'\n', 0) => Ok(State::Trailer),
                (b'\n', _) => self.open(size),
                _ => Err(HttpError::Chunk("chunk-size line does not end in CR LF")),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                self.line_bytes = 0;
                Ok(State::Size { value: 0, digits: 0 })
            }
            State::DataCr | State::DataLf => Err(HttpError::Chunk("data is not followed by CR LF")),
            State::Trailer => self.trailer(byte),
            State::TrailerLf if byte == b'\n' => self.trailer_end(),
            State::TrailerLf => Err(HttpError::Trailer("line does not end in CR LF")),
            State::Failed(error) => Err(error),
            // `decode` never asks for a byte in these.
            State::Data { .. } | State::End => Ok(self.state),
        }
    }

    fn size(&mut self, value: u64, digits: u32, byte: u8) -> Result<State, HttpError> {
        self.line_bytes += 1;
        match (byte, (byte as char).to_digit(16)) {
            (_, Some(_)) if digits == SIZE_DIGITS_MAX => Err(HttpError::Chunk("size has too many digits")),
            (_, Some(digit)) => Ok(State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }),
            _ if digits == 0 => Err(HttpError::Chunk("size does not start with a hexadecimal digit")),
            (b'\r', _) => Ok(State::SizeLf { size: value }),
            (b';', _) => Ok(State::Extension { size: value }),
            _ => Err(HttpError::Chunk("size is followed by neither CR LF nor \";\"")),
        }
    }

    fn extension(&mut self, size: u64, byte: u8) -> Result<State, HttpError> {
        self.line_bytes += 1;
        self.extension_bytes += 1;
        if self.line_bytes > CHUNK_LINE_BYTES_MAX || self.extension_bytes > CHUNK_EXTENSIONS_BYTES_MAX {
            return Err(HttpError::ChunkLineTooLong);
        }
        match byte {
            b'\r' => Ok(State::SizeLf { size }),
            b'\t' | b' '..=b'~' => Ok(State::Extension { size }),
            _ => Err(HttpError::Chunk("extension holds a byte that is not printable")),
        }
    }

    fn open(&mut self, size: u64) -> Result<State, HttpError> {
        self.room = self.room.checked_sub(size).ok_or(HttpError::BodyTooLarge { max: self.max })?;
        Ok(State::Data { left: size })
    }

    fn trailer(&mut self, byte: u8) -> Result<State, HttpError> {
        match byte {
            b'\r' => return Ok(State::TrailerLf),
            b'\n' => return Err(HttpError::Trailer("line does not end in CR LF")),
            _ => {}
        }
        // The CR LF of this line and the empty line count as well.
        if self.line.len() + 4 >= self.trailers.room().min(TRAILER_BYTES_MAX) {
            return Err(HttpError::TrailersTooLarge);
        }
        self.line.push(byte);
        Ok(State::Trailer)
    }

    fn trailer_end(&mut self) -> Result<State, HttpError> {
        if self.line.is_empty() {
            return Ok(State::End);
        }
        self.trailers.take(&self.line)?;
        self.line.clear();
        Ok(State::Trailer)
    }
}
