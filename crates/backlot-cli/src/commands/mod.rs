//! One function a command: from arguments to the facade and back to text.

mod assets;
mod auth;
mod background;
mod browse;
mod bundles;
mod cache;
mod cascade;
mod cascades;
mod config;
mod environment;
mod external;
mod feed;
mod figures;
mod files;
mod graph;
mod history;
mod imports;
mod jobs;
mod parts;
mod pipelines;
mod places;
mod releases;
mod run;
mod steps;
mod storage;
mod usage;
mod validate;

use backlot::{Error, StatusChange};
use clap::CommandFactory as _;

use crate::args::{Arguments, Command, InputsArgs};
use crate::output::Answer;
use crate::session::Session;

/// Run a command.
#[expect(clippy::too_many_lines, reason = "one arm a command, nothing else")]
pub(crate) fn run(command: &Command, session: &Session) -> Result<Answer, Error> {
    match command {
        Command::Init {
            dir,
            python,
            cache,
            dry,
        } => places::init(
            session,
            dir.as_deref(),
            python.as_deref(),
            cache.as_deref(),
            dry.dry_run,
        ),
        Command::Repo(repo) => places::repo(session, repo),
        Command::Remote(remote) => places::remote(session, remote),
        Command::Auth(command) => auth::auth(session, command),
        Command::Cache(command) => cache::cache(session, command),
        Command::Doctor => config::doctor(session),
        Command::Config(command) => config::config(session, command),
        Command::Python(python) => external::python(session, python),
        Command::Channel(channel) => external::channel(session, channel),
        Command::External(command) => external::external(session, command),
        Command::New(args) => assets::new(session, args),
        Command::Add {
            paths,
            remove,
            asset,
            rename,
            keep_gone,
            push,
            to_remote,
            remote,
            dry,
        } => {
            let options = backlot::AddFiles::new()
                .asset(asset.clone())
                .rename(rename.clone())
                .remove(remove.clone())
                .keep_gone(*keep_gone)
                .push(*push)
                .to_remote(*to_remote)
                .remote(remote.clone())
                .dry_run(dry.dry_run);
            assets::add(session, paths, &options)
        }
        Command::Untrack(args) => files::untrack(session, args),
        Command::Restore(args) => files::restore(session, args),
        Command::Discard(args) => files::discard(session, args),
        Command::Import(args) => imports::import(session, args),
        Command::ImportRez(args) => imports::import_rez(session, args),
        Command::ImportFolder(args) => imports::import_folder(session, args),
        Command::ImportUrl(args) => imports::import_url(session, args),
        Command::Status { imports: true, .. } => imports::states(session),
        Command::Status { short: true, .. } => history::short_status(session),
        Command::Status { short: false, .. } => browse::status(session),
        Command::Diff(args) => history::diff(session, args),
        Command::Log(args) => history::log(session, args),
        Command::Input(input) => assets::input(session, input),
        Command::Bump { words, dry } => assets::bump(session, words, dry.dry_run),
        Command::Build { asset, dry } => assets::build(session, asset.as_deref(), dry.dry_run),
        Command::Validate(args) => validate::validate(session, args),
        Command::Publish {
            asset,
            to,
            remote,
            message,
            bump,
            skip_existing,
            remove,
            force,
            parts,
            allow_unpushed,
            no_cache,
            no_dirty,
            repro,
            cascade,
            dry,
        } => {
            let options = backlot::PublishOptions::new()
                .parts(parts.options())
                .to(to.clone())
                .remote(remote.clone())
                .message(message.clone())
                .bump(bump.as_deref().map(str::parse).transpose()?)
                .skip_existing(*skip_existing)
                .remove(remove.clone())
                .force(*force)
                .allow_unpushed(*allow_unpushed)
                .no_cache(*no_cache)
                .no_dirty(*no_dirty)
                .repro(*repro)
                .dry_run(dry.dry_run);
            cascades::publish(session, asset.as_deref(), options, cascade)
        }
        Command::Repro(args) => pipelines::repro(session, args),
        Command::RunStage(args) => pipelines::run_stage(session, args),
        Command::Stage(stage) => pipelines::stage(session, stage),
        Command::Dag(args) => pipelines::dag(session, args),
        Command::Params(command) => figures::params(session, command),
        Command::Metrics(command) => figures::metrics(session, command),
        Command::Plots(command) => figures::plots(session, command),
        Command::Part(part) => parts::part(session, part),
        Command::Copy(args) => releases::copy(session, args),
        Command::Mirror(args) => releases::mirror(session, args),
        Command::Bundle(args) => bundles::bundle(session, args),
        Command::Unbundle(args) => bundles::unbundle(session, args),
        Command::Approve(args) => releases::set_status(session, StatusChange::Approve, args),
        Command::Deprecate(args) => releases::deprecate(session, args),
        Command::Yank(args) => releases::set_status(session, StatusChange::Yank, args),
        Command::Unyank(args) => releases::set_status(session, StatusChange::Unyank, args),
        Command::Label(label) => releases::label(session, label),
        Command::Policy(args) => releases::policy(session, args),
        Command::Search(args) => browse::search(session, &args.query()?, args.repo.as_deref()),
        Command::List { repo } => browse::search(session, &backlot::Query::default(), repo.as_deref()),
        Command::Show { release } => browse::show(session, release),
        Command::Get(args) => environment::get(session, args),
        Command::Install {
            requirements,
            from,
            upgrade,
            pre,
            locked,
            from_lock,
            repair,
            pull,
            rules,
            dry,
        } => {
            if *repair {
                return environment::repair(session, dry.dry_run);
            }
            if let Some(file) = from_lock {
                return environment::install_from_lock(session, file, *pull, dry.dry_run);
            }
            let request = backlot::InstallRequest::new()
                .from(from.clone())
                .upgrade(if *upgrade {
                    backlot::Upgrade::All
                } else {
                    backlot::Upgrade::None
                })
                .prereleases(*pre)
                .rules(rules.changes())
                .locked(*locked)
                .dry_run(dry.dry_run);
            environment::install(session, requirements, &request, *pull)
        }
        Command::Update(args) => imports::update(session, args),
        Command::Localize { asset, when, dry } => {
            let when = when.map(Into::into);
            environment::localize(session, asset.as_deref(), when, dry.dry_run)
        }
        Command::Outdated => graph::outdated(session),
        Command::Tree {
            name,
            invert,
            depth,
            form,
        } => graph::tree(session, name.as_deref(), *invert, *depth, *form),
        Command::Why { name } => graph::why(session, name),
        Command::Dependents(args) => cascade::dependents(session, args),
        Command::Dirty(args) => cascade::dirty(session, args),
        Command::Cascade(command) => cascades::cascade(session, command),
        Command::Run(args) => run::run(session, args),
        Command::Shell(args) => run::shell(session, args),
        Command::Env(args) => run::env(session, args),
        Command::Events(args) => feed::events(session, args),
        Command::Hooks(command) => feed::hooks(session, command),
        Command::Inputs(InputsArgs {}) => graph::inputs(session),
        Command::Inbox(args) => feed::inbox(session, args),
        Command::Uninstall { names, dry } => environment::uninstall(session, names, dry.dry_run),
        Command::Lock {
            upgrade,
            pre,
            rules,
            dry,
        } => {
            let request = backlot::InstallRequest::new()
                .upgrade(if *upgrade {
                    backlot::Upgrade::All
                } else {
                    backlot::Upgrade::None
                })
                .prereleases(*pre)
                .rules(rules.changes())
                .dry_run(dry.dry_run);
            environment::lock(session, &request)
        }
        Command::Export {
            output,
            format,
            no_hashes,
            dry,
        } => environment::export(session, output.as_deref(), *format, *no_hashes, dry.dry_run),
        Command::Pull {
            names,
            frames,
            remote,
            force,
            undo,
            run_cache,
            dry,
        } => {
            if *undo {
                return assets::undo_pull(session, dry.dry_run);
            }
            let given = (names.as_slice(), frames.as_deref());
            let answer = assets::pull(session, given, remote.as_deref(), *force, dry.dry_run)?;
            let results = run_cache.then_some(backlot::Workspace::pull_results as pipelines::MoveResults);
            pipelines::with_results(session, answer, results, (names, remote.as_deref(), dry.dry_run))
        }
        Command::Push {
            names,
            frames,
            remote,
            run_cache,
            dry,
        } => {
            let given = (names.as_slice(), frames.as_deref());
            let answer = assets::push(session, given, remote.as_deref(), dry.dry_run)?;
            let results = run_cache.then_some(backlot::Workspace::push_results as pipelines::MoveResults);
            pipelines::with_results(session, answer, results, (names, remote.as_deref(), dry.dry_run))
        }
        Command::Edit { name, rebase, dry } if *rebase => assets::rebase(session, name, dry.dry_run),
        Command::Edit { name, dry, .. } => assets::edit(session, name, dry.dry_run),
        Command::Rename { asset, name, dry } => assets::rename(session, asset, name, dry.dry_run),
        Command::Verify(args) => browse::verify(session, args.options()),
        Command::Repair {
            remote,
            repo,
            from,
            dry,
        } => match repo {
            Some(repo) => storage::repair_repo(session, repo, from.as_deref(), dry.dry_run),
            None => storage::repair(session, remote.as_deref(), from.as_deref(), dry.dry_run),
        },
        Command::Du(args) => usage::usage(session, args),
        Command::Gc {
            remote,
            grace,
            young,
            part_age,
            allow_most,
            no_other_writers,
            forget_user,
            drops,
            restore,
            dry_run,
        } => {
            let Some(remote) = remote else {
                return browse::gc(session);
            };
            let remote = Some(remote.as_str()).filter(|name| !name.is_empty());
            if *restore {
                return storage::restore(session, remote, *dry_run);
            }
            let options = backlot::CollectOptions::new()
                .grace(*grace)
                .young(*young)
                .parts(*part_age)
                .no_other_writers(*no_other_writers)
                .allow_most(*allow_most)
                .dry_run(*dry_run);
            storage::collect(session, remote, &options, forget_user, &drops.into())
        }
        Command::Step(step) => steps::step(session, step),
        Command::Program(command) => config::program(session, command),
        Command::Completions { shell } => Ok(completions(*shell)),
        Command::Complete { line, words } => Ok(complete(session, *line, words)),
        Command::Demo { dir, frames } => crate::demo::run(session, dir.as_deref(), *frames),
    }
}

/// The completions of the last word, one per line.
fn complete(session: &Session, line: bool, words: &[String]) -> Answer {
    let divided: Vec<String>;
    let words = match words {
        [one] if line => {
            divided = crate::complete::words_of(one);
            divided.get(1..).unwrap_or_default()
        }
        words => words,
    };
    let found = crate::complete::candidates(&mut Arguments::command(), words, &KnownHere(session));
    Answer::new(&serde_json::json!({ "candidates": found }), found.join("\n"))
}

/// The names that the workspace knows, from where the command runs; none without a workspace.
struct KnownHere<'s>(&'s Session);

impl KnownHere<'_> {
    fn open(&self, workspace: Option<&str>) -> Option<(backlot::Workspace, backlot::Context)> {
        let Self(session) = self;
        let start = workspace.map_or_else(|| session.workspace.clone(), |folder| session.here.join(folder));
        let opened = backlot::Workspace::open(&start, &session.host).ok()?;
        Some((opened, session.context.clone().silent()))
    }
}

impl crate::complete::Names for KnownHere<'_> {
    fn all(&self, workspace: Option<&str>) -> backlot::KnownNames {
        let opened = self.open(workspace);
        let known = opened.and_then(|(workspace, context)| workspace.known_names(&context).ok());
        known.unwrap_or_default()
    }

    fn versions(&self, workspace: Option<&str>, asset: &str) -> Vec<String> {
        let opened = self.open(workspace);
        let known = opened.and_then(|(workspace, context)| workspace.known_versions(asset, &context).ok());
        let known = known.unwrap_or_default().into_iter();
        known.map(|version| version.to_string()).collect()
    }
}

fn completions(shell: clap_complete::Shell) -> Answer {
    let script = crate::complete::script(shell).map_or_else(
        || {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "backlot", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        },
        ToOwned::to_owned,
    );
    Answer::new(
        &serde_json::json!({ "shell": shell.to_string(), "script": script }),
        script,
    )
}
