//! METADATA out of a wheel on a server, by a few small reads of its end: how the pieces are fetched.
//!
//! Invariant: what a server sends is a piece only if it says which bytes of how many it is, and they are as many. Deliberately absent: what is
//! read and how much at most (`backlot-wheel`), and believing it: the caller compares name and version.

use backlot_net::{Account, Network, Request, Response};
use backlot_wheel::{ByteRange, Fetching, Piece, metadata_in_pieces};
use reqwest::header::CONTENT_RANGE;
use url::Url;

use crate::error::{Error, Result};

/// The bytes of METADATA; `None` where the whole wheel has to be read for it.
pub(crate) async fn metadata(network: &Network, account: &Account, url: &Url) -> Result<Option<Vec<u8>>> {
    let fetch = |range| -> Fetching<'_, Error> { Box::pin(part(network, account, url, range)) };
    metadata_in_pieces(&fetch).await
}

/// A part of a file; `None` if the server does not do that.
pub(crate) async fn part(
    network: &Network,
    account: &Account,
    url: &Url,
    range: ByteRange,
) -> Result<Option<Piece>> {
    match range {
        ByteRange::Last(length) => piece(network, account, url, &format!("-{length}"), length).await,
        ByteRange::At(start, length) => {
            let range = format!("{start}-{}", start + length - 1);
            let found = piece(network, account, url, &range, length).await?;
            Ok(found.filter(|found| found.start == start))
        }
    }
}

/// A range of a file; `None` if the server does not do that.
async fn piece(
    network: &Network,
    account: &Account,
    url: &Url,
    range: &str,
    limit: u64,
) -> Result<Option<Piece>> {
    let ask = Request::new(url.clone(), limit).range(range);
    let mut bytes = Vec::new();
    let answer = network.ask(account, &ask, &mut bytes).await?;
    if answer.status != 206 {
        return Ok(None);
    }
    Ok(content_range(&answer).and_then(|(start, end, total)| {
        let right = end >= start && end < total && bytes.len() as u64 == end - start + 1;
        right.then_some(Piece { start, bytes, total })
    }))
}

/// `bytes 100-199/200`
fn content_range(answer: &Response) -> Option<(u64, u64, u64)> {
    let text = answer.headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()?, total.parse().ok()?))
}
