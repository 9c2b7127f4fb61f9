//! What was read of the sources: each package and each version once, whatever the number of searches.
//!
//! Invariant: a package that a source of a lower trust group has is never asked of a higher group, so nothing outside even
//! learns its name. Deliberately absent: judging candidates; that depends on the problem (see `offer`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use backlot_core::{Class, Coded, Context, PackageName, Version};

use crate::problem::{Candidate, Candidates, Dependencies, Problem, Resolution};

/// What a version needs, or why that cannot be read.
pub(crate) type Needs = Rc<Result<Dependencies, String>>;

/// The versions of a package as the sources have them.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    /// By version, each once, from its best source.
    pub(crate) candidates: Vec<Candidate>,
    /// The sources that were asked.
    pub(crate) asked: Vec<usize>,
    /// The sources that were not, because one of a lower group has the package.
    pub(crate) spared: Vec<usize>,
}

/// The sources, and what they said.
pub(crate) struct Shelf<'a> {
    pub(crate) source: &'a dyn Candidates,
    stock: RefCell<HashMap<PackageName, Rc<Stock>>>,
    needs: RefCell<HashMap<PackageName, Vec<Option<Needs>>>>,
    /// The first error that is about more than one version.
    pub(crate) failure: RefCell<Option<Box<dyn Coded>>>,
    /// Versions that need what a URL names that nobody here named.
    pub(crate) passed_over: RefCell<BTreeMap<(PackageName, Version), String>>,
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(source: &'a dyn Candidates) -> Self {
        Self {
            source,
            stock: RefCell::default(),
            needs: RefCell::default(),
            failure: RefCell::default(),
            passed_over: RefCell::default(),
        }
    }

    /// The versions of a package. The sources and pins of a problem do not change between searches.
    pub(crate) fn stock(&self, package: &PackageName, problem: &Problem<'_>) -> Rc<Stock> {
        if let Some(known) = self.stock.borrow().get(package) {
            return Rc::clone(known);
        }
        let stock = match self.read_stock(package, problem) {
            Ok(stock) => stock,
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Stock::default()
            }
        };
        let stock = Rc::new(stock);
        self.stock.borrow_mut().insert(package.clone(), Rc::clone(&stock));
        stock
    }

    fn read_stock(&self, package: &PackageName, problem: &Problem<'_>) -> Result<Stock, Box<dyn Coded>> {
        let mut stock = Stock::default();
        let trust = |rank: usize| problem.sources.get(rank).map_or(0, |s| s.trust);
        let mut ranks: Vec<usize> = match problem.pins.get(package) {
            // An editable is where it is, whatever the pins say; whoever has it answers for the first source.
            _ if problem.fixed.contains_key(package) => vec![0],
            // So is what a URL names.
            _ if problem.urls.contains_key(package) => vec![0],
            Some(pinned) => vec![*pinned],
            None => (0..problem.sources.len().max(1)).collect(),
        };
        ranks.sort_by_key(|rank| (trust(*rank), *rank));
        let mut found: Option<usize> = None;
        for rank in ranks {
            if found.is_some_and(|group| trust(rank) > group) {
                stock.spared.push(rank);
                continue;
            }
            if !self.source.asks(package, rank) {
                continue;
            }
            stock.asked.push(rank);
            let candidates = self.source.candidates(package, rank)?;
            if !candidates.is_empty() {
                found = Some(trust(rank));
            }
            stock.candidates.extend(candidates);
        }
        let all = &mut stock.candidates;
        all.sort_by(|a, b| a.version.cmp(&b.version).then(a.source.cmp(&b.source)));
        all.dedup_by(|later, first| later.version == first.version);
        Ok(stock)
    }

    /// What the candidate at an index of a package's stock needs.
    pub(crate) fn needs(&self, package: &PackageName, stock: &Stock, index: usize) -> Needs {
        let known = self
            .needs
            .borrow()
            .get(package)
            .and_then(|all| all[index].clone());
        if let Some(needs) = known {
            return needs;
        }
        let candidate = &stock.candidates[index];
        let read = self
            .source
            .dependencies(package, &candidate.version, candidate.source)
            .map_err(|error| {
                match (error.class(), error.help()) {
                    // It was read, and is not taken as it is.
                    (Class::User, Some(help)) => format!("cannot be used: {error}; {help}"),
                    _ => format!("cannot be read: {error}"),
                }
            });
        let needs = Rc::new(read);
        let mut all = self.needs.borrow_mut();
        let of_package = all
            .entry(package.clone())
            .or_insert_with(|| vec![None; stock.candidates.len()]);
        of_package[index] = Some(Rc::clone(&needs));
        needs
    }

    /// Tell of versions newer than those chosen that were passed over because of a URL: nobody would look for it.
    pub(crate) fn warn_passed_over(&self, resolution: &Resolution, context: &Context) {
        for ((package, version), reason) in &*self.passed_over.borrow() {
            let chosen = resolution.packages.iter().find(|p| &p.name == package);
            if chosen.is_some_and(|chosen| &chosen.version < version) {
                context.warn(
                    "resolve::direct_url",
                    format!("{package} {version} is passed over: it {reason}"),
                );
            }
        }
    }
}
