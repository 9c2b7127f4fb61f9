//! Long objects: in parts where a store takes them, else from a file on this disk, streamed, or from memory.
//!
//! Invariants: memory is bounded by [`PART`] an object, and by [`GATHERED`] where nothing else is possible; an upload that is
//! not finished is given up and does not appear.
//! Deliberately absent: conditions, which stores do not honour on what comes in parts.

use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use backlot_core::file::TemporaryFolder;
use backlot_core::{FileError, web};
use backlot_net::{FileBlocks, body};
use fs_err as fs;
use opendal::Writer;
use opendal::layers::RetryLayer;
use url::Url;

use super::{Service, clean};
use crate::error::{Error, Result};
use crate::store::ObjectWriter;
use crate::upload::Uploads as _;

/// Bytes of a part. Ten thousand of them, which is what S3 takes, are 160 GiB.
const PART: usize = 16 << 20;

/// The longest object that is sent from memory.
const GATHERED: usize = 256 << 20;

/// How a store takes long objects.
pub(super) enum Way {
    /// In parts.
    Parts,
    /// In one request, which is streamed from a file.
    Streamed(WholePut),
    /// In one request, from memory.
    Gathered,
}

/// An object that is sent in parts.
pub(super) struct Parts {
    service: Arc<Service>,
    key: String,
    writer: Option<Writer>,
    buffer: Vec<u8>,
}

impl Parts {
    pub(super) fn begin(service: Arc<Service>, key: &str) -> Result<Self> {
        // A repeated request is one part of the same upload, with the same result.
        let options = service.network.options();
        let again = RetryLayer::new()
            .with_jitter()
            .with_min_delay(options.pause)
            .with_max_times(options.retries as usize);
        // An upload belongs to the credential that began it: if that expires, the upload fails.
        let made = service.network.block(service.made())?;
        let operator = made.operator.layer(again);
        let opened = service.once(key, async { operator.writer(key).await })?;
        let writer = opened.map_err(|e| service.failed(key, &e))?;
        Ok(Self {
            service,
            key: key.to_owned(),
            writer: Some(writer),
            buffer: Vec::with_capacity(PART),
        })
    }

    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let sent = self.service.once(&self.key, writer.write(bytes))?;
        sent.map_err(|e| self.service.failed(&self.key, &e))
    }
}

impl ObjectWriter for Parts {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            if self.buffer.len() == PART {
                let part = std::mem::replace(&mut self.buffer, Vec::with_capacity(PART));
                self.send(part)?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let rest = std::mem::take(&mut self.buffer);
        if !rest.is_empty() {
            self.send(rest)?;
        }
        if let Some(mut writer) = self.writer.take() {
            let closed = self.service.once(&self.key, writer.close())?;
            closed.map_err(|e| self.service.failed(&self.key, &e))?;
        }
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            // Remaining parts are not visible, and stores remove them by a lifecycle rule.
            self.service.once(&self.key, writer.abort()).ok();
        }
    }
}

/// Where one request with a long body goes.
pub(super) struct WholePut {
    base: Url,
    scheme: String,
}

impl WholePut {
    pub(super) fn new(url: &Url, scheme: &str) -> Result<Self> {
        let rest = url.as_str().split_once("://").map_or("", |(_, rest)| rest);
        let base = Url::parse(&format!("{scheme}://{rest}")).map_err(|e| Error::BadStore {
            url: web::shown(url),
            reason: e.to_string(),
        })?;
        Ok(Self {
            base,
            scheme: scheme.to_owned(),
        })
    }

    fn of(&self, key: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(key.split('/'));
        }
        url
    }
}

/// An object that is gathered on this disk, and then streamed.
pub(super) struct Spool {
    service: Arc<Service>,
    key: String,
    file: fs::File,
    size: u64,
    _folder: TemporaryFolder,
}

impl Spool {
    pub(super) fn begin(service: Arc<Service>, key: &str) -> Result<Self> {
        let folder = TemporaryFolder::in_folder(&service.network.options().cache.join("uploads"))?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join("object"))
            .map_err(FileError::from)?;
        Ok(Self {
            service,
            key: key.to_owned(),
            file,
            size: 0,
            _folder: folder,
        })
    }
}

impl ObjectWriter for Spool {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(FileError::from)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let service = &self.service;
        let Way::Streamed(target) = &service.long else {
            return Ok(());
        };
        if let Some((folder, _)) = self.key.rsplit_once('/') {
            let folder = format!("{folder}/");
            service.ask(&folder, async |operator| operator.create_dir(&folder).await)?;
        }
        let client = service.network.upload_client(&target.scheme)?;
        let failed = |reason: String, temporary: bool| Error::Store {
            place: service.at(&self.key),
            reason,
            temporary,
        };
        service.network.block(async {
            let mut renewed = false;
            let status = loop {
                let made = service.made().await?;
                let mut file = self.file.try_clone().map_err(FileError::from)?;
                file.rewind().map_err(FileError::from)?;
                let blocks = body(FileBlocks::new(file, self.size));
                let mut request = client.put(target.of(&self.key)).body(blocks);
                if let Some(credential) = &made.credential {
                    request = request.basic_auth(&credential.user, Some(&credential.password));
                }
                let response = request.send().await;
                let response = response.map_err(|e| failed(clean(&backlot_net::reason(e)), true))?;
                let status = response.status();
                if status.is_success() {
                    service.worked();
                    return Ok(());
                }
                let denied = matches!(status.as_u16(), 401 | 403);
                if renewed || !denied || !service.has_other(made.credential.as_ref()).await? {
                    break status;
                }
                renewed = true;
            };
            let again = status.is_server_error() || status.as_u16() == 429;
            Err(failed(format!("the server responded with {status}"), again))
        })
    }
}

/// An object that is gathered in memory.
pub(super) struct Gathered {
    service: Arc<Service>,
    key: String,
    bytes: Vec<u8>,
}

impl Gathered {
    pub(super) fn begin(service: Arc<Service>, key: &str) -> Self {
        Self {
            service,
            key: key.to_owned(),
            bytes: Vec::new(),
        }
    }
}

impl ObjectWriter for Gathered {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.bytes.len() + bytes.len() > GATHERED {
            return Err(Error::Store {
                place: self.service.at(&self.key),
                reason: "it is larger than the 256 MiB that this kind of store accepts; the layout `chunked` has no such objects".to_owned(),
                temporary: false,
            });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.service.whole(&self.key, vec![self.bytes.into()])
    }
}
