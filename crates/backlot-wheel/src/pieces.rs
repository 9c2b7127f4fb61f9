//! A few files out of a wheel of which only pieces are at hand: `async_zip`'s seeking reader over a file whose bytes are fetched by ranges.
//!
//! A wheel is a ZIP file: its last bytes locate its directory, the directory locates each file. The end is fetched first, usually
//! all that is needed; then, if need be, the rest of the directory in one piece, and of each wanted file what is not at hand in one piece.
//! Invariants: nothing is fetched past stated limits, whatever the archive says of itself; bytes leave here only with the checksum that the
//! archive says; what is odd about it ends in `None`: the reader of whole files may make of it what it can. Deliberately absent: where the
//! pieces come from, and believing them: the digest of a wheel is not known from pieces.

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_zip::base::read1::ZipOptions;
use async_zip::base::read1::seek::ZipArchiveReader;
use backlot_core::RelPath;
use futures_lite::future::block_on;
use futures_lite::io::{AsyncBufRead, AsyncRead, AsyncReadExt as _, AsyncSeek};

use crate::archive::offset_of;

/// How much of the end is fetched first.
const TAIL: u64 = 32 * 1024;
/// The most that is fetched of a directory, and the largest that is read.
const MAX_DIRECTORY: u64 = 16 << 20;
/// The largest file that is read this way, packed or not.
const MAX_ENTRY: u64 = 16 << 20;
/// The most that all wanted files may have together: records of one small file can say that it is many.
const MAX_FILES: u64 = 64 << 20;
/// Room for what a local header may have beyond what the directory says.
const SLACK: u64 = 1024;
/// Bytes that are not available while the end record is being located.
const ZEROS: [u8; 4096] = [0; 4096];

/// Which bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// The last bytes, or all if there are fewer.
    Last(u64),
    /// A number of bytes from an offset on.
    At(u64, u64),
}

/// Bytes of a file.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Where they begin.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The length of the file.
    pub total: u64,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// What it has from a place on.
    fn from(&self, at: u64) -> Option<&[u8]> {
        let skip = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..).filter(|rest| !rest.is_empty())
    }
}

/// Files of a wheel with their contents.
pub type Members = Vec<(RelPath, Vec<u8>)>;

/// A piece on its way; `None` if its server does not send pieces.
pub type Fetching<'a, E> = Pin<Box<dyn Future<Output = Result<Option<Piece>, E>> + Send + 'a>>;

/// How a piece is fetched.
pub type Fetch<'a, E> = dyn Fn(ByteRange) -> Fetching<'a, E> + Sync + 'a;

/// The files of a wheel that are wanted, in the order of its directory; `None` where the whole has to be read for it.
pub fn files_in_pieces<'a, E: Send + 'a>(
    fetch: &'a Fetch<'a, E>,
    wanted: &dyn Fn(&RelPath) -> bool,
) -> Result<Option<Members>, E> {
    block_on(async {
        let Some(mut wheel) = Wheel::open(fetch).await? else {
            return Ok(None);
        };
        let (mut files, mut together) = (Vec::new(), 0u64);
        for (index, record) in wheel.reader.cdrs().iter().enumerate() {
            let name = std::str::from_utf8(record.insecure_file_name.as_bytes()).ok();
            let path = name.and_then(|name| RelPath::parse(name.trim_end_matches('/')).ok());
            let (Some(name), Some(path)) = (name, path) else {
                return Ok(None);
            };
            if !name.ends_with('/') && wanted(&path) {
                together = together.saturating_add(record.uncompressed_size().unwrap_or(u64::MAX));
                files.push((index, path));
            }
        }
        if together > MAX_FILES {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(files.len());
        for (index, path) in files {
            match wheel.read(index).await? {
                Some(bytes) => found.push((path, bytes)),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    })
}

/// The one METADATA of a wheel; `None` where the whole has to be read for it.
pub async fn metadata_in_pieces<'a, E: Send + 'a>(fetch: &'a Fetch<'a, E>) -> Result<Option<Vec<u8>>, E> {
    let Some(mut wheel) = Wheel::open(fetch).await? else {
        return Ok(None);
    };
    let is_metadata = |name: &[u8]| {
        let stem = name.strip_suffix(b".dist-info/METADATA");
        stem.is_some_and(|stem| !stem.contains(&b'/'))
    };
    let mut found = Vec::new();
    for (index, record) in wheel.reader.cdrs().iter().enumerate() {
        if is_metadata(record.insecure_file_name.as_bytes()) {
            found.push(index);
        }
    }
    match found.as_slice() {
        [only] => wheel.read(*only).await,
        _ => Ok(None),
    }
}

/// A wheel whose directory is read.
struct Wheel<'a, E> {
    reader: ZipArchiveReader<Source<'a, E>>,
    desk: Arc<Mutex<Desk<E>>>,
    total: u64,
}

impl<'a, E: Send + 'a> Wheel<'a, E> {
    async fn open(fetch: &'a Fetch<'a, E>) -> Result<Option<Self>, E> {
        let Some(tail) = fetch(ByteRange::Last(TAIL)).await? else {
            return Ok(None);
        };
        if tail.end() != tail.total {
            return Ok(None);
        }
        let total = tail.total;
        let desk = Arc::new(Mutex::new(Desk {
            allowed: Allowed::Directory,
            failed: None,
        }));
        let source = Source {
            fetch,
            fetching: None,
            pieces: vec![tail],
            total,
            at: 0,
            is_searching: true,
            desk: Arc::clone(&desk),
        };
        let options = ZipOptions {
            max_uncompressed_size_per_file: MAX_ENTRY,
            max_compressed_size_per_file: MAX_ENTRY,
            max_cd_size_in_bytes: MAX_DIRECTORY,
            ..ZipOptions::untrusted()
        };
        match ZipArchiveReader::open_with_options(source, options).await {
            Ok(reader) => Ok(Some(Self { reader, desk, total })),
            Err(_) => failure(&desk),
        }
    }

    async fn read(&mut self, index: usize) -> Result<Option<Vec<u8>>, E> {
        let record = &self.reader.cdrs()[index];
        let (Ok(packed), Ok(size), Some(start)) = (
            record.compressed_size(),
            record.uncompressed_size(),
            offset_of(record),
        ) else {
            return Ok(None);
        };
        if packed > MAX_ENTRY || size > MAX_ENTRY || start >= self.total {
            return Ok(None);
        }
        let end = start.saturating_add(30 + SLACK + packed).min(self.total);
        lock(&self.desk).allowed = Allowed::Within(start, end);
        let Ok(file) = self.reader.file(index).await else {
            return failure(&self.desk);
        };
        let mut bytes = Vec::new();
        match file.take(size + 1).read_to_end(&mut bytes).await {
            Ok(_) if bytes.len() as u64 == size => Ok(Some(bytes)),
            _ => failure(&self.desk),
        }
    }
}

/// Why something was not read: an error of the fetcher, or an unusual archive.
fn failure<T, E>(desk: &Mutex<Desk<E>>) -> Result<Option<T>, E> {
    lock(desk).failed.take().map_or(Ok(None), Err)
}

fn lock<E>(desk: &Mutex<Desk<E>>) -> MutexGuard<'_, Desk<E>> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The requests that a source may make.
#[derive(Clone, Copy)]
enum Allowed {
    Nothing,
    /// One range, up to the available data.
    Directory,
    /// The bytes between two positions.
    Within(u64, u64),
}

/// What is passed between a source, which the ZIP reader has, and us.
struct Desk<E> {
    allowed: Allowed,
    failed: Option<E>,
}

/// A file whose bytes are fetched when they are read.
struct Source<'a, E> {
    fetch: &'a Fetch<'a, E>,
    fetching: Option<Fetching<'a, E>>,
    pieces: Vec<Piece>,
    total: u64,
    at: u64,
    /// The end record is being located, through as much as the longest comment may have: until the end is reached, unavailable bytes
    /// count as zeros. A record before the range at the end is not found.
    is_searching: bool,
    desk: Arc<Mutex<Desk<E>>>,
}

impl<E> Source<'_, E> {
    /// The piece that has the place that is read next.
    fn at_hand(&self) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.from(self.at).is_some())
    }

    /// Where the next piece begins after the place that is read next.
    fn next_start(&self) -> u64 {
        let starts = self.pieces.iter().map(|piece| piece.start);
        starts
            .filter(|start| *start > self.at)
            .min()
            .unwrap_or(self.total)
    }

    /// What to fetch for the next read position; `None` if not allowed.
    fn missing(&self) -> Option<ByteRange> {
        let mut desk = lock(&self.desk);
        let end = match desk.allowed {
            Allowed::Within(start, end) if (start..end).contains(&self.at) => end.min(self.next_start()),
            Allowed::Directory if self.next_start() - self.at <= MAX_DIRECTORY => {
                desk.allowed = Allowed::Nothing;
                self.next_start()
            }
            _ => return None,
        };
        Some(ByteRange::At(self.at, end - self.at))
    }

    /// Fetch the piece with the place that is read next.
    fn poll_fetch(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let odd = || io::Error::from(io::ErrorKind::InvalidData);
        if self.fetching.is_none() {
            let range = self.missing().ok_or_else(odd)?;
            self.fetching = Some((self.fetch)(range));
        }
        let Some(fetching) = &mut self.fetching else {
            return Poll::Ready(Err(odd()));
        };
        let fetched = ready!(fetching.as_mut().poll(context));
        self.fetching = None;
        Poll::Ready(match fetched {
            Ok(Some(piece)) if piece.total == self.total && piece.from(self.at).is_some() => {
                self.pieces.push(piece);
                Ok(())
            }
            // The file was replaced, or a different range was sent.
            Ok(_) => Err(odd()),
            Err(error) => {
                lock(&self.desk).failed = Some(error);
                Err(odd())
            }
        })
    }
}

impl<E> AsyncBufRead for Source<'_, E> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.at >= this.total {
            this.is_searching = false;
            return Poll::Ready(Ok(&[]));
        }
        if this.at_hand().is_none() {
            if this.is_searching {
                let length = usize::try_from(this.next_start() - this.at).unwrap_or(usize::MAX);
                return Poll::Ready(Ok(&ZEROS[..length.min(ZEROS.len())]));
            }
            ready!(this.poll_fetch(context))?;
        }
        let piece = this.at_hand().and_then(|index| this.pieces[index].from(this.at));
        Poll::Ready(piece.ok_or_else(|| io::ErrorKind::InvalidData.into()))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().at += amount as u64;
    }
}

impl<E> AsyncRead for Source<'_, E> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let there = ready!(self.as_mut().poll_fill_buf(context))?;
        let length = there.len().min(into.len());
        into[..length].copy_from_slice(&there[..length]);
        self.consume(length);
        Poll::Ready(Ok(length))
    }
}

impl<E> AsyncSeek for Source<'_, E> {
    fn poll_seek(self: Pin<&mut Self>, _: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        let this = self.get_mut();
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => this.total.checked_add_signed(by),
            SeekFrom::Current(by) => this.at.checked_add_signed(by),
        };
        let Some(at) = at else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        this.at = at;
        Poll::Ready(Ok(at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_zip::base::write::ZipFileWriter;
    use async_zip::{Compression, ZipEntryBuilder};
    use futures_lite::future::block_on;

    use super::{ByteRange, Fetching, MAX_DIRECTORY, Piece, TAIL, files_in_pieces, metadata_in_pieces};

    /// Files with their contents, stored as they are.
    fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut zip = ZipFileWriter::new(Vec::<u8>::new());
        for (name, bytes) in files {
            let entry = ZipEntryBuilder::new(name.as_str().into(), Compression::Stored);
            block_on(zip.write_entry_whole(entry, bytes)).unwrap();
        }
        block_on(zip.close()).unwrap()
    }

    /// Many files beside a METADATA, which is the first.
    fn with_others(others: usize, length: usize) -> Vec<u8> {
        let mut files = vec![("x-1.dist-info/METADATA".to_owned(), b"Name: x\n".to_vec())];
        files.extend((0..others).map(|n| (format!("x/file_{n:05}.bin"), vec![7; length])));
        archive(&files)
    }

    type Found = Result<Option<Vec<u8>>, String>;
    type Change = dyn Fn(usize, Piece) -> Option<Piece> + Sync;

    const AS_IT_IS: &Change = &|_, piece| Some(piece);

    /// METADATA out of an archive, and what was fetched for it. A piece may be changed on its way.
    fn read(archive: &[u8], change: &Change) -> (Found, Vec<ByteRange>) {
        let asked = Mutex::new(Vec::new());
        let fetch = |range: ByteRange| -> Fetching<'_, String> {
            let mut asked = asked.lock().unwrap();
            asked.push(range);
            let total = archive.len() as u64;
            let (start, end) = match range {
                ByteRange::Last(most) => (total.saturating_sub(most), total),
                ByteRange::At(start, length) => (start, start + length),
            };
            let bytes = archive[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].to_vec();
            let piece = change(asked.len(), Piece { start, bytes, total });
            Box::pin(std::future::ready(
                piece.map(Some).ok_or_else(|| "no way".to_owned()),
            ))
        };
        let found = block_on(metadata_in_pieces(&fetch));
        (found, asked.into_inner().unwrap())
    }

    #[test]
    fn what_is_at_hand_is_not_fetched_again() {
        let metadata = Ok(Some(b"Name: x\n".to_vec()));
        let (small, medium, large) = (
            with_others(3, 10),
            with_others(300, 10_000),
            with_others(3_000, 100),
        );
        let at = |archive: &[u8]| {
            archive
                .windows(4)
                .position(|bytes| bytes == b"PK\x01\x02")
                .unwrap() as u64
        };
        assert_eq!(
            read(&small, AS_IT_IS),
            (metadata.clone(), vec![ByteRange::Last(TAIL)])
        );
        let (found, asked) = read(&medium, AS_IT_IS);
        assert_eq!(found, metadata);
        assert!(
            at(&medium) > medium.len() as u64 - TAIL,
            "the directory is in the end"
        );
        assert!(
            matches!(asked.as_slice(), [ByteRange::Last(_), ByteRange::At(0, 1..2000)]),
            "{asked:?}"
        );
        let (found, asked) = read(&large, AS_IT_IS);
        assert_eq!(found, metadata);
        let directory = ByteRange::At(at(&large), large.len() as u64 - TAIL - at(&large));
        assert_eq!(asked[1], directory);
        assert!(
            matches!(asked.as_slice(), [_, _, ByteRange::At(0, 1..2000)]),
            "{asked:?}"
        );
    }

    #[test]
    fn errors_pass_and_what_another_file_sends_is_not_taken() {
        let large = with_others(3_000, 100);
        for wrong in 1..=3 {
            let broken = move |number, piece| (number != wrong).then_some(piece);
            assert_eq!(read(&large, &broken).0, Err("no way".to_owned()), "{wrong}");
            let grown = move |number, mut piece: Piece| {
                piece.total += u64::from(number == wrong);
                Some(piece)
            };
            assert_eq!(read(&large, &grown).0, Ok(None), "{wrong}");
            let empty = move |number, mut piece: Piece| {
                piece.bytes.truncate(if number == wrong { 0 } else { usize::MAX });
                Some(piece)
            };
            assert_eq!(read(&large, &empty).0, Ok(None), "{wrong}");
        }
    }

    /// An archive whose end gives a wrong position of the directory.
    fn with_directory_at(mut archive: Vec<u8>, offset: u32) -> Vec<u8> {
        let end = archive.len() - 22;
        archive[end + 16..end + 20].copy_from_slice(&offset.to_le_bytes());
        archive
    }

    #[test]
    fn what_an_archive_says_of_itself_fetches_no_more_than_is_allowed() {
        let far = with_directory_at(with_others(20, 1 << 20), 8);
        assert!(far.len() as u64 > MAX_DIRECTORY);
        assert_eq!(read(&far, AS_IT_IS), (Ok(None), vec![ByteRange::Last(TAIL)]));
        let near = with_directory_at(with_others(10, 1 << 20), 8);
        let (found, asked) = read(&near, AS_IT_IS);
        assert_eq!((found, asked.len()), (Ok(None), 2));
        // The directory says that a file is larger than what is read this way.
        let mut huge = with_others(3, 10);
        let record = huge.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        huge[record + 24..record + 28].copy_from_slice(&(17u32 << 20).to_le_bytes());
        assert_eq!(read(&huge, AS_IT_IS), (Ok(None), vec![ByteRange::Last(TAIL)]));
    }

    #[test]
    fn a_record_without_the_offset_that_it_points_to_is_odd() {
        let forged = crate::tests::without_offset(with_others(3, 10));
        assert_eq!(read(&forged, AS_IT_IS), (Ok(None), vec![ByteRange::Last(TAIL)]));
    }

    #[test]
    fn two_metadata_or_none_are_left_to_the_reader_of_whole_wheels() {
        let file = |name: &str| (name.to_owned(), b"Name: x\n".to_vec());
        for names in [
            vec![],
            vec!["a/x-1.dist-info/METADATA"],
            vec!["x-1.dist-info/METADATA", "y-1.dist-info/METADATA"],
        ] {
            let files: Vec<_> = names.iter().map(|name| file(name)).chain([file("z")]).collect();
            assert_eq!(read(&archive(&files), AS_IT_IS).0, Ok(None), "{names:?}");
        }
    }

    #[test]
    fn files_that_are_too_much_together_are_left_to_the_reader_of_whole_wheels() {
        let most = usize::try_from(super::MAX_ENTRY).unwrap();
        let files: Vec<_> = (0..5).map(|n| (format!("{n}.txt"), vec![0; most])).collect();
        let bytes = archive(&files);
        let fetch = |range: ByteRange| -> Fetching<'_, String> {
            let total = bytes.len() as u64;
            let ByteRange::Last(most) = range else {
                return Box::pin(std::future::ready(Err("nothing more is needed".to_owned())));
            };
            let start = total - most;
            let bytes = bytes[usize::try_from(start).unwrap()..].to_vec();
            Box::pin(std::future::ready(Ok(Some(Piece { start, bytes, total }))))
        };
        assert_eq!(files_in_pieces(&fetch, &|_| true), Ok(None));
        assert_eq!(files_in_pieces(&fetch, &|_| false), Ok(Some(Vec::new())));
    }

    #[test]
    fn a_name_that_leads_out_leaves_all_to_the_reader_of_whole_wheels() {
        let bytes = archive(&[("../evil".to_owned(), vec![1]), ("a.txt".to_owned(), vec![2])]);
        let fetch = |_: ByteRange| -> Fetching<'_, String> {
            let piece = Piece {
                start: 0,
                bytes: bytes.clone(),
                total: bytes.len() as u64,
            };
            Box::pin(std::future::ready(Ok(Some(piece))))
        };
        assert_eq!(
            files_in_pieces(&fetch, &|path| path.as_str() == "a.txt"),
            Ok(None)
        );
    }
}
