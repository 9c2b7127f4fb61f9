//! Making an index on a devpi server, as `devpi index -c` does.
//!
//! Invariants: the index never lets a release be replaced (`volatile` is false); one that is there stays as it is.
//! Deliberately absent: users, mirrors, and changing or removing an index.

use backlot_core::web::shown;
use backlot_net::{Failure, Network, error_text, failure};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use url::Url;

use super::error::IndexError;
use super::{IndexRepo, final_error, offline};
use crate::error::{Error, Result};

/// The result of the request.
enum Outcome {
    Made,
    /// There is one of that name.
    Exists,
}

impl IndexRepo {
    /// Make an index at `https://host/user/index` that inherits from `bases` (`user/index` each), best first. Returns the
    /// URL of its pages, and whether it was made now: one that was there is left as it is, with the bases it has.
    pub fn create(network: &Network, name: &str, url: &str, bases: &[String]) -> Result<(String, bool)> {
        let given = Self::open(network, name, url, None)?;
        let index = index_of(&given.0.url)?;
        let pages = pages_of(&index);
        if given.is_offline() {
            return Err(offline("the server", &given.0.url));
        }
        let body = serde_json::json!({ "type": "stage", "bases": bases, "volatile": false }).to_string();
        let made = network.retried(&index, || given.try_put(&index, body.clone()));
        let (made, _) = network.block(made)?;
        Ok((pages.into(), matches!(made, Outcome::Made)))
    }

    /// Where [`Self::create`] would make an index. Nothing is asked.
    pub fn plan_create(network: &Network, name: &str, url: &str) -> Result<String> {
        let given = Self::open(network, name, url, None)?;
        Ok(pages_of(&index_of(&given.0.url)?).into())
    }

    async fn try_put(&self, url: &Url, body: String) -> Result<Outcome, Failure<Error>> {
        let network = &self.0.network;
        let request = network
            .client(url.scheme())
            .map_err(Error::from)?
            .put(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body);
        let account = &self.0.account;
        let mut response = network
            .send(account, url, request)
            .await
            .map_err(Failure::into_other)?;
        let status = response.status().as_u16();
        match status {
            200 | 201 => return Ok(Outcome::Made),
            409 => return Ok(Outcome::Exists),
            _ => {}
        }
        if status != 403
            && let Some(failure) = failure(account, url, &response)
        {
            return Err(failure.into_other());
        }
        Err(final_error(IndexError::NotMade {
            url: shown(url),
            status,
            reason: error_text(&mut response).await,
        }))
    }
}

/// `https://host/user/index/` of an index or its pages.
fn index_of(url: &Url) -> Result<Url> {
    let mut url = url.clone();
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/+simple").unwrap_or(path).to_owned();
    let names: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if names.len() < 2 || names.iter().any(|part| part.starts_with('+')) {
        return Err(backlot_net::Error::BadUrl {
            url: shown(&url),
            reason: "an index of devpi is `https://host/user/index`".to_owned(),
        }
        .into());
    }
    url.set_path(&format!("{path}/"));
    Ok(url)
}

fn pages_of(index: &Url) -> Url {
    let mut pages = index.clone();
    pages.set_path(&format!("{}+simple/", index.path()));
    pages
}

#[cfg(test)]
mod tests {
    use super::{index_of, pages_of};
    use url::Url;

    #[test]
    fn an_index_has_a_user_and_a_name() {
        let of = |text: &str| index_of(&Url::parse(text).unwrap());
        for text in [
            "http://h/ana/dev",
            "http://h/ana/dev/",
            "http://h/ana/dev/+simple/",
        ] {
            assert_eq!(pages_of(&of(text).unwrap()).as_str(), "http://h/ana/dev/+simple/");
        }
        assert_eq!(of("http://h/pypi/ana/dev").unwrap().path(), "/pypi/ana/dev/");
        for text in [
            "http://h/",
            "http://h/ana",
            "http://h/ana/+simple/",
            "http://h/+login/x",
        ] {
            of(text).expect_err(text);
        }
    }
}
