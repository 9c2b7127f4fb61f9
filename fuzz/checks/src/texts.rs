//! Texts: what is read, written and read again is the same.

use std::path::Path;

use backlot::{Lock, Pylock};
use backlot_pep::{DirectUrl, MarkerEnv, Requirement, Specifiers, Version};
use backlot_store::Part;
use backlot_wheel::{EntryPoints, Metadata, WheelName, parse_record, sdist_name, write_record};

/// Words of METADATA, RECORD and entry points.
pub(crate) const METADATA_WORDS: &[&str] = &[
    "\n",
    "\r\n",
    "\n ",
    "\n\n",
    ": ",
    ",",
    "\"",
    "Metadata-Version: 2.4",
    "Name: ",
    "Version: ",
    "Summary: ",
    "Keywords: ",
    "tgzr.pipeline.asset_tag:",
    "Classifier: ",
    "Author-Email: ",
    "License: ",
    "Requires-Dist: ",
    "Requires-Python: ",
    "Provides-Extra: ",
    "Project-URL: ",
    "Dynamic: ",
    "Description: ",
    "UNKNOWN",
    "; extra == 'a'",
    "[console_scripts]\n",
    "sha256=",
];
/// Words of versions.
pub(crate) const VERSION_WORDS: &[&str] = &[
    "!",
    ".",
    "-",
    "_",
    "+",
    "*",
    "a",
    "b",
    "rc",
    "alpha",
    "beta",
    "c",
    "pre",
    "post",
    "dev",
    "v",
    "0",
    "1",
    "18446744073709551615",
    "18446744073709551616",
    "\n",
    " ",
    "local",
];
/// Words of requirements.
pub(crate) const REQUIREMENT_WORDS: &[&str] = &[
    "[",
    "]",
    ",",
    ";",
    "@",
    " @ ",
    "(",
    ")",
    ">=",
    "<=",
    "==",
    "===",
    "!=",
    "~=",
    "<",
    ">",
    ".*",
    " and ",
    " or ",
    " not in ",
    " in ",
    "'",
    "\"",
    "python_version",
    "python_full_version",
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_release",
    "implementation_name",
    "extra",
    "extras",
    "dependency_groups",
    "https://h/x.whl",
    "https://ana:hunter2@h/x-1.tar.gz",
    "git+ssh://git@h/x",
    "#sha256=",
    "?sig=",
    "file:///",
    "${HOME}",
    "1.0",
    "*",
];
/// Words of locks.
pub(crate) const LOCK_WORDS: &[&str] = &[
    "[[package]]\n",
    "[[packages]]\n",
    "name = ",
    "version = ",
    "version = 1\n",
    "lock-version = \"1.0\"\n",
    "created-by = \"x\"\n",
    "sha256 = ",
    "editable = ",
    "needs = []\n",
    "groups = [",
    "[packages.sdist]\n",
    "hashes = { sha256 = ",
    "wheels = [{",
    "}]",
    "marker = ",
    "[tool.backlot]\n",
    "requested = true\n",
    "\"",
    "'''",
];

/// METADATA; and the other texts of a `.dist-info`.
pub(crate) fn metadata(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(metadata) = Metadata::parse(&text) {
        let written = metadata.to_text();
        let again = Metadata::parse(&written).expect("what is written can be read");
        // A marker that never holds is spelled in another way once more, so the second text is the one that stays.
        let second = again.to_text();
        assert_eq!(Metadata::parse(&second).expect("it too").to_text(), second);
        assert_eq!(again.package(), metadata.package());
        assert_eq!(again.version, metadata.version);
        assert_eq!(again.classifiers.len(), metadata.classifiers.len());
        assert_eq!(again.provides_extra, metadata.provides_extra);
        let names =
            |m: &Metadata| -> Vec<String> { m.requires_dist.iter().map(|r| r.name().to_string()).collect() };
        assert_eq!(names(&again), names(&metadata));
        assert_eq!(again.description, metadata.description);
        assert!(again.invalid_requires.is_empty());
    }
    let points = EntryPoints::parse(&text).to_text();
    assert_eq!(EntryPoints::parse(&points).to_text(), points);
    let record = parse_record(&text);
    let written = write_record(&record);
    assert_eq!(write_record(&parse_record(&written)), written);
}

/// Two versions, a line each; and file names.
pub(crate) fn version(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut versions = Vec::new();
    for line in text.split('\n').take(3) {
        if let Ok(name) = line.parse::<WheelName>() {
            let again: WheelName = name.to_string().parse().expect("a wheel's name");
            assert_eq!(again.to_string(), name.to_string());
        }
        if let Some((package, version)) = sdist_name(line) {
            let again = sdist_name(&format!("{package}-{version}.tar.gz")).expect("a source distribution");
            assert_eq!(again, (package, version));
            assert!(!line.contains(['/', '\\', '\0']), "{line:?} is no file name");
        }
        let Ok(version) = Version::parse(line) else {
            continue;
        };
        let shown = version.to_string();
        let again = Version::parse(&shown).expect("what is shown can be read");
        assert_eq!(again, version);
        assert_eq!(again.to_string(), shown);
        assert!(shown.bytes().all(|b| b.is_ascii_graphic()), "{shown:?}");
        let range = Specifiers::exactly(&version);
        assert!(range.contains(&version));
        assert_eq!(range.pinned(), Some(version.clone()));
        versions.push(version);
    }
    for a in &versions {
        for b in &versions {
            assert_eq!(a.cmp(b), b.cmp(a).reverse());
            assert_eq!(a == b, a.cmp(b).is_eq());
        }
    }
}

/// A requirement, judged in an environment; and ranges.
pub(crate) fn requirement(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let env = MarkerEnv::for_python("3.12.1").expect("an environment");
    if let Ok(range) = Specifiers::parse(&text) {
        let again = Specifiers::parse(&range.to_string()).expect("what is shown can be read");
        assert_eq!(again.to_string(), range.to_string());
        for number in ["1.0", "1.0rc1", "3.12.1", "0", "2!1"] {
            let version: Version = number.parse().expect("a version");
            assert_eq!(
                again.contains(&version),
                range.contains(&version),
                "{range} {number}"
            );
            assert_eq!(
                again.starts_at_most_at(&version),
                range.starts_at_most_at(&version)
            );
        }
        for index in 0..range.len() {
            range.without(index).lower_bound();
            let version: Version = "1.5".parse().expect("a version");
            assert!(range.moved(index, &version).len() <= range.len());
            range.is_upper_bound(index);
        }
    }
    let Ok((requirement, _)) = Requirement::parse_lenient(&text) else {
        return;
    };
    let normal = requirement.normalised();
    let again = Requirement::parse(&normal).expect("what is written can be read");
    let second = again.normalised();
    let third = Requirement::parse(&second).expect("it too");
    assert_eq!(third.normalised(), second);
    assert_eq!(again.name(), requirement.name());
    let groups = requirement.groups();
    assert_eq!(again.groups(), groups);
    for asked in [&[][..], &groups] {
        assert_eq!(
            again.applies(&env, asked),
            requirement.applies(&env, asked),
            "{normal}"
        );
    }
    assert_eq!(again.kind(), requirement.kind());
    direct_url(&requirement);
    assert_eq!(
        requirement.with_range(&Specifiers::any()).name(),
        requirement.name()
    );
    if let Some(group) = groups.first() {
        let of_group = requirement.in_group(group);
        let again = Requirement::parse(&of_group.normalised()).expect("what is written can be read");
        assert_eq!(
            again.applies(&env, std::slice::from_ref(group)),
            of_group.applies(&env, std::slice::from_ref(group))
        );
        assert!(!again.applies(&env, &[]), "{}", again.normalised());
    }
}

/// What a requirement says of a URL: no user and password in it, and the same when it is read again.
fn direct_url(requirement: &Requirement) {
    let again = Requirement::parse(requirement.text()).expect("its text can be read");
    assert!(!again.had_credentials(), "{}", requirement.text());
    assert_eq!(again.url(), requirement.url());
    match requirement.direct_url() {
        Some(Ok(url)) => {
            let plain = DirectUrl::parse(url.as_str()).expect("what is shown can be read");
            assert!(plain.agrees(&url) && plain.sha256().is_none(), "{url}");
            assert_eq!(plain.file(), url.file());
            assert!(!url.file().contains(['/', '\\', '\0']) && !requirement.told().contains('?'));
        }
        Some(Err(error)) => assert!(!error.to_string().contains("hunter2@"), "{error}"),
        None => {}
    }
}

pub(crate) const PART_WORDS: &[&str] = &[
    "\"format\":1,",
    "\"job\":\"7\",",
    "\"folder\":\"frames\",",
    "\"files\":[",
    "{\"path\":\"f.0001.exr\",",
    "\"size\":",
    "../",
    "\\u0000",
    "18446744073709551616",
    "]}",
];

/// A part of a farm job: what is read has safe and unique paths, and nothing that was left out.
pub(crate) fn part(input: &[u8]) {
    let name = "0123456789abcdef0123456789abcdef".parse().expect("a name");
    let Ok(part) = Part::read(name, None, input) else {
        return;
    };
    assert!(!part.files.is_empty());
    for pair in part.files.windows(2) {
        assert!(pair[0].path.as_str() < pair[1].path.as_str());
    }
    for path in part
        .files
        .iter()
        .map(|file| &file.path)
        .chain([&part.head.folder])
    {
        assert!(backlot_core::RelPath::parse(path.as_str()).is_ok(), "{path}");
    }
    assert!(
        part.head
            .job
            .as_str()
            .bytes()
            .all(|c| c.is_ascii_graphic() && c != b'/')
    );
    for text in [&part.head.node, &part.head.user, &part.head.tool] {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

/// Both kinds of locks.
pub(crate) fn lock(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(lock) = Lock::parse(Path::new("backlot.lock"), text) {
        let again =
            Lock::parse(Path::new("backlot.lock"), &lock.to_text()).expect("what is written can be read");
        assert_eq!(again, lock);
    }
    if let Ok(lock) = Pylock::parse(Path::new("pylock.toml"), text) {
        let written = lock.to_text();
        let again = Pylock::parse(Path::new("pylock.toml"), &written).expect("what is written can be read");
        assert_eq!(again.to_text(), written);
    }
}
