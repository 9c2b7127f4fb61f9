//! The language of searches: `type:Rig tag:hero needs:Table>=1 by:ana age:<7d -yanked kitchen`.
//!
//! A query is a list of terms, all of which have to hold: words, `key:value`, and `yanked`, `deprecated`, `approved`. `-` or `!` before a term turns it round; quotes hold spaces
//! together and make a word of anything; `a,b` as a value is either of both. Invariants: any text is a query or an error that names the term; what a query prints is a query of the
//! same meaning. Deliberately absent: brackets and `or` between terms.

use std::fmt;

use backlot_core::text;
use backlot_core::wildcard::Wildcard;
use backlot_core::{Class, Timestamp};
use backlot_pep::{PackageName, Requirement};
use backlot_wheel::{AssetInfo, Metadata};

use crate::release_event::ReleaseStatus;

/// What to look for; an empty query finds everything.
#[derive(Clone, Debug, Default)]
pub struct Query {
    terms: Vec<Term>,
}

/// A text that is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{term}` cannot be searched for: {reason}")]
pub struct QueryError {
    /// The term that is wrong.
    pub term: String,
    /// Where it begins in the query, in bytes.
    pub at: usize,
    /// What is wrong with it.
    pub reason: String,
}

backlot_core::coded! {
    QueryError {
        Self { .. } => "search::bad_query", Class::User,
            "as in `type:Rig tag:hero needs:Table>=1 by:ana age:<7d -yanked`; put quotes around a word that has a colon; `search --help` lists the keys";
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    is_negated: bool,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// A part of name, summary, type, a tag, a keyword or the author.
    Word(String),
    /// A value of a key, or one of several.
    Is(Key, Vec<String>),
    Needs(Box<Requirement>),
    /// Published within the last `minutes`, or before that.
    Age {
        is_younger: bool,
        minutes: u64,
    },
    Says(Said),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Name,
    Summary,
    Type,
    Tag,
    By,
    File,
}

/// What was said of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Yanked,
    Deprecated,
    Approved,
}

const KEYS: [(&str, Key); 6] = [
    ("name", Key::Name),
    ("summary", Key::Summary),
    ("type", Key::Type),
    ("tag", Key::Tag),
    ("by", Key::By),
    ("file", Key::File),
];
const OTHER_KEYS: [&str; 2] = ["needs", "age"];
const SAID: [(&str, Said); 3] = [
    ("yanked", Said::Yanked),
    ("deprecated", Said::Deprecated),
    ("approved", Said::Approved),
];
/// Units of ages, with their minutes.
const UNITS: [(char, u64); 4] = [('m', 1), ('h', 60), ('d', 24 * 60), ('w', 7 * 24 * 60)];
/// The longest query.
const LONGEST: usize = 4096;

/// What a query is asked of.
pub(crate) struct Subject<'a> {
    pub(crate) package: &'a PackageName,
    pub(crate) metadata: &'a Metadata,
    pub(crate) asset: Option<&'a AssetInfo>,
    pub(crate) status: &'a ReleaseStatus,
    pub(crate) is_yanked: bool,
    /// Paths of its files, and of what it tracks.
    pub(crate) files: &'a [String],
    pub(crate) now: Timestamp,
}

impl Query {
    /// Read a query.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        if query.len() > LONGEST {
            return Err(QueryError {
                term: query.chars().take(20).collect(),
                at: 0,
                reason: format!("a query has at most {LONGEST} bytes"),
            });
        }
        let terms = words(query)?
            .into_iter()
            .map(Term::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Only assets of a type, too.
    #[must_use]
    pub fn of_type(self, asset_type: impl Into<String>) -> Self {
        self.and(Condition::Is(Key::Type, vec![asset_type.into()]))
    }

    /// Only assets with a tag, too.
    #[must_use]
    pub fn with_tag(self, tag: impl Into<String>) -> Self {
        self.and(Condition::Is(Key::Tag, vec![tag.into()]))
    }

    fn and(mut self, condition: Condition) -> Self {
        self.terms.push(Term {
            is_negated: false,
            condition,
        });
        self
    }

    /// Whether a package may be found, by its name alone. Where only names are looked at, words are parts of names.
    pub(crate) fn admits(&self, package: &PackageName, only_names: bool) -> bool {
        let name = fold(package.as_str());
        self.terms.iter().all(|term| match &term.condition {
            // An asset's name is the package's but for case, `-`, `_` and spaces.
            Condition::Is(Key::Name, values) => {
                values.iter().any(|value| has_part(&name, value)) != term.is_negated
            }
            Condition::Word(word) if only_names => name.contains(&fold(word)) != term.is_negated,
            _ => true,
        })
    }

    /// Whether it asks for files.
    pub(crate) fn asks_for_files(&self) -> bool {
        let asks = |term: &Term| matches!(term.condition, Condition::Is(Key::File, _));
        self.terms.iter().any(asks)
    }

    /// Whether it asks for nothing but the name, of a package that it admits.
    pub(crate) fn fits(&self, subject: &Subject<'_>, only_names: bool) -> bool {
        self.terms.iter().all(|term| match &term.condition {
            Condition::Is(Key::Name, _) => true,
            Condition::Word(_) if only_names => true,
            condition => condition.holds(subject) != term.is_negated,
        })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, term) in self.terms.iter().enumerate() {
            let gap = if position == 0 { "" } else { " " };
            write!(
                f,
                "{gap}{}{}",
                if term.is_negated { "-" } else { "" },
                term.condition
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "\"{word}\""),
            Self::Is(key, values) => {
                let name = KEYS
                    .iter()
                    .find(|(_, known)| known == key)
                    .map_or("", |(name, _)| name);
                write!(f, "{name}:\"{}\"", values.join(","))
            }
            Self::Needs(requirement) => write!(f, "needs:\"{}\"", requirement.text().replace('"', "'")),
            Self::Age { is_younger, minutes } => {
                write!(f, "age:{}{minutes}m", if *is_younger { '<' } else { '>' })
            }
            Self::Says(said) => {
                let known = SAID.iter().find(|(_, known)| known == said);
                f.write_str(known.map_or("", |(name, _)| name))
            }
        }
    }
}

/// A word of a query as it was written.
struct Word {
    at: usize,
    /// With its quotes.
    written: String,
    /// Without them.
    text: String,
    /// How much of the text, from its beginning, was outside of quotes.
    plain: usize,
}

/// The words of a query; spaces in quotes divide nothing.
fn words(query: &str) -> Result<Vec<Word>, QueryError> {
    let mut words: Vec<Word> = Vec::new();
    let mut current: Option<Word> = None;
    let mut is_quoted = false;
    for (at, letter) in query.char_indices() {
        if letter.is_whitespace() && !is_quoted {
            words.extend(current.take());
            continue;
        }
        let word = current.get_or_insert_with(|| Word {
            at,
            written: String::new(),
            text: String::new(),
            plain: usize::MAX,
        });
        word.written.push(letter);
        if letter == '"' {
            is_quoted = !is_quoted;
            word.plain = word.plain.min(word.text.len());
        } else {
            word.text.push(letter);
        }
    }
    if let (true, Some(word)) = (is_quoted, &current) {
        return Err(word.wrong("a quote is not closed"));
    }
    words.extend(current);
    Ok(words)
}

impl Word {
    fn wrong(&self, reason: impl Into<String>) -> QueryError {
        QueryError {
            term: self.written.clone(),
            at: self.at,
            reason: reason.into(),
        }
    }

    /// Where the text has a character outside of quotes.
    fn find(&self, letter: char) -> Option<usize> {
        self.text.find(letter).filter(|at| *at < self.plain)
    }
}

impl Term {
    fn parse(mut word: Word) -> Result<Self, QueryError> {
        let is_negated = word.plain > 0 && word.text.starts_with(['-', '!']);
        if is_negated {
            word.text.remove(0);
            word.plain = if word.plain == usize::MAX {
                usize::MAX
            } else {
                word.plain - 1
            };
        }
        if word.text.trim().is_empty() {
            return Err(word.wrong("there is nothing to look for"));
        }
        let condition = match word.find(':') {
            Some(colon) => keyed(&word, colon)?,
            None => {
                let said = SAID
                    .iter()
                    .find(|(name, _)| *name == word.text && word.plain == usize::MAX);
                said.map_or_else(
                    || Condition::Word(word.text.clone()),
                    |(_, said)| Condition::Says(*said),
                )
            }
        };
        Ok(Self {
            is_negated,
            condition,
        })
    }
}

/// `key:value`.
fn keyed(word: &Word, colon: usize) -> Result<Condition, QueryError> {
    let (key, value) = (word.text[..colon].to_lowercase(), &word.text[colon + 1..]);
    if value.trim().is_empty() {
        return Err(word.wrong(format!("`{key}` needs a value")));
    }
    match key.as_str() {
        "needs" => match Requirement::parse(value) {
            Ok(requirement) => Ok(Condition::Needs(Box::new(requirement))),
            Err(error) => Err(word.wrong(error.to_string())),
        },
        "age" => {
            age(value).ok_or_else(|| word.wrong("an age is written as `<7d` or `>12h`, in m, h, d or w"))
        }
        key => {
            let Some((_, key)) = KEYS.iter().find(|(name, _)| *name == key) else {
                let names = KEYS.iter().map(|(name, _)| *name).chain(OTHER_KEYS);
                let near = text::nearest(key, names).map(|near| format!("; is it `{near}`?"));
                return Err(word.wrong(format!("there is no key `{key}`{}", near.unwrap_or_default())));
            };
            let values: Vec<String> = value.split(',').map(|one| one.trim().to_owned()).collect();
            if values.iter().any(String::is_empty) {
                return Err(word.wrong("a value is empty"));
            }
            Ok(Condition::Is(*key, values))
        }
    }
}

fn age(value: &str) -> Option<Condition> {
    let (is_younger, rest) = match value.strip_prefix('>') {
        Some(rest) => (false, rest),
        None => (true, value.strip_prefix('<').unwrap_or(value)),
    };
    let (unit, minutes) = UNITS.iter().find(|(unit, _)| rest.ends_with(*unit))?;
    let number = rest.strip_suffix(*unit)?;
    if !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let minutes = number.parse::<u64>().ok()?.checked_mul(*minutes)?;
    // In milliseconds it has to be a number, too.
    minutes.checked_mul(60_000)?;
    Some(Condition::Age { is_younger, minutes })
}

impl Condition {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        let author = subject.status.published.as_ref().map(|fact| fact.author.as_str());
        let (asset, metadata) = (subject.asset, subject.metadata);
        match self {
            Self::Word(word) => {
                let word = fold(word);
                let mut texts: Vec<&str> = vec![subject.package.as_str()];
                texts.extend(metadata.summary.as_deref());
                texts.extend(author);
                texts.extend(metadata.keywords.iter().map(String::as_str));
                if let Some(asset) = asset {
                    texts.extend([asset.name.as_str(), &asset.asset_type]);
                    texts.extend(asset.tags.iter().map(String::as_str));
                }
                texts.iter().any(|text| fold(text).contains(&word))
            }
            Self::Is(key, values) => values.iter().any(|value| match key {
                Key::Name => has_part(&fold(subject.package.as_str()), value),
                Key::Summary => metadata
                    .summary
                    .as_ref()
                    .is_some_and(|text| has_part(&fold(text), value)),
                Key::Type => asset.is_some_and(|asset| is_same(&asset.asset_type, value)),
                Key::Tag => asset.is_some_and(|asset| asset.tags.iter().any(|tag| is_same(tag, value))),
                Key::By => author.is_some_and(|author| is_same(author, value)),
                Key::File => subject.files.iter().any(|path| is_path(path, value)),
            }),
            Self::Needs(wanted) => metadata
                .requires_dist
                .iter()
                .any(|one| one.name() == wanted.name() && one.specifiers().overlaps(&wanted.specifiers())),
            Self::Age { is_younger, minutes } => subject.status.published.as_ref().is_some_and(|fact| {
                let age = subject.now.0.saturating_sub(fact.at.0);
                (age < minutes * 60_000) == *is_younger
            }),
            Self::Says(Said::Yanked) => subject.is_yanked || subject.status.yanked.is_some(),
            Self::Says(Said::Deprecated) => subject.status.deprecated.is_some(),
            Self::Says(Said::Approved) => !subject.status.approved.is_empty(),
        }
    }
}

/// A text for comparing: lower case, separators alike.
fn fold(text: &str) -> String {
    text.trim().to_lowercase().replace(['_', ' ', '.'], "-")
}

/// Whether a folded text has a part, or fits a pattern as a whole.
fn has_part(folded: &str, value: &str) -> bool {
    let value = fold(value);
    folded.contains(&value) || has_wildcard(&value) && Wildcard::new(&value).fits(folded)
}

/// Whether a text is a value, but for case and separators, or fits it as a pattern.
fn is_same(text: &str, value: &str) -> bool {
    let (text, value) = (fold(text), fold(value));
    text == value || has_wildcard(&value) && Wildcard::new(&value).fits(&text)
}

/// Whether a path has a part; a pattern has to fit all of it, or its last name.
fn is_path(path: &str, value: &str) -> bool {
    let (path, value) = (path.to_lowercase(), value.to_lowercase());
    if !has_wildcard(&value) {
        return path.contains(&value);
    }
    let pattern = Wildcard::new(&value);
    pattern.fits(&path) || pattern.fits(path.rsplit('/').next().unwrap_or_default())
}

fn has_wildcard(value: &str) -> bool {
    value.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::{Condition, Query, fold};

    #[test]
    fn an_assets_name_is_found_however_it_is_spelled() {
        assert!(fold("main-pack").contains(&fold("Main Pack")));
        assert!(fold("main-pack").contains(&fold("ain_p")));
        assert!(!fold("main-pack").contains(&fold("chair")));
    }

    #[test]
    fn terms_are_read_as_they_are_printed() {
        for (query, printed) in [
            ("", ""),
            ("  kitchen \t", "\"kitchen\""),
            (
                "type:Rig tag:hero needs:Table>=1 by:ana age:<7d -yanked",
                "type:\"Rig\" tag:\"hero\" needs:\"Table>=1\" by:\"ana\" age:<10080m -yanked",
            ),
            ("TYPE:Rig,Model", "type:\"Rig,Model\""),
            ("!approved", "-approved"),
            ("\"yanked\" \"type:Rig\" \"-x\"", "\"yanked\" \"type:Rig\" \"-x\""),
            ("by:\"Ana Lee\"", "by:\"Ana Lee\""),
            ("needs:\"Table >=1, <2\"", "needs:\"Table >=1, <2\""),
            ("age:2w age:>12h age:0m", "age:<20160m age:>720m age:<0m"),
            ("big\" \"table", "\"big table\""),
            ("file:*.exr", "file:\"*.exr\""),
        ] {
            let parsed = Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
            assert_eq!(parsed.to_string(), printed, "{query}");
            let again = Query::parse(printed).expect("what is printed is a query");
            assert_eq!(again.terms, parsed.terms, "{query}");
        }
    }

    #[test]
    fn an_error_names_the_term_and_where_it_is() {
        for (query, term, at, word) in [
            ("kitchen tpye:Rig", "tpye:Rig", 8, "is it `type`?"),
            ("http://x", "http://x", 0, "no key `http`"),
            ("é type:", "type:", 3, "needs a value"),
            ("type:,a", "type:,a", 0, "empty"),
            ("-", "-", 0, "nothing to look for"),
            ("\"\"", "\"\"", 0, "nothing to look for"),
            ("\"open", "\"open", 0, "not closed"),
            ("age:soon", "age:soon", 0, "<7d"),
            ("age:+7d", "age:+7d", 0, "<7d"),
            ("age:99999999999999999999d", "age:99999999999999999999d", 0, "<7d"),
            ("needs:>=1", "needs:>=1", 0, "invalid requirement"),
        ] {
            let error = Query::parse(query).expect_err(query);
            assert_eq!((error.term.as_str(), error.at), (term, at), "{query}");
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(Query::parse(&"x".repeat(10_000)).is_err());
    }

    /// Texts made of pieces of the language, in any order.
    #[test]
    fn any_text_is_a_query_that_prints_itself_or_an_error_inside_of_it() {
        let pieces = [
            "type", ":", "tag", "needs", "age", "by", "file", "name", "-", "!", "\"", " ", ",", "<", ">",
            "7d", "1.0", "==", "*", "yanked", "approved", "é", "Table", "[", "]", ";", "\u{202e}", "\\",
            "\n",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let (mut queries, mut errors) = (0, 0);
        for _ in 0..20_000 {
            let mut text = String::new();
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let mut left = state;
            for _ in 0..=(state % 9) {
                text.push_str(pieces[usize::try_from(left % pieces.len() as u64).expect("small")]);
                left /= 7;
            }
            match Query::parse(&text) {
                Ok(query) => {
                    queries += 1;
                    let printed = query.to_string();
                    let again = Query::parse(&printed)
                        .unwrap_or_else(|error| panic!("{text:?}: {printed:?}: {error}"));
                    let needs = |query: &Query| {
                        query
                            .terms
                            .iter()
                            .any(|term| matches!(term.condition, Condition::Needs(_)))
                    };
                    // Of a marker, quotes are written in another way.
                    assert!(
                        again.terms == query.terms || needs(&query),
                        "{text:?}: {printed:?}"
                    );
                }
                Err(error) => {
                    errors += 1;
                    assert!(text[error.at..].starts_with(&error.term), "{text:?}: {error:?}");
                }
            }
        }
        assert!(queries > 1_000 && errors > 1_000, "{queries} {errors}");
    }
}
