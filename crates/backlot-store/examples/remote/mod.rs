//! The remote of a URL, as both examples take one.

use std::error::Error;
use std::path::Path;

use backlot_store::backend::net::{Network, NetworkOptions, PlaceName, SshOptions};
use backlot_store::backend::{StoreOptions, is_store_url, open};
use backlot_store::{Context, Remote};

/// A folder, `memory://name`, or a store of objects: `s3://bucket/prefix` and the others that this was built with.
///
/// For a bucket the environment says what it says to AWS's own tools: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` and
/// `AWS_SECRET_ACCESS_KEY`. For SFTP the host's key is in `~/.ssh/known_hosts`, ours in `~/.ssh/id_ed25519`.
pub(crate) fn remote(url: &str, context: &Context) -> Result<Remote, Box<dyn Error>> {
    if !is_store_url(url) {
        return Ok(Remote::at(url)?);
    }
    let mut options = NetworkOptions::new(std::env::temp_dir().join("backlot-store"));
    if let Some(home) = variable("HOME") {
        let ssh = Path::new(&home).join(".ssh");
        options.ssh = SshOptions {
            keys: vec![ssh.join("id_ed25519")],
            known_hosts: vec![ssh.join("known_hosts")],
            ..SshOptions::default()
        };
    }
    let network = Network::new(options, context.clone())?;
    let mut at = StoreOptions::new();
    if url.starts_with("s3://") {
        at = at
            .endpoint(variable("AWS_ENDPOINT_URL"))
            .region(variable("AWS_REGION"));
    }
    Ok(Remote::on(open(&network, &PlaceName::unnamed(), url, &at)?)?)
}

#[expect(clippy::disallowed_methods, reason = "this is a program, not a library")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
