//! The second part of the demo: assets that are built from others follow a new release, and the whole is undone.

use std::path::Path;

use backlot::Error;
use fs_err as fs;
use serde_json::{Value, json};

use super::Demo;

/// How a set is assembled from a table, and a shot from a set. `INPUTS` is the package folder of the inputs.
const SET_STAGE: &str = "\
stages:
  assemble:
    cmd: cat placements.txt INPUTS/table/dimensions.txt > layout.txt
    deps: [placements.txt, INPUTS/table/dimensions.txt]
    outs: [layout.txt]
";
const SHOT_STAGE: &str = "\
stages:
  assemble:
    cmd: cat camera.txt INPUTS/kitchenset/layout.txt > scene.txt
    deps: [camera.txt, INPUTS/kitchenset/layout.txt]
    outs: [scene.txt]
";
/// What stages and checks are made of.
const PROGRAMS: [&str; 4] = ["sh", "cat", "grep", "sed"];
/// A check of one shot, and what repairs its findings.
const CHECK: &str = r#"
[[backlot.validate]]
id = "table.below-camera"
files = "scene.txt"
command = ["sh", "check.sh"]
repair = ["sh", "repair.sh"]
auto_repair = true
"#;
const CHECK_PROGRAM: &str = r#"grep -q "height 0.95" scene.txt || exit 0
echo '{"path": "scene.txt", "message": "the table hides the camera"}'
exit 1
"#;
const REPAIR_PROGRAM: &str =
    "sed 's/height 0.95/height 0.90/' scene.txt > lower.txt && mv lower.txt scene.txt\n";

impl Demo<'_> {
    /// Returns what became of the cascade; null where its stages cannot run.
    pub(super) fn play_cascade(&self) -> Result<Value, Error> {
        if let Some(program) = PROGRAMS.iter().find(|program| !self.has_program(program)) {
            self.say(&format!(
                "Skipped: a cascade, whose stages and checks need `{program}`."
            ));
            return Ok(Value::Null);
        }
        self.say("The table gets a file with its dimensions. A set is assembled from it, and three shots from the set: each has a stage in a dvc.yaml.");
        self.write("modeller", "table", "dimensions.txt", "height 0.75\n")?;
        self.run("-w modeller publish Table --bump minor")?;
        self.set()?;
        self.shots()?;

        self.say("The table becomes higher. What would its next release affect?");
        self.write("modeller", "table", "dimensions.txt", "height 0.95\n")?;
        self.run("-w modeller bump Table minor")?;
        let affected = self.run("-w modeller dirty Table")?;
        self.say("Publish it, and rebuild all that: Shot030 is held by its requirement, Shot020 fails its check and is repaired.");
        let published = self.run("-w modeller publish Table --push --auto-repair")?;
        self.run("-w modeller cascade status")?;
        self.run("-w shots inputs")?;

        self.say("It was the wrong table: undo all of it in one step.");
        let id = published["cascade"]["cascade"].as_str().unwrap_or_default();
        let reverted = self.run(&format!("-w modeller cascade revert {id}"))?;
        self.run("-w modeller dirty Table==1.2.0")?;
        Ok(json!({
            "id": id,
            "affected": affected,
            "summary": published["cascade"]["summary"],
            "reverted": reverted,
        }))
    }

    fn has_program(&self, name: &str) -> bool {
        let variables = &self.host.environment.0;
        let path = variables.iter().find(|(variable, _)| variable == "PATH");
        path.is_some_and(|(_, path)| std::env::split_paths(path).any(|folder| folder.join(name).is_file()))
    }

    fn set(&self) -> Result<(), Error> {
        self.workspace("set")?;
        self.run("-w set install KitchenSet --pull")?;
        self.run("-w set edit KitchenSet")?;
        self.write("set", "kitchenset", "placements.txt", "table at 1.2 0.4\n")?;
        self.stage("set", "kitchenset", SET_STAGE)?;
        // A rebuild is a minor version, as far as the change of its input is one.
        self.append(
            "set/outputs/kitchenset/pyproject.toml",
            "\n[tool.backlot.cascade]\nbump = \"minor\"\n",
        )?;
        self.run("-w set publish KitchenSet --bump 1.0.0 --repro")?;
        Ok(())
    }

    fn shots(&self) -> Result<(), Error> {
        self.workspace("shots")?;
        self.run("-w shots install Shot010 KitchenSet --pull")?;
        self.run("-w shots edit Shot010")?;
        for shot in ["Shot020", "Shot030"] {
            self.run(&format!("-w shots new {shot} --type Shot"))?;
        }
        self.run("-w shots input add Shot020 KitchenSet")?;
        self.run("-w shots input add Shot030 KitchenSet<1.1")?;
        self.run("-w shots input add Shot030 Table<1.3")?;
        for shot in ["shot010", "shot020", "shot030"] {
            self.write("shots", shot, "camera.txt", &format!("camera of {shot}\n"))?;
            self.stage("shots", shot, SHOT_STAGE)?;
        }
        self.write("shots", "shot020", "check.sh", CHECK_PROGRAM)?;
        self.write("shots", "shot020", "repair.sh", REPAIR_PROGRAM)?;
        self.append("shots/outputs/shot020/src/shot020/asset.toml", CHECK)?;
        for shot in ["Shot010", "Shot020", "Shot030"] {
            self.run(&format!("-w shots publish {shot} --repro"))?;
        }
        Ok(())
    }

    fn workspace(&self, name: &str) -> Result<(), Error> {
        self.run(&format!("init {name}"))?;
        self.run(&format!("-w {name} repo add review repos/review"))?;
        self.run(&format!("-w {name} remote add main files"))?;
        Ok(())
    }

    /// Give an asset a `dvc.yaml`, with the place of the packages of its workspace's inputs.
    fn stage(&self, workspace: &str, package: &str, text: &str) -> Result<(), Error> {
        let inputs = packages(&self.root.join(workspace))?;
        let inputs = format!("../../../../inputs/{inputs}");
        self.write(workspace, package, "dvc.yaml", &text.replace("INPUTS", &inputs))
    }

    /// Write a file of an asset's package, like an artist or a TD.
    fn write(&self, workspace: &str, package: &str, name: &str, text: &str) -> Result<(), Error> {
        let path = format!("{workspace}/outputs/{package}/src/{package}/{name}");
        self.print(&format!("  (write {path})"));
        fs::write(self.root.join(path), text)?;
        Ok(())
    }

    fn append(&self, path: &str, text: &str) -> Result<(), Error> {
        self.print(&format!("  (append to {path})"));
        let path = self.root.join(path);
        let before = fs::read_to_string(&path)?;
        fs::write(path, before + text)?;
        Ok(())
    }
}

/// The folder of the packages of a workspace's inputs, below `inputs`: it has the version of Python in it, where there is one.
fn packages(workspace: &Path) -> Result<String, Error> {
    let lib = workspace.join("inputs/lib");
    for entry in fs::read_dir(&lib)? {
        let name = entry?.file_name();
        if lib.join(&name).join("site-packages").is_dir() {
            return Ok(format!("lib/{}/site-packages", name.display()));
        }
    }
    Ok("lib/site-packages".to_owned())
}
