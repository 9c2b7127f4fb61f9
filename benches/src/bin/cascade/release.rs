//! Releases as files of a repo, made without the command: it takes an hour to publish a hundred thousand of them.
//!
//! Invariant: they are what `backlot publish` writes, so that the command reads them as its own. Deliberately absent: index pages and events, which
//! `backlot repo reindex` makes.

use std::io::{self, Write as _};
use std::path::Path;

use fs_err as fs;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;

/// A release of an asset.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) requires: &'a [&'a str],
    /// What it was built with: package, version, digest.
    pub(crate) inputs: &'a [(&'a str, &'a str, String)],
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Release<'_> {
    fn metadata(&self) -> String {
        let name = self.name;
        let requires: String = self
            .requires
            .iter()
            .map(|one| format!("Requires-Dist: {one}\n"))
            .collect();
        format!(
            "Metadata-Version: 2.1\nName: {name}\nVersion: {}\nSummary: {name}, an asset\nKeywords: tgzr.pipeline.asset_name:{name}\nClassifier: Private :: Do Not Upload\n{requires}\nAn asset.\n",
            self.version
        )
    }

    fn provenance(&self) -> String {
        let inputs = self.inputs.iter().map(
            |(package, version, sha256)| json!({ "package": package, "version": version, "sha256": sha256 }),
        );
        let direct = self
            .inputs
            .iter()
            .filter(|(package, ..)| self.requires.contains(package));
        let direct: serde_json::Map<_, _> = direct
            .map(|(package, version, _)| ((*package).to_owned(), json!(version)))
            .collect();
        let record = json!({
            "inputs": inputs.collect::<Vec<_>>(),
            "recipe": hex(self.name.as_bytes()),
            "content": hex(format!("{} {}", self.name, self.version).as_bytes()),
            "cascade": {
                "handling": "automatic", "frozen": false, "prereleases": false, "bump": "micro",
                "generative": ["build", "export"], "resources": {},
            },
        });
        json!({ "format": 1, "tool": "backlot 0.1.0", "inputs": direct, "outs": [], "record": record })
            .to_string()
    }

    /// Write it below the folder of a repo's packages. Returns its digest.
    pub(crate) fn write(&self, packages: &Path) -> io::Result<String> {
        let info = format!("{}-{}.dist-info", self.name, self.version);
        let files = [
            (format!("{}/__init__.py", self.name), "made = 1\n".to_owned()),
            (format!("{info}/METADATA"), self.metadata()),
            (
                format!("{info}/WHEEL"),
                "Wheel-Version: 1.0\nGenerator: backlot 0.1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                    .to_owned(),
            ),
            (format!("{info}/backlot.json"), self.provenance()),
        ];
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let mut record = String::new();
        for (path, text) in &files {
            archive.start_file(path, SimpleFileOptions::default())?;
            archive.write_all(text.as_bytes())?;
            // The digest in RECORD is that of base64, which only `backlot repo verify` looks at.
            record.push_str(&format!("{path},,{}\n", text.len()));
        }
        archive.start_file(format!("{info}/RECORD"), SimpleFileOptions::default())?;
        archive.write_all(format!("{record}{info}/RECORD,,\n").as_bytes())?;
        let bytes = archive.finish()?.into_inner();
        let (digest, metadata) = (hex(&bytes), self.metadata());
        let file = format!("{}-{}-py3-none-any.whl", self.name, self.version);
        let place = packages.join(self.name).join(&file);
        fs::write(&place, &bytes)?;
        fs::write(
            packages.join(self.name).join(format!("{file}.metadata")),
            &metadata,
        )?;
        let about = json!({
            "format": 1, "filename": file, "sha256": digest, "size": bytes.len(), "modified": 1_796_078_413_175_u64,
            "metadata_sha256": hex(metadata.as_bytes()), "published_at": 1_796_078_413_175_u64,
        });
        fs::write(
            packages.join(self.name).join(format!("{file}.json")),
            format!("{about}\n"),
        )?;
        Ok(digest)
    }
}
