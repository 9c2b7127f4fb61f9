//! Channels: folders and URLs that hold conda packages, and the places of packages in them as a lock writes them.
//!
//! Invariants: a channel is a folder or an `http`, `https` or `file` URL without any secret in it; a package of a folder
//! is written relative to the same root as its channel, so that a lock names no machine.

use std::path::{Component, Path, PathBuf};

use backlot_core::web;
use url::Url;

use crate::error::{Error, Result};

/// A place with conda packages, below it one folder a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    text: String,
    url: Url,
}

impl Channel {
    /// A channel as people write it; folders are relative to `root`.
    pub fn parse(text: &str, root: &Path) -> Result<Self> {
        let text = match text.trim() {
            // Without its slashes it would be a folder.
            scheme if scheme.ends_with("://") => scheme,
            text => text.trim_end_matches('/'),
        };
        let bad = |reason: &str| Error::BadChannel {
            channel: shown(text),
            reason: reason.to_owned(),
        };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        let mut url = place(text, root, true).map_err(bad)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it contains a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it contains `?` or `#`"));
        }
        if url.scheme() != "file" && holds_secret(&url) {
            return Err(bad("it contains a token (`/t/...`)"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self {
            text: text.to_owned(),
            url,
        })
    }

    /// The channel as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is reached over the network.
    pub fn is_remote(&self) -> bool {
        self.url.scheme() != "file"
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The location of a package of this channel, relative to it; `None` if it belongs to another channel.
    pub(crate) fn place_of(&self, package: &Url) -> Option<String> {
        let rest = package.as_str().strip_prefix(self.url.as_str())?;
        if self.is_remote() || self.text.contains("://") {
            return Some(format!("{}/{rest}", self.text));
        }
        let folder = self.url.to_file_path().ok()?;
        let path = package.to_file_path().ok()?;
        let inside = path.strip_prefix(folder).ok()?.to_str()?.to_owned();
        Some(format!("{}/{inside}", self.text))
    }
}

/// Whether a URL may hold a secret: a user or password, a query, or a token as conda's servers write it (`/t/...`).
pub(crate) fn holds_secret(url: &Url) -> bool {
    let mut parts = url.path_segments().into_iter().flatten();
    let token = parts.any(|part| part == "t") && parts.next().is_some();
    token || !url.username().is_empty() || url.password().is_some() || url.query().is_some()
}

/// A URL for a folder, file or URL as people write it.
pub(crate) fn place(text: &str, root: &Path, folder: bool) -> Result<Url, &'static str> {
    if text.contains("://") {
        let url = Url::parse(text).map_err(|_| "it is not a valid URL")?;
        return match url.scheme() {
            "http" | "https" if url.has_host() => Ok(url),
            "file" if url.to_file_path().is_ok() => Ok(url),
            _ => Err("a channel is a folder, or a URL that begins with https://, http:// or file://"),
        };
    }
    let path = clean(&root.join(text));
    let url = if folder {
        Url::from_directory_path(path)
    } else {
        Url::from_file_path(path)
    };
    url.map_err(|()| "it cannot be converted to an absolute path")
}

/// `..` resolved by words, so that a folder that is absent keeps its name.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// A place without what may be a secret in it, for messages.
pub(crate) fn shown(text: &str) -> String {
    let text = web::shown_text(text);
    match text.split_once("/t/") {
        Some((before, token)) if before.contains("://") => {
            let after = token.find('/').map_or("", |end| &token[end..]);
            format!("{before}/t/***{after}")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Channel, holds_secret, shown};

    #[test]
    fn folders_and_urls_are_channels_and_packages_are_named_as_the_channel_was() {
        let root = Path::new("/studio/ws");
        for (text, url, place) in [
            (
                "../channel",
                "file:///studio/channel/",
                "../channel/noarch/a-1-0.conda",
            ),
            (
                "/srv/my channel/",
                "file:///srv/my%20channel/",
                "/srv/my channel/noarch/a-1-0.conda",
            ),
            (
                "file:///srv/c",
                "file:///srv/c/",
                "file:///srv/c/noarch/a-1-0.conda",
            ),
            (
                "https://conda.studio.example/main",
                "https://conda.studio.example/main/",
                "https://conda.studio.example/main/noarch/a-1-0.conda",
            ),
        ] {
            let channel = Channel::parse(text, root).expect("valid");
            assert_eq!(channel.url().as_str(), url);
            let package = channel.url().join("noarch/a-1-0.conda").expect("a URL");
            assert_eq!(channel.place_of(&package).as_deref(), Some(place));
        }
    }

    #[test]
    fn secrets_and_other_schemes_are_refused_and_never_shown() {
        for text in [
            "",
            "ftp://host/c",
            "https://me:hunter2@host/c",
            "https://host/t/hunter2/c",
            "https://host/c?key=hunter2",
            "https://",
        ] {
            let error = Channel::parse(text, Path::new("/ws")).expect_err("refused");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        for (text, secret) in [
            ("https://host/c/a-1-0.conda", false),
            ("https://me@host/c/a-1-0.conda", true),
            ("https://host/c/a-1-0.conda?signature=hunter2", true),
            ("https://host/t/hunter2/a-1-0.conda", true),
        ] {
            assert_eq!(holds_secret(&text.parse().expect("a URL")), secret, "{text}");
        }
        assert_eq!(shown("https://a:b@host/t/x/c"), "https://host/t/***/c");
    }
}
