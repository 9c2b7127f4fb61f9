//! Folders of a `WebDAV` server: created before a write into them, and remembered.
//!
//! OpenDAL asks for each folder above an object before each write. Over a long line these requests are most of a push, so that is switched off.
//! Here the folder of a write is made with one request before the first write into it; the answer also tells that it was there, and it is not
//! requested again. Invariant: a write that fails because its folder is gone makes it again, once. Deliberately absent: moves, before which
//! OpenDAL asks.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{Request, Response, StatusCode, Uri, header};
use opendal::{Buffer, HttpBody};

use super::transport::Transport;
use super::unexpected;

/// Folders that are there, by their paths.
#[derive(Debug, Default)]
pub(super) struct Folders(Mutex<HashSet<String>>);

/// The response to the creation of a folder.
enum Made {
    /// It is there now, or was.
    There,
    /// The one above is missing.
    NoParent,
    /// It cannot create folders here: the write reports the reason.
    Other,
}

impl Folders {
    fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Send a write, after its folder was made.
    pub(super) async fn put(
        &self,
        transport: &Transport,
        request: Request<Buffer>,
    ) -> opendal::Result<Response<HttpBody>> {
        let Some(folder) = parent(request.uri().path()).map(ToOwned::to_owned) else {
            return transport.send(request).await;
        };
        let was_known = self.known().contains(&folder);
        if !was_known {
            self.make(transport, &request, &folder).await?;
            return transport.send(request).await;
        }
        let response = transport.send(copy(&request, request.uri().path())?).await?;
        if !matches!(response.status(), StatusCode::CONFLICT | StatusCode::NOT_FOUND) {
            return Ok(response);
        }
        self.known().retain(|known| !folder.starts_with(known.as_str()));
        self.make(transport, &request, &folder).await?;
        transport.send(request).await
    }

    /// Make a folder and those above it that are missing.
    async fn make(
        &self,
        transport: &Transport,
        request: &Request<Buffer>,
        folder: &str,
    ) -> opendal::Result<()> {
        let mut missing = Vec::new();
        let mut at = folder;
        while let Made::NoParent = mkcol(transport, request, at).await? {
            missing.push(at);
            match parent(at.trim_end_matches('/')) {
                Some(above) if above != "/" => at = above,
                _ => break,
            }
        }
        while let Some(folder) = missing.pop() {
            mkcol(transport, request, folder).await?;
        }
        self.known().insert(folder.to_owned());
        Ok(())
    }
}

/// The folder of a path, with its slash.
fn parent(path: &str) -> Option<&str> {
    path.rfind('/').map(|at| &path[..=at])
}

async fn mkcol(transport: &Transport, request: &Request<Buffer>, folder: &str) -> opendal::Result<Made> {
    let mut asked = copy(request, folder)?;
    *asked.body_mut() = Buffer::new();
    *asked.method_mut() = http::Method::from_bytes(b"MKCOL").map_err(|_| unexpected("no such method"))?;
    let headers = asked.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_TYPE);
    let response = transport.send(asked).await?;
    Ok(match response.status() {
        StatusCode::CREATED | StatusCode::METHOD_NOT_ALLOWED => Made::There,
        StatusCode::CONFLICT | StatusCode::NOT_FOUND => Made::NoParent,
        _ => Made::Other,
    })
}

/// The same request of another path.
fn copy(request: &Request<Buffer>, path: &str) -> opendal::Result<Request<Buffer>> {
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(
        path.parse()
            .map_err(|_| unexpected("a path is not valid in a URL"))?,
    );
    let mut copy = Request::new(request.body().clone());
    *copy.uri_mut() = Uri::from_parts(parts).map_err(|_| unexpected("a path is not valid in a URL"))?;
    copy.method_mut().clone_from(request.method());
    copy.headers_mut().clone_from(request.headers());
    *copy.extensions_mut() = request.extensions().clone();
    Ok(copy)
}
