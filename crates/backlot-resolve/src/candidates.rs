//! Cache of the sources: each package and each version is read once, whatever the number of searches.
//!
//! Invariant: a package that a source of a lower trust group has is never asked of a higher group, so nothing outside even
//! learns its name. Deliberately absent: judging candidates; that depends on the problem (see `offer`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::rc::Rc;

use backlot_core::{Class, Context, Diagnostic};
use backlot_pep::{PackageName, Version};

use crate::problem::{Candidate, Candidates, Dependencies, Problem, Resolution};
use crate::ranked::RankedCandidates;

/// The requirements of a version, or why they cannot be read.
pub(crate) type Needs = Rc<Result<Dependencies, String>>;

/// The versions of a package as the sources have them.
#[derive(Debug, Default)]
pub(crate) struct PackageVersions {
    /// By version, then by source, the preferred one first.
    pub(crate) files: Vec<Candidate>,
    /// The files of each version.
    pub(crate) versions: Vec<Range<usize>>,
    /// The sources that were asked.
    pub(crate) asked: Vec<usize>,
    /// The sources that were not, because one of a lower group has the package.
    pub(crate) spared: Vec<usize>,
}

/// The sources, and their results.
pub(crate) struct CandidateCache<'a> {
    pub(crate) source: &'a dyn Candidates,
    stock: RefCell<HashMap<PackageName, Rc<PackageVersions>>>,
    needs: RefCell<HashMap<PackageName, Vec<Option<Needs>>>>,
    /// The first error that is about more than one version.
    pub(crate) failure: RefCell<Option<Box<dyn Diagnostic>>>,
    /// Versions excluded because of their contents, with a code and a sentence.
    passed_over: RefCell<PassedOver>,
}

/// Why versions were skipped, each with a code and a sentence.
type PassedOver = BTreeMap<(PackageName, Version), (&'static str, String)>;

impl<'a> CandidateCache<'a> {
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
    pub(crate) fn stock(&self, package: &PackageName, problem: &Problem<'_>) -> Rc<PackageVersions> {
        if let Some(known) = self.stock.borrow().get(package) {
            return Rc::clone(known);
        }
        let stock = match self.read_stock(package, problem) {
            Ok(stock) => stock,
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                PackageVersions::default()
            }
        };
        let stock = Rc::new(stock);
        self.stock.borrow_mut().insert(package.clone(), Rc::clone(&stock));
        stock
    }

    pub(crate) fn read_stock(
        &self,
        package: &PackageName,
        problem: &Problem<'_>,
    ) -> Result<PackageVersions, Box<dyn Diagnostic>> {
        let mut stock = PackageVersions::default();
        let trust = |rank: usize| problem.sources.get(rank).map_or(0, |s| s.trust);
        let mut ranks: Vec<usize> = match problem.pins.get(package) {
            // An editable is fixed, whatever the pins; the source that has it counts as the first.
            _ if problem.fixed.contains_key(package) => vec![0],
            // So is a package from a URL.
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
            stock.files.extend(candidates);
        }
        // Stable, so the files of a source stay in their order.
        let by_version =
            |a: &Candidate, b: &Candidate| a.version.cmp(&b.version).then(a.source.cmp(&b.source));
        stock.files.sort_by(by_version);
        let mut from = 0;
        for same in stock.files.chunk_by(|a, b| a.version == b.version) {
            stock.versions.push(from..from + same.len());
            from += same.len();
        }
        Ok(stock)
    }

    /// The requirements of the file that represents a version. Only a file that is not there or not for us excludes its version; any
    /// other error is the search's.
    pub(crate) fn needs(&self, package: &PackageName, offer: &RankedCandidates, version: usize) -> Needs {
        let (stock, index) = (&offer.stock, offer.files[version]);
        let known = self
            .needs
            .borrow()
            .get(package)
            .and_then(|all| all[index].clone());
        if let Some(needs) = known {
            return needs;
        }
        let candidate = &stock.files[index];
        let read = self.source.dependencies(package, candidate).map_err(|error| {
            let reason = match (error.class(), error.help()) {
                // It was read, and is not taken as it is.
                (Class::User, Some(help)) => format!("cannot be used: {error}; {help}"),
                _ => format!("cannot be read: {error}"),
            };
            if self.source.excludes(&*error) {
                self.pass_over(package, &candidate.version, error.code(), error.to_string());
            } else {
                self.failure.borrow_mut().get_or_insert(error);
            }
            reason
        });
        let needs = Rc::new(read);
        let mut all = self.needs.borrow_mut();
        let of_package = all
            .entry(package.clone())
            .or_insert_with(|| vec![None; stock.files.len()]);
        of_package[index] = Some(Rc::clone(&needs));
        needs
    }

    /// Remember that a version was not taken, and why.
    pub(crate) fn pass_over(
        &self,
        package: &PackageName,
        version: &Version,
        code: &'static str,
        reason: String,
    ) {
        let mut passed_over = self.passed_over.borrow_mut();
        passed_over.insert((package.clone(), version.clone()), (code, reason));
    }

    /// Warn about skipped versions newer than the selected ones: an older one would otherwise look like the newest.
    pub(crate) fn warn_passed_over(&self, resolution: &Resolution, context: &Context) {
        for ((package, version), (code, reason)) in &*self.passed_over.borrow() {
            let chosen = resolution.packages.iter().find(|p| &p.name == package);
            if chosen.is_some_and(|chosen| &chosen.version < version) {
                context.warn(code, format!("{package} {version} is skipped: {reason}"));
            }
        }
    }
}
