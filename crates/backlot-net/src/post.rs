//! A message that is posted to a server and signed, as webhooks are.
//!
//! The signature is that of [Standard Webhooks](https://www.standardwebhooks.com): HMAC-SHA256 over `id.time.body`, so a receiver can verify its sender, that
//! it was not modified, and that it is not a replay. Invariants: no credential and no secret is sent, and no redirect followed; each
//! attempt is signed separately, with its own time. Deliberately absent: the contents of the message.

use std::time::Duration;

use backlot_core::web::shown;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::CONTENT_TYPE;
use url::Url;

use crate::error::{Error, Result};
use crate::fetch::{Failure, error_text, is_passing, retry_after};
use crate::network::Network;

/// The prefix of a Standard Webhooks secret; the rest is base64.
const PREFIX: &str = "whsec_";

/// A message to a server.
///
/// ```
/// use backlot_net::SignedPost;
///
/// const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// let url = "https://hooks.studio.example/backlot".parse().unwrap();
/// let post = SignedPost::new(&url, "msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#, SECRET);
/// // The example of the specification.
/// assert_eq!(post.signature(1_614_265_330), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// ```
#[derive(Clone, Copy)]
pub struct SignedPost<'a> {
    /// Where.
    url: &'a Url,
    /// The same for each attempt at the same message, so that a receiver can drop doubles.
    id: &'a str,
    /// JSON.
    body: &'a [u8],
    secret: &'a str,
    /// How long one attempt may take.
    deadline: Duration,
}

impl std::fmt::Debug for SignedPost<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedPost")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'a> SignedPost<'a> {
    /// A JSON message with an id, and the secret it is signed with.
    pub fn new(url: &'a Url, id: &'a str, body: &'a [u8], secret: &'a str) -> Self {
        Self {
            url,
            id,
            body,
            secret,
            deadline: Duration::from_secs(30),
        }
    }

    /// How long one attempt may take, instead of 30 seconds.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The signature at a time, in seconds since the Unix epoch.
    pub fn signature(&self, seconds: u64) -> String {
        let decoded = self
            .secret
            .strip_prefix(PREFIX)
            .and_then(|secret| BASE64.decode(secret).ok());
        let secret = decoded.unwrap_or_else(|| self.secret.as_bytes().to_vec());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let mut context = ring::hmac::Context::with_key(&key);
        context.update(format!("{}.{seconds}.", self.id).as_bytes());
        context.update(self.body);
        format!("v1,{}", BASE64.encode(context.sign()))
    }
}

impl Network {
    /// Post a message until it is taken (an answer 2xx), or was refused, or was tried too often.
    pub fn post(&self, post: &SignedPost<'_>) -> Result<()> {
        self.check_online("the message", &shown(post.url))?;
        self.block(async {
            let attempt = async || {
                let attempt = self.try_post(post);
                tokio::time::timeout(post.deadline, attempt)
                    .await
                    .unwrap_or_else(|_| {
                        Err(Failure::Again {
                            reason: format!("no response within {} seconds", post.deadline.as_secs()),
                            pause: None,
                            status: None,
                        })
                    })
            };
            self.retried::<(), Error>(post.url, attempt).await.map(drop)
        })
    }

    async fn try_post(&self, post: &SignedPost<'_>) -> Result<(), Failure> {
        let _permit = self.permit().await?;
        let seconds = self.context().now().0 / 1000;
        let request = self
            .client(post.url.scheme())?
            .post(post.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", post.id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", post.signature(seconds))
            .body(post.body.to_vec());
        let mut response = self.execute(post.url, request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let reason = error_text(&mut response).await;
        if is_passing(status) {
            return Err(Failure::Again {
                reason,
                pause: retry_after(response.headers()),
                status: Some(status.as_u16()),
            });
        }
        Err(Failure::Final(Error::Refused {
            url: shown(post.url),
            status: status.as_u16(),
            reason,
        }))
    }
}
