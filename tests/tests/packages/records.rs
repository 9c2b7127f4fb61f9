//! RECORDs as written by common builders: installed like by pip and uv, or refused.
//!
//! pip and uv do not compare digests of RECORD when they install; files with wrong bytes, which they accept, are refused here.

use std::io::Write as _;

use backlot_tests::Studio;
use backlot_tests::installers::{INSTALLERS, install_by, site_packages};
use fs_err as fs;
use sha2::Digest as _;

const INFO: &str = "pk-1.0.dist-info";
const BODY: &str = "SAYS = 1\n";

/// Base64 as RECORD has it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(LETTERS[(word >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// A wheel of `pk` 1.0 whose RECORD is what `record` makes of the right rows; `extra` is one more file.
fn wheel(record: &dyn Fn(&str) -> String, extra: Option<(&str, &str)>) -> Vec<u8> {
    let mut files = vec![
        ("pk/__init__.py".to_owned(), BODY.to_owned()),
        (
            format!("{INFO}/METADATA"),
            "Metadata-Version: 2.1\nName: pk\nVersion: 1.0\n".to_owned(),
        ),
        (
            format!("{INFO}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
    ];
    files.extend(extra.map(|(path, text)| (path.to_owned(), text.to_owned())));
    let mut rows = String::new();
    for (path, text) in &files {
        let digest = base64(&sha2::Sha256::digest(text));
        rows.push_str(&format!("{path},sha256={digest},{}\n", text.len()));
    }
    rows.push_str(&format!("{INFO}/RECORD,,\n"));
    files.push((format!("{INFO}/RECORD"), record(&rows)));
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for (path, text) in files {
        archive.start_file(path, options).expect("begun");
        archive.write_all(text.as_bytes()).expect("written");
    }
    archive.finish().expect("finished").into_inner()
}

fn with_digest(rows: &str, digest: &str) -> String {
    let right = base64(&sha2::Sha256::digest(BODY));
    rows.replace(&format!("sha256={right}"), digest)
}

/// How a RECORD differs from the right one.
type Change<'a> = Box<dyn Fn(&str) -> String + 'a>;

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case")]
fn records_of_the_field_are_read_and_wrong_ones_refused() {
    let sha512 = base64(&sha2::Sha512::digest(BODY));
    let sha384 = base64(&sha2::Sha384::digest(BODY));
    let same = |rows: &str| rows.to_owned();
    let cases: Vec<(&str, Change<'_>, bool)> = vec![
        ("as it should be", Box::new(same), true),
        (
            "rows of folders",
            Box::new(|r| format!("pk/,,\n{r}{INFO}/,,\n")),
            true,
        ),
        (
            "rows of folders without a slash",
            Box::new(|r| format!("pk,,\n{r}")),
            true,
        ),
        ("a byte order mark", Box::new(|r| format!("\u{feff}{r}")), true),
        (
            "dots before paths",
            Box::new(|r| r.lines().map(|l| format!("./{l}\n")).collect()),
            true,
        ),
        (
            "line ends of Windows",
            Box::new(|r| r.replace('\n', "\r\n")),
            true,
        ),
        (
            "no line end at the end",
            Box::new(|r| r.trim_end().to_owned()),
            true,
        ),
        (
            "quoted paths",
            Box::new(|r| r.replace("pk/__init__.py", "\"pk/__init__.py\"")),
            true,
        ),
        ("empty lines", Box::new(|r| format!("\n\n{r}\n")), true),
        (
            "no sizes",
            Box::new(|r| {
                with_digest(r, "sha256=x").replace(
                    "sha256=x,9",
                    &format!("sha256={},", base64(&sha2::Sha256::digest(BODY))),
                )
            }),
            true,
        ),
        ("padding", Box::new(|r| r.replace(",9\n", "=,9\n")), true),
        (
            "SHA-512",
            Box::new(|r| with_digest(r, &format!("sha512={sha512}"))),
            true,
        ),
        (
            "SHA-384",
            Box::new(|r| with_digest(r, &format!("sha384={sha384}"))),
            true,
        ),
        (
            "RECORD not in RECORD",
            Box::new(|r| r.replace(&format!("{INFO}/RECORD,,\n"), "")),
            true,
        ),
        (
            "a wrong SHA-256",
            Box::new(|r| with_digest(r, &format!("sha256={}", base64(&sha2::Sha256::digest("x"))))),
            false,
        ),
        (
            "a wrong SHA-512",
            Box::new(|r| with_digest(r, &format!("sha512={}", base64(&sha2::Sha512::digest("x"))))),
            false,
        ),
        (
            "a cut SHA-512",
            Box::new(|r| with_digest(r, &format!("sha512={}", &sha512[..43]))),
            false,
        ),
        (
            "MD5",
            Box::new(|r| with_digest(r, "md5=1B2M2Y8AsgTpgAmY7PhCfg")),
            false,
        ),
        (
            "BLAKE2",
            Box::new(|r| with_digest(r, &format!("blake2b={sha512}"))),
            false,
        ),
        (
            "SHA-512 in capitals",
            Box::new(|r| with_digest(r, &format!("SHA512={sha512}"))),
            true,
        ),
        ("no digest", Box::new(|r| with_digest(r, "")), false),
        ("a wrong size", Box::new(|r| r.replace(",9\n", ",8\n")), false),
        (
            "a file that is not there",
            Box::new(|r| format!("pk/none.py,,\n{r}")),
            false,
        ),
        (
            "a file that is not named",
            Box::new(|r| {
                r.lines()
                    .filter(|l| !l.starts_with("pk/"))
                    .map(|l| format!("{l}\n"))
                    .collect()
            }),
            false,
        ),
        ("nothing", Box::new(|_| String::new()), false),
    ];
    for (what, change, is_taken) in &cases {
        let studio = Studio::empty();
        studio.write("drop/pk-1.0-py3-none-any.whl", &wheel(&**change, None));
        studio.run(&["init", "ws"]).ok();
        studio.ws(&["repo", "add", "drop", "drop"]).ok();
        let run = studio.ws(&["install", "pk", "--json"]);
        assert_eq!(
            run.output.status.success(),
            *is_taken,
            "{what}: {}{}",
            run.stdout(),
            run.stderr()
        );
        // A message says what is wrong, not that something else is.
        let said = match *what {
            "MD5" | "BLAKE2" => "only sha256, sha384 and sha512 are supported",
            "no digest" => "RECORD has no digest of `pk/__init__.py`",
            "a cut SHA-512" => "a malformed sha512 of `pk/__init__.py`",
            "a wrong SHA-256" | "a wrong SHA-512" | "a wrong size" => "does not match RECORD",
            _ => "",
        };
        assert!(run.stdout().contains(said), "{what}: {}", run.stdout());
        if *is_taken {
            // What is installed can be checked, and is what pip and uv install.
            studio.ws(&["verify", "--inputs"]).ok();
            let ours = fs::read(site_packages(&studio, "ws").join("pk/__init__.py")).expect("installed");
            assert_eq!(ours, BODY.as_bytes(), "{what}");
            // pip breaks on these.
            let is_odd = *what == "empty lines";
            for by in INSTALLERS.into_iter().filter(|by| !(is_odd && *by == "pip")) {
                let target = studio.path(&format!("by-{by}"));
                let drop = studio.path("drop").display().to_string();
                install_by(by, &target, &["--no-index", "--find-links", &drop, "pk"]).ok();
                assert!(target.join("pk/__init__.py").is_file(), "{by} {what}");
            }
        }
    }
}

#[test]
fn files_that_no_installer_knows_a_place_for_are_refused_as_by_pip_and_uv() {
    let studio = Studio::empty();
    let bytes = wheel(&|rows| rows.to_owned(), Some(("pk-1.0.data/weird/x.txt", "x")));
    studio.write("drop/pk-1.0-py3-none-any.whl", &bytes);
    studio.run(&["init", "ws"]).ok();
    studio.ws(&["repo", "add", "drop", "drop"]).ok();
    let error = studio.ws(&["install", "pk", "--json"]).fails(7, "wheel::unsound");
    assert!(
        error["message"].as_str().is_some_and(|m| m.contains("weird")),
        "{error}"
    );
    for by in INSTALLERS {
        let target = studio.path(&format!("by-{by}"));
        let drop = studio.path("drop").display().to_string();
        let run = install_by(by, &target, &["--no-index", "--find-links", &drop, "pk"]);
        assert!(!run.output.status.success(), "{by}");
    }
}
