//! Choosing packages: specs over channels, for this machine.
//!
//! Invariants: channels come in order of preference, and a package of an earlier channel hides those of the same name in
//! later ones; a package without a SHA-256 is never chosen silently; notices and relations that a channel declares are
//! not followed, so no other host is asked.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backlot_core::{Context, Operation, Sha256};
use rattler_conda_types::{
    Channel as CondaChannel, MatchSpec, ParseMatchSpecOptions, RepoDataRecord, Subdir,
};
use rattler_repodata_gateway::fetch::CacheAction;
use rattler_repodata_gateway::{ChannelConfig, ChannelRelationsMode, Gateway, GatewayError, RepoData};
use rattler_solve::{
    CancellationToken, ChannelPriority, RepoDataIter, SolveError, SolveStrategy, SolverImpl as _, SolverTask,
    resolvo::Solver,
};

use crate::channel::{Channel, holds_secret};
use crate::conda::{Conda, INDEXES};
use crate::error::{Error, Result, chain};
use crate::package::CondaPackage;
use crate::system;

/// A requirement in conda's words: `numpy >=1.26,<2`, `python 3.12.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    text: String,
    wanted: MatchSpec,
    name: String,
}

impl Spec {
    /// Read one. Places are not a spec's to name: channels are configured.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let bad = |reason: String| Error::BadSpec {
            spec: crate::channel::shown(&text),
            reason,
        };
        if text.contains("://") || text.contains("::") {
            return Err(bad(
                "it specifies a channel; channels are configured separately".to_owned()
            ));
        }
        let spec = MatchSpec::from_str(&text, ParseMatchSpecOptions::strict()).map_err(|e| bad(chain(&e)))?;
        if spec.url.is_some() || spec.channel.is_some() {
            return Err(bad(
                "it specifies a channel; channels are configured separately".to_owned()
            ));
        }
        let name = spec
            .name
            .as_exact()
            .map(|name| name.as_normalized().to_owned())
            .ok_or_else(|| bad("it has no package name".to_owned()))?;
        Ok(Self {
            text,
            wanted: spec,
            name,
        })
    }

    /// The package it is about, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, with single spaces.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The input of a resolution.
#[derive(Clone, Copy, Debug)]
pub struct SolveRequest<'a> {
    /// Where to look, in order of preference.
    pub channels: &'a [Channel],
    /// The requirements.
    pub specs: &'a [Spec],
    /// The previous solution, kept where it still fits.
    pub prefer: &'a [CondaPackage],
}

impl Conda {
    /// The packages that satisfy the specs with all they need, sorted by name.
    pub fn solve(&self, request: &SolveRequest<'_>) -> Result<Vec<CondaPackage>> {
        if request.channels.is_empty() {
            return Err(Error::NoChannel);
        }
        let platform = system::platform()?;
        let _running = self
            .context
            .start(Operation::Resolve, request.specs.len() as u64, 0);
        let known = self.repodata(request, platform)?;
        let records = choose(request, &known, &self.context)?;
        let mut chosen = records
            .iter()
            .map(|record| package_of(record, request.channels))
            .collect::<Result<Vec<_>>>()?;
        chosen.sort();
        Ok(chosen)
    }

    /// The packages in the channels that may be needed.
    fn repodata(&self, request: &SolveRequest<'_>, platform: Subdir) -> Result<Vec<RepoData>> {
        let mut config = ChannelConfig::default();
        if self.options.offline {
            config.default.cache_action = CacheAction::ForceCacheOnly;
        }
        let encrypted = request.channels.iter().any(|c| c.url().scheme() == "https");
        let gateway = Gateway::builder()
            .with_client(self.client(encrypted)?)
            .with_cache_dir(self.options.cache.join(INDEXES))
            .with_package_cache(self.packages.clone())
            .with_channel_config(config)
            .with_max_concurrent_requests(16)
            .finish();
        let channels = request
            .channels
            .iter()
            .map(|c| CondaChannel::from_url(c.url().clone()));
        let query = gateway
            .query(
                channels,
                [platform, Subdir::NoArch],
                request.specs.iter().map(|s| s.wanted.clone()),
            )
            .channel_relations(ChannelRelationsMode::Disabled)
            .channel_notices(false)
            .recursive(true);
        self.block_in(INDEXES, async {
            let found = query.execute().await.map_err(|e| self.unreadable(&e, request))?;
            Ok(found.repodata)
        })
    }

    fn unreadable(&self, error: &GatewayError, request: &SolveRequest<'_>) -> Error {
        let channels: Vec<&str> = request.channels.iter().map(Channel::as_str).collect();
        let reason = chain(error);
        let remote = request.channels.iter().any(Channel::is_remote);
        if self.options.offline && remote {
            return Error::Offline {
                what: format!("the index of {}", channels.join(", ")),
            };
        }
        Error::ChannelUnreadable {
            channel: channels.join(", "),
            reason,
            retry: remote,
        }
    }
}

fn choose(request: &SolveRequest<'_>, known: &[RepoData], context: &Context) -> Result<Vec<RepoDataRecord>> {
    let favoured = |record: &&RepoDataRecord| {
        let digest = digest_of(record);
        let same = |p: &CondaPackage| {
            Some(p.sha256) == digest && p.name == record.package_record.name.as_normalized()
        };
        request.prefer.iter().any(same)
    };
    let token = CancellationToken::new();
    let task = SolverTask {
        available_packages: known
            .iter()
            .map(|data| RepoDataIter(data.iter()))
            .collect::<Vec<_>>(),
        locked_packages: known.iter().flat_map(RepoData::iter).filter(favoured).collect(),
        pinned_packages: Vec::new(),
        virtual_packages: system::virtual_packages(),
        specs: request.specs.iter().map(|s| s.wanted.clone()).collect(),
        constraints: Vec::new(),
        timeout: None,
        channel_priority: ChannelPriority::Strict,
        exclude_newer: None,
        strategy: SolveStrategy::Highest,
        dependency_overrides: Vec::new(),
        excluded_candidates: std::collections::HashMap::new(),
        cancellation_token: Some(token.clone()),
    };
    let done = AtomicBool::new(false);
    let solved = std::thread::scope(|scope| {
        // The solver asks nobody; somebody has to look for it whether the work was cancelled.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if context.check().is_err() {
                    token.cancel();
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        let solved = Solver.solve(task);
        done.store(true, Ordering::Relaxed);
        solved
    });
    context.check()?;
    match solved {
        Ok(result) => Ok(result.records),
        Err(SolveError::Unsolvable(reasons)) => Err(Error::Unsolvable {
            explanation: reasons.join("\n").trim_end().to_owned(),
            channels: request.channels.iter().map(|c| c.as_str().to_owned()).collect(),
        }),
        Err(error) => Err(Error::Solver {
            reason: error.to_string(),
        }),
    }
}

fn digest_of(record: &RepoDataRecord) -> Option<Sha256> {
    record
        .package_record
        .sha256
        .map(|digest| Sha256::from_bytes(digest.into()))
}

/// The locked data of a record.
fn package_of(record: &RepoDataRecord, channels: &[Channel]) -> Result<CondaPackage> {
    let known = &record.package_record;
    let said = format!(
        "{} {} ({})",
        known.name.as_normalized(),
        known.version,
        known.build
    );
    let place = channels.iter().find_map(|channel| channel.place_of(&record.url));
    let url = match place {
        Some(place) => place,
        // The index of a channel may send elsewhere for its packages, but not from the network into this disk.
        None if matches!(record.url.scheme(), "https" | "http")
            && !holds_secret(&record.url)
            && channels.iter().any(Channel::is_remote) =>
        {
            record.url.to_string()
        }
        None => {
            return Err(Error::BadPackage {
                package: said,
                reason: "its URL is outside its channel".to_owned(),
            });
        }
    };
    let sha256 = digest_of(record).ok_or(Error::NoDigest { package: said })?;
    Ok(CondaPackage {
        name: known.name.as_normalized().to_owned(),
        version: known.version.as_str().into_owned(),
        build: known.build.to_string(),
        subdir: known.subdir.clone(),
        url,
        sha256,
        size: known.size,
    })
}
