//! `[cascade]` of `backlot.toml` and of the user's file: where cascades are run, and how jobs are submitted.
//!
//! Invariants: each value of the workspace goes before that of the user; no file of a project names a program, or gives `sbatch` an argument that could start
//! one. Deliberately absent: secrets; a worker finds its credentials as any command does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml_edit::DocumentMut;

use crate::cascade::executors::kind::ExecutorKind;

/// `[cascade]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct CascadeSection {
    /// Where cascades are run that do not say it themselves.
    pub(crate) executor: Option<ExecutorKind>,
    /// The command `backlot` as workers see it.
    pub(crate) program: Option<PathBuf>,
    /// The folder of the logs of attempts, as workers see it.
    pub(crate) logs: Option<PathBuf>,
    #[serde(deserialize_with = "time")]
    pub(crate) wall_time: Option<Duration>,
    #[serde(deserialize_with = "time")]
    pub(crate) quiet_time: Option<Duration>,
    pub(crate) slurm: SlurmSection,
}

/// `[cascade.slurm]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct SlurmSection {
    pub(crate) partition: Option<String>,
    pub(crate) account: Option<String>,
    /// More arguments of `sbatch`.
    #[serde(deserialize_with = "words")]
    pub(crate) arguments: Vec<String>,
    /// By class of `resources` of an asset, the arguments of `sbatch` that it needs; `{n}` stands for the units.
    #[serde(deserialize_with = "words_by_class")]
    pub(crate) resources: BTreeMap<String, Vec<String>>,
    /// How long to wait between two questions to Slurm.
    #[serde(deserialize_with = "time")]
    pub(crate) poll: Option<Duration>,
}

/// Options of `sbatch` that a workspace may give: they choose what a job gets, and no more. Others (`--wrap`, `--output`, `--export`) are the user's.
const OF_WORKSPACE: [&str; 19] = [
    "--cluster-constraint",
    "--constraint",
    "--cores-per-socket",
    "--cpus-per-gpu",
    "--cpus-per-task",
    "--exclude",
    "--exclusive",
    "--gpus",
    "--gres",
    "--hint",
    "--licenses",
    "--mem",
    "--mem-per-cpu",
    "--nice",
    "--nodelist",
    "--qos",
    "--reservation",
    "--threads-per-core",
    "--tmp",
];

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = parse_time(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("invalid duration `{text}`; write 90s, 30m, 12h or 2d"))
    })?;
    Ok(Some(time))
}

/// Words of a command: a list, or a text with spaces between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Words {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split_whitespace().map(ToOwned::to_owned).collect(),
            Self::List(words) => words,
        }
    }
}

fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Words::deserialize(deserializer).map(Words::into_list)
}

fn words_by_class<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let given: BTreeMap<String, Words> = BTreeMap::deserialize(deserializer)?;
    Ok(given
        .into_iter()
        .map(|(class, words)| (class, words.into_list()))
        .collect())
}

/// A time as configurations and arguments have it: `90s`, `30m`, `12h`, `2d`; not zero.
pub fn parse_time(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}

impl CascadeSection {
    /// The section of a document; the error is a reason for people.
    pub(crate) fn read(document: &DocumentMut) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            cascade: CascadeSection,
        }
        if !document.contains_key("cascade") {
            return Ok(Self::default());
        }
        let read = toml::from_str::<File>(&document.to_string());
        let section = read.map_err(|error| error.to_string().trim().to_owned())?.cascade;
        let of_user = |what: &str| format!("{what} counts only in the configuration of a user");
        if section.program.is_some() {
            return Err(of_user("`cascade.program`"));
        }
        let resources = section.slurm.resources.values().flatten();
        for word in section.slurm.arguments.iter().chain(resources) {
            let option = word.split('=').next().unwrap_or_default();
            if !OF_WORKSPACE.contains(&option) {
                return Err(of_user(&format!("`{option}` in `cascade.slurm`")));
            }
        }
        Ok(section)
    }

    /// The same, and what a user says where this says nothing.
    pub(crate) fn over(self, user: Self) -> Self {
        Self {
            executor: self.executor.or(user.executor),
            program: self.program.or(user.program),
            logs: self.logs.or(user.logs),
            wall_time: self.wall_time.or(user.wall_time),
            quiet_time: self.quiet_time.or(user.quiet_time),
            slurm: SlurmSection {
                partition: self.slurm.partition.or(user.slurm.partition),
                account: self.slurm.account.or(user.slurm.account),
                arguments: if self.slurm.arguments.is_empty() {
                    user.slurm.arguments
                } else {
                    self.slurm.arguments
                },
                resources: user
                    .slurm
                    .resources
                    .into_iter()
                    .chain(self.slurm.resources)
                    .collect(),
                poll: self.slurm.poll.or(user.slurm.poll),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CascadeSection, parse_time};
    use crate::cascade::executors::kind::ExecutorKind;

    fn read(text: &str) -> Result<CascadeSection, String> {
        CascadeSection::read(&text.parse().expect("TOML"))
    }

    #[test]
    fn what_a_workspace_says_goes_before_what_its_user_says() {
        let workspace = read(
            "[cascade]\nexecutor = 'slurm'\nwall-time = '2h'\n[cascade.slurm]\npartition = 'farm'\nresources = { gpu = '--gres=gpu:{n}' }",
        );
        let user = toml::from_str::<CascadeSection>(
            "\nexecutor = 'process'\nprogram = '/studio/backlot'\nquiet-time = '30m'\n[slurm]\naccount = 'show'\narguments = ['--nice=100']\nresources = { gpu = '-G {n}', ram = '--mem={n}G' }",
        );
        let both = workspace.expect("read").over(user.expect("read"));
        assert_eq!(both.executor, Some(ExecutorKind::Slurm));
        assert_eq!(both.wall_time, Some(Duration::from_hours(2)));
        assert_eq!(both.quiet_time, Some(Duration::from_mins(30)));
        assert_eq!(both.slurm.partition.as_deref(), Some("farm"));
        assert_eq!(both.slurm.account.as_deref(), Some("show"));
        assert_eq!(both.slurm.arguments, ["--nice=100"]);
        assert_eq!(both.slurm.resources["gpu"], ["--gres=gpu:{n}"]);
        assert_eq!(both.slurm.resources["ram"], ["--mem={n}G"]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            "[cascade]\nexecuter = 'slurm'",
            "[cascade]\nexecutor = 'lsf'",
            "[cascade]\nwall-time = '2 hours'",
            "[cascade.slurm]\nqueue = 'farm'",
            "[cascade]\nprogram = './x'",
            "[cascade.slurm]\narguments = ['--wrap=./x']",
            "[cascade.slurm]\narguments = ['--mem', './x']",
            "[cascade.slurm]\nresources = { ram = '--output={n}' }",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("[workspace]").expect("nothing").executor.is_none());
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_time("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_time("2d"), Some(Duration::from_hours(48)));
        for wrong in ["", "90", "0s", "-1s", "h", "1w", "99999999999999999999d", "1ü"] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }
}
