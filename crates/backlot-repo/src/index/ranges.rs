//! METADATA out of a wheel on a server, by a few small reads of its end.
//!
//! A wheel is a ZIP file: its last bytes say where its directory lies, the directory where METADATA lies, and builders put
//! that near the end. Invariants: nothing is read past stated limits, whatever the archive says of itself; what is odd
//! (ZIP64, two METADATA, encryption) is left to the reader of whole wheels. Deliberately absent: believing it: the caller
//! compares name and version.

use backlot_net::{Account, Answer, Ask, Network};
use reqwest::header::CONTENT_RANGE;
use url::Url;

use crate::error::Result;
use crate::parts::{Part, Piece, TAIL, directory, find_metadata, unpack};
use crate::record::METADATA_LIMIT;

/// The bytes of METADATA; `None` where the whole wheel has to be read for it.
pub(crate) async fn metadata(network: &Network, account: &Account, url: &Url) -> Result<Option<Vec<u8>>> {
    let Some(tail) = part(network, account, url, Part::Last(TAIL)).await? else {
        return Ok(None);
    };
    let Some(place) = directory(&tail) else {
        return Ok(None);
    };
    let fetched = match place.bytes(&tail) {
        Some(_) => None,
        None => part(network, account, url, place.part()).await?,
    };
    let entry = place
        .entries(fetched.as_ref().unwrap_or(&tail))
        .and_then(find_metadata);
    let Some(entry) = entry.filter(|e| e.packed <= METADATA_LIMIT && e.size <= METADATA_LIMIT) else {
        return Ok(None);
    };
    if let Some(found) = unpack(&tail, &entry) {
        return Ok(Some(found));
    }
    let Some(around) = entry.part(tail.total) else {
        return Ok(None);
    };
    let piece = part(network, account, url, around).await?;
    Ok(piece.and_then(|p| unpack(&p, &entry)))
}

/// A part of a file; `None` if the server does not do that.
pub(crate) async fn part(
    network: &Network,
    account: &Account,
    url: &Url,
    part: Part,
) -> Result<Option<Piece>> {
    match part {
        Part::Last(length) => piece(network, account, url, &format!("-{length}"), length).await,
        Part::At(start, length) => {
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
    let ask = Ask::new(url.clone(), limit).range(range);
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
fn content_range(answer: &Answer) -> Option<(u64, u64, u64)> {
    let text = answer.headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()?, total.parse().ok()?))
}
