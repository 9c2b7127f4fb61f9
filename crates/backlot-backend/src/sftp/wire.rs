//! SFTP version 3 on the wire (draft-ietf-secsh-filexfer-02, and OpenSSH's `PROTOCOL` for its extensions).
//!
//! Invariants: no response causes a panic or an allocation larger than itself; a name that is not one part of a path, or not
//! UTF-8, is discarded. Deliberately absent: requests that a repo never sends.

/// The most bytes that one answer may have; OpenSSH's own limit.
pub(super) const ANSWER_LIMIT: usize = 256 * 1024;

pub(super) const INIT: u8 = 1;
const VERSION: u8 = 2;
pub(super) const OPEN: u8 = 3;
pub(super) const CLOSE: u8 = 4;
pub(super) const READ: u8 = 5;
pub(super) const WRITE: u8 = 6;
pub(super) const LSTAT: u8 = 7;
pub(super) const FSTAT: u8 = 8;
pub(super) const OPENDIR: u8 = 11;
pub(super) const READDIR: u8 = 12;
pub(super) const REMOVE: u8 = 13;
pub(super) const MKDIR: u8 = 14;
pub(super) const STAT: u8 = 17;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
pub(super) const EXTENDED: u8 = 200;

pub(super) const OPEN_READ: u32 = 1;
/// Write, create, and fail if it is there.
pub(super) const OPEN_NEW: u32 = 0x2 | 0x8 | 0x20;

pub(super) const OK: u32 = 0;
pub(super) const END: u32 = 1;
pub(super) const NO_SUCH_FILE: u32 = 2;
pub(super) const DENIED: u32 = 3;

pub(super) const LINK: &str = "hardlink@openssh.com";
pub(super) const REPLACE: &str = "posix-rename@openssh.com";
pub(super) const SYNC: &str = "fsync@openssh.com";

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// A device, a pipe, or unknown.
    Other,
}

/// The attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// Seconds since 1970, by the server's clock.
    pub(super) modified: u32,
}

/// The response of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status {
        code: u32,
        message: String,
    },
    Handle(Vec<u8>),
    Data(Vec<u8>),
    /// How many entries there were, and those whose names can be used.
    Names(usize, Vec<(String, About)>),
    About(About),
}

/// Which of OpenSSH's extensions a server offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) link: bool,
    pub(super) replace: bool,
    pub(super) sync: bool,
}

/// A request without its length: kind, id, and what `fill` adds.
pub(super) fn request(kind: u8, id: u32, fill: impl FnOnce(Body) -> Body) -> Vec<u8> {
    let Body(mut bytes) = fill(Body(vec![0, 0, 0, 0, kind]).number(id));
    let length = u32::try_from(bytes.len() - 4).expect("requests are small");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// A request that is being written.
pub(super) struct Body(Vec<u8>);

impl Body {
    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }
    pub(super) fn long(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }
    pub(super) fn text(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self = self.number(u32::try_from(bytes.len()).expect("requests are small"));
        self.0.extend(bytes);
        self
    }
}

/// The extensions in the first response; `None` if it is not a response to `INIT` of version 3.
pub(super) fn offers(bytes: &[u8]) -> Option<Extensions> {
    let mut rest = Rest(bytes);
    if rest.byte()? != VERSION || rest.number()? != 3 {
        return None;
    }
    let mut offers = Extensions::default();
    while !rest.0.is_empty() {
        let (name, version) = (rest.text()?, rest.text()?);
        match (std::str::from_utf8(name).unwrap_or_default(), version) {
            (LINK, b"1") => offers.link = true,
            (REPLACE, b"1") => offers.replace = true,
            (SYNC, b"1") => offers.sync = true,
            _ => {}
        }
    }
    Some(offers)
}

/// An answer and the id of its request; `None` if it is none.
pub(super) fn answer(bytes: &[u8]) -> Option<(u32, Answer)> {
    let mut rest = Rest(bytes);
    let (kind, id) = (rest.byte()?, rest.number()?);
    let answer = match kind {
        STATUS => Answer::Status {
            code: rest.number()?,
            // Some old servers leave it out.
            message: String::from_utf8_lossy(rest.text().unwrap_or_default()).into_owned(),
        },
        HANDLE => Answer::Handle(rest.text().filter(|handle| handle.len() <= 256)?.to_vec()),
        DATA => Answer::Data(rest.text()?.to_vec()),
        NAME => {
            let count = rest.number()? as usize;
            let mut names = Vec::new();
            for _ in 0..count {
                let (name, _long) = (rest.text()?, rest.text()?);
                let about = rest.about()?;
                names.extend(part(name).map(|name| (name, about)));
            }
            Answer::Names(count, names)
        }
        ATTRS => Answer::About(rest.about()?),
        _ => return None,
    };
    Some((id, answer))
}

/// A name that is one part of a path, and text.
fn part(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let is_part = !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.chars().any(|c| matches!(c, '/' | '\\') || c.is_control());
    is_part.then(|| name.to_owned())
}

/// The unread rest of a response.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }
    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
    fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        self.take(length)
    }
    fn about(&mut self) -> Option<About> {
        let flags = self.number()?;
        let size = if flags & 1 == 0 { 0 } else { self.long()? };
        if flags & 2 != 0 {
            self.take(8)?;
        }
        let mode = if flags & 4 == 0 { 0 } else { self.number()? };
        let modified = if flags & 8 == 0 {
            0
        } else {
            self.number()?;
            self.number()?
        };
        if flags & 0x8000_0000 != 0 {
            for _ in 0..self.number()? {
                self.text()?;
                self.text()?;
            }
        }
        let kind = match mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Folder,
            0o120_000 => Kind::Link,
            _ => Kind::Other,
        };
        Some(About { kind, size, modified })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]
mod tests {
    use super::{About, Answer, Extensions, Kind, NAME, VERSION, answer, offers, request};

    fn names(names: &[&[u8]]) -> Vec<u8> {
        let packet = request(NAME, 7, |body| {
            let body = body.number(u32::try_from(names.len()).unwrap());
            names.iter().fold(body, |body, name| {
                let body = body.text(name).text("-rw-r--r-- as ls says").number(1 | 4 | 8);
                body.long(5).number(0o100_644).number(1).number(1_700_000_000)
            })
        });
        packet[4..].to_vec()
    }

    #[test]
    fn names_that_lead_elsewhere_are_not_passed_on() {
        let bad: [&[u8]; 9] = [
            b".",
            b"..",
            b"",
            b"../../etc/passwd",
            b"/etc/passwd",
            b"a\\b",
            b"a\0b",
            b"a\nb",
            b"caf\xe9",
        ];
        let long = vec![b'a'; 256];
        let packet = names(&[bad.as_slice(), &[long.as_slice(), b"chair-1.0-py3-none-any.whl"]].concat());
        let about = About {
            kind: Kind::File,
            size: 5,
            modified: 1_700_000_000,
        };
        let expected = vec![("chair-1.0-py3-none-any.whl".to_owned(), about)];
        assert_eq!(answer(&packet), Some((7, Answer::Names(11, expected))));
    }

    #[test]
    fn an_answer_that_is_cut_or_lies_about_its_lengths_is_none() {
        let packet = names(&[b"one", b"two"]);
        for length in 0..packet.len() {
            assert_eq!(answer(&packet[..length]), None, "{length}");
        }
        // Four thousand million names, a text as long, and attributes without end.
        let mut many = packet.clone();
        many[5..9].fill(0xff);
        assert_eq!(answer(&many), None);
        assert_eq!(answer(&[103, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(
            answer(&[105, 0, 0, 0, 1, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
            None
        );
        assert_eq!(answer(&[201, 0, 0, 0, 1]), None);
        let handle = request(102, 1, |body| body.text([0; 257]));
        assert_eq!(answer(&handle[4..]), None);
    }

    #[test]
    fn noise_is_survived() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut noise: Vec<u8> = (0..random.usize(..64)).map(|_| random.u8(..)).collect();
            if let Some(first) = noise.first_mut() {
                *first = 101 + *first % 5;
            }
            drop(answer(&noise));
            if let Some(first) = noise.first_mut() {
                *first = VERSION;
            }
            assert!(noise.is_empty() || offers(&noise).is_none() || noise[4] == 3);
        }
    }

    #[test]
    fn what_a_server_offers_is_read() {
        // In the place of an id, the version.
        let packet = request(VERSION, 3, |body| {
            let body = body.text("posix-rename@openssh.com").text("1");
            let body = body.text("hardlink@openssh.com").text("2");
            let body = body.text("fsync@openssh.com").text("1");
            body.text(b"\xff").text("1")
        });
        let expected = Extensions {
            link: false,
            replace: true,
            sync: true,
        };
        assert_eq!(offers(&packet[4..]), Some(expected));
        assert_eq!(offers(&packet[4..20]), None);
        assert_eq!(offers(&[VERSION, 0, 0, 0, 6]), None);
    }
}
