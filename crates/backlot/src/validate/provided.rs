//! Checks that installed packages provide, by entry points of the group `backlot.validator`: a studio's checks as a package with versions.
//!
//! Invariants: only packages of the environment count, inputs and policies; nothing of them is imported by this program: a function is called by the
//! environment's own Python, as a program that is bounded as all others; where there is no Python, that is an error and no pass. An id that two packages
//! provide means neither. Deliberately absent: running (`command`).

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_wheel::EntryPoints;

use crate::error::{Result, ValidateError};
use crate::workspace::Opened;

/// The group of entry points.
const GROUP: &str = "backlot.validator";
/// Stands for the folder that the package is installed in, in arguments of its program.
pub(crate) const PROVIDER_FOLDER: &str = "{provider}";
/// Stands for the environment's Python in a command.
pub(crate) const PYTHON: &str = "{python}";

/// Calls a function with the request, and prints what it returns. What the function prints itself is a complaint, and no finding. The folder that it runs in
/// is not searched for modules: it is that of the asset, which may have a `json.py`.
const CALL: &str = r#"
import sys
sys.path[:] = [path for path in sys.path if path]
import importlib, json, os, traceback
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
refused = False
try:
    request = json.loads(sys.stdin.readline())
    module, _, names = sys.argv[1].partition(":")
    function = importlib.import_module(module)
    for name in names.split("."):
        function = getattr(function, name)
    found = function(request)
    if isinstance(found, (dict, str)):
        found = [found]
    for one in found or ():
        line = one if isinstance(one, dict) else {"message": str(one)}
        refused |= "values" not in line or "message" in line
        out.write(json.dumps(line) + "\n")
    out.flush()
except BaseException:
    traceback.print_exc()
    sys.stderr.flush()
    # Python itself ends with 1, which is a refusal.
    os._exit(3)
os._exit(1 if refused else 0)
"#;

/// What an entry point names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A check that is built in.
    BuiltIn(String),
    /// A program with its arguments.
    Command(Vec<String>),
}

/// A check that a package provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provided {
    /// The package, as `studio-checks 1.2`.
    pub(crate) label: String,
    /// The folder that its programs lie in.
    pub(crate) folder: PathBuf,
    pub(crate) target: Target,
}

/// By id, the checks that are provided, or the packages that contradict each other.
type Known = BTreeMap<String, std::result::Result<Provided, Vec<String>>>;

/// The checks that installed packages provide, read when one is asked for: an environment may have thousands.
pub(crate) struct Providers<'a> {
    opened: &'a Opened,
    known: OnceCell<Known>,
}

impl Providers<'_> {
    fn known(&self) -> Result<&Known> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let known = self.opened.provided()?;
        Ok(self.known.get_or_init(|| known))
    }

    /// The check with an id, if a package provides it. An error, in words, if several do, or one is not understood.
    pub(crate) fn find(&self, id: &str) -> std::result::Result<Option<&Provided>, String> {
        match self.known().map_err(|error| error.to_string())?.get(id) {
            None => Ok(None),
            Some(Ok(provided)) => Ok(Some(provided)),
            Some(Err(several)) => Err(format!("`{id}` is provided by {}", several.join(" and by "))),
        }
    }

    /// All ids that are provided.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.known()
            .into_iter()
            .flat_map(|known| known.keys().map(String::as_str))
    }
}

impl Target {
    /// What a value means: `builtin:frames.complete`, `cmd:python3 {provider}/tools/check.py`, `package.module:function`.
    fn parse(value: &str) -> std::result::Result<Self, String> {
        let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
        if let Some(id) = value.strip_prefix("builtin:") {
            return Ok(Self::BuiltIn(id.trim().to_owned()));
        }
        if let Some(command) = value.strip_prefix("cmd:") {
            let command = words(command);
            return if command.is_empty() {
                Err("its command is empty".to_owned())
            } else {
                Ok(Self::Command(command))
            };
        }
        let is_dotted = |text: &str| {
            let is_name = |part: &str| {
                let mut letters = part.chars();
                let first = letters.next().is_some_and(|c| c.is_alphabetic() || c == '_');
                first && letters.all(|c| c.is_alphanumeric() || c == '_')
            };
            text.split('.').all(is_name)
        };
        match value.split_once(':') {
            Some((module, function)) if is_dotted(module) && is_dotted(function) => Ok(Self::Command(vec![
                PYTHON.to_owned(),
                "-c".to_owned(),
                CALL.to_owned(),
                value.to_owned(),
            ])),
            _ => Err(format!(
                "`{value}` is neither `module:function`, `cmd:PROGRAM ARGUMENTS` nor `builtin:ID`"
            )),
        }
    }
}

impl Opened {
    /// The checks that installed packages provide.
    pub(crate) fn providers(&self) -> Providers<'_> {
        Providers {
            opened: self,
            known: OnceCell::new(),
        }
    }

    fn provided(&self) -> Result<Known> {
        let mut all = Known::new();
        let Some(environment) = self.environment()? else {
            return Ok(all);
        };
        for dist in environment.installed()? {
            let Some(bytes) = dist.read_dist_info("entry_points.txt")? else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            let Some(own) = EntryPoints::parse(&text).0.remove(GROUP) else {
                continue;
            };
            let label = format!("{} {}", dist.metadata.package(), dist.metadata.version);
            for (id, value) in own {
                let target = Target::parse(&value).map_err(|reason| ValidateError::BadCheck {
                    path: label.clone(),
                    reason: format!("the entry point `{id}` of {GROUP}: {reason}"),
                })?;
                let provided = Provided {
                    label: label.clone(),
                    folder: environment.site_packages(),
                    target,
                };
                let both = match all.remove(&id) {
                    None => Ok(provided),
                    Some(Ok(other)) => Err(vec![other.label, provided.label]),
                    Some(Err(mut others)) => {
                        others.push(provided.label);
                        Err(others)
                    }
                };
                all.insert(id, both);
            }
        }
        Ok(all)
    }

    /// The Python of the environment, for a check that is a function of it.
    pub(crate) fn python_of_check(&self, check: &str) -> Result<String> {
        let environment = self.environment()?;
        if environment.is_none_or(|environment| environment.layout.python.is_none()) {
            return Err(ValidateError::NoPython {
                check: check.to_owned(),
            }
            .into());
        }
        let program = if cfg!(windows) {
            "Scripts/python.exe"
        } else {
            "bin/python"
        };
        Ok(self.inputs_dir().join(program).display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{PYTHON, Target};

    #[test]
    fn an_entry_point_names_a_function_a_program_or_what_is_built_in() {
        let function = Target::parse("studio.checks:frames.dark").expect("a function");
        let Target::Command(argv) = function else {
            panic!("{function:?}")
        };
        assert_eq!(
            (argv[0].as_str(), argv[3].as_str()),
            (PYTHON, "studio.checks:frames.dark")
        );
        assert_eq!(
            Target::parse("cmd:sh tools/check.sh -v").expect("a program"),
            Target::Command(["sh", "tools/check.sh", "-v"].map(ToOwned::to_owned).to_vec())
        );
        assert_eq!(
            Target::parse("builtin:frames.complete").expect("built in"),
            Target::BuiltIn("frames.complete".to_owned())
        );
        for wrong in ["", "cmd:", "studio", "a b:c", "os:system('x')", "a..b:c", ":f"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
