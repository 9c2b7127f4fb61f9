//! Calls of the facade's methods, one of each, with their arguments.

use std::path::PathBuf;

use backlot::{
    AddFiles, AddRemote, AddRepo, AttemptOptions, Auth, AuthTarget, BumpStep, BundleOptions, CascadeOptions,
    CascadeRequest, ChangeOptions, CleanCascadesOptions, CleanOptions, CollectOptions, Context, CopyOptions,
    Credential, DeprecateOptions, DiscardOptions, DropChoice, DropOptions, EnvironmentOptions, EventCursor,
    EventOptions, ExportFormat, ExportOptions, FigureKind, GetOptions, HookOptions, ImportFolder, ImportGit,
    ImportRelease, ImportRez, ImportUrl, InboxOptions, InitOptions, InputOptions, InstallRequest, JobFormat,
    JudgeOptions, LabelOptions, Localize, LogOptions, LoginOptions, MirrorOptions, NewAsset, NewStage,
    PackageName, Parts, PolicyChange, PrereleasePolicy, PublishOptions, PullOptions, PushOptions, PushPart,
    Query, RepairOptions, ReproOptions, RestoreOptions, RevertOptions, SettingOptions, StatusChange,
    TreeOptions, UnbundleOptions, UpdateImports, UpdateOptions, ValidateOptions, VerifyOptions, Version,
    VersionChange, Workspace,
};
use backlot_tests::embedding::{Desk, write_frames};
use fs_err as fs;

/// What the calls are made with.
pub(crate) struct Bench {
    pub(crate) desk: Desk,
    /// Where assets are made.
    pub(crate) maker: Workspace,
    /// Where they are installed.
    pub(crate) user: Workspace,
}

impl Bench {
    pub(crate) fn new(desk: Desk) -> Self {
        let (maker, user) = (desk.workspace("maker"), desk.workspace("user"));
        Self { desk, maker, user }
    }

    fn frames(&self) -> PathBuf {
        self.maker.outputs_dir().join("table/src/table/frames")
    }

    fn parts(&self) -> Parts {
        self.maker.parts(None)
    }

    /// A target that a credential can be for.
    fn target(&self) -> Result<AuthTarget, backlot::Error> {
        let remote = Some(self.desk.remote.as_str());
        let url = remote.filter(|remote| remote.contains("://"));
        let url = url.unwrap_or("http://127.0.0.1:9/x");
        AuthTarget::find(url, &self.desk.store, None)
    }
}

pub(crate) type Outcome = Result<(), backlot::Error>;

/// A method, and a call of it.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// Whether it has to succeed.
    pub(crate) must: bool,
    pub(crate) run: fn(&Bench, &Context) -> Outcome,
}

/// A call that has to succeed, as the work that it is a part of does.
const fn must(name: &'static str, run: fn(&Bench, &Context) -> Outcome) -> Call {
    Call {
        name,
        must: true,
        run,
    }
}

/// A call that may be refused: what it is about is not there, or no server knows it.
const fn may(name: &'static str, run: fn(&Bench, &Context) -> Outcome) -> Call {
    Call {
        name,
        must: false,
        run,
    }
}

fn table() -> Vec<String> {
    vec!["Table".to_owned()]
}

fn nothing() -> ChangeOptions {
    ChangeOptions::new()
}

fn planned() -> ChangeOptions {
    ChangeOptions::new().dry_run(true)
}

const ID: &str = "01JZZZZZZZZZZZZZZZZZZZZZZZ";

/// In this order: an asset is made, published, installed, looked at, changed and taken away again.
pub(crate) static CALLS: &[Call] = &[
    must("Workspace::init", |b, c| {
        let options = InitOptions::new().python(Some("none".to_owned()));
        Workspace::init(&b.desk.path("third"), &options, &b.desk.host, c).map(drop)
    }),
    must("Workspace::open", |b, _| {
        Workspace::open(&b.desk.path("third"), &b.desk.host).map(drop)
    }),
    must("Workspace::root", |b, _| {
        assert!(b.maker.root().is_dir());
        Ok(())
    }),
    must("Workspace::host", |b, _| {
        assert_eq!(b.maker.host().author, "unknown");
        Ok(())
    }),
    must("Workspace::config", |b, c| b.maker.config(c).map(drop)),
    must("Workspace::settings", |b, c| b.maker.settings(c).map(drop)),
    must("Workspace::inputs_dir", |b, _| {
        assert!(b.maker.inputs_dir().ends_with("inputs"));
        Ok(())
    }),
    must("Workspace::outputs_dir", |b, _| {
        assert!(b.maker.outputs_dir().ends_with("outputs"));
        Ok(())
    }),
    must("Workspace::display_path", |b, _| {
        assert_eq!(b.maker.display_path(&b.maker.inputs_dir()), "inputs");
        Ok(())
    }),
    must("Workspace::parse_requirement", |b, c| {
        b.maker.parse_requirement("Table>=1.0", c).map(drop)
    }),
    must("Workspace::add_repo", |b, c| {
        let options = AddRepo::new().store(b.desk.store.clone());
        b.maker
            .add_repo("second", &format!("{}-2", b.desk.repo), &options, c)
            .map(drop)
    }),
    must("Workspace::list_repos", |b, c| b.maker.list_repos(c).map(drop)),
    must("Workspace::add_remote", |b, c| {
        let options = AddRemote::new().store(b.desk.store.clone());
        b.maker
            .add_remote("other", &format!("{}-2", b.desk.remote), &options, c)
            .map(drop)
    }),
    must("Workspace::default_remote", |b, c| {
        b.maker.default_remote("files", &nothing(), c).map(drop)
    }),
    must("Workspace::list_remotes", |b, c| {
        b.maker.list_remotes(c).map(drop)
    }),
    must("Workspace::new_asset", |b, c| {
        b.maker.new_asset("Table", &NewAsset::new(), c)?;
        b.maker.new_asset("Chair", &NewAsset::new(), c).map(drop)
    }),
    must("Workspace::outputs", |b, c| b.maker.outputs(c).map(drop)),
    must("Workspace::output", |b, c| b.maker.output("Table", c).map(drop)),
    must("Workspace::output_here", |b, c| {
        b.maker
            .output_here(&b.maker.outputs_dir().join("table"), c)
            .map(drop)
    }),
    must("Workspace::add", |b, c| {
        write_frames(&b.frames(), 6, 1);
        b.maker.add(&[b.frames()], &AddFiles::new(), c).map(drop)
    }),
    must("Workspace::add_stage", |b, c| {
        let mut stage = NewStage::new()
            .name("bake")
            .command(vec!["echo baked > baked.txt".to_owned()]);
        stage.outs = vec!["baked.txt".to_owned()];
        let folder = b.maker.outputs_dir().join("chair/src/chair");
        b.maker.add_stage(&stage, &folder, &nothing(), c).map(drop)
    }),
    must("Workspace::has_stages", |b, c| {
        b.maker.has_stages("Chair", c).map(drop)
    }),
    must("Workspace::stages", |b, c| b.maker.stages(&[], None, c).map(drop)),
    must("Workspace::stage_states", |b, c| {
        b.maker.stage_states(c).map(drop)
    }),
    must("Workspace::plan_repro", |b, c| {
        b.maker.plan_repro(&ReproOptions::new(), c).map(drop)
    }),
    must("Workspace::repro", |b, c| {
        b.maker.repro(&ReproOptions::new(), c).map(drop)
    }),
    may("Workspace::run_stage", |b, c| {
        b.maker.run_stage("Chair:bake", &ReproOptions::new(), c).map(drop)
    }),
    may("Workspace::freeze_stages", |b, c| {
        b.maker
            .freeze_stages(&["Chair:bake".to_owned()], b.maker.root(), &nothing(), c)
            .map(drop)
    }),
    may("Workspace::unfreeze_stages", |b, c| {
        b.maker
            .unfreeze_stages(&["Chair:bake".to_owned()], b.maker.root(), &nothing(), c)
            .map(drop)
    }),
    may("Workspace::push_results", |b, c| {
        b.maker.push_results(&[], None, &nothing(), c).map(drop)
    }),
    may("Workspace::pull_results", |b, c| {
        b.maker.pull_results(&[], None, &nothing(), c).map(drop)
    }),
    must("Workspace::validate", |b, c| {
        b.maker.validate("Table", &ValidateOptions::new(), c).map(drop)
    }),
    may("Workspace::plan_repairs", |b, c| {
        b.maker
            .plan_repairs("Table", &ValidateOptions::new(), c)
            .map(drop)
    }),
    may("Workspace::apply_repairs", |b, c| {
        let plan = b
            .maker
            .plan_repairs("Table", &ValidateOptions::new(), &Context::default())?;
        b.maker.apply_repairs(plan, c).map(drop)
    }),
    must("Workspace::build", |b, c| {
        b.maker.build("Table", &nothing(), c).map(drop)
    }),
    must("Workspace::push", |b, c| {
        b.maker.push(&table(), &PushOptions::new(), c).map(drop)
    }),
    must("Workspace::publish", |b, c| {
        b.maker.publish("Table", &PublishOptions::new(), c).map(drop)
    }),
    must("Workspace::add_inputs", |b, c| {
        b.maker
            .add_inputs("Chair", &table(), &InputOptions::new(), c)
            .map(drop)
    }),
    must("Workspace::bump", |b, c| {
        let minor = VersionChange::Steps(vec![BumpStep::Minor]);
        b.maker.bump("Table", &minor, &nothing(), c).map(drop)
    }),
    must("Workspace::status", |b, c| b.maker.status(c).map(drop)),
    must("Workspace::install", |b, c| {
        b.user.install(&table(), &InstallRequest::new(), c).map(drop)
    }),
    must("Workspace::pull", |b, c| {
        b.user.pull(&[], &PullOptions::new(), c).map(drop)
    }),
    must("Workspace::pull_local", |b, c| {
        b.user.pull_local(&nothing(), c).map(drop)
    }),
    must("Workspace::localized", |b, c| b.user.localized(c).map(drop)),
    must("Workspace::localize", |b, c| {
        b.user
            .localize("Table", Localize::OnDemand, &nothing(), c)
            .map(drop)
    }),
    must("Workspace::write_lock", |b, c| {
        b.user.write_lock(&InstallRequest::new(), c).map(drop)
    }),
    must("Workspace::export", |b, c| {
        let to = b.desk.path("pylock.toml");
        let options = ExportOptions::new().format(ExportFormat::Pylock).output(Some(to));
        b.user.export(&options, c).map(drop)
    }),
    may("Workspace::install_from_lock", |b, c| {
        b.user
            .install_from_lock(&b.desk.path("pylock.toml"), &nothing(), c)
            .map(drop)
    }),
    must("Workspace::tree", |b, c| {
        b.user.tree(&TreeOptions::new(), c).map(drop)
    }),
    must("Workspace::why", |b, c| b.user.why("Table", c).map(drop)),
    must("Workspace::input_table", |b, c| b.user.input_table(c).map(drop)),
    must("Workspace::outdated", |b, c| b.user.outdated(c).map(drop)),
    must("Workspace::update", |b, c| {
        b.user.update(&[], &UpdateOptions::new(), c).map(drop)
    }),
    must("Workspace::set_policy", |b, c| {
        let change = PolicyChange::new()
            .asset(Some("Table".to_owned()))
            .prereleases(Some(PrereleasePolicy::Disallow));
        b.user.set_policy(&change, c).map(drop)
    }),
    must("Workspace::set_label", |b, c| {
        let options = LabelOptions::new().message(Some("for tests".to_owned()));
        b.maker.set_label("Table==0.1.0", "hero", &options, c).map(drop)
    }),
    must("Workspace::labels", |b, c| {
        assert_eq!(b.user.labels("Table", None, c)?.len(), 1);
        Ok(())
    }),
    must("Workspace::remove_label", |b, c| {
        b.maker
            .remove_label("Table", "hero", &LabelOptions::new(), c)
            .map(drop)
    }),
    must("Workspace::import_rez", |b, c| {
        let file = b.desk.path("package.py");
        fs::write(&file, "name = 'rig'\nversion = '1.2.0'\n").expect("written");
        let options = ImportRez::new().dry_run(true);
        b.maker.import_rez(&file, &options, c).map(drop)
    }),
    must("Workspace::import_folder", |b, c| {
        let folder = b.desk.path("versions");
        fs::create_dir_all(folder.join("lamp_v001")).expect("made");
        fs::write(folder.join("lamp_v001/a.txt"), "x").expect("written");
        let options = ImportFolder::new().dry_run(true);
        let report = b.maker.import_folder(&folder, "{name}_v{version}", &options, c)?;
        assert_eq!(report.assets.len(), 1);
        Ok(())
    }),
    must("Workspace::rename", |b, c| {
        let options = ChangeOptions::new().dry_run(true);
        b.maker.rename("Table", "Desk", &options, c).map(drop)
    }),
    must("Workspace::asset_hooks", |b, c| {
        assert!(b.user.asset_hooks("Table", c)?.is_empty());
        Ok(())
    }),
    must("Workspace::known_names", |b, c| {
        assert!(!b.user.known_names(c)?.repos.is_empty());
        Ok(())
    }),
    must("Workspace::known_versions", |b, c| {
        b.user.known_versions("Table", c).map(drop)
    }),
    must("Workspace::policies", |b, c| {
        assert_eq!(b.user.policies(c)?.len(), 2);
        Ok(())
    }),
    must("Workspace::repair_inputs", |b, c| {
        b.user.repair_inputs(&nothing(), c).map(drop)
    }),
    may("Workspace::run_environment", |b, c| {
        b.user.run_environment(c).map(drop)
    }),
    may("Workspace::get", |b, c| {
        let options = GetOptions::new()
            .here(b.desk.path(""))
            .from(Some(b.desk.repo.clone()));
        Workspace::get(&b.desk.path("gotten"), &table(), &options, &b.desk.host, c).map(drop)
    }),
    must("Workspace::cached_environment", |b, c| {
        let options = EnvironmentOptions::new()
            .here(b.desk.path(""))
            .from(Some(b.desk.repo.clone()));
        let start = b.desk.path("maker");
        let made = Workspace::cached_environment(&start, &table(), &options, &b.desk.host, c)?;
        made.pass_on()
    }),
    must("Workspace::search", |b, c| {
        b.maker.search(&Query::default(), None, c).map(drop)
    }),
    must("Workspace::show", |b, c| b.maker.show("Table", c).map(drop)),
    must("Workspace::log", |b, c| {
        b.maker.log("Table", &LogOptions::new(), c).map(drop)
    }),
    must("Workspace::diff", |b, c| {
        b.maker.diff("Table==0.1.0", None, None, c).map(drop)
    }),
    may("Workspace::figures", |b, c| {
        b.maker.figures(FigureKind::Metrics, "Table", None, c).map(drop)
    }),
    may("Workspace::compare_figures", |b, c| {
        b.maker
            .compare_figures(FigureKind::Params, "Table==0.1.0", None, None, c)
            .map(drop)
    }),
    may("Workspace::plots", |b, c| {
        b.maker
            .plots(&table(), None, &b.desk.path("plots.svg"), c)
            .map(drop)
    }),
    must("Workspace::verify", |b, c| {
        let options = VerifyOptions::new()
            .cache(true)
            .remote(true)
            .releases(true)
            .repos(true);
        b.maker.verify(&options, c).map(drop)
    }),
    must("Workspace::usage", |b, c| {
        b.maker.usage(&table(), None, c).map(drop)
    }),
    must("Workspace::reindex_repo", |b, c| {
        b.maker.reindex_repo("review", &nothing(), c).map(drop)
    }),
    must("Workspace::repair_repo", |b, c| {
        b.maker.repair_repo("review", &RepairOptions::new(), c).map(drop)
    }),
    must("Workspace::repair_remote", |b, c| {
        b.maker.repair_remote(None, &RepairOptions::new(), c).map(drop)
    }),
    may("Workspace::copy_files", |b, c| {
        b.maker.copy_files("files", "other", &[], &nothing(), c).map(drop)
    }),
    must("Workspace::copy_release", |b, c| {
        let options = CopyOptions::new().from("review").to("second");
        b.maker.copy_release("Table==0.1.0", &options, c).map(drop)
    }),
    must("Workspace::mirror", |b, c| {
        let options = MirrorOptions::new().from("review").to("second");
        b.maker.mirror(&options, c).map(drop)
    }),
    must("Workspace::set_status", |b, c| {
        let options = JudgeOptions::new().repo(Some("review".to_owned()));
        b.maker
            .set_status("Table==0.1.0", StatusChange::Approve, "looks good", &options, c)
            .map(drop)
    }),
    must("Workspace::restore", |b, c| {
        fs::remove_file(b.frames().join("f.0001.exr"))?;
        b.maker
            .restore(&[b.frames()], &RestoreOptions::new(), c)
            .map(drop)
    }),
    must("Workspace::discard", |b, c| {
        fs::remove_file(b.frames().join("f.0002.exr"))?;
        b.maker
            .discard(&[b.frames()], &DiscardOptions::new(), c)
            .map(drop)
    }),
    may("Workspace::undo_pull", |b, c| {
        b.maker.undo_pull(&nothing(), c).map(drop)
    }),
    must("Workspace::edit", |b, c| {
        b.user.edit("Table", &nothing(), c).map(drop)
    }),
    may("Workspace::rebase", |b, c| {
        b.user.rebase("Table", &nothing(), c).map(drop)
    }),
    must("Workspace::bundle", |b, c| {
        let options = BundleOptions::new().output(b.desk.path("table.tar.zst"));
        b.maker
            .bundle(&["Table==0.1.0".to_owned()], &options, c)
            .map(drop)
    }),
    may("Workspace::unbundle", |b, c| {
        let options = UnbundleOptions::new().into_repo(Some("second".to_owned()));
        b.maker
            .unbundle(&b.desk.path("table.tar.zst"), &options, c)
            .map(drop)
    }),
    must("Workspace::import_url", |b, c| {
        let source = b.desk.frames("plates", 2);
        let options = ImportUrl::new()
            .asset(Some("Table".to_owned()))
            .folder(b.desk.path(""));
        b.maker
            .import_url(&source.display().to_string(), None, &options, c)
            .map(drop)
    }),
    may("Workspace::import_release", |b, c| {
        let options = ImportRelease::new()
            .asset(Some("Chair".to_owned()))
            .folder(b.desk.path(""));
        b.maker
            .import_release("review", "Table==0.1.0", "frames", &options, c)
            .map(drop)
    }),
    may("Workspace::import_git", |b, c| {
        let options = ImportGit::new()
            .asset(Some("Chair".to_owned()))
            .folder(b.desk.path(""));
        let url = b.desk.path("nothing").display().to_string();
        b.maker.import_git(&url, "frames", &options, c).map(drop)
    }),
    must("Workspace::import_states", |b, c| {
        b.maker.import_states(&[], c).map(drop)
    }),
    may("Workspace::update_imports", |b, c| {
        let pointer = b.maker.outputs_dir().join("table/src/table/plates.dvc");
        b.maker
            .update_imports(&[pointer], &UpdateImports::new(), c)
            .map(drop)
    }),
    must("Workspace::dependents", |b, c| {
        b.maker.dependents("Table", None, None, c).map(drop)
    }),
    must("Workspace::dirty", |b, c| b.maker.dirty(None, None, c).map(drop)),
    may("Workspace::run_cascade", |b, c| {
        let watch = |_: &backlot::CascadeEntry| {};
        b.maker
            .run_cascade(Some("Table==0.1.0"), &CascadeOptions::new(), Some(&watch), c)
            .map(drop)
    }),
    may("Workspace::push_release", |b, c| {
        let (package, version) = (PackageName::parse("table")?, Version::parse("0.1.0")?);
        b.maker
            .push_release(("review", &package, &version), &CascadeOptions::new(), None, c)
            .map(drop)
    }),
    may("Workspace::resume_cascade", |b, c| {
        b.maker
            .resume_cascade(ID, &CascadeOptions::new(), None, c)
            .map(drop)
    }),
    may("Workspace::run_cascade_node", |b, c| {
        b.maker
            .run_cascade_node(ID, "review/table", &AttemptOptions::new(), c)
            .map(drop)
    }),
    may("Workspace::run_in_background", |b, c| {
        b.maker
            .run_in_background(ID, &CascadeOptions::new(), None, c)
            .map(drop)
    }),
    may("Workspace::background_log", |b, c| {
        let id = b
            .maker
            .cascades(1, &Context::default())?
            .first()
            .map(|entry| entry.cascade.clone());
        id.map_or(Ok(()), |id| b.maker.background_log(&id, c).map(drop))
    }),
    must("Workspace::clean_cascades", |b, c| {
        b.maker.clean_cascades(&CleanCascadesOptions::new(), c).map(drop)
    }),
    must("Workspace::deprecate", |b, c| {
        let year = std::time::Duration::from_hours(365 * 24);
        let options = DeprecateOptions::new().unused_for(Some(year)).dry_run(true);
        b.maker.deprecate(&options, None, c).map(drop)
    }),
    must("Workspace::cascades", |b, c| b.maker.cascades(10, c).map(drop)),
    may("Workspace::cascade_status", |b, c| {
        b.maker.cascade_status(None, c).map(drop)
    }),
    may("Workspace::cascade_picture", |b, c| {
        b.maker.cascade_picture(None, c).map(drop)
    }),
    may("Workspace::follow_cascade", |b, c| {
        b.maker.follow_cascade(None, &mut |_| false, c).map(drop)
    }),
    may("Workspace::ask_cascade", |b, c| {
        b.maker.ask_cascade(ID, CascadeRequest::Retry(None), c).map(drop)
    }),
    may("Workspace::explain_cascade", |b, c| {
        b.maker.explain_cascade(ID, "review/table", c).map(drop)
    }),
    may("Workspace::export_cascade", |b, c| {
        let options = CascadeOptions::new().dry_run(true);
        b.maker
            .export_cascade((None, Some("Table")), JobFormat::Openjd, &options, c)
            .map(drop)
    }),
    may("Workspace::revert_cascade", |b, c| {
        b.maker.revert_cascade(ID, &RevertOptions::new(), c).map(drop)
    }),
    must("Workspace::events", |b, c| {
        let report = b.maker.events(&EventOptions::new(), c)?;
        assert!(!report.events.is_empty(), "a release was created");
        Ok(())
    }),
    must("Workspace::follow_events", |b, c| {
        let begin = "0".parse::<EventCursor>()?;
        let options = EventOptions::new().since(begin);
        b.maker.follow_events(&options, &mut |_| false, c).map(drop)
    }),
    must("Workspace::hooks", |b, c| b.maker.hooks(c).map(drop)),
    may("Workspace::run_hooks", |b, c| {
        let options = HookOptions::new().once(true);
        b.maker.run_hooks(&options, &mut |_| false, c).map(drop)
    }),
    may("Workspace::test_hook", |b, c| {
        b.maker.test_hook("chat", c).map(drop)
    }),
    may("Workspace::skip_hook", |b, c| {
        b.maker.skip_hook("chat", &planned(), c).map(drop)
    }),
    must("Workspace::inbox", |b, c| {
        b.user.inbox(InboxOptions::new(), c).map(drop)
    }),
    must("Workspace::pull_inputs", |b, c| {
        b.maker.pull_inputs("Chair", &nothing(), c).map(drop)
    }),
    may("Workspace::allow", |b, c| {
        b.maker.allow("review", &table(), &nothing(), c).map(drop)
    }),
    may("Workspace::disallow", |b, c| {
        b.maker.disallow("review", &table(), &nothing(), c).map(drop)
    }),
    must("Workspace::list_channels", |b, c| {
        b.maker.list_channels(c).map(drop)
    }),
    must("Workspace::add_channel", |b, c| {
        b.maker.add_channel("../channel", &nothing(), c).map(drop)
    }),
    may("Workspace::add_external", |b, c| {
        b.maker
            .add_external(&["nothing-like-it".to_owned()], &nothing(), c)
            .map(drop)
    }),
    may("Workspace::install_python", |b, c| {
        b.maker.install_python("3.12", &nothing(), c).map(drop)
    }),
    must("Workspace::external", |b, c| b.maker.external(c).map(drop)),
    may("Workspace::remove_external", |b, c| {
        b.maker
            .remove_external(&["nothing-like-it".to_owned()], &nothing(), c)
            .map(drop)
    }),
    must("Workspace::remove_channel", |b, c| {
        b.maker.remove_channel("../channel", &nothing(), c).map(drop)
    }),
    must("Workspace::doctor", |b, c| b.maker.doctor(c).map(drop)),
    must("Workspace::config_values", |b, c| {
        b.maker.config_values(c).map(drop)
    }),
    must("Workspace::config_get", |b, c| {
        b.maker.config_get("author", c).map(drop)
    }),
    must("Workspace::config_set", |b, c| {
        b.maker
            .config_set("python", Some(&["none".to_owned()]), &SettingOptions::new(), c)
            .map(drop)
    }),
    must("Workspace::parts", |b, _| {
        drop(b.maker.parts(Some("files")));
        Ok(())
    }),
    must("Parts::find", |b, _| {
        Parts::find(
            None,
            &b.desk.store,
            &b.desk.path(""),
            b.maker.root(),
            &b.desk.host,
        )
        .map(drop)
    }),
    must("Parts::at", |b, _| {
        Parts::at(&b.desk.remote, &b.desk.store, &b.desk.path(""), &b.desk.host).map(drop)
    }),
    must("Parts::push", |b, c| {
        let mut part = PushPart::default();
        (part.files, part.job, part.folder) = (vec![b.frames()], "5f3e91".to_owned(), "frames".to_owned());
        b.parts().push(&part, c).map(drop)
    }),
    must("Parts::list", |b, c| b.parts().list(None, c).map(drop)),
    must("Parts::drop_parts", |b, c| {
        b.parts()
            .drop_parts("5f3e91", &DropChoice::All, &nothing(), c)
            .map(drop)
    }),
    must("Auth::new", |b, _| {
        drop(Auth::new(&b.desk.host));
        Ok(())
    }),
    must("Auth::list", |b, _| Auth::new(&b.desk.host).list().map(drop)),
    may("Auth::test", |b, c| {
        Auth::new(&b.desk.host).test(&b.target()?, c).map(drop)
    }),
    may("Auth::login", |b, c| {
        let credential = Credential {
            user: "ana".to_owned(),
            password: "secret".to_owned(),
        };
        Auth::new(&b.desk.host)
            .login(&b.target()?, &credential, LoginOptions::new(), c)
            .map(drop)
    }),
    may("Auth::logout", |b, c| {
        Auth::new(&b.desk.host)
            .logout(&b.target()?, &nothing(), c)
            .map(drop)
    }),
    must("Workspace::remove_inputs", |b, c| {
        b.maker
            .remove_inputs("Chair", &table(), &InputOptions::new(), c)
            .map(drop)
    }),
    may("Workspace::remove_stages", |b, c| {
        b.maker
            .remove_stages(&["Chair:bake".to_owned()], b.maker.root(), &nothing(), c)
            .map(drop)
    }),
    must("Workspace::untrack", |b, c| {
        b.maker.untrack(&[b.frames()], &nothing(), c).map(drop)
    }),
    must("Workspace::uninstall", |b, c| {
        b.user.uninstall(&table(), &planned(), c).map(drop)
    }),
    may("Workspace::collect_remote", |b, c| {
        b.maker
            .collect_remote(None, &CollectOptions::new(), &[], &DropOptions::new(), c)
            .map(drop)
    }),
    must("Workspace::restore_remote", |b, c| {
        b.maker.restore_remote(None, &nothing(), c).map(drop)
    }),
    must("Workspace::cache_status", |b, c| {
        b.maker.cache_status(c).map(drop)
    }),
    may("Workspace::plan_gc", |b, c| b.maker.plan_gc(c).map(drop)),
    must("Workspace::clean_cache", |b, c| {
        b.maker.clean_cache(&CleanOptions::new(), c).map(drop)
    }),
    must("Workspace::remove_remote", |b, c| {
        b.maker.remove_remote("other", &nothing(), c).map(drop)
    }),
    must("Workspace::remove_repo", |b, c| {
        b.maker.remove_repo("second", &nothing(), c).map(drop)
    }),
];
