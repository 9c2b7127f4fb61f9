//! Packages into the cache: copied or downloaded, proven, unpacked.
//!
//! Invariants: nothing is unpacked before its SHA-256 was found right; an unpacked package appears whole under its name or
//! not at all (rattler's cache renames it there), and is fetched again when it is not the one that is wanted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backlot_core::file::TemporaryFolder;
use backlot_core::shared::{self, Modes};
use backlot_core::{FileError, Operation, RelPath, Sha256};
use backlot_net::{Pace, Pauses, TOO_SLOW};
use fs_err as fs;
use rattler::package_cache::PackageCache;
use rattler_conda_types::package::{IndexJson, PackageFile as _, PathsJson};
use rattler_conda_types::{PackageRecord, RepoDataRecord};
use reqwest::Client;
use sha2::Digest as _;
use std::io::{Read as _, Write as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use crate::conda::{Conda, PACKAGES};
use crate::error::{Error, Result, chain};
use crate::links::{Links, check_links, read_links};
use crate::package::CondaPackage;
use crate::system;

/// How many packages are fetched and unpacked at the same time.
const PARALLEL: usize = 4;
const MAX_PACKAGE: u64 = 16 << 30;

/// The parameters of every fetch.
#[derive(Clone)]
struct Source {
    cache: PackageCache,
    client: Client,
    folder: PathBuf,
    offline: bool,
    retries: u32,
    /// Over how long its pace is measured.
    patience: Duration,
    /// The largest package whose channel does not say how large it is.
    most: u64,
}

impl Conda {
    /// Bring packages into the cache; the records they state themselves, in the same order.
    pub(crate) fn fetch(&self, packages: &[CondaPackage]) -> Result<Vec<RepoDataRecord>> {
        let bytes = packages.iter().filter_map(|p| p.size).sum();
        let running = self
            .context
            .start(Operation::Install, packages.len() as u64, bytes);
        let urls = packages
            .iter()
            .map(|package| package.location(&self.options.root))
            .collect::<Result<Vec<_>>>()?;
        let source = Source {
            cache: self.packages.clone(),
            client: self.client(urls.iter().any(|url| url.scheme() == "https"))?,
            folder: self.options.cache.join("downloads"),
            offline: self.options.offline,
            retries: self.options.retries,
            patience: self.options.read_timeout,
            most: MAX_PACKAGE,
        };
        let permits = Arc::new(Semaphore::new(PARALLEL));
        self.block_in(PACKAGES, async {
            let _held = self
                .packages
                .acquire_global_lock()
                .await
                .map_err(|e| Error::Setup { reason: chain(&e) })?;
            let mut tasks = JoinSet::new();
            for (at, (package, url)) in packages.iter().zip(urls).enumerate() {
                let (package, source, permits) = (package.clone(), source.clone(), Arc::clone(&permits));
                tasks.spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    let size = package.size.unwrap_or(0);
                    one(&source, &package, &url).await.map(|found| (at, size, found))
                });
            }
            let mut records = Vec::new();
            while let Some(joined) = tasks.join_next().await {
                let (at, size, found) = match joined {
                    Ok(fetched) => fetched?,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                };
                running.advance(1, size);
                records.push((at, found));
            }
            records.sort_by_key(|(at, _)| *at);
            let (records, links): (Vec<_>, Vec<_>) = records.into_iter().map(|(_, found)| found).unzip();
            let links: Vec<_> = records
                .iter()
                .map(|record: &RepoDataRecord| record.package_record.clone())
                .zip(links)
                .collect();
            check_links(&links, system::platform()?)?;
            Ok(records)
        })
    }
}

/// One package, in the cache and proven, and its links.
async fn one(source: &Source, package: &CondaPackage, url: &Url) -> Result<(RepoDataRecord, Links)> {
    let record = package.record()?;
    let identifier = package.archive(url)?;
    // The cache wraps errors until nobody can tell what they were; ours is put aside.
    let aside: Arc<Mutex<Option<Error>>> = Arc::default();
    let fetch = {
        let (source, package, url, aside) =
            (source.clone(), package.clone(), url.clone(), Arc::clone(&aside));
        move |target: PathBuf| {
            let (source, package, url, aside) =
                (source.clone(), package.clone(), url.clone(), Arc::clone(&aside));
            async move {
                let done = fetch_and_unpack(&source, &package, &url, target).await;
                done.map(|()| Some((*package.sha256.as_bytes()).into()))
                    .map_err(|error| {
                        *aside.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        std::io::Error::other("not fetched")
                    })
            }
        }
    };
    let cached = source
        .cache
        .get_or_fetch(&record, fetch, None)
        .await
        .map_err(|error| {
            let ours = aside.lock().unwrap_or_else(PoisonError::into_inner).take();
            ours.unwrap_or_else(|| Error::FetchFailed {
                package: package.to_string(),
                reason: chain(&error),
                retry: false,
            })
        })?;
    let (package_record, links) = inspect(package, cached.path())?;
    let record = RepoDataRecord {
        package_record,
        identifier,
        url: url.clone(),
        channel: None,
    };
    Ok((record, links))
}

/// What an unpacked package states of itself, and its links, if that is harmless.
fn inspect(package: &CondaPackage, folder: &Path) -> Result<(PackageRecord, Links)> {
    let bad = |reason: String| Error::BadPackage {
        package: package.to_string(),
        reason,
    };
    let index = IndexJson::from_package_directory(folder).map_err(|e| bad(chain(&e)))?;
    let paths =
        PathsJson::from_package_directory_with_deprecated_fallback(folder).map_err(|e| bad(chain(&e)))?;
    for entry in &paths.paths {
        let hostile = |e: backlot_core::relpath::HostilePath| bad(e.to_string());
        RelPath::from_path(&entry.relative_path).map_err(hostile)?;
    }
    if let Some(path) = &index.python_site_packages_path {
        RelPath::parse(path).map_err(|e| bad(e.to_string()))?;
    }
    let links = read_links(folder, &paths)?.map_err(bad)?;
    let digest = Some((*package.sha256.as_bytes()).into());
    let record =
        PackageRecord::from_index_json(index, package.size, digest, None).map_err(|e| bad(chain(&e)))?;
    package.check_identity(&record)?;
    Ok((record, links))
}

async fn fetch_and_unpack(source: &Source, package: &CondaPackage, url: &Url, target: PathBuf) -> Result<()> {
    if url.scheme() == "file" {
        let archive = url
            .to_file_path()
            .map_err(|()| failed(package, "it has no path", false))?;
        return unpack(package, archive, target).await;
    }
    if source.offline {
        return Err(Error::Offline {
            what: format!("the package {package}"),
        });
    }
    shared::make_folder_for_now(&source.folder)?;
    // The name decides how it is unpacked, and is unique among processes by the folder it is in.
    let stage = TemporaryFolder::in_folder(&source.folder)?;
    let name = package.archive(url)?.to_string();
    let archive = stage.path().join(name);
    let mut pauses = Pauses::new(source.retries, Duration::from_millis(250));
    while let Err(error) = download(source, package, url, &archive).await {
        if !backlot_core::Diagnostic::retry(&error) || !pauses.wait(None).await {
            return Err(error);
        }
    }
    unpack(package, archive, target).await
}

async fn download(source: &Source, package: &CondaPackage, url: &Url, archive: &Path) -> Result<()> {
    let passing = |e: reqwest::Error| {
        let status = e.status().map(|s| s.as_u16());
        let retry = !e.is_redirect() && status.is_none_or(|s| s >= 500 || s == 429 || s == 408);
        failed(package, &chain(&e.without_url()), retry)
    };
    let answer = source.client.get(url.clone()).send().await.map_err(passing)?;
    let mut answer = answer.error_for_status().map_err(passing)?;
    let (most, why) = match package.size {
        Some(size) => (size, "it is larger than its channel declares"),
        None => (
            source.most,
            "it is larger than the limit, and its channel does not declare a size",
        ),
    };
    let mut file = fs::File::create(archive).map_err(FileError::from)?;
    let (mut received, mut pace) = (0_u64, Pace::new(source.patience));
    while let Some(chunk) = answer.chunk().await.map_err(passing)? {
        received += chunk.len() as u64;
        if received > most {
            return Err(failed(package, why, false));
        }
        if !pace.is_kept(chunk.len() as u64) {
            return Err(failed(package, TOO_SLOW, true));
        }
        file.write_all(&chunk).map_err(FileError::from)?;
    }
    Ok(())
}

/// Prove an archive and unpack it, off the asynchronous threads.
async fn unpack(package: &CondaPackage, archive: PathBuf, target: PathBuf) -> Result<()> {
    let package = package.clone();
    let work = tokio::task::spawn_blocking(move || {
        let found = digest_of(&archive)?;
        let wrong = |found: Sha256| Error::WrongDigest {
            package: package.to_string(),
            url: package.url.clone(),
            expected: package.sha256,
            found,
        };
        if found != package.sha256 {
            return Err(wrong(found));
        }
        let unpacked =
            rattler_package_streaming::fs::extract(&archive, &target).map_err(|e| Error::BadPackage {
                package: package.to_string(),
                reason: chain(&e),
            })?;
        // The file may have been replaced between the two readings.
        let found = Sha256::from_bytes(unpacked.sha256.into());
        if found != package.sha256 {
            return Err(wrong(found));
        }
        // Others may share the cache.
        let above = target.parent().unwrap_or(Path::new("."));
        Ok(shared::follow(&target, Modes::of(above))?)
    });
    match work.await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn digest_of(path: &Path) -> Result<Sha256> {
    let mut file = fs::File::open(path).map_err(FileError::from)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer).map_err(FileError::from)?;
        if read == 0 {
            return Ok(Sha256::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
    }
}

fn failed(package: &CondaPackage, reason: &str, retry: bool) -> Error {
    Error::FetchFailed {
        package: package.to_string(),
        reason: reason.to_owned(),
        retry,
    }
}

#[cfg(test)]
mod tests {
    use super::{CondaPackage, PackageCache, Sha256, Source, download};
    use crate::conda::{Conda, CondaOptions};
    use backlot_core::Context;
    use std::io::Write as _;
    use std::net::TcpListener;

    /// A server that answers one request with an endless body, until the client closes the connection. Returns its URL.
    fn endless() -> url::Url {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("asked");
            let mut request = [0; 4096];
            assert!(std::io::Read::read(&mut stream, &mut request).expect("asked") > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("answered");
            while stream.write_all(&[0; 4096]).is_ok() {}
        });
        format!("http://{address}/endless-1.0-0.conda")
            .parse()
            .expect("a URL")
    }

    #[test]
    fn a_download_that_never_ends_is_given_up_at_the_stated_length_or_the_largest_there_may_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = CondaOptions::new(folder.path(), folder.path());
        let conda = Conda::new(options, Context::default()).expect("set up");
        for (size, why) in [
            (Some(70_000), "than its channel declares"),
            (None, "than the limit"),
        ] {
            let url = endless();
            let source = Source {
                cache: PackageCache::new(folder.path().join("packages")),
                client: conda.client(false).expect("a client"),
                folder: folder.path().to_owned(),
                offline: false,
                retries: 0,
                patience: conda.options.read_timeout,
                most: 100_000,
            };
            let package = CondaPackage {
                name: "endless".to_owned(),
                version: "1.0".to_owned(),
                build: "0".to_owned(),
                subdir: "noarch".to_owned(),
                url: url.to_string(),
                sha256: Sha256::from_bytes([0; 32]),
                size,
            };
            let archive = folder.path().join("archive");
            let error = conda
                .block(download(&source, &package, &url, &archive))
                .expect_err("given up");
            assert!(error.to_string().contains(why), "{error}");
            let stored = fs_err::metadata(&archive).expect("begun").len();
            assert!(stored <= 100_000, "{stored}");
        }
    }
}
