//! Which place a repo or remote is: a place that was there and is gone, or is another one now, is never an empty place.
//!
//! Invariant: an identity is made once, with the place, and never changed; a copy of the place has the same. Deliberately
//! absent: where it is written ([repo-folder.md](../../../docs/format/repo-folder.md) and the pages of the remotes) and
//! where it is remembered (`backlot.toml`).

/// The state of the location of a repo or remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceIdentity {
    /// Neither a repo nor a remote: the folder is absent or empty, as that of a disk that is not mounted.
    Absent,
    /// It is there, and has no identity: an older Backlot, DVC or a person made it, or the server is its identity.
    Unnamed,
    /// It is there, with this identity.
    Named(String),
}

impl PlaceIdentity {
    /// A new identity, unique in the world.
    pub fn fresh() -> String {
        ulid::Ulid::generate().to_string().to_lowercase()
    }

    /// The identity, if it has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(id) => Some(id),
            Self::Absent | Self::Unnamed => None,
        }
    }

    /// Whether this is the place whose identity was remembered. Where none was, any place is.
    pub fn is(&self, remembered: Option<&str>) -> bool {
        match (self, remembered) {
            (Self::Absent, _) | (Self::Unnamed, Some(_)) => false,
            (Self::Unnamed | Self::Named(_), None) => true,
            (Self::Named(found), Some(remembered)) => found == remembered,
        }
    }
}

/// The identity that a place must have, as it was remembered; places of older versions have none.
#[derive(Clone, Debug)]
pub struct ExpectedIdentity(Option<String>);

impl ExpectedIdentity {
    /// That of a place whose identity is known, or that must be there without one.
    pub fn new(identity: Option<&str>) -> Self {
        Self(identity.map(ToOwned::to_owned))
    }

    /// Whether a place that was found is the one.
    pub fn is_of(&self, found: &PlaceIdentity) -> bool {
        found.is(self.0.as_deref())
    }
}
