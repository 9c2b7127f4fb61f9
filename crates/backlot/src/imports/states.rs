//! The states of the sources of all imports.
//!
//! Invariant: nothing is changed, and an unreachable source is reported as such, not as changed. Deliberately absent: updating.

use backlot_backend::each;
use backlot_core::{Class, Diagnostic as _};
use backlot_dvc::{GitSource, ImportNotes, Out, ReleaseSource, TrackedPointer};
use backlot_pep::Requirement;

use crate::error::{Error, ImportError, Result};
use crate::imports::inquiry::{Compared, compare_source};
use crate::imports::release::check_same_release;
use crate::imports::report::{ImportState, ImportStatus};
use crate::imports::repository::{commit_change, shown_source};
use crate::imports::storing::Importing;
use crate::imports::update::{KnownImport, importing_of};
use crate::workspace::Opened;

impl Opened {
    /// Ask the sources of the imports of some outputs, or of all.
    pub(crate) fn import_states(&self, names: &[String]) -> Result<Vec<ImportStatus>> {
        let mut imports = Vec::new();
        for tracked in self.tracked(names, false)? {
            for pointer in tracked.pointers {
                if pointer.made_by.is_none() && pointer.pointer.is_import() {
                    imports.push((tracked.name.clone(), pointer));
                }
            }
        }
        each(&imports, |(asset, pointer)| {
            self.context().check()?;
            self.import_state(asset, pointer)
        })
    }

    fn import_state(&self, asset: &str, pointer: &TrackedPointer) -> Result<ImportStatus> {
        let place = pointer.located_outs().map(|(path, _)| path).next();
        let out = pointer.pointer.outs.first();
        let mut status = ImportStatus {
            asset: asset.to_owned(),
            path: self.display_path(&place.unwrap_or_else(|| pointer.path.clone())),
            pointer: self.display_path(&pointer.path),
            source: String::new(),
            state: ImportState::NotAsked,
            reason: None,
            not_downloaded: out.and_then(Out::id).is_none(),
            weak: None,
            license: ImportNotes::of(&pointer.pointer).license,
        };
        if let Some(of) = ImportNotes::of(&pointer.pointer).release {
            status.source = format!("{} {} in {}", of.requirement, of.path, of.repo);
            (status.state, status.reason) = self.release_state(&of)?;
            return Ok(status);
        }
        if let Some(of) = GitSource::of(&pointer.pointer) {
            status.source = shown_source(&of);
            let importing = importing_of(pointer.clone(), asset);
            (status.state, status.reason) = self.commit_state(&importing, &of)?;
            return Ok(status);
        }
        let known = match self.known_import(pointer.clone(), asset) {
            Ok(known) => known,
            Err(error @ Error::Import(ImportError::OnlyDvc { .. })) => {
                status.reason = Some(error.to_string());
                return Ok(status);
            }
            Err(error) => {
                (status.state, status.reason) = (ImportState::Unreachable, Some(error.to_string()));
                return Ok(status);
            }
        };
        status.source = known.source.shown();
        status.weak = known.before.state.weakness().map(ToOwned::to_owned);
        (status.state, status.reason) = self.state_of(&known)?;
        Ok(status)
    }

    /// The state of an imported release in a repo: whether there is a newer one for updates.
    fn release_state(&self, of: &ReleaseSource) -> Result<(ImportState, Option<String>)> {
        let found = Requirement::parse(&of.requirement)
            .map_err(Error::from)
            .and_then(|wanted| self.release_to_import(&of.repo, &wanted));
        Ok(match found {
            Ok((found, _)) if found.version().to_string() != of.version => {
                let reason = format!("{} instead of {}", found.version(), of.version);
                (ImportState::Changed, Some(reason))
            }
            Ok((found, _)) => match check_same_release(&found, of) {
                Ok(()) => (ImportState::UpToDate, None),
                Err(error) => (ImportState::Changed, Some(error.to_string())),
            },
            Err(error @ Error::Cancelled(_)) => return Err(error),
            Err(error) if error.class() == Class::NotFound => (ImportState::Gone, Some(error.to_string())),
            Err(error) => (ImportState::Unreachable, Some(error.to_string())),
        })
    }

    /// The state of a git import: whether its revision is another commit now.
    fn commit_state(&self, importing: &Importing, of: &GitSource) -> Result<(ImportState, Option<String>)> {
        let url = self.repository_of(importing, of);
        Ok(match self.git_commit(&url, of.rev.as_deref()) {
            Ok(commit) if commit == of.rev_lock => (ImportState::UpToDate, None),
            Ok(commit) => (ImportState::Changed, Some(commit_change(&of.rev_lock, &commit))),
            Err(error @ Error::Cancelled(_)) => return Err(error),
            Err(error) => (ImportState::Unreachable, Some(error.to_string())),
        })
    }

    fn state_of(&self, known: &KnownImport) -> Result<(ImportState, Option<String>)> {
        let compared = self
            .inquire(&known.source)
            .and_then(|answer| compare_source(&known.source, &answer, &known.before, &known.importing.notes));
        Ok(match compared {
            Ok(Compared::Same) => (ImportState::UpToDate, None),
            Ok(Compared::Differs(why)) => (ImportState::Changed, Some(why)),
            Ok(Compared::Unsure(why)) => (ImportState::Unsure, Some(why)),
            Ok(Compared::Gone(why)) => (ImportState::Gone, why),
            Err(error @ Error::Cancelled(_)) => return Err(error),
            Err(error) if error.code() == "imports::emptied" => (ImportState::Gone, Some(error.to_string())),
            Err(error) => (ImportState::Unreachable, Some(error.to_string())),
        })
    }
}
