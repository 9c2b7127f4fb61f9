//! One asset's failure does not stop the others: what fails for all together is done for each by itself.
//!
//! Invariant: what fails for every asset (a remote that is not there, a full disk) is the failure of the command, as is a
//! cancellation. Deliberately absent: commands about named assets, which fail with the reason.

use backlot_core::{Class, Diagnostic as _};

use crate::error::{Error, Result};
use crate::files::tracked::Tracked;
use crate::workspace::problems::AssetProblem;

/// Do for each asset what failed with `error` for all of them. Returns those for which it succeeds; the others are problems.
pub(crate) fn each_apart(
    all: Vec<Tracked>,
    error: Error,
    problems: &mut Vec<AssetProblem>,
    mut work: impl FnMut(&Tracked) -> Result<()>,
) -> Result<Vec<Tracked>> {
    if all.len() < 2 || error.class() == Class::Cancelled {
        return Err(error);
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for one in all {
        match work(&one) {
            Ok(()) => done.push(one),
            Err(error) if error.class() == Class::Cancelled => return Err(error),
            Err(error) => failed.push(AssetProblem::new(one.name, &error)),
        }
    }
    if done.is_empty() {
        return Err(error);
    }
    problems.extend(failed);
    Ok(done)
}
