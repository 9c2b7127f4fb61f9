//! The program's HTTP client under OpenDAL.
//!
//! Invariants: uploads may take their time; a move does not replace anything, which OpenDAL's service would; and what is
//! read whole into memory has a limit. Deliberately absent: redirects, which no store needs.

use backlot_net::Network;
use futures_lite::StreamExt as _;
use opendal::{Buffer, ErrorKind, HttpTransporter};
use opendal_http_transport_reqwest::ReqwestTransport;

use super::unexpected;
use crate::error::Result;

/// The most of one answer that OpenDAL may hold in memory.
const ANSWER_LIMIT: usize = 64 << 20;

/// The network's clients for a scheme.
pub(super) fn through(network: &Network, scheme: &str) -> Result<HttpTransporter> {
    Ok(HttpTransporter::new(Transport {
        quick: ReqwestTransport::new(network.client(scheme)?),
        uploads: ReqwestTransport::new(network.upload_client(scheme)?),
    }))
}

struct Transport {
    quick: ReqwestTransport,
    uploads: ReqwestTransport,
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
        let is_listing = request.uri().query().is_some_and(|q| q.contains("list-type="));
        let response = if matches!(method.as_str(), "PUT" | "MOVE") {
            self.uploads.fetch(request).await?
        } else {
            self.quick.fetch(request).await?
        };
        if response.status() == http::StatusCode::UNAUTHORIZED {
            let message = "the server wants other credentials (401)";
            return Err(opendal::Error::new(ErrorKind::PermissionDenied, message));
        }
        if method == http::Method::GET && response.status().is_success() && !is_listing {
            // An object: its reader counts the bytes.
            return Ok(response);
        }
        Ok(response.map(|body| body.map_inner(bounded)))
    }
}

type Blocks = Box<dyn futures_lite::Stream<Item = opendal::Result<Buffer>> + Send + Sync + Unpin>;

fn bounded(blocks: Blocks) -> Blocks {
    let mut read = 0;
    Box::new(blocks.map(move |block| {
        let block = block?;
        read += block.len();
        if read > ANSWER_LIMIT {
            return Err(unexpected("it answers without end"));
        }
        Ok(block)
    }))
}
