//! The program's HTTP client under OpenDAL.
//!
//! Invariants: uploads may take their time; a move does not replace anything, which OpenDAL's service would; what is
//! read whole into memory has a limit; an answer that comes too slowly to be one is given up; a server that says when to come again
//! is not asked before. Deliberately absent: redirects, which no store needs.

use std::sync::Arc;
use std::time::Duration;

use backlot_net::{LONGEST_PAUSE, Network, Pace, TOO_SLOW};
use futures_lite::StreamExt as _;
use opendal::{Buffer, ErrorKind, HttpTransporter};
use opendal_http_transport_reqwest::ReqwestTransport;
use url::Url;

use super::folders::Folders;
use super::gate::{Gate, Turn};
use super::unexpected;
use crate::error::Result;

/// The most of one answer that OpenDAL may hold in memory.
const ANSWER_LIMIT: usize = 64 << 20;

/// The network's clients for a scheme. With `instead`, requests go there, whatever host they are for.
pub(super) fn through(
    network: &Network,
    scheme: &str,
    instead: Option<Url>,
    shared: Shared,
) -> Result<HttpTransporter> {
    Ok(HttpTransporter::new(Transport {
        shared,
        quick: ReqwestTransport::new(network.client(scheme)?),
        uploads: ReqwestTransport::new(network.upload_client(scheme)?),
        instead,
        patience: network.options().read_timeout,
    }))
}

/// State shared by all requests to a store, with any credential.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) gate: Arc<Gate>,
    /// The folders of a store that has some, which have to be made.
    pub(super) folders: Option<Arc<Folders>>,
}

pub(super) struct Transport {
    shared: Shared,
    quick: ReqwestTransport,
    uploads: ReqwestTransport,
    instead: Option<Url>,
    patience: Duration,
}

impl opendal::HttpTransport for Transport {
    async fn fetch(
        &self,
        mut request: http::Request<Buffer>,
    ) -> opendal::Result<http::Response<opendal::HttpBody>> {
        let method = request.method().clone();
        if method.as_str() == "MOVE" {
            let never = http::HeaderValue::from_static("F");
            request.headers_mut().insert("Overwrite", never);
        }
        if let Some(server) = &self.instead {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let moved = server.as_str().trim_end_matches('/').to_owned() + path;
            *request.uri_mut() = moved
                .parse()
                .map_err(|_| unexpected("its endpoint is not a URL"))?;
        }
        if method == http::Method::PUT
            && let Some(folders) = &self.shared.folders
        {
            return folders.put(self, request).await;
        }
        self.send(request).await
    }
}

impl Transport {
    /// Send a request as it is, in its turn.
    pub(super) async fn send(
        &self,
        request: http::Request<Buffer>,
    ) -> opendal::Result<http::Response<opendal::HttpBody>> {
        use opendal::HttpTransport as _;

        let method = request.method().clone();
        let range = request.headers().get(http::header::RANGE);
        let is_behind = range.is_some_and(|range| !range.as_bytes().starts_with(b"bytes=0-"));
        let is_listing = request.uri().query().is_some_and(|q| q.contains("list-type="));
        let mut turn = Arc::clone(&self.shared.gate).enter().await;
        let response = if matches!(method.as_str(), "PUT" | "POST" | "PATCH" | "MOVE") {
            self.uploads.fetch(request).await
        } else {
            self.quick.fetch(request).await
        };
        let response = response.inspect_err(|_| turn.refused())?;
        if is_behind && response.status() == http::StatusCode::OK {
            // Bytes from its beginning would be taken for those that were asked for.
            return Err(unexpected(
                "the server ignored a range request and sent the whole object",
            ));
        }
        if response.status() == http::StatusCode::UNAUTHORIZED {
            let message = "the server rejected the credentials (401)";
            return Err(opendal::Error::new(ErrorKind::PermissionDenied, message));
        }
        if matches!(response.status().as_u16(), 429 | 500 | 502 | 503 | 504) {
            turn.refused();
            // A retry is sent after this.
            tokio::time::sleep(asked_to_wait(&response)).await;
            let message = format!("the server responded with {}", response.status());
            return Err(opendal::Error::new(ErrorKind::Unexpected, message).set_temporary());
        }
        let patience = self.patience;
        let response = response.map(|body| body.map_inner(|blocks| counted(steady(blocks, patience), turn)));
        if method == http::Method::GET && response.status().is_success() && !is_listing {
            // An object: its reader counts the bytes.
            return Ok(response);
        }
        Ok(response.map(|body| body.map_inner(bounded)))
    }
}

type Blocks = Box<dyn futures_lite::Stream<Item = opendal::Result<Buffer>> + Send + Sync + Unpin>;

/// How long the server wants to be left alone.
fn asked_to_wait(response: &http::Response<opendal::HttpBody>) -> Duration {
    let seconds = response.headers().get(http::header::RETRY_AFTER);
    let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_PAUSE)
}

/// Keep the turn of a request until its answer has been read, or is dropped.
fn counted(blocks: Blocks, mut turn: Turn) -> Blocks {
    Box::new(blocks.map(move |block| block.inspect_err(|_| turn.refused())))
}

/// Fail when an answer comes too slowly.
fn steady(blocks: Blocks, span: Duration) -> Blocks {
    let mut pace = Pace::new(span);
    Box::new(blocks.map(move |block| {
        let block = block?;
        if pace.is_kept(block.len() as u64) {
            Ok(block)
        } else {
            Err(unexpected(TOO_SLOW).set_temporary())
        }
    }))
}

fn bounded(blocks: Blocks) -> Blocks {
    let mut read = 0;
    Box::new(blocks.map(move |block| {
        let block = block?;
        read += block.len();
        if read > ANSWER_LIMIT {
            return Err(unexpected("its answer is too long"));
        }
        Ok(block)
    }))
}
