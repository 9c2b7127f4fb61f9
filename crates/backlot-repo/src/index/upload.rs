//! Publishing to an index by the legacy upload API, as twine does.
//!
//! The order: check whether the version exists, send, check again. Invariants: an existing version is a
//! conflict, whoever was first, as far as the server keeps one (a devpi index must not be volatile); the bytes that were
//! checked are the bytes that are sent, or the request breaks off. Deliberately absent: who and why: an index keeps its
//! own records.

use std::io::Read as _;

use backlot_core::web::shown;
use backlot_core::{Context, Operation, Sha256};
use backlot_net::{Blocks, Failure, error_text, failure};
use bytes::Bytes;
use fs_err as fs;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use sha2::Digest as _;
use ulid::Ulid;
use url::Url;

use super::error::IndexError;
use super::{IndexRepo, final_error, offline};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::publish::{ExistingRelease, PublishCandidate, PublishPlan, There};
use crate::release::ReleaseFile;

/// How much of the wheel is read at once.
const BLOCK: usize = 256 * 1024;

/// The result of the request.
enum Outcome {
    Taken,
    /// It has a file of that name.
    Exists,
}

impl IndexRepo {
    /// The expected result of [`Self::commit`]. Changes nothing.
    pub(crate) fn plan(&self, offer: &PublishCandidate) -> Result<PublishPlan> {
        offer.check_gate(self.gate())?;
        let existing = self.existing(offer)?;
        let writes = match existing {
            Some(_) => Vec::new(),
            None => vec![Location::Url(shown(&self.upload_url()))],
        };
        Ok(PublishPlan {
            package: offer.name.package.clone(),
            version: offer.name.version.clone(),
            file: offer.file.clone(),
            repo: self.place(),
            sha256: offer.sha256,
            size: offer.size,
            makes_repo: false,
            existing,
            writes,
        })
    }

    /// Upload a wheel or one file of several; a version that is there is [`crate::Error::ReleaseExists`].
    pub(crate) fn commit(&self, offer: &PublishCandidate, context: &Context) -> Result<()> {
        offer.check_gate(self.gate())?;
        if self.is_offline() {
            return Err(offline("the place for an upload", &self.0.url));
        }
        if let Some(existing) = self.existing(offer)? {
            return Err(offer.conflict(self.place(), existing, true));
        }
        self.warn_of_base(offer, context)?;
        let sending = context.clone().about(self.place().subject());
        let running = sending.start(Operation::Push, 1, offer.size);
        let (network, url) = (&self.0.network, self.upload_url());
        let sent = network.retried(&url, || self.try_send(offer, &url));
        let (outcome, attempts) = network.block(sent)?;
        running.advance(1, offer.size);
        let there = self.existing(offer)?;
        match (outcome, there) {
            // Sent twice because the first response was lost: the release is ours.
            (Outcome::Exists, Some(there)) if there.identical && attempts > 1 => Ok(()),
            (Outcome::Taken, Some(there)) if there.identical => Ok(()),
            // Listed a moment later.
            (Outcome::Taken, None) => Ok(()),
            (_, Some(there)) => Err(offer.conflict(self.place(), there, true)),
            (Outcome::Exists, None) => {
                let there = ExistingRelease {
                    place: self.place(),
                    author: None,
                    at: None,
                    identical: false,
                };
                Err(offer.conflict(self.place(), there, true))
            }
        }
    }

    /// The conflict of a candidate, checked again: usually any file of its version in the index itself.
    fn existing(&self, offer: &PublishCandidate) -> Result<Option<ExistingRelease>> {
        if !self.is_offline() {
            self.forget(&offer.name.package);
        }
        let listing = self.releases_with_problems(&offer.name.package)?;
        let same: Vec<&ReleaseFile> = (listing.files())
            .filter(|file| file.version == offer.name.version && !self.inherits(file))
            .collect();
        let mut there = Vec::with_capacity(same.len());
        for release in same {
            // However its server spells the file: of a version there is one source distribution, and one wheel of a name.
            let is_it = release.kind == offer.kind && release.name == offer.name;
            there.push(There {
                file: if is_it { &offer.file } else { &release.file },
                sha256: match (&offer.siblings, release.sha256) {
                    (Some(_), None) => Some(self.digest(release)?),
                    (_, known) => known,
                },
                of: (release, is_it),
            });
        }
        let Some((release, is_it)) = offer.in_the_way(there) else {
            return Ok(None);
        };
        Ok(Some(ExistingRelease {
            place: release.place(),
            author: None,
            at: release.published_at,
            identical: is_it && self.has_bytes(release, &offer.sha256)?,
        }))
    }

    /// A file of an index hides an inherited one of the same name: users are warned if the contents differ.
    fn warn_of_base(&self, offer: &PublishCandidate, context: &Context) -> Result<()> {
        let listing = self.releases_with_problems(&offer.name.package)?;
        let hidden = listing.files().find(|file| {
            let is_it = file.kind == offer.kind && file.name == offer.name;
            is_it && self.inherits(file) && file.sha256.is_some_and(|known| known != offer.sha256)
        });
        if let Some(hidden) = hidden {
            let message = format!(
                "`{}` hides `{}`, which `{}` inherits and which has different contents",
                offer.file,
                hidden.place(),
                self.place()
            );
            context.warn("index::hides_inherited", message);
        }
        Ok(())
    }

    fn has_bytes(&self, release: &ReleaseFile, sha256: &Sha256) -> Result<bool> {
        Ok(match release.sha256 {
            Some(known) => known == *sha256,
            // An index that promises nothing is asked for the file itself.
            None => self.digest(release)? == *sha256,
        })
    }

    /// Where uploads go: as configured; else beside the pages of an index whose address ends in `simple`.
    fn upload_url(&self) -> Url {
        if let Some(url) = &self.0.upload {
            return url.clone();
        }
        let url = &self.0.url;
        let path = url.path().trim_end_matches('/');
        match path
            .strip_suffix("/+simple")
            .or_else(|| path.strip_suffix("/simple"))
        {
            Some(above) => {
                let mut above_url = url.clone();
                above_url.set_path(&format!("{above}/"));
                above_url
            }
            None => url.clone(),
        }
    }

    async fn try_send(&self, offer: &PublishCandidate, url: &Url) -> Result<Outcome, Failure<Error>> {
        let network = &self.0.network;
        let _permit = network.permit().await.map_err(Error::from)?;
        let boundary = format!("backlot-{}", Ulid::generate());
        let body = WheelBody::new(offer, &boundary)?;
        let request = network
            .client(url.scheme())
            .map_err(Error::from)?
            .post(url.clone())
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .header(CONTENT_LENGTH, body.left())
            .body(backlot_net::body(body));
        let account = &self.0.uploader;
        let mut response = network
            .send(account, url, request)
            .await
            .map_err(Failure::into_other)?;
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            return Err(final_error(backlot_net::Error::Redirect {
                url: shown(url),
                to: backlot_net::follow(url, &response)
                    .map(|u| shown(&u))
                    .map_err(Error::from)?,
                reason: "redirects are not followed for uploads".to_owned(),
            }));
        }
        if response.status().is_success() {
            return Ok(Outcome::Taken);
        }
        if status == 409 {
            return Ok(Outcome::Exists);
        }
        let devpi = self.devpi_index().map(|(user, index)| format!("{user}/{index}"));
        if status == 403
            && let Some(index) = &devpi
            && let Some(found) = account.found().filter(|_| url.origin() == account.origin())
        {
            return Err(final_error(IndexError::MayNotUpload {
                url: shown(url),
                user: found.credential.user,
                index: index.clone(),
                reason: error_text(&mut response).await,
            }));
        }
        if let Some(failure) = failure(account, url, &response) {
            return Err(failure.into_other());
        }
        let reason = error_text(&mut response).await;
        if let Some(index) = devpi.filter(|_| status == 404 && !reason.contains("mirror")) {
            return Err(final_error(IndexError::NoSuchIndex {
                url: shown(url),
                index,
                file: offer.file.clone(),
            }));
        }
        if status == 400 && reason.to_lowercase().contains("already exist") {
            return Ok(Outcome::Exists);
        }
        Err(final_error(IndexError::UploadRefused {
            url: shown(url),
            file: offer.file.clone(),
            status,
            reason,
        }))
    }
}

/// The form with the wheel at its end, streamed from the file.
struct WheelBody {
    before: Option<Bytes>,
    file: fs::File,
    in_file: u64,
    hasher: sha2::Sha256,
    expected: Sha256,
    after: Option<Bytes>,
}

impl WheelBody {
    fn new(offer: &PublishCandidate, boundary: &str) -> Result<Self> {
        let mut before = String::new();
        for (name, value) in fields(offer) {
            before.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        before.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            offer.file
        ));
        Ok(Self {
            before: Some(before.into()),
            file: fs::File::open(&offer.source)?,
            in_file: offer.size,
            hasher: sha2::Sha256::new(),
            expected: offer.sha256,
            after: Some(format!("\r\n--{boundary}--\r\n").into()),
        })
    }
}

impl Blocks for WheelBody {
    fn left(&self) -> u64 {
        let around = [&self.before, &self.after]
            .into_iter()
            .flatten()
            .map(|b| b.len() as u64);
        around.sum::<u64>() + self.in_file
    }

    fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(before) = self.before.take() {
            return Ok(Some(before));
        }
        if self.in_file > 0 {
            let want = usize::try_from(self.in_file).unwrap_or(BLOCK).min(BLOCK);
            let mut block = vec![0; want];
            let read = self.file.read(&mut block)?;
            block.truncate(read);
            self.hasher.update(&block);
            self.in_file -= read as u64;
            let found = (self.in_file == 0).then(|| self.hasher.clone().finalize().into());
            if read == 0 || found.is_some_and(|found| Sha256::from_bytes(found) != self.expected) {
                return Err(std::io::Error::other("the wheel changed while it was being sent"));
            }
            return Ok(Some(block.into()));
        }
        Ok(self.after.take())
    }
}

/// The fields of the form, in the order and by the names of the legacy API.
fn fields(offer: &PublishCandidate) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(&offer.metadata);
    let (headers, body) = backlot_wheel::metadata_headers(&text);
    let mut fields: Vec<(String, String)> = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("filetype", if offer.is_sdist() { "sdist" } else { "bdist_wheel" }),
        (
            "pyversion",
            if offer.is_sdist() {
                "source"
            } else {
                offer.name.python()
            },
        ),
        ("sha256_digest", &offer.sha256.to_hex()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let mut has_range = false;
    for (header, value) in headers {
        let name = match header.as_str() {
            "classifier" => "classifiers".to_owned(),
            "project-url" => "project_urls".to_owned(),
            "home-page" => "home_page".to_owned(),
            other => other.replace('-', "_"),
        };
        // A name from a wheel must stay inside its quotes.
        if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            has_range |= name == "requires_python";
            fields.push((name, value));
        }
    }
    if !has_range {
        // Some servers want the field even where it says nothing.
        fields.push(("requires_python".to_owned(), String::new()));
    }
    if let Some(body) = body {
        fields.push(("description".to_owned(), body));
    }
    fields
}
