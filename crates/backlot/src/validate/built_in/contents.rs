//! Checks of pictures and movies, by what `backlot-media` reads of them.
//!
//! Invariants: what is not here is said, not passed over; each file is decoded once in a run, whichever checks ask.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use backlot_media::{
    CheckOptions, CheckReport, FileProblem, Finding, MovieFacts, Ratio, check_known_frames, is_image_name,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Params, Subject};
use crate::error::Error;
use crate::validate::files::CheckedFile;
use crate::validate::found::{CheckItem, Findings, NotRun};

/// Extensions of movies that are read.
const MOVIES: [&str; 3] = ["mp4", "mov", "m4v"];
/// Findings about frames that cannot be read.
const UNREADABLE: [&str; 2] = ["frames::damaged", "frames::too_large"];
const UNSUPPORTED: &str = "frames::unsupported";
/// How far rates may be apart, so that 23.976 is 24000/1001.
const NEAR: f64 = 0.001;

/// Files that are here, and what is said of those that are not.
pub(super) fn here<'a>(
    files: impl Iterator<Item = &'a CheckedFile>,
) -> (Vec<&'a CheckedFile>, Vec<CheckItem>) {
    let (here, absent): (Vec<&CheckedFile>, Vec<_>) = files.partition(|file| file.source.is_some());
    let item = |file: &&CheckedFile| CheckItem::of(&file.path, "not pulled, so it cannot be checked");
    let absent = absent.iter().take(CheckItem::MOST).map(item).collect();
    (here, absent)
}

fn frames(subject: &Subject<'_>, headers_only: bool) -> Result<(CheckReport, Findings), NotRun> {
    let mut findings = Findings::default();
    let images = subject.files.iter().copied();
    let images = images.filter(|file| is_image_name(Path::new(&file.path)));
    let (here, absent) = here(images);
    findings.skipped = absent;
    let paths: Vec<PathBuf> = here.iter().filter_map(|file| file.source.clone()).collect();
    if paths.is_empty() && findings.skipped.is_empty() {
        findings.refused.push(CheckItem::of_all("there are no images"));
    }
    subject.readings.hash(&paths)?;
    let found = || -> Result<CheckReport, backlot_media::Error> {
        let sequences = backlot_media::find(&paths, subject.opened.root())?;
        let options = CheckOptions {
            headers_only,
            ..CheckOptions::default()
        };
        check_known_frames(subject.opened.context(), &sequences, &options, subject.readings)
    };
    Ok((found().map_err(Error::from)?, findings))
}

/// Findings with the codes that refuse; those of frames that could not be looked at are told apart.
fn sort(subject: &Subject<'_>, report: &CheckReport, refuse: &[&str], findings: &mut Findings) {
    let files = subject.files.iter();
    let paths: HashMap<&Path, &str> = files
        .filter_map(|file| Some((file.source.as_deref()?, file.path.as_str())))
        .collect();
    let item = |finding: &Finding| {
        let path = finding.path.as_deref().and_then(|path| paths.get(path));
        match path {
            Some(path) => CheckItem::of(path, finding.message.as_str()),
            None => CheckItem::of_all(format!("{}: {}", finding.sequence, finding.message)),
        }
    };
    for finding in &report.findings {
        if refuse.contains(&finding.code) {
            findings.refused.push(item(finding));
        } else if UNREADABLE.contains(&finding.code) || finding.code == UNSUPPORTED {
            findings.skipped.push(item(finding));
        }
    }
}

/// Every frame is decoded to its end.
pub(super) fn readable(subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let (report, mut findings) = frames(subject, false)?;
    sort(subject, &report, &UNREADABLE, &mut findings);
    Ok(findings)
}

/// No value that is not a number, or infinite.
pub(super) fn finite(subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let (report, mut findings) = frames(subject, false)?;
    sort(subject, &report, &["frames::not_finite"], &mut findings);
    Ok(findings)
}

/// What all frames of a sequence have in common, by the names that `ignore` knows.
const PROPERTIES: [(&str, &str); 6] = [
    ("channels", "frames::other_channels"),
    ("compression", "frames::other_compression"),
    ("data-window", "frames::other_data_window"),
    ("display-window", "frames::other_display_window"),
    ("format", "frames::other_format"),
    ("size", "frames::other_size"),
];

/// The frames of each sequence are alike, and as wanted.
pub(super) fn uniform(params: Params<'_>, subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let ignore = params.list("ignore")?.unwrap_or_default();
    let is_known = |name: &&String| PROPERTIES.iter().any(|(known, _)| known == name);
    if let Some(unknown) = ignore.iter().find(|name| !is_known(name)) {
        let known = PROPERTIES.map(|(name, _)| name).join(", ");
        return Err(
            format!("`ignore` of the check `frames.uniform` has `{unknown}`; it knows {known}").into(),
        );
    }
    let (width, height) = (params.number("width")?, params.number("height")?);
    let channels = params.list("channels")?;
    let (report, mut findings) = frames(subject, true)?;
    let wanted = PROPERTIES
        .iter()
        .filter(|(name, _)| !ignore.iter().any(|one| one == name));
    let codes: Vec<&str> = wanted.map(|(_, code)| *code).chain(UNREADABLE).collect();
    sort(subject, &report, &codes, &mut findings);
    for sequence in &report.sequences {
        let Some(facts) = &sequence.facts else { continue };
        let name = &sequence.summary.name;
        let sizes = [
            ("width", width, facts.display.width),
            ("height", height, facts.display.height),
        ];
        for (what, wanted, found) in sizes {
            if let Some(wanted) = wanted.filter(|wanted| u64::try_from(*wanted) != Ok(found)) {
                let message = format!("{name}: its {what} is {found}, not {wanted}");
                findings
                    .refused
                    .push(CheckItem::of_all(message).compared(wanted, found));
            }
        }
        let names: Vec<&str> = facts
            .parts
            .iter()
            .flat_map(|part| &part.channels)
            .map(|channel| {
                channel
                    .rsplit_once(' ')
                    .map_or(channel.as_str(), |(name, _)| name)
            })
            .collect();
        let missing = channels
            .iter()
            .flatten()
            .filter(|wanted| !names.contains(&wanted.as_str()));
        for missing in missing {
            let message = format!("{name}: it has no channel {missing}");
            findings
                .refused
                .push(CheckItem::of_all(message).compared(missing, names.join(", ")));
        }
    }
    Ok(findings)
}

/// What a reader says of a file, if it can read it.
pub(super) type Reading<T> = Result<T, FileProblem>;

/// Read a file, unless what it says is known.
pub(super) fn read<T: Serialize + DeserializeOwned>(
    subject: &Subject<'_>,
    reader: &'static str,
    file: &CheckedFile,
    read: impl Fn(&Path) -> backlot_media::Result<Reading<T>>,
) -> Result<Option<Reading<T>>, NotRun> {
    let Some(path) = &file.source else { return Ok(None) };
    subject.opened.context().check().map_err(Error::from)?;
    let digest = subject.readings.digest(path);
    let known = digest
        .as_ref()
        .and_then(|digest| subject.readings.find(reader, digest));
    if let Some(known) = known {
        return Ok(Some(known));
    }
    let found = read(path).map_err(Error::from)?;
    if let Some(digest) = digest {
        subject.readings.keep(reader, &digest, &found);
    }
    Ok(Some(found))
}

/// Note why a file could not be read.
pub(super) fn note(findings: &mut Findings, file: &CheckedFile, problem: &FileProblem) {
    let item = CheckItem::of(&file.path, problem.reason());
    match problem {
        FileProblem::Unsupported(_) => findings.skipped.push(item),
        FileProblem::Damaged(_) | FileProblem::TooLarge(_) => findings.refused.push(item),
    }
}

fn is_movie(file: &CheckedFile) -> bool {
    let extension = file.path.rsplit_once('.').map_or("", |(_, extension)| extension);
    MOVIES.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Movies are whole, and of the size, rate and length that is wanted.
pub(super) fn movies(params: Params<'_>, subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let wanted = WantedMovie {
        numbers: [
            ("width", params.number("width")?),
            ("height", params.number("height")?),
            ("frames", params.number("frames")?),
        ],
        fps: params.fraction("fps")?,
        seconds: params.fraction("seconds")?,
    };
    let (here, absent) = here(subject.files.iter().copied().filter(|file| is_movie(file)));
    let mut findings = Findings {
        skipped: absent,
        ..Findings::default()
    };
    if here.is_empty() && findings.skipped.is_empty() {
        findings.refused.push(CheckItem::of_all("there are no movies"));
    }
    let paths: Vec<PathBuf> = here.iter().filter_map(|file| file.source.clone()).collect();
    subject.readings.hash(&paths)?;
    for file in here {
        match read(subject, "movies", file, backlot_media::read_movie)? {
            Some(Ok(facts)) => findings.refused.extend(wanted.compare(file, &facts)),
            Some(Err(problem)) => note(&mut findings, file, &problem),
            None => {}
        }
    }
    Ok(findings)
}

/// What a movie is to be.
struct WantedMovie {
    numbers: [(&'static str, Option<i64>); 3],
    fps: Option<f64>,
    seconds: Option<f64>,
}

impl WantedMovie {
    fn compare(&self, file: &CheckedFile, facts: &MovieFacts) -> Vec<CheckItem> {
        let mut items = Vec::new();
        let mut differs = |what: &str, wanted: String, found: String| {
            let message = format!("its {what} is {found}, not {wanted}");
            items.push(CheckItem::of(&file.path, message).compared(wanted, found));
        };
        let found = [
            Some(u64::from(facts.width)),
            Some(u64::from(facts.height)),
            facts.frames,
        ];
        for ((what, wanted), found) in self.numbers.iter().zip(found) {
            if let Some(wanted) = wanted
                && found.is_none_or(|found| u64::try_from(*wanted) != Ok(found))
            {
                let found = found.map_or_else(|| "not said".to_owned(), |found| found.to_string());
                differs(
                    if *what == "frames" {
                        "count of frames"
                    } else {
                        what
                    },
                    wanted.to_string(),
                    found,
                );
            }
        }
        let rate = facts.fps.map(Ratio::value);
        if let Some(wanted) = self.fps
            && rate.is_none_or(|rate| (rate - wanted).abs() > NEAR * wanted.max(1.0))
        {
            differs("frame rate", wanted.to_string(), shown(rate));
        }
        // A frame more or less is how programs round.
        let frame = rate.filter(|rate| *rate > 0.0).map_or(0.0, |rate| 1.0 / rate);
        let seconds = facts.duration.value();
        if let Some(wanted) = self.seconds
            && (seconds - wanted).abs() > frame + NEAR
        {
            differs("duration in seconds", wanted.to_string(), shown(Some(seconds)));
        }
        items
    }
}

fn shown(number: Option<f64>) -> String {
    number.map_or_else(
        || "not said".to_owned(),
        |number| {
            format!("{number:.3}")
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
        },
    )
}
