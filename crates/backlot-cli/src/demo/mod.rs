//! `backlot demo`: the main workflow from scratch, without other programs.
//!
//! It prints each command before running it, so its output is also the tutorial. The commands are run by the same code as
//! from a shell; only rendering and the comparison at the end are the demo's own.

mod cascade;
mod render;

use std::path::{Path, PathBuf};

use backlot::{Error, Host, WorkspaceError};
use clap::Parser as _;
use fs_err as fs;
use serde_json::{Value, json};

use crate::args::Arguments;
use crate::commands;
use crate::output::Answer;
use crate::session::Session;

/// Which frames are rendered again for the second release.
const CHANGED: [u32; 3] = [3, 5, 7];

struct Demo<'a> {
    session: &'a Session,
    root: PathBuf,
    host: Host,
}

/// Run the demo in a new or empty folder.
pub(crate) fn run(session: &Session, dir: Option<&Path>, frames: u32) -> Result<Answer, Error> {
    let root = session.here.join(dir.unwrap_or(Path::new("backlot-demo")));
    if root.exists() && fs::read_dir(&root)?.next().is_some() {
        return Err(WorkspaceError::TargetExists { path: root }.into());
    }
    fs::create_dir_all(&root)?;
    let root = fs::canonicalize(&root)?;
    let mut host = Host {
        default_cache: root.join("cache"),
        user_config: None,
        ..session.host.clone()
    };
    // Whatever the person's shell is.
    host.environment.0.retain(|(name, _)| name != "SHELL");
    host.environment.0.push(("SHELL".into(), "/bin/sh".into()));
    let demo = Demo { session, root, host };
    let stored = demo.play(frames)?;
    let report = json!({
        "root": demo.root,
        "frames": frames,
        "changed_frames": CHANGED.len(),
        "new_objects": stored.objects,
        "new_bytes": stored.sent,
        "cascade": demo.play_cascade()?,
    });
    let text = format!(
        "\nThe second release of {frames} frames cost {} frames and one manifest: {} sent.\nLook around in `{}`.",
        stored.objects.saturating_sub(1),
        backlot::text::bytes(stored.sent),
        demo.root.display()
    );
    Ok(Answer::new(&report, text))
}

struct Stored {
    objects: u64,
    sent: u64,
}

impl Demo<'_> {
    fn play(&self, frames: u32) -> Result<Stored, Error> {
        self.say("A modeller has a workspace, two repos and a place for files. All are plain folders.");
        self.run("init modeller")?;
        self.run("-w modeller repo add blessed repos/blessed")?;
        self.run("-w modeller repo add review repos/review")?;
        self.run("-w modeller remote add main files")?;

        self.say(&format!(
            "Render {frames} half-float EXR frames of a turntable, create an asset from them, publish it."
        ));
        self.render(1..=frames, frames, 0.0)?;
        self.run("-w modeller new Table --type Prop --tag hero")?;
        self.run("-w modeller add renders/turntable --asset Table")?;
        self.run("-w modeller bump Table major")?;
        self.run("-w modeller publish Table")?;

        self.say("A set that requires any 1.x of the table, and a shot that requires the set.");
        self.run("-w modeller new KitchenSet --type Set")?;
        self.run("-w modeller input add KitchenSet Table>=1.0,<2.0")?;
        self.run("-w modeller publish KitchenSet")?;
        self.run("-w modeller new Shot010 --type Shot")?;
        self.run("-w modeller input add Shot010 KitchenSet")?;
        self.run("-w modeller publish Shot010")?;

        self.say("The supervisor approves: the same bytes go from review to blessed.");
        for release in ["Table==1.0.0", "KitchenSet==0.1.0", "Shot010==0.1.0"] {
            self.run(&format!("-w modeller copy {release} --from review --to blessed"))?;
        }
        self.run("-w modeller list")?;

        self.say("Another workspace, with its own cache as on another machine, installs the shot and pulls its files.");
        self.run("init lighter --cache .backlot/cache")?;
        self.run("-w lighter repo add blessed repos/blessed")?;
        self.run("-w lighter remote add main files")?;
        self.run("-w lighter install Shot010")?;
        self.run("-w lighter pull")?;
        self.run("-w lighter verify")?;

        self.say(&format!(
            "The modeller changes frames {CHANGED:?} and publishes again. Only those are stored."
        ));
        self.render(CHANGED, frames, 0.4)?;
        for number in CHANGED {
            self.copy_frame(number)?;
        }
        self.run("-w modeller status")?;
        self.run("-w modeller bump Table minor")?;
        let published = self.run("-w modeller publish Table")?;
        self.run("-w modeller du Table")?;
        self.run("-w modeller copy Table==1.1.0 --from review --to blessed")?;
        self.run("-w lighter install --upgrade")?;
        self.run("-w lighter pull")?;
        self.run("-w lighter status")?;
        self.run("-w lighter verify")?;
        let stored = |key: &str| published["files"][key].as_u64().unwrap_or(0);
        Ok(Stored {
            objects: stored("objects"),
            sent: stored("sent"),
        })
    }

    fn print(&self, line: &str) {
        if !self.session.quiet {
            let stream: &mut dyn std::io::Write = if self.session.json {
                &mut std::io::stderr()
            } else {
                &mut std::io::stdout()
            };
            drop(writeln!(stream, "{line}"));
        }
    }

    fn say(&self, line: &str) {
        self.print(&format!("\n# {line}"));
    }

    /// Print and run one command line, as from a shell in the demo's folder. Returns its report.
    fn run(&self, line: &str) -> Result<Value, Error> {
        let quoted: Vec<String> = line
            .split(' ')
            .map(|word| {
                if word.contains(['<', '>']) {
                    format!("\"{word}\"")
                } else {
                    word.to_owned()
                }
            })
            .collect();
        self.print(&format!("$ backlot {}", quoted.join(" ")));
        let arguments = Arguments::try_parse_from(std::iter::once("backlot").chain(line.split(' ')))
            .map_err(|e| std::io::Error::other(e.to_string()))?;
        let workspace = arguments
            .global
            .workspace
            .map_or_else(|| self.root.clone(), |w| self.root.join(w));
        let session = self
            .session
            .elsewhere(self.root.clone(), workspace, self.host.clone());
        let answer = commands::run(&arguments.command, &session)?;
        session.finish_progress();
        for line in answer.text.trim_end().lines() {
            self.print(&format!("  {line}"));
        }
        if let Some(failure) = answer.failure {
            return Err(std::io::Error::other(failure.to_string()).into());
        }
        Ok(answer.json)
    }

    fn frame_path(&self, number: u32) -> PathBuf {
        self.root.join(format!("renders/turntable/table.{number:04}.exr"))
    }

    fn render(&self, numbers: impl IntoIterator<Item = u32>, count: u32, warmth: f32) -> Result<(), Error> {
        fs::create_dir_all(self.root.join("renders/turntable"))?;
        for number in numbers {
            self.session.context.check()?;
            let path = self.frame_path(number);
            render::frame(&path, number, count, warmth).map_err(std::io::Error::other)?;
        }
        Ok(())
    }

    /// Save over a frame in the asset's folder, like an artist.
    fn copy_frame(&self, number: u32) -> Result<(), Error> {
        let source = self.frame_path(number);
        let target = self
            .root
            .join("modeller/outputs/table/src/table/turntable")
            .join(source.file_name().unwrap_or_default());
        fs::copy(source, target)?;
        Ok(())
    }
}
