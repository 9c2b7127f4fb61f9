//! Index pages in HTML (PEP 503, 592, 629, 658, 714), also those that no standard describes.
//!
//! A tokenizer after the HTML standard finds the tags; only `a`, `base`, `meta` and `input` matter. Invariants: any bytes give a
//! page, if an empty one; one that asks for a password is a sign-in, which lists nothing. Deliberately absent: validation.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{StartTag, Token, Tokenizer};

use super::raw::{CoreMetadata, MetadataHashes, RawFile, RawHashes, RawPage, file_of};

/// Read a page.
pub(crate) fn read(body: &[u8]) -> RawPage {
    let mut page = RawPage {
        files: Some(Vec::new()),
        projects: Some(Vec::new()),
        ..RawPage::default()
    };
    let mut is_sign_in = false;
    let mut emitter: DefaultEmitter = DefaultEmitter::default();
    // Otherwise a script or a comment in one could hold links.
    emitter.naively_switch_states(true);
    let mut link: Option<(Option<RawFile>, String)> = None;
    for Ok(token) in Tokenizer::new_with_emitter(body, emitter) {
        match token {
            Token::StartTag(tag) => match tag.name.as_slice() {
                b"a" => {
                    finish(&mut page, link.take());
                    link = Some((file(&tag), String::new()));
                }
                b"base" if page.base.is_none() => page.base = attribute(&tag, b"href"),
                b"meta" if attribute(&tag, b"name").as_deref() == Some("pypi:repository-version") => {
                    page.version = attribute(&tag, b"content");
                }
                b"input" => {
                    let kind = attribute(&tag, b"type").unwrap_or_default();
                    is_sign_in |= kind.trim().eq_ignore_ascii_case("password");
                }
                _ => {}
            },
            Token::String(text) => {
                if let Some((_, words)) = &mut link {
                    words.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Token::EndTag(tag) if tag.name.as_slice() == b"a" => finish(&mut page, link.take()),
            _ => {}
        }
    }
    finish(&mut page, link);
    if is_sign_in {
        (page.files, page.projects) = (None, None);
    }
    page
}

/// What a link may be: a file by where it leads, a project by its text.
fn finish(page: &mut RawPage, link: Option<(Option<RawFile>, String)>) {
    let Some((file, words)) = link else { return };
    let words = words.trim().trim_end_matches('/');
    if !words.is_empty() {
        page.projects.get_or_insert_default().push(words.to_owned());
    }
    page.files.get_or_insert_default().extend(file);
}

fn file(tag: &StartTag<()>) -> Option<RawFile> {
    let url = attribute(tag, b"href")?.trim().to_owned();
    let fragment = url
        .split_once('#')
        .map(|(_, fragment)| fragment)
        .unwrap_or_default();
    let mut hashes = RawHashes::default();
    for (algorithm, digest) in fragment.split('&').filter_map(|part| part.split_once('=')) {
        hashes.add(algorithm, Some(digest));
    }
    let core = attribute(tag, b"data-core-metadata").or_else(|| attribute(tag, b"data-dist-info-metadata"));
    Some(RawFile {
        file: file_of(&url)?,
        hashes,
        requires_python: attribute(tag, b"data-requires-python"),
        core_metadata: match core.as_deref() {
            None | Some("false") => CoreMetadata::Absent,
            Some(text) => CoreMetadata::Present(match text.split_once('=') {
                Some((algorithm, digest)) => MetadataHashes::default().with(algorithm, digest),
                None => MetadataHashes::default(),
            }),
        },
        yanked: attribute(tag, b"data-yanked"),
        size: None,
        uploaded: None,
        deprecated: None,
        url,
    })
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    tag.attributes
        .get(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
}
