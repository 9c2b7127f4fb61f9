//! A chunked remote as the rest of the store sees it: opened or made, pushed to, pulled from, listed, verified.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use backlot_backend::ObjectStore;
use backlot_core::{Blake3, Context, LinkMode, PlaceIdentity};

use super::blob::{BlobStore, FolderBlobs, StoreBlobs};
use super::catalog::{Catalog, Found, TOGETHER};
use super::config::{KEY, RemoteFormat};
use super::gc::{CollectOptions, CollectReport};
use super::name::{Kind, StoredName};
use super::open_file::{CacheSink, Content, Source};
use super::push::{ChunkedRepository, Pushed, SameName, Work, mirror_of};
use super::relied::Relied;
use super::rescue::RestoreReport;
use super::seeds::Seeds;
use super::tomb::{self, Condemned, TombContent};
use super::users::{FoundUser, RemoteUser};
use crate::add::{Added, Pass, add_files_by};
use crate::cache::{Cache, ObjectEntry, VerifyReport};
use crate::error::{Error, Result};
use crate::hash::Job;
use crate::object::{ObjectId, Transfer};
use crate::remote::{Fetched, TransferReport};
use crate::stat::StatCache;
use crate::usage::FileParts;

/// New files of so many bytes are sent while they are added. Sending them apart from the manifest that names them costs
/// three objects more, so few are left to the push.
pub(crate) const AHEAD_FROM: u64 = 32 << 20;

/// A chunked remote. Its config object is read, or made, on first use.
#[derive(Debug)]
pub(crate) struct ChunkedRemote {
    blobs: Arc<dyn BlobStore>,
    mirrors: PathBuf,
    /// What the config object said, of a service: it never changes, and each look is a round trip. A folder is looked at each time,
    /// since its disk may go.
    format: Option<OnceLock<RemoteFormat>>,
}

impl ChunkedRemote {
    pub(crate) fn in_folder(root: PathBuf, mirrors: &Path) -> Self {
        Self::on(Arc::new(FolderBlobs::new(root)), mirrors)
    }

    pub(crate) fn in_store(store: Arc<dyn ObjectStore>, mirrors: &Path) -> Self {
        Self {
            format: Some(OnceLock::new()),
            ..Self::on(Arc::new(StoreBlobs::new(store)), mirrors)
        }
    }

    pub(super) fn on(blobs: Arc<dyn BlobStore>, mirrors: &Path) -> Self {
        Self {
            blobs,
            mirrors: mirrors.to_path_buf(),
            format: None,
        }
    }

    pub(crate) fn place(&self) -> String {
        self.blobs.place()
    }

    /// The same remote, of which other things are remembered in a folder.
    pub(crate) fn mirrored_in(mut self, mirrors: &Path) -> Self {
        self.mirrors = mirrors.to_path_buf();
        self
    }

    fn bad(&self, reason: String) -> Error {
        Error::BadRemote {
            url: self.place(),
            reason,
        }
    }

    fn site(&self, format: RemoteFormat) -> ChunkedRepository {
        ChunkedRepository {
            blobs: Arc::clone(&self.blobs),
            mirror: mirror_of(&self.mirrors, &format),
            format,
        }
    }

    /// The remote as it is; `None` if nothing was ever pushed to it.
    pub(super) fn find(&self) -> Result<Option<ChunkedRepository>> {
        if let Some(format) = self.format.as_ref().and_then(OnceLock::get) {
            return Ok(Some(self.site(format.clone())));
        }
        let Some(bytes) = self.blobs.read(KEY)? else {
            return Ok(None);
        };
        let format = RemoteFormat::parse(&bytes).map_err(|reason| self.bad(reason))?;
        let format = match &self.format {
            Some(kept) => kept.get_or_init(|| format).clone(),
            None => format,
        };
        Ok(Some(self.site(format)))
    }

    /// The keys of small objects below a prefix.
    pub(crate) fn small_keys(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self
            .blobs
            .list(prefix)?
            .into_iter()
            .map(|entry| entry.key)
            .collect())
    }

    /// A small object; of one with more than `most` bytes the first of them.
    pub(crate) fn read_small(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>> {
        self.blobs.read_range(key, 0..most + 1)
    }

    /// Write a small object.
    pub(crate) fn write_small(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.find_or_make()?;
        self.blobs.put(key, bytes)
    }

    /// Which remote is there.
    pub(crate) fn identity(&self) -> Result<PlaceIdentity> {
        Ok(match self.find()? {
            Some(site) => PlaceIdentity::Named(site.format.id.to_string()),
            None => PlaceIdentity::Absent,
        })
    }

    /// Make the remote if it is not there.
    pub(crate) fn make(&self) -> Result<()> {
        self.find_or_make().map(drop)
    }

    /// The remote, made if it is not there. Where a service cannot create exclusively, who writes its config last wins; until
    /// then nothing else was written by anybody who has read it again.
    pub(super) fn find_or_make(&self) -> Result<ChunkedRepository> {
        if let Some(site) = self.find()? {
            return Ok(site);
        }
        if !self.blobs.list("files/md5/")?.is_empty() {
            return Err(self.bad("it has DVC's layout; add it with `--layout dvc`".to_owned()));
        }
        self.blobs.create(KEY, &RemoteFormat::fresh().to_bytes())?;
        self.find()?.ok_or_else(|| self.bad(format!("`{KEY}` vanished")))
    }

    /// Send objects from the cache.
    pub(crate) fn push(
        &self,
        cache: &Cache,
        items: &[Transfer],
        context: &Context,
    ) -> Result<TransferReport> {
        let sources = Self::sources(cache, items)?;
        let site = self.find_or_make()?;
        let new = (&HashSet::new(), SameName::Refuse);
        match site.push(&sources, Some(&Seeds::of(cache)), new, context) {
            Err(Error::Corrupt { objects, .. }) => {
                // Then an add of the files mends it.
                cache.set_aside_damaged(&objects)?;
                Err(Error::Corrupt {
                    objects,
                    place: cache.place(),
                })
            }
            pushed => Ok(report(&pushed?)),
        }
    }

    /// Put files into the cache, and send those that are new in the same pass, if they are so many bytes that this pays
    /// ([`AHEAD_FROM`]). A push has to follow.
    pub(crate) fn add_files(
        &self,
        cache: &Cache,
        stat: &StatCache,
        paths: &[PathBuf],
        links: &[LinkMode],
        ahead_from: u64,
        context: &Context,
    ) -> Result<(Vec<Added>, TransferReport)> {
        let mut sent = Ok(Pushed::default());
        let run = |pass: &Pass<'_>| {
            if pass.sizes.iter().sum::<u64>() < ahead_from {
                return pass.hash();
            }
            let source = |(number, (job, size)): (usize, (&Job, &u64))| Source {
                content: Content::New(number),
                path: job.source.clone(),
                size: *size,
            };
            let sources: Vec<Source> = pass
                .jobs
                .iter()
                .zip(&pass.sizes)
                .enumerate()
                .map(source)
                .collect();
            let intake = CacheSink::new(&pass.jobs, pass.judge, pass.publish);
            let work = Work {
                seeds: Some(&Seeds::of(cache)),
                avoid: HashSet::new(),
                intake: Some(&intake),
                running: pass.running,
                context,
            };
            sent = self.find_or_make().and_then(|site| site.take_in(&sources, &work));
            intake.into_results(context)
        };
        let added = add_files_by(run, cache, stat, paths, links, context);
        // Where sending stopped the pass, that is the reason to be told.
        let pushed = sent?;
        Ok((added?, report(&pushed)))
    }

    /// Where the cache has the objects. Manifests come last, as everywhere.
    fn sources(cache: &Cache, items: &[Transfer]) -> Result<Vec<Source>> {
        let ids: Vec<ObjectId> = items.iter().map(|item| item.id).collect();
        let source = |(item, size): (&Transfer, u64)| Source {
            content: Content::Known(item.id, item.blake3),
            path: cache.object_path(&item.id),
            size,
        };
        Ok(items.iter().zip(cache.sizes_of_all(&ids)?).map(source).collect())
    }

    /// Fetch objects into the cache; one result for each, and the condemned objects that they consist of.
    pub(crate) fn pull(
        &self,
        cache: &Cache,
        items: &[Transfer],
        context: &Context,
    ) -> Result<(Vec<Fetched>, Relied)> {
        match self.find()? {
            Some(site) => site.pull(cache, items, context),
            None => Ok((vec![Fetched::Missing; items.len()], Relied::default())),
        }
    }

    /// Whether a key is that of a pack.
    pub(crate) fn is_pack(key: &str) -> bool {
        key.starts_with(Kind::Pack.prefix())
    }

    /// Take back what is condemned of what somebody needs, and warn. Nothing happens where nothing is.
    pub(crate) fn rescue(&self, needed: &Relied, context: &Context) -> Result<bool> {
        let Some(site) = self.find()?.filter(|_| !needed.is_empty()) else {
            return Ok(false);
        };
        let place = self.place();
        let all = needed.packs.len() + needed.recipes.len();
        let way_out = "`gc --remote --restore` restores it while it still exists";
        let (code, message) = match site.rescue(needed, context) {
            Ok(true) => (
                "store::condemned_restored",
                format!(
                    "a collection of {place} had condemned {all} of its objects that are needed: they were restored"
                ),
            ),
            Ok(false) => (
                "store::condemned",
                format!("a collection of {place} is deleting needed objects: {way_out}"),
            ),
            Err(error) => (
                "store::condemned",
                format!(
                    "a collection of {place} has condemned needed objects, which cannot be restored from here ({error}): {way_out}"
                ),
            ),
        };
        context.warn(code, message);
        Ok(code == "store::condemned_restored")
    }

    /// Leave the record of a repo that needs the remote.
    pub(crate) fn note_user(&self, user: &RemoteUser) -> Result<()> {
        self.find_or_make()?.note_user(user)
    }

    /// The repos that need the remote.
    pub(crate) fn users(&self) -> Result<Vec<FoundUser>> {
        self.find()?.map_or_else(|| Ok(Vec::new()), |site| site.users())
    }

    /// Drop the record of a repo.
    pub(crate) fn forget_user(&self, id: &str) -> Result<()> {
        self.find()?.map_or(Ok(()), |site| site.forget_user(id))
    }

    /// The sizes of objects; `None` for those that are not there.
    pub(crate) fn sizes(&self, ids: &[ObjectId], context: &Context) -> Result<Vec<Option<u64>>> {
        let Some(site) = self.find()? else {
            return Ok(vec![None; ids.len()]);
        };
        let catalog = Catalog::load(&*site.blobs, &site.mirror, context)?;
        let mut sizes = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TOGETHER) {
            let found = catalog.find(ids)?.into_iter();
            sizes.extend(found.map(|one| Some(one?.recipe.size)));
        }
        Ok(sizes)
    }

    /// All files, sorted, without those that a collector condemned: their packs may be gone already.
    pub(crate) fn list(&self, context: &Context) -> Result<Vec<ObjectEntry>> {
        let Some(site) = self.find()? else {
            return Ok(Vec::new());
        };
        let catalog = Catalog::load(&*site.blobs, &site.mirror, context)?;
        let mut all = Vec::new();
        for segment in &catalog.recipes {
            segment.each(|recipe| {
                let found = Found { recipe, segment };
                if catalog.is_clean(&found) {
                    all.push(ObjectEntry {
                        id: found.recipe.id,
                        size: found.recipe.size,
                    });
                }
                Ok::<(), std::io::Error>(())
            })?;
        }
        all.sort_unstable_by_key(|entry| entry.id);
        all.dedup_by_key(|entry| entry.id);
        Ok(all)
    }

    /// Read files again, without caching them: all, or about this percentage.
    pub(crate) fn verify(
        &self,
        expected: &[(ObjectId, Option<Blake3>)],
        sample: Option<u8>,
        context: &Context,
    ) -> Result<(VerifyReport, Relied)> {
        match self.find()? {
            Some(site) => site.verify(expected, sample, context),
            None => Ok((
                VerifyReport {
                    missing: expected.iter().map(|(id, _)| *id).collect(),
                    ..VerifyReport::default()
                },
                Relied::default(),
            )),
        }
    }

    /// Collect what `keep` does not name.
    pub(crate) fn collect(
        &self,
        keep: &HashSet<ObjectId>,
        options: &CollectOptions,
        context: &Context,
    ) -> Result<CollectReport> {
        match self.find()? {
            Some(site) => site.collect(keep, options, context),
            None => Ok(CollectReport::default()),
        }
    }

    /// Files that can be read only until a collection deletes what it condemned.
    pub(crate) fn condemned_files(&self, context: &Context) -> Result<Vec<ObjectId>> {
        let site = self.find()?;
        site.map_or_else(|| Ok(Vec::new()), |site| site.condemned_files(context))
    }

    /// Restore condemned objects that are not deleted yet.
    pub(crate) fn restore(&self, dry_run: bool, context: &Context) -> Result<RestoreReport> {
        match self.find()? {
            Some(site) => site.restore(dry_run, context),
            None => Ok(RestoreReport {
                dry_run,
                ..RestoreReport::default()
            }),
        }
    }

    /// Which stored bytes each file is made of: of those that are `asked` about how many, of the others only which.
    pub(crate) fn parts(
        &self,
        asked: &[ObjectId],
        others: &[ObjectId],
        context: &Context,
    ) -> Result<Vec<Option<FileParts>>> {
        match self.find()? {
            Some(site) => site.parts(asked, others, context),
            None => Ok(vec![None; asked.len() + others.len()]),
        }
    }

    /// Bring files here from another chunked remote. Those that it does not have are returned.
    pub(crate) fn copy_from(
        &self,
        source: &Self,
        ids: &[ObjectId],
        context: &Context,
    ) -> Result<(TransferReport, Vec<ObjectId>)> {
        let Some(theirs) = source.find()? else {
            return Ok((TransferReport::default(), ids.to_vec()));
        };
        let (pushed, missing) = self.find_or_make()?.copy_from(&theirs, ids, context)?;
        Ok((report(&pushed), missing))
    }

    /// Store objects from the cache again, relying on nothing in damaged packs, which nobody relies on from then on. Damaged
    /// segments are stored again as far as what they had is known here, and set aside.
    pub(crate) fn repair(
        &self,
        cache: &Cache,
        items: &[Transfer],
        damaged: &[StoredName],
        context: &Context,
    ) -> Result<TransferReport> {
        let sources = Self::sources(cache, items)?;
        let site = self.find_or_make()?;
        let known = Condemned::by(&tomb::read_all(&*site.blobs)?);
        let packs: Vec<StoredName> = damaged
            .iter()
            .filter(|n| !known.packs.contains(n))
            .copied()
            .collect();
        if !packs.is_empty() {
            let content = TombContent::new(tomb::DAMAGED, packs, Vec::new());
            tomb::put(&*site.blobs, &content)?;
        }
        // What is there, not this machine's copy of it.
        let source = super::mirror::Source::Remote;
        let catalog = Catalog::load_from(source, &*site.blobs, &site.mirror, context)?;
        site.put_back(&catalog)?;
        // Until then they stop collections, which could not know what they named.
        site.set_aside(&catalog.damaged)?;
        site.whole_index(&catalog, context)?;
        let avoid: HashSet<StoredName> = damaged.iter().copied().collect();
        let again = (&avoid, SameName::Replace);
        let pushed = site.push(&sources, Some(&Seeds::of(cache)), again, context)?;
        site.put_in_order(context)?;
        Ok(report(&pushed))
    }
}

pub(super) fn report(pushed: &Pushed) -> TransferReport {
    TransferReport {
        objects: pushed.objects,
        bytes: pushed.bytes,
        already_there: pushed.already_there,
        sent: pushed.sent,
        digests: BTreeMap::new(),
        rescued: false,
    }
}
