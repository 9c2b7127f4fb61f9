//! The pictures of the guide: graphs as the command draws them, and terminals with what it prints.
//!
//! They show the studio of `backlot demo`, after a further release of its table. Times and ids differ each time they are made, so they are made by
//! hand, when what they show has changed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_core::text::markup;
use fs_err as fs;

/// Where they are kept.
const FOLDER: &str = "docs/guide/pictures";
/// The terminals: the name of a picture, and the commands it shows, with the workspace first.
const TERMINALS: [(&str, &[&str]); 4] = [
    ("status", &["-w modeller status"]),
    ("dirty-text", &["-w modeller dirty Table"]),
    (
        "cascade-text",
        &["-w modeller publish Table --push --auto-repair"],
    ),
    ("inputs", &["-w shots inputs", "-w shots inbox"]),
];
/// The graphs: the name of a picture, and the command that prints it.
const GRAPHS: [(&str, &str); 2] = [
    ("dirty", "-w modeller dirty Table --svg"),
    ("cascade", "-w modeller cascade status --svg"),
];
/// The size of a character and of a line, in pixels.
const CHARACTER: usize = 8;
const LINE: usize = 19;

/// Make all pictures with a command, in a demo of its own.
///
/// # Errors
/// A command that fails, or a file that cannot be written.
pub fn write(root: &Path, backlot: &Path) -> io::Result<Vec<PathBuf>> {
    let scratch = std::env::temp_dir().join(format!("backlot-pictures-{}", std::process::id()));
    let demo = Demo {
        backlot,
        root: scratch.join("studio"),
    };
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&scratch)?;
    let written = demo.draw(&folder);
    fs::remove_dir_all(&scratch)?;
    written
}

struct Demo<'a> {
    backlot: &'a Path,
    root: PathBuf,
}

impl Demo<'_> {
    fn draw(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut made = Command::new(self.backlot);
        made.arg("demo").arg(&self.root).arg("--frames=8");
        said(&mut made)?;
        let table = self.root.join("modeller/outputs/table/src/table/dimensions.txt");
        fs::write(table, "height 0.95\nwidth 1.40\n")?;
        self.run("-w modeller bump Table minor")?;
        let mut written = Vec::new();
        let mut keep = |name: &str, svg: &str| -> io::Result<()> {
            let path = folder.join(format!("{name}.svg"));
            fs::write(&path, svg)?;
            written.push(path);
            Ok(())
        };
        // What a release affects is drawn before it is published.
        for (name, command) in &GRAPHS[..1] {
            keep(name, &self.run(command)?)?;
        }
        for (name, commands) in TERMINALS {
            let mut lines = Vec::new();
            for command in commands {
                lines.push(format!("$ backlot {}", shown(command)));
                lines.extend(self.run(command)?.trim_end().lines().map(str::to_owned));
            }
            keep(name, &terminal(&lines))?;
        }
        for (name, command) in &GRAPHS[1..] {
            keep(name, &self.run(command)?)?;
        }
        Ok(written)
    }

    fn run(&self, line: &str) -> io::Result<String> {
        let mut command = Command::new(self.backlot);
        command.args(line.split(' ')).current_dir(&self.root);
        // As in the demo: nothing of the person who makes the pictures.
        command
            .env("BACKLOT_CACHE_DIR", self.root.join("cache"))
            .env("BACKLOT_AUTHOR", "ana");
        let text = said(&mut command)?;
        let place = self.root.display().to_string();
        Ok(text.replace(&place, "/studio"))
    }
}

/// A command as somebody in the workspace types it.
fn shown(command: &str) -> &str {
    let words = command.strip_prefix("-w ").and_then(|rest| rest.split_once(' '));
    words.map_or(command, |(_, rest)| rest)
}

/// What a command prints.
fn said(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?} failed: {error}")))
}

/// Lines as in a terminal; those that begin with `$` are what somebody typed.
fn terminal(lines: &[String]) -> String {
    let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = widest * CHARACTER + 32;
    let height = lines.len() * LINE + 52;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1b1e25\"/>\n"
    );
    for (at, colour) in ["#ff5f57", "#febc2e", "#28c840"].iter().enumerate() {
        let x = at * 18 + 20;
        svg.push_str(&format!(
            "<circle cx=\"{x}\" cy=\"18\" r=\"5\" fill=\"{colour}\"/>\n"
        ));
    }
    for (at, line) in lines.iter().enumerate() {
        let y = at * LINE + 50;
        let (colour, weight) = if line.starts_with("$ ") {
            ("#ffffff", " font-weight=\"bold\"")
        } else {
            ("#c8ced9", "")
        };
        // The width of the line is set, since fonts differ from machine to machine.
        let length = line.chars().count() * CHARACTER;
        svg.push_str(&format!(
            "<text x=\"16\" y=\"{y}\" fill=\"{colour}\"{weight} xml:space=\"preserve\" textLength=\"{length}\" lengthAdjust=\"spacing\">{}</text>\n",
            markup(line)
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::{shown, terminal};

    #[test]
    fn a_terminal_shows_all_lines_escaped() {
        let svg = terminal(&["$ backlot show \"A<2\"".to_owned(), "a & b".to_owned()]);
        assert!(svg.contains("A&lt;2") && svg.contains("a &amp; b"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 2);
        assert_eq!(shown("-w modeller dirty Table"), "dirty Table");
        assert_eq!(shown("demo"), "demo");
    }
}
