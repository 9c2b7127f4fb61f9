//! URLs as text: escaping and redaction.
//!
//! Invariant: nothing that may be secret (user, password, query, fragment) is in what [`shown`] and [`shown_text`] give;
//! signed links are secrets. Deliberately absent: fetching, and which URLs are taken.

use url::Url;

/// `%2B` as `+`. `None` if `%` is not followed by two hexadecimal digits, or the result is not valid UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A URL without what may be secret: fit for a message.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that has no host has no user either.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// Whether a host is this machine, which no packet leaves to reach.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a password may be sent to a URL: never unencrypted, except to this machine. Schemes that only name another way of
/// talking (`webdav+http`) count as what they end in.
pub fn may_carry_secret(url: &Url) -> bool {
    !(url.scheme() == "http" || url.scheme().ends_with("+http")) || url.host_str().is_some_and(is_loopback)
}

/// The same for a text that may not be a URL; one without `://` is a path and unchanged.
pub fn shown_text(text: &str) -> String {
    match text.split_once("://") {
        None => text.to_owned(),
        Some((scheme, rest)) => Url::parse(text).map_or_else(
            |_| {
                let rest = rest.split(['?', '#']).next().unwrap_or_default();
                // In a text that is not a URL, the end of user and password is unknown.
                let rest = rest.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{rest}")
            },
            |url| shown(&url),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{may_carry_secret, percent_decode, shown, shown_text};

    #[test]
    fn escapes_are_read_or_refused() {
        assert_eq!(percent_decode("a%2Bb%c3%A4").as_deref(), Some("a+b\u{e4}"));
        for wrong in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_goes_unencrypted_to_this_machine_only() {
        for (url, may) in [
            ("https://host/simple/", true),
            ("http://host/simple/", false),
            ("webdav+http://host/x", false),
            ("webdav+https://host/x", true),
            ("http://localhost:3141/x", true),
            ("http://127.8.0.1:3141/x", true),
            ("http://[::1]:3141/x", true),
            ("http://127.0.0.1.evil.example/x", false),
            ("http://localhost.evil.example/x", false),
            ("http://2130706433.evil/x", false),
        ] {
            let url = url::Url::parse(url).expect("valid");
            assert_eq!(may_carry_secret(&url), may, "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = url::Url::parse("https://ana:pw@host/a/b?X-Amz-Signature=s#f").expect("valid");
        assert_eq!(shown(&url), "https://host/a/b");
        for (text, safe) in [
            ("https://ana:pw@host/a@b?key=s#f", "https://host/a@b"),
            ("https://ana:p/w@host/a?key=s#f", "https://host/a"),
            ("s3://key:secret@", "s3://"),
            ("sftp://host?password=s", "sftp://host"),
            ("/srv/what is this?", "/srv/what is this?"),
        ] {
            assert_eq!(shown_text(text), safe);
        }
    }
}
