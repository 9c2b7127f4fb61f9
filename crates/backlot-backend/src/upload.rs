//! Writing an object of any size: in one request if it is small enough, else by the store's own way for long ones.
//!
//! Invariant: what is held in memory is bounded by [`WHOLE`] an object. Deliberately absent: how a store writes.

use std::sync::Arc;

use crate::error::Result;
use crate::store::ObjectWriter;

/// What is sent in one request, which can be sent again: a whole pack of files.
pub(crate) const WHOLE: usize = 36 << 20;

/// How a store writes.
pub(crate) trait Uploads: Send + Sync {
    /// The most bytes that are sent in one request.
    fn longest_whole(&self) -> usize {
        WHOLE
    }
    /// Write an object in one request.
    fn whole(&self, key: &str, bytes: Vec<u8>) -> Result<()>;
    /// Begin an object that is too long for that.
    fn begin(self: Arc<Self>, key: &str) -> Result<Box<dyn ObjectWriter>>;
}

/// An object on its way.
pub(crate) struct Upload<S> {
    store: Arc<S>,
    key: String,
    buffer: Vec<u8>,
    long: Option<Box<dyn ObjectWriter>>,
}

impl<S> Upload<S> {
    pub(crate) fn new(store: Arc<S>, key: &str) -> Self {
        Self {
            store,
            key: key.to_owned(),
            buffer: Vec::new(),
            long: None,
        }
    }
}

impl<S: Uploads> ObjectWriter for Upload<S> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(long) = &mut self.long {
            return long.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > self.store.longest_whole() {
            let mut long = Arc::clone(&self.store).begin(&self.key)?;
            long.write(&std::mem::take(&mut self.buffer))?;
            self.long = Some(long);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        match self.long {
            Some(long) => long.finish(),
            None => self.store.whole(&self.key, self.buffer),
        }
    }
}
