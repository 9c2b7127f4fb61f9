//! The conda prefix of a workspace, and the Python in it.

use std::path::PathBuf;

use backlot_wheel::Interpreter;

use crate::error::Result;
use crate::toolchain::conda;
use crate::workspace::Opened;

impl Opened {
    /// The folder of the conda packages.
    pub(crate) fn conda_prefix(&self) -> PathBuf {
        self.root().join("external_packages").join("conda")
    }

    /// The Python among the external packages, if they are installed.
    pub(crate) fn external_interpreter(&self) -> Result<Option<Interpreter>> {
        if self.config.external_conda.is_empty() {
            return Ok(None);
        }
        let prefix = self.conda_prefix();
        let packages = conda::installed(&prefix)?.unwrap_or_default();
        let Some((_, executable)) = conda::python_of(&prefix, &packages) else {
            return Ok(None);
        };
        let found = backlot_wheel::read_interpreter(&executable, self.context())?;
        Ok(Some(Interpreter {
            shared: true,
            ..found
        }))
    }
}
