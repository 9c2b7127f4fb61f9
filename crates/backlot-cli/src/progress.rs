//! Progress on a terminal: a bar for anything that takes longer than half a second, warnings at once.
//!
//! Off without a terminal, with `--quiet` and with `--json` (whose warnings are JSON lines on standard error). Warnings of
//! which a large repo gives dozens are gathered in one line a kind, at the end; `--verbose` shows each.

use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backlot::{Event, EventKind, Observer, Operation};
use indicatif::{ProgressBar, ProgressStyle};

use crate::errors::for_people;
use crate::wording::with_commands;

/// Warnings about files in repos, of which others made as many as they liked: nobody reads the fourth.
const GATHERED: [&str; 4] = [
    "index::no_digest",
    "index::no_metadata",
    "repo::broken_release",
    "repo::unsupported_file",
];

const PATIENCE: Duration = Duration::from_millis(500);

/// Draws events.
#[derive(Debug)]
pub(crate) struct Terminal {
    bars: Mutex<HashMap<Operation, Work>>,
    draws: bool,
    quiet: bool,
    json: bool,
    verbose: bool,
    /// Messages of warnings that are told at the end, by their code.
    gathered: Mutex<BTreeMap<&'static str, Vec<String>>>,
}

/// All work of one kind that is under way.
#[derive(Debug)]
struct Work {
    began: Instant,
    /// How many operations there are.
    under_way: u32,
    items: u64,
    bytes: u64,
    done_items: u64,
    done_bytes: u64,
    bar: Option<ProgressBar>,
}

impl Terminal {
    pub(crate) fn new(quiet: bool, json: bool, verbose: bool) -> Self {
        let draws = !quiet && !json && std::io::stderr().is_terminal();
        Self {
            bars: Mutex::default(),
            draws,
            quiet,
            json,
            verbose,
            gathered: Mutex::default(),
        }
    }

    fn bars(&self) -> std::sync::MutexGuard<'_, HashMap<Operation, Work>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clear(&self) {
        // In whatever order: each bar only disappears.
        self.bars()
            .drain()
            .map(|(_, work)| work)
            .for_each(|work| work.clear());
        let gathered = self.gathered.lock().map(|mut all| std::mem::take(&mut *all));
        for (code, messages) in gathered.unwrap_or_default() {
            let Some(first) = messages.first() else { continue };
            let more = match messages.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more like it (`-v` shows all)"),
            };
            drop(writeln!(std::io::stderr(), "warning: {first}{more} [{code}]"));
        }
    }

    fn warn(&self, warning: &backlot::Warning) {
        if self.quiet {
            return;
        }
        let line = if self.json {
            let message = with_commands(&warning.message).into_owned();
            let warning = backlot::Warning {
                message,
                ..warning.clone()
            };
            serde_json::json!({ "warning": warning }).to_string()
        } else {
            let message = for_people(&warning.message);
            if GATHERED.contains(&warning.code) && !self.verbose {
                let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
                gathered.entry(warning.code).or_default().push(message);
                return;
            }
            format!("warning: {message} [{}]", warning.code)
        };
        self.print(&line);
    }

    /// A line above the bars.
    fn print(&self, line: &str) {
        let bars = self.bars();
        let print = || drop(writeln!(std::io::stderr(), "{line}"));
        match bars.values().find_map(|work| work.bar.as_ref()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Work {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            under_way: 0,
            items: 0,
            bytes: 0,
            done_items: 0,
            done_bytes: 0,
            bar: None,
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// By bytes where they are known, else by items.
    fn draw(&mut self, operation: Operation) {
        if self.bar.is_none() && self.began.elapsed() < PATIENCE {
            return;
        }
        let by_bytes = self.bytes > 0;
        let (total, done) = if by_bytes {
            (self.bytes, self.done_bytes)
        } else {
            (self.items, self.done_items)
        };
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total);
            let template = if by_bytes {
                "{prefix:>10} {bar:30} {binary_bytes:>11} / {binary_total_bytes} {binary_bytes_per_sec} {eta}"
            } else {
                "{prefix:>10} {bar:30} {pos:>7} / {len}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(label(operation));
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
    }
}

fn label(operation: Operation) -> &'static str {
    match operation {
        Operation::Scan => "scanning",
        Operation::Add => "adding",
        Operation::Push => "pushing",
        Operation::Pull => "pulling",
        Operation::Checkout => "placing",
        Operation::Build => "building",
        Operation::Resolve => "resolving",
        Operation::Install => "installing",
        Operation::Verify => "verifying",
        Operation::Collect => "collecting",
        Operation::Bundle => "bundling",
        Operation::Transcode => "converting",
        Operation::Reproduce => "running stages",
        _ => "working",
    }
}

impl Observer for Terminal {
    fn event(&self, event: &Event) {
        match &event.kind {
            EventKind::Warned(warning) => self.warn(warning),
            EventKind::StageStarted { stage, command } if !self.quiet && !self.json => {
                self.print(&format!("{stage}: $ {}", for_people(command)));
            }
            EventKind::StageOutput { stage, line, error } if !self.quiet => {
                let shown = if self.json {
                    serde_json::json!({ "stage": stage, "line": line, "error": error }).to_string()
                } else {
                    format!("{stage} | {}", for_people(line))
                };
                self.print(&shown);
            }
            _ if self.draws => self.draw(&event.kind),
            _ => {}
        }
    }
}

impl Terminal {
    /// A bar for each kind of work. Of whole calls there is none: it would say the same once more.
    fn draw(&self, kind: &EventKind) {
        match kind {
            EventKind::Started {
                operation: Operation::Call(_),
                ..
            } => {}
            EventKind::Started {
                operation,
                items,
                bytes,
            } => {
                let mut bars = self.bars();
                let work = bars.entry(*operation).or_insert_with(Work::begin);
                work.under_way += 1;
                work.items += items;
                work.bytes += bytes;
            }
            EventKind::Grew {
                operation,
                items,
                bytes,
            } => {
                if let Some(work) = self.bars().get_mut(operation) {
                    // Where nothing was known before, the rest is not known either.
                    work.items += if work.items > 0 { *items } else { 0 };
                    work.bytes += if work.bytes > 0 { *bytes } else { 0 };
                }
            }
            EventKind::Advanced {
                operation,
                items,
                bytes,
            } => {
                if let Some(work) = self.bars().get_mut(operation) {
                    work.done_items += items;
                    work.done_bytes += bytes;
                    work.draw(*operation);
                }
            }
            EventKind::Finished { operation } => {
                let mut bars = self.bars();
                let Some(work) = bars.get_mut(operation) else {
                    return;
                };
                work.under_way -= 1;
                if work.under_way == 0 {
                    work.clear();
                    bars.remove(operation);
                }
            }
            _ => {}
        }
    }
}
