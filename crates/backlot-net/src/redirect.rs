//! Where an answer may send us.
//!
//! Invariant: what began encrypted stays encrypted, however many steps lie between, and only HTTP is spoken. Deliberately
//! absent: credentials, which the caller sends to one origin only.

use backlot_core::web::shown;
use reqwest::Response;
use reqwest::header::LOCATION;
use url::Url;

use crate::error::{Error, Result, tame};

/// How many redirects are followed.
pub(crate) const MAX_REDIRECTS: usize = 10;

/// Why a redirect is not followed, after the addresses that were asked; `None` if it is.
pub fn refused(previous: &[Url], next: &Url) -> Option<&'static str> {
    let was_encrypted = previous.iter().any(|url| url.scheme() == "https");
    match next.scheme() {
        "https" => {}
        "http" if !was_encrypted => {}
        "http" => return Some("the target is not encrypted"),
        _ => return Some("only http and https are supported"),
    }
    (previous.len() > MAX_REDIRECTS).then_some("too many redirects")
}

/// Where a redirect leads.
pub fn follow(from: &Url, response: &Response) -> Result<Url> {
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|l| l.to_str().ok())
        .unwrap_or_default();
    let refuse = |to: String, reason: &str| Error::Redirect {
        url: shown(from),
        to,
        reason: reason.to_owned(),
    };
    let to = from
        .join(location)
        .map_err(|e| refuse(tame(location, 200), &e.to_string()))?;
    match refused(std::slice::from_ref(from), &to) {
        Some(reason) => Err(refuse(shown(&to), reason)),
        None => Ok(to),
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::refused;

    #[test]
    fn a_redirect_from_https_to_http_is_not_followed() {
        let url = |text: &str| Url::parse(text).expect("valid");
        let asked = |texts: &[&str]| texts.iter().map(|text| url(text)).collect::<Vec<_>>();
        assert_eq!(refused(&asked(&["https://a/x"]), &url("https://b/x")), None);
        assert_eq!(refused(&asked(&["http://a/x"]), &url("http://b/x")), None);
        assert_eq!(refused(&asked(&["http://a/x"]), &url("https://b/x")), None);
        assert!(refused(&asked(&["https://a/x"]), &url("http://a/x")).is_some());
        // Nor in two steps.
        assert!(refused(&asked(&["https://a/x", "https://b/x"]), &url("http://c/x")).is_some());
        assert!(refused(&asked(&["https://a/x"]), &url("file:///etc/passwd")).is_some());
        assert!(refused(&asked(&["https://a/x"; 11]), &url("https://b/x")).is_some());
    }
}
