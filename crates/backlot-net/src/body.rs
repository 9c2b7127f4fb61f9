//! A request's body from a file, streamed.
//!
//! Invariant: it has exactly the size that was stated, or the request breaks off. Deliberately absent: sending it again.

use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fs_err as fs;
use http_body::{Body, Frame, SizeHint};

/// How much is read at once.
const BLOCK: usize = 256 * 1024;

struct FileBody {
    file: fs::File,
    left: u64,
}

/// So many bytes of a file from where it is.
pub fn file_body(file: fs::File, size: u64) -> reqwest::Body {
    reqwest::Body::wrap(FileBody { file, left: size })
}

impl FileBody {
    fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut block = vec![0; usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK)];
        let read = self.file.read(&mut block)?;
        if read == 0 {
            return Err(std::io::Error::other("the file became shorter while it was sent"));
        }
        block.truncate(read);
        self.left -= read as u64;
        Ok(Some(block.into()))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(self.next().transpose().map(|next| next.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
