//! Pipelines and imports, compared with real dvc.

mod assets;
mod figures;
mod hostile;
mod imports;
mod imports_git;
mod imports_stores;
mod imports_to_remote;
mod killed;
mod random;
mod stages;
mod steps;
