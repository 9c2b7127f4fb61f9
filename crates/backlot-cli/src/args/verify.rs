//! Arguments of `verify`.

use clap::Args;

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  backlot verify                            everything\n  backlot verify --inputs                   only the installed files\n  backlot verify --remote site              only this workspace's files on a remote\n  backlot verify --remote --releases        and those of every release in this workspace's repos\n  backlot verify --remote --sample 5        about 5 % of the packs, different ones each time\n  backlot verify --repo blessed             only the releases of a repo"
)]
pub(crate) struct VerifyArgs {
    /// Only the cache
    #[arg(long)]
    pub(crate) cache: bool,
    /// Only a remote [default: the default one, and those that files are pinned to]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    pub(crate) remote: Option<String>,
    /// On the remote, check the files of all releases as well
    #[arg(long, requires = "remote")]
    pub(crate) releases: bool,
    /// Read only about this percentage of the remote's packs or objects
    #[arg(long, value_name = "PERCENT", requires = "remote", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) sample: Option<u8>,
    /// Only the installed files, including tracked files that were pulled
    #[arg(long)]
    pub(crate) inputs: bool,
    /// Only the releases in a repo: every wheel, sidecar and page [default: all but indexes over HTTP]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    pub(crate) repo: Option<String>,
}

impl VerifyArgs {
    pub(crate) fn options(&self) -> backlot::VerifyOptions {
        backlot::VerifyOptions::new()
            .cache(self.cache)
            .remote(self.remote.is_some())
            .remote_name(self.remote.clone().filter(|name| !name.is_empty()))
            .releases(self.releases)
            .sample(self.sample)
            .inputs(self.inputs)
            .repos(self.repo.is_some())
            .repo_name(self.repo.clone().filter(|name| !name.is_empty()))
    }
}
