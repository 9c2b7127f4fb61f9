//! URLs as text: what is escaped in them, and what of them may be shown.
//!
//! Invariant: nothing that may be secret (user, password, query, fragment) is in what [`shown`] gives; signed links are
//! secrets. Deliberately absent: fetching, and which URLs are taken.

use url::Url;

/// `%2B` as `+`. `None` where `%` is not followed by two hexadecimal digits, or what comes out is no UTF-8.
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

#[cfg(test)]
mod tests {
    use super::{percent_decode, shown};

    #[test]
    fn escapes_are_read_or_refused() {
        assert_eq!(percent_decode("a%2Bb%c3%A4").as_deref(), Some("a+b\u{e4}"));
        for wrong in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = url::Url::parse("https://ana:pw@host/a/b?X-Amz-Signature=s#f").expect("valid");
        assert_eq!(shown(&url), "https://host/a/b");
    }
}
