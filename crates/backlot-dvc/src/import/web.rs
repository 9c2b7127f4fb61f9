//! The state of a file on a web server, as DVC writes it.
//!
//! Invariant: for the same answer it is what real DVC writes, so its updates and ours agree on whether a file changed. Deliberately absent:
//! asking the server.

use backlot_store::digest_bytes;

use super::SourceState;

/// What a server says of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebInfo<'a> {
    /// What was asked for.
    pub url: &'a str,
    /// What answered in the end.
    pub final_url: &'a str,
    /// `ETag`, as it stands in the header.
    pub etag: Option<&'a str>,
    /// `Content-MD5`, in base64.
    pub content_md5: Option<&'a str>,
    /// `Digest`.
    pub digest: Option<&'a str>,
    /// `Last-Modified`.
    pub last_modified: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// Its bytes.
    pub size: Option<u64>,
    /// Whether it says `Accept-Ranges: none`.
    pub no_ranges: bool,
}

impl WebInfo<'_> {
    /// Its `ETag`, else its MD5, else a number for all that the server says: the token that `fsspec` makes of it.
    pub fn state(&self) -> SourceState {
        let own = self.etag.or(self.content_md5).map(ToOwned::to_owned);
        SourceState::Checksum(own.unwrap_or_else(|| self.token()))
    }

    fn token(&self) -> String {
        let size = self
            .size
            .map_or_else(|| "None".to_owned(), |size| size.to_string());
        let mut fields = vec![("name", python_text(self.url)), ("size", size)];
        if let Some(kind) = self.content_type {
            let kind = kind.split(';').next().unwrap_or_default();
            fields.push(("mimetype", python_text(kind)));
        }
        if self.no_ranges {
            fields.push(("partial", "False".to_owned()));
        }
        fields.push(("url", python_text(self.final_url)));
        for (name, value) in [("Digest", self.digest), ("Last-Modified", self.last_modified)] {
            fields.extend(value.map(|value| (name, python_text(value))));
        }
        fields.push(("type", "'file'".to_owned()));
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(name, value)| format!("'{name}': {value}"))
            .collect();
        let text = format!("({{{}}},)", fields.join(", "));
        u128::from_be_bytes(*digest_bytes(text.as_bytes()).md5.as_bytes()).to_string()
    }
}

/// A text as Python's `repr` shows it, as far as headers and URLs go: those are printable ASCII.
fn python_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut shown = String::from(quote);
    for c in text.chars() {
        if c == '\\' || c == quote {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown.push(quote);
    shown
}

#[cfg(test)]
mod tests {
    use super::{SourceState, WebInfo, python_text};

    #[test]
    fn states_are_those_that_real_dvc_writes() {
        let date = "Mon, 01 Jan 2024 00:00:00 GMT";
        let etag = WebInfo {
            etag: Some("\"abc-1\""),
            content_md5: Some("XUFAKrxLKna5cZ2REBfFkg=="),
            ..WebInfo::default()
        };
        let md5 = WebInfo { etag: None, ..etag };
        let plain = |url| WebInfo {
            url,
            final_url: url,
            size: Some(5),
            ..WebInfo::default()
        };
        let dated = WebInfo {
            last_modified: Some(date),
            ..plain("http://127.0.0.1:18999/lm")
        };
        let typed = WebInfo {
            url: "http://127.0.0.1:18999/lmct",
            final_url: "http://127.0.0.1:18999/lmct",
            content_type: Some("image/x-exr; q=1"),
            ..dated
        };
        for (info, expected) in [
            (etag, "\"abc-1\""),
            (md5, "XUFAKrxLKna5cZ2REBfFkg=="),
            (dated, "319730935859195425316631876835173713687"),
            (typed, "223491701693189609584365119891951346133"),
            (
                plain("http://127.0.0.1:18999/none"),
                "8276464280345413483151361152770044426",
            ),
        ] {
            assert_eq!(info.state(), SourceState::Checksum(expected.to_owned()));
        }
    }

    #[test]
    fn texts_are_shown_as_python_shows_them() {
        for (text, shown) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("\"a\"", "'\"a\"'"),
            ("'\"", "'\\'\"'"),
            ("a\\b", "'a\\\\b'"),
        ] {
            assert_eq!(python_text(text), shown);
        }
    }
}
