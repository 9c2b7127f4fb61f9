//! Ready-made steps: proxies, contact sheets, checksums, checks of frames.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use backlot::media::{
    self, Alpha, CheckOptions, CheckReport, ChecksumOptions, ChecksumReport, Encoding, Level, Limits,
    ManifestFormat, ProxyOptions, ProxyReport, Sequence, SheetOptions, SheetReport, Size, SumProblem,
    VerifyReport,
};
use backlot::{Error, text};

use crate::args::{
    AlphaMode, ChecksumArgs, FramesCheckArgs, ImageFormat, Look, ProxyArgs, SheetArgs, Step, SumFormat,
};
use crate::output::{Answer, would};
use crate::session::Session;

/// How many findings are shown to people; `--json` has all.
const SHOWN: usize = 100;

pub(super) fn step(session: &Session, step: &Step) -> Result<Answer, Error> {
    match step {
        Step::Proxy(args) => proxy(session, args),
        Step::ContactSheet(args) => contact_sheet(session, args),
        Step::Checksum(args) => checksum(session, args),
        Step::FramesCheck(args) => frames_check(session, args),
    }
}

fn find(session: &Session, paths: &[PathBuf]) -> Result<Vec<Sequence>, Error> {
    Ok(media::find(paths, &session.here)?)
}

fn limits(jobs: Option<NonZeroUsize>) -> Limits {
    Limits {
        jobs,
        ..Limits::default()
    }
}

fn look(args: &Look, alpha: Alpha) -> media::Look {
    media::Look {
        exposure: args.exposure,
        alpha,
        layer: args.layer.clone(),
    }
}

fn proxy(session: &Session, args: &ProxyArgs) -> Result<Answer, Error> {
    let options = ProxyOptions {
        output: session.here.join(&args.output),
        encoding: match args.format {
            ImageFormat::Jpg => Encoding::Jpeg(args.look.quality),
            ImageFormat::Png => Encoding::Png,
        },
        look: look(
            &args.look,
            match args.alpha {
                AlphaMode::Composite => Alpha::Composite,
                AlphaMode::Drop => Alpha::Drop,
                AlphaMode::Keep => Alpha::Keep,
            },
        ),
        size: match (args.width, args.height, args.scale) {
            (Some(width), Some(height), _) => Size::Within(width, height),
            (Some(width), None, _) => Size::Width(width),
            (None, Some(height), _) => Size::Height(height),
            (None, None, Some(scale)) => Size::Scale(scale),
            (None, None, None) => Size::Original,
        },
        limits: limits(args.look.jobs),
        dry_run: args.dry.dry_run,
    };
    let report = media::make_proxies(&session.context, &find(session, &args.frames)?, &options)?;
    Ok(Answer::new(&report, describe_proxies(&report)))
}

fn describe_proxies(report: &ProxyReport) -> String {
    let size = report
        .size
        .map(|[width, height]| format!(" of {width} x {height}"));
    let unchanged = match report.unchanged {
        0 => String::new(),
        unchanged => format!(", {unchanged} unchanged"),
    };
    let bytes = if report.dry_run {
        String::new()
    } else {
        format!(", {}", text::bytes(report.bytes))
    };
    format!(
        "{}written {}{} to `{}`{unchanged}{bytes}\n",
        would(report.dry_run),
        text::count(report.written, "proxy").replace("proxys", "proxies"),
        size.unwrap_or_default(),
        text::printable(&report.output.to_string_lossy())
    )
}

fn contact_sheet(session: &Session, args: &SheetArgs) -> Result<Answer, Error> {
    let extension = args
        .output
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let encoding = match extension.as_str() {
        "jpg" | "jpeg" => Encoding::Jpeg(args.look.quality),
        "png" => Encoding::Png,
        _ => {
            let what = format!(
                "unsupported file name for the sheet: `{}`",
                text::printable(&args.output.to_string_lossy())
            );
            let help = "use -o NAME.jpg or -o NAME.png";
            return Err(media::Error::BadOption { what, help }.into());
        }
    };
    let options = SheetOptions {
        output: session.here.join(&args.output),
        encoding,
        look: look(&args.look, Alpha::Composite),
        columns: args.columns,
        width: args.width,
        count: args.count,
        limits: limits(args.look.jobs),
        dry_run: args.dry.dry_run,
    };
    let report = media::make_contact_sheet(&session.context, &find(session, &args.frames)?, &options)?;
    Ok(Answer::new(&report, describe_sheet(&report)))
}

fn describe_sheet(report: &SheetReport) -> String {
    let [columns, rows] = report.cells;
    let state = match (report.written, report.dry_run) {
        (false, false) => "unchanged: ",
        _ => "",
    };
    format!(
        "{state}{}written `{}`: {} in {columns} x {rows}\n",
        would(report.dry_run),
        text::printable(&report.output.to_string_lossy()),
        text::count(report.frames.len() as u64, "thumbnail")
    )
}

fn checksum(session: &Session, args: &ChecksumArgs) -> Result<Answer, Error> {
    let limits = limits(args.jobs);
    if let Some(manifest) = &args.check {
        let manifest = session.here.join(manifest);
        let report = media::verify_checksums(&session.context, &manifest, &limits)?;
        let failure = report.failure();
        let mut answer = Answer::new(&report, describe_check(&report));
        answer.failure = failure.map(|failure| Box::new(failure) as _);
        return Ok(answer);
    }
    let options = ChecksumOptions {
        output: args.output.as_ref().map(|output| session.here.join(output)),
        base: session.here.clone(),
        format: match args.format {
            SumFormat::Json => ManifestFormat::Json,
            SumFormat::B3sum => ManifestFormat::B3sum,
            SumFormat::Md5sum => ManifestFormat::Md5sum,
        },
        limits,
        dry_run: args.dry.dry_run,
    };
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| session.here.join(path)).collect();
    let report = media::make_checksums(&session.context, &paths, &options)?;
    Ok(Answer::new(&report, describe_checksums(&report)))
}

fn describe_checksums(report: &ChecksumReport) -> String {
    let Some(output) = &report.output else {
        return report.text.clone();
    };
    let state = if report.written || report.dry_run {
        ""
    } else {
        "unchanged: "
    };
    format!(
        "{state}{}written `{}`: {}, {}\n",
        would(report.dry_run),
        text::printable(&output.to_string_lossy()),
        text::count(report.files.len() as u64, "file"),
        text::bytes(report.bytes)
    )
}

fn describe_check(report: &VerifyReport) -> String {
    let mut lines = String::new();
    for wrong in &report.wrong {
        let what = match wrong.problem {
            SumProblem::Missing => "missing",
            SumProblem::Changed => "changed",
        };
        lines.push_str(&format!("{what}: {}\n", text::printable(&wrong.path)));
    }
    if report.wrong.is_empty() {
        lines.push_str(&format!(
            "matching the manifest: {}, {}\n",
            text::count(report.files, "file"),
            text::bytes(report.bytes)
        ));
    }
    lines
}

fn frames_check(session: &Session, args: &FramesCheckArgs) -> Result<Answer, Error> {
    let options = CheckOptions {
        expect: args.expect.as_deref().map(media::parse_frames).transpose()?,
        headers_only: args.headers_only,
        strict: args.strict,
        limits: limits(args.jobs),
    };
    let report = media::check_frames(&session.context, &find(session, &args.frames)?, &options)?;
    let mut answer = Answer::new(&report, describe_frames(&report));
    answer.failure = report.failure().map(|failure| Box::new(failure) as _);
    Ok(answer)
}

fn describe_frames(report: &CheckReport) -> String {
    let mut lines = String::new();
    for sequence in &report.sequences {
        let summary = &sequence.summary;
        let range = match (summary.first, summary.last) {
            (Some(first), Some(last)) => format!(" {first}-{last}"),
            _ => String::new(),
        };
        let facts = sequence.facts.as_ref().map(|facts| {
            let compression = facts.parts.first().map(|part| part.compression.as_str());
            let (width, height) = (facts.display.width, facts.display.height);
            format!(
                ", {width} x {height} {} ({})",
                facts.format,
                compression.unwrap_or_default()
            )
        });
        lines.push_str(&format!(
            "{}{range}: {}{}\n",
            text::printable(&summary.name),
            text::count(summary.frames as u64, "frame"),
            facts.unwrap_or_default()
        ));
    }
    for finding in report.findings.iter().take(SHOWN) {
        let level = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
        };
        let name = finding.file.as_ref().unwrap_or(&finding.sequence);
        lines.push_str(&format!(
            "{level}: {}: {} [{}]\n",
            text::printable(name),
            text::printable(&finding.message),
            finding.code
        ));
    }
    if report.findings.len() > SHOWN {
        let more = report.findings.len() - SHOWN;
        lines.push_str(&format!(
            "and {}; `--json` lists all\n",
            text::count(more as u64, "more finding")
        ));
    }
    let what = if report.decoded { "" } else { "headers of " };
    lines.push_str(&format!(
        "checked {what}{}: {}, {}\n",
        text::count(report.frames, "frame"),
        text::count(report.errors, "error"),
        text::count(report.warnings, "warning")
    ));
    lines
}
