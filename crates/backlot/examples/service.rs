//! Backlot in a web service: a frame is sent, and its asset is published with it. The answer is a stream of events: how far it is, then the report or
//! the error. Who goes away before that cancels the work.
//!
//! `cargo run -p backlot --example service -- WORK_FOLDER`, then
//! `curl -N --data-binary @f.0001.exr http://127.0.0.1:PORT/publish/Turntable/f.0001.exr`

use std::convert::Infallible;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Parts, State};
use axum::response::sse::{Event, Sse};
use axum::routing::post;
use backlot::aio::{self, Call};
use backlot::{
    AddFiles, AddRemote, AddRepo, BumpStep, Context, Diagnostic as _, Error, Host, InitOptions, NewAsset,
    Progress, PublishOptions, PublishReport, VersionChange, Workspace,
};
use fs_err as fs;
use futures_lite::{Stream, stream};
use serde_json::json;

/// How often it is said how far the work is.
const TELL: Duration = Duration::from_millis(100);
/// The longest upload.
const LARGEST: usize = 256 << 20;

fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// The file that an upload is stored as; a name that leads elsewhere is refused.
fn place(workspace: &Workspace, asset: &str, file: &str) -> Result<PathBuf, std::io::Error> {
    let is_plain = |name: &str| Path::new(name).file_name().is_some_and(|plain| plain == name);
    if !is_plain(file) || !is_plain(asset) {
        return Err(std::io::Error::other("names are of one part"));
    }
    let module = asset.to_lowercase();
    let frames = workspace
        .outputs_dir()
        .join(&module)
        .join("src")
        .join(&module)
        .join("frames");
    Ok(frames.join(file))
}

/// Store an upload, and publish its asset.
fn store(
    workspace: &Workspace,
    (asset, file): (&str, &str),
    bytes: &[u8],
    context: &Context,
) -> Result<PublishReport, Error> {
    let path = place(workspace, asset, file)?;
    if workspace.output(asset, context).is_err() {
        workspace.new_asset(asset, &NewAsset::new(), context)?;
    }
    let frames = path.parent().unwrap_or(&path);
    fs::create_dir_all(frames)?;
    fs::write(&path, bytes)?;
    workspace.add(&[frames.to_path_buf()], &AddFiles::new(), context)?;
    let micro = VersionChange::Steps(vec![BumpStep::Micro]);
    workspace.publish(asset, &PublishOptions::new().bump(Some(micro)), context)
}

/// A publish that somebody watches. Dropping it cancels the work.
struct Watched {
    call: Option<Call<Result<PublishReport, Error>>>,
    progress: Arc<Progress>,
}

/// How far it is, or how it ended; nothing after that.
async fn next(mut watched: Watched) -> Option<(Result<Event, Infallible>, Watched)> {
    let call = watched.call.as_mut()?;
    let event = match tokio::time::timeout(TELL, call).await {
        Err(_) => Event::default()
            .event("progress")
            .json_data(watched.progress.call()),
        Ok(ended) => {
            watched.call = None;
            match ended {
                Ok(report) => Event::default().event("done").json_data(report),
                Err(error) => Event::default().event("failed").json_data(json!({
                    "code": error.code(),
                    "message": error.to_string(),
                    "help": error.help(),
                })),
            }
        }
    };
    let event = event.unwrap_or_else(|error| Event::default().event("failed").data(error.to_string()));
    Some((Ok(event), watched))
}

async fn publish(
    State(workspace): State<Workspace>,
    Parts((asset, file)): Parts<(String, String)>,
    bytes: Bytes,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let progress = Arc::new(Progress::default());
    let context = Context::default().with_observer(Arc::clone(&progress) as _);
    // The calls block: they run on a thread of their own, and this future waits for it.
    let call = aio::run(&context, move |context| {
        let done = store(&workspace, (&asset, &file), &bytes, context);
        match &done {
            Ok(report) => say(&format!("{} {}", report.asset, report.version)),
            Err(error) => say(&format!("{asset}: {error}")),
        }
        done
    });
    let call = Some(call);
    Sse::new(stream::unfold(Watched { call, progress }, next))
}

fn workspace(folder: &Path, host: &Host) -> Result<Workspace, Error> {
    let context = Context::default();
    let options = InitOptions::new().python(Some("none".to_owned()));
    Workspace::init(folder, &options, host, &context)?;
    let workspace = Workspace::open(folder, host)?;
    workspace.add_repo("review", "../review", &AddRepo::new(), &context)?;
    workspace.add_remote("files", "../files", &AddRemote::new().as_default(true), &context)?;
    Ok(workspace)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(work) = std::env::args().nth(1).map(PathBuf::from) else {
        return Err("usage: service WORK_FOLDER".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut host = Host::new(work.join("cache"));
        // Storage and network are driven by the service's own runtime.
        if let Some(runtime) = backlot::Runtime::current() {
            host.network.runtime = runtime;
        }
        let workspace = workspace(&work.join("service"), &host)?;
        let routes = Router::new()
            .route("/publish/{asset}/{file}", post(publish))
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(workspace);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        say(&format!("listening on {}", listener.local_addr()?));
        axum::serve(listener, routes).await?;
        Ok(())
    })
}
