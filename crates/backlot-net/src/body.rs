//! A request's body, streamed.
//!
//! Invariant: it has exactly the size that was stated, or the request breaks off. Deliberately absent: sending it again.

use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fs_err as fs;
use http_body::{Body, Frame, SizeHint};

/// How much of a file is read at once.
const BLOCK: usize = 256 * 1024;

/// The contents of a body.
///
/// ```
/// use backlot_net::{Blocks, FileBlocks};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("a.whl");
/// fs_err::write(&path, b"wheel").unwrap();
/// let mut blocks = FileBlocks::new(fs_err::File::open(&path).unwrap(), 5);
/// assert_eq!(blocks.left(), 5);
/// assert_eq!(blocks.next().unwrap().unwrap(), "wheel");
/// assert!(blocks.next().unwrap().is_none());
/// ```
pub trait Blocks: Unpin + Send + Sync + 'static {
    /// The next bytes; `None` at the end. An error breaks the request off.
    fn next(&mut self) -> std::io::Result<Option<Bytes>>;
    /// How many bytes are still to come.
    fn left(&self) -> u64;
}

/// A body of blocks.
pub fn body(blocks: impl Blocks) -> reqwest::Body {
    reqwest::Body::wrap(Streamed(blocks))
}

struct Streamed<B>(B);

impl<B: Blocks> Body for Streamed<B> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(self.0.next().transpose().map(|next| next.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.left())
    }
}

/// This many bytes of a file from its current position.
///
/// ```
/// use backlot_net::{FileBlocks, body};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("a.whl");
/// fs_err::write(&path, b"wheel").unwrap();
/// let body: reqwest::Body = body(FileBlocks::new(fs_err::File::open(&path).unwrap(), 5));
/// ```
#[derive(Debug)]
pub struct FileBlocks {
    file: fs::File,
    left: u64,
}

impl FileBlocks {
    /// The next `size` bytes of a file.
    pub fn new(file: fs::File, size: u64) -> Self {
        Self { file, left: size }
    }
}

impl Blocks for FileBlocks {
    fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut block = vec![0; usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK)];
        let read = self.file.read(&mut block)?;
        if read == 0 {
            return Err(std::io::Error::other(
                "the file was truncated while it was being sent",
            ));
        }
        block.truncate(read);
        self.left -= read as u64;
        Ok(Some(block.into()))
    }

    fn left(&self) -> u64 {
        self.left
    }
}
