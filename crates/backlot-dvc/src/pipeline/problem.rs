//! A problem inside a file, before it is known which file it is.
//!
//! Deliberately absent: codes and ways out, which [`super::PipelineError`] adds.

/// A defect with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The line, from 1; 0 where it is not known.
    pub(crate) line: usize,
    /// The reason; a clause that follows a colon.
    pub(crate) reason: String,
}

impl Problem {
    pub(crate) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}

/// The line of a byte of a text, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text
        .char_indices()
        .take_while(|(place, _)| *place < at)
        .filter(|(_, c)| *c == '\n')
        .count()
}
