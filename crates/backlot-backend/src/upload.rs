//! Writing an object of any size: in one request if it is small enough, else by the store's own way for long ones.
//!
//! Invariant: memory is bounded by [`WHOLE`] per object. Deliberately absent: how a store writes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::error::Result;
use crate::store::ObjectWriter;

/// The limit of a single, repeatable request: a whole pack of files.
pub(crate) const WHOLE: usize = 36 << 20;

/// The length of the pieces of buffered data.
const PIECE: usize = 1 << 20;

/// How a store writes.
pub(crate) trait Uploads: Send + Sync {
    /// The most bytes that are sent in one request.
    fn longest_whole(&self) -> usize {
        WHOLE
    }
    /// The previously written pieces.
    fn spares(&self) -> &Arc<BufferPool>;
    /// Write an object in one request.
    fn whole(&self, key: &str, pieces: Vec<Bytes>) -> Result<()>;
    /// Begin an object that is too long for that.
    fn begin(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>>;
}

/// Pieces to be filled again. Memory that one thread asks for and another gives back stays with the process: allocators keep it for the first.
#[derive(Debug, Default)]
pub(crate) struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    /// As many as three objects have: two that are sent, and one that is filled.
    const MOST: usize = 3 * WHOLE / PIECE;

    fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().ok()?.pop()
    }
}

/// A full piece, which goes to the spares when it was sent.
struct Full {
    bytes: Vec<u8>,
    spares: Arc<BufferPool>,
}

impl AsRef<[u8]> for Full {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        if let Ok(mut spares) = self.spares.0.lock()
            && spares.len() < BufferPool::MOST
            && self.bytes.capacity() >= PIECE
        {
            self.bytes.clear();
            spares.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// An object on its way.
pub(crate) struct Upload<S> {
    store: Arc<S>,
    key: String,
    full: Vec<Bytes>,
    last: Vec<u8>,
    held: usize,
    long: Option<Box<dyn ObjectWriter>>,
}

impl<S: Uploads> Upload<S> {
    pub(crate) fn new(store: Arc<S>, key: &str) -> Self {
        Self {
            store,
            key: key.to_owned(),
            full: Vec::new(),
            last: Vec::new(),
            held: 0,
            long: None,
        }
    }

    fn hold(&mut self, mut bytes: &[u8]) {
        self.held += bytes.len();
        while !bytes.is_empty() {
            if self.last.len() == PIECE {
                self.set_aside();
            }
            if self.last.is_empty() {
                // Small objects, of which there may be many, are held as they come.
                let room = if self.full.is_empty() { 0 } else { PIECE };
                let spare = self.store.spares().take();
                self.last = spare.unwrap_or_else(|| Vec::with_capacity(room));
            }
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.last.len()));
            self.last.extend_from_slice(now);
            bytes = later;
        }
    }

    fn set_aside(&mut self) {
        self.full.push(Bytes::from_owner(Full {
            bytes: std::mem::take(&mut self.last),
            spares: Arc::clone(self.store.spares()),
        }));
    }

    /// Buffered data, in pieces.
    fn pieces(&mut self) -> Vec<Bytes> {
        if !self.last.is_empty() {
            self.set_aside();
        }
        std::mem::take(&mut self.full)
    }
}

impl<S: Uploads> ObjectWriter for Upload<S> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(long) = &mut self.long {
            return long.write(bytes);
        }
        self.hold(bytes);
        if self.held > self.store.longest_whole() {
            let mut long = Arc::clone(&self.store).begin(&self.key)?;
            for piece in self.pieces() {
                long.write(&piece)?;
            }
            self.long = Some(long);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        match self.long.take() {
            Some(long) => long.finish(),
            None => {
                let pieces = self.pieces();
                self.store.whole(&self.key, pieces)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers what it was sent.
    #[derive(Default)]
    struct Sent {
        spares: Arc<BufferPool>,
        whole: Mutex<Vec<u8>>,
    }

    impl Uploads for Sent {
        fn spares(&self) -> &Arc<BufferPool> {
            &self.spares
        }

        fn whole(&self, _key: &str, pieces: Vec<Bytes>) -> Result<()> {
            *self.whole.lock().expect("not poisoned") = pieces.concat();
            Ok(())
        }

        fn begin(self: Arc<Self>, _key: &str) -> Result<Box<dyn ObjectWriter>> {
            panic!("nothing here is that long")
        }
    }

    #[test]
    fn what_is_held_is_sent_in_order_and_its_pieces_are_filled_again() {
        let store = Arc::new(Sent::default());
        for round in 0..3_u8 {
            let bytes: Vec<u8> = (0..5 * PIECE / 2)
                .map(|n| (n % 251).to_le_bytes()[0] ^ round)
                .collect();
            let mut upload = Box::new(Upload::new(Arc::clone(&store), "key"));
            for part in bytes.chunks(300_000) {
                upload.write(part).expect("held");
            }
            upload.finish().expect("sent");
            assert!(*store.whole.lock().expect("not poisoned") == bytes);
            let spares = store.spares.0.lock().expect("not poisoned");
            assert!(spares.len() == 3, "{}", spares.len());
        }
    }
}
