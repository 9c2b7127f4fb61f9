//! A long file, written as its bytes come.
//!
//! Invariants: memory is bounded by one call's bytes; one that is not finished has no name and is swept up. Deliberately
//! absent: resuming after the connection was lost: the state on the server is unknown.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Sftp;
use super::connection::{Asked, Connection};
use crate::error::Result;
use crate::store::ObjectWriter;

/// A file on its way.
pub(super) struct Long {
    sftp: Arc<Sftp>,
    line: Arc<Connection>,
    key: String,
    staged: String,
    handle: Vec<u8>,
    written: u64,
    is_done: bool,
}

impl Long {
    pub(super) fn begin(sftp: Arc<Sftp>, key: &str) -> Result<Self> {
        let begun = async {
            let _permit = sftp.permits.acquire().await.expect("never closed");
            let line = sftp.line().await?;
            Sftp::check_replaces(&line)?;
            let staged = sftp.staged();
            let handle = sftp
                .in_folder(&line, &staged, async || line.begin(&staged).await)
                .await?;
            Ok((line, staged, handle))
        };
        let begun = async { begun.await.map_err(|trouble| sftp.failed(key, trouble)) };
        let (line, staged, handle) = sftp.network.block(begun)?;
        Ok(Self {
            sftp,
            line,
            key: key.to_owned(),
            staged,
            handle,
            written: 0,
            is_done: false,
        })
    }

    fn ask(&self, work: impl Future<Output = Asked<()>>) -> Result<()> {
        let done = async {
            let _permit = self.sftp.permits.acquire().await.expect("never closed");
            work.await.map_err(|trouble| self.sftp.failed(&self.key, trouble))
        };
        self.sftp.network.block(done)
    }
}

impl ObjectWriter for Long {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.ask(self.line.put_blocks(&self.handle, self.written, bytes))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.is_done = true;
        let path = self.sftp.path(&self.key);
        self.ask(async {
            let ended = self.line.end(&self.handle, Ok(VecDeque::new())).await;
            let placed = match ended {
                Ok(()) => self.sftp.place_staged(&self.line, &self.staged, &path).await,
                other => other,
            };
            if placed.is_err() {
                self.line.remove(&self.staged).await.ok();
            }
            placed
        })
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        if !self.is_done {
            let given_up = async {
                self.line.end(&self.handle, Ok(VecDeque::new())).await.ok();
                self.line.remove(&self.staged).await
            };
            // Else it is swept up later.
            self.ask(given_up).ok();
        }
    }
}
