//! Errors of the stages of a workspace as a whole: their outputs, and their publishing.

use backlot_core::{Class, text};

/// Stages that a workspace does not run, or whose outputs it does not publish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelinesError {
    /// An output that is not where the stage's file belongs.
    #[error("`{file}`, line {line}: the output `{path}` of `{stage}` is outside `{folder}`")]
    OutsideAsset {
        /// The `dvc.yaml`, relative to the workspace.
        file: String,
        /// The line of the stage.
        line: usize,
        /// The stage.
        stage: String,
        /// The output, relative to the workspace.
        path: String,
        /// The folder that outputs of the file have to be in.
        folder: String,
    },
    /// A pipeline of an installed release.
    #[error("`{path}` belongs to an installed release, whose stages cannot be run")]
    Installed {
        /// The path, relative to the workspace.
        path: String,
    },
    /// A file of another type than charts are written to.
    #[error("unsupported chart format `{path}`: expected .svg or .html")]
    PlotFile {
        /// The file.
        path: String,
    },
    /// Outputs that are not those of the present inputs.
    #[error("`{asset}` has {} whose outputs are not up to date: {}", text::count(stages.len() as u64, "stage"), stages.join("; "))]
    Stale {
        /// The asset.
        asset: String,
        /// The stages, each with the reason.
        stages: Vec<String>,
    },
}

backlot_core::coded! {
    PipelinesError {
        Self::OutsideAsset { folder, .. } => "pipelines::outside_asset", Class::Config,
            format!("give the stage outputs in `{folder}`, or move it into a dvc.yaml in the package of the asset that the output belongs to");
        Self::Installed { .. } => "pipelines::installed", Class::User,
            "`edit NAME` turns the release into an output, whose stages can be run";
        Self::PlotFile { .. } => "pipelines::plot_file", Class::User,
            "use a file name that ends in .svg or .html";
        Self::Stale { asset, .. } => "publish::stale_stages", Class::Conflict,
            stale_help(&word(asset));
    }
}

fn stale_help(asset: &str) -> String {
    format!("run `repro {asset}` to reproduce them, or `publish {asset} --repro` to do so before publishing")
}

/// A name as a word of a command.
fn word(name: &str) -> String {
    if name.contains(char::is_whitespace) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}
