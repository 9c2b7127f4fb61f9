//! A run: assets with trivial stages, all built from one.

use std::io;
use std::path::Path;

use fs_err as fs;

use crate::Bed;

fn new_asset(bed: &Bed, workspace: &Path, name: &str, requires: Option<&str>) -> io::Result<()> {
    bed.run(workspace, &["new", name])?;
    let module = workspace.join(format!("outputs/{name}/src/{name}"));
    if let Some(required) = requires {
        bed.run(workspace, &["input", "add", name, required])?;
        let stage = format!(
            "stages:\n  make:\n    cmd: cp ../../../../inputs/lib/site-packages/{required}/code.py made.txt\n    deps: [../../../../inputs/lib/site-packages/{required}/code.py]\n    outs: [made.txt]\n"
        );
        fs::write(module.join("dvc.yaml"), stage)?;
    } else {
        fs::write(module.join("code.py"), "MADE = 1\n")?;
    }
    Ok(())
}

pub(crate) fn measure(bed: &mut Bed, place: &Path, small: bool) -> io::Result<()> {
    let assets = if small { 5 } else { 100 };
    fs::create_dir_all(place)?;
    let cache = place.join("cache").display().to_string();
    let workspace = place.join("w");
    bed.run(place, &["init", "w", "--python", "none", "--cache", &cache])?;
    bed.run(&workspace, &["repo", "add", "review", "../review"])?;
    bed.run(&workspace, &["remote", "add", "main", "../files"])?;
    new_asset(bed, &workspace, "base", None)?;
    bed.run(&workspace, &["publish", "base"])?;
    fs::remove_dir_all(workspace.join("outputs/base"))?;
    bed.run(&workspace, &["install", "base"])?;
    let names: Vec<String> = (0..assets).map(|at| format!("user{at}")).collect();
    for name in &names {
        new_asset(bed, &workspace, name, Some("base"))?;
        bed.run(&workspace, &["publish", name, "--repro"])?;
    }
    let author = place.join("author");
    bed.run(place, &["init", "author", "--python", "none", "--cache", &cache])?;
    bed.run(&author, &["repo", "add", "review", "../review"])?;
    bed.run(&author, &["remote", "add", "main", "../files"])?;
    bed.run(&author, &["install", "base"])?;
    bed.run(&author, &["edit", "base"])?;
    let mut round = 1;
    let mut samples = Vec::new();
    for _ in 0..bed.repetitions {
        round += 1;
        fs::write(
            author.join("outputs/base/src/base/code.py"),
            format!("MADE = {round}\n"),
        )?;
        bed.run(&author, &["publish", "base", "--bump", "minor"])?;
        let command = bed.command(&author, &["cascade", "run", "--jobs", "2", "--json"]);
        samples.push(bed.once(&command)?);
    }
    let per_asset = f64::from(assets) * 0.05;
    bed.note(
        &format!("cascade of {assets} assets with a trivial stage"),
        samples,
        Some(("below 50 ms of CPU an asset, 256 MiB", &|sample| {
            sample.cpu() < per_asset && sample.peak < 256 << 20
        })),
    );
    Ok(())
}
