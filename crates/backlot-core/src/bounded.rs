//! A reader with a budget: for archives, which may be made to fill disks.
//!
//! Invariant: reading beyond the budget is an error, never an end. Deliberately absent: how large the budget should be.

use std::cell::Cell;
use std::io::{Error, Read, Result};
use std::rc::Rc;

/// Reads until a budget of bytes is used up, then fails.
#[derive(Debug)]
pub struct Bounded<R> {
    source: R,
    left: Rc<Cell<u64>>,
    exceeded: &'static str,
}

impl<R> Bounded<R> {
    /// A reader of at most `budget` bytes of `source`; `exceeded` is the message of the error of one that has more.
    pub fn new(source: R, budget: u64, exceeded: &'static str) -> Self {
        Self {
            source,
            left: Rc::new(Cell::new(budget)),
            exceeded,
        }
    }

    /// The bytes that are left, to be read and changed while the reader is in use elsewhere.
    pub fn budget(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.left)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.source.read(buffer)?;
        let left = self.left.get().checked_sub(length as u64);
        self.left.set(left.ok_or_else(|| Error::other(self.exceeded))?);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;
    use std::io::Read as _;

    #[test]
    fn a_budget_is_used_up_exactly_and_can_be_raised_on_the_way() {
        let mut read = Vec::new();
        Bounded::new(&b"four"[..], 4, "more")
            .read_to_end(&mut read)
            .expect("enough");
        let error = Bounded::new(&b"four"[..], 3, "more").read_to_end(&mut read);
        assert_eq!(error.expect_err("too much").to_string(), "more");
        let mut bounded = Bounded::new(&b"four"[..], 2, "more");
        let mut two = [0; 2];
        bounded.read_exact(&mut two).expect("two");
        let budget = bounded.budget();
        assert_eq!(budget.get(), 0);
        budget.set(2);
        bounded.read_exact(&mut two).expect("two more");
        assert_eq!(&two, b"ur");
    }
}
