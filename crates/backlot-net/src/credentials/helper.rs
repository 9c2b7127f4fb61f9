//! Credentials by a command: the protocol of git's credential helpers, which reach the system's keyring, `pass`, vaults; and
//! what docker's helpers answer.
//!
//! `get` is added to the command; on standard input are lines `protocol=`, `host=`, `path=` (only for a helper of a prefix with a
//! path), `username=` (if one is named), and an empty line. The answer is lines `username=`, `password=`,
//! `password_expiry_utc=` (seconds since the Unix epoch), or a JSON object with these keys. A program named
//! `docker-credential-*` is given the server's URL, and answers `{"Username": ..., "Secret": ...}`.
//!
//! Invariants: a helper is run once for a server, and again only when its credential has expired or was rejected; it has a time
//! limit, after which it is killed with its child processes; its output is bounded and never in a message, nor are options of its
//! command line. An answer for another host is refused. Deliberately absent: `store` and `erase`; a helper is only read.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backlot_core::{Context, Timestamp};
use serde_json::Value;

use super::{
    Credential, CredentialRequest, CredentialSource, FoundCredential, ListedCredential, SourceKind, UrlPrefix,
};
use crate::child::OwnChild;
use crate::error::{Error, Result};

/// The most that a helper may say.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// How often it is looked whether the work was cancelled, or the helper has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// A command that is asked for credentials.
///
/// ```
/// use backlot_net::{CommandHelper, UrlPrefix};
///
/// let helper = CommandHelper {
///     words: ["git", "credential-manager", "--secret=x"].map(ToOwned::to_owned).to_vec(),
///     prefix: Some(UrlPrefix::parse("https://index.studio.example").unwrap()),
/// };
/// assert_eq!(helper.shown(), "git credential-manager …");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CommandHelper {
    /// The program and its arguments; `get` is added.
    pub words: Vec<String>,
    /// The servers it is asked about; `None` for all.
    pub prefix: Option<UrlPrefix>,
}

impl fmt::Debug for CommandHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandHelper")
            .field("command", &self.shown())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl CommandHelper {
    /// The command as it may be shown: an option may have a secret in it, so it ends before the first.
    pub fn shown(&self) -> String {
        let plain = |word: &&String| !word.starts_with('-') && !word.contains('=');
        let shown: Vec<&str> = self.words.iter().take_while(plain).map(String::as_str).collect();
        let cut = if shown.len() < self.words.len() {
            " …"
        } else {
            ""
        };
        format!("{}{cut}", shown.join(" "))
    }

    fn is_docker(&self) -> bool {
        let program = self.words.first().map(String::as_str).unwrap_or_default();
        let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
        name.starts_with("docker-credential-")
    }

    fn covers(&self, request: &CredentialRequest<'_>) -> bool {
        self.prefix
            .as_ref()
            .is_none_or(|prefix| prefix.covers(request.url))
    }

    /// The input written to it.
    fn question(&self, request: &CredentialRequest<'_>) -> String {
        if self.is_docker() {
            return match &self.prefix {
                Some(prefix) => format!("{prefix}\n"),
                None => format!("{}://{}\n", request.url.scheme(), server(request)),
            };
        }
        let mut lines = format!("protocol={}\nhost={}\n", request.url.scheme(), server(request));
        let path = self
            .prefix
            .as_ref()
            .map(UrlPrefix::path)
            .filter(|path| !path.is_empty());
        if let Some(path) = path {
            lines = format!("{lines}path={path}\n");
        }
        let user = request.user.filter(|user| !user.contains(char::is_control));
        if let Some(user) = user {
            lines = format!("{lines}username={user}\n");
        }
        lines + "\n"
    }

    fn ask(
        &self,
        request: &CredentialRequest<'_>,
        limit: Duration,
        context: &Context,
    ) -> Result<Option<FoundCredential>> {
        let failed = |reason: String| Error::Helper {
            command: self.shown(),
            host: server(request),
            reason,
        };
        let (output, success) = self.run(&self.question(request), limit, context, &failed)?;
        if !success {
            // Docker's helpers say in this way that they have none.
            if self.is_docker() && String::from_utf8_lossy(&output).contains("not found") {
                return Ok(None);
            }
            return Err(failed("it exited with an error".to_owned()));
        }
        let said = Said::read(&output).map_err(|reason| failed(reason.to_owned()))?;
        let answers_for = |text: &str| {
            text.eq_ignore_ascii_case(&server(request)) || text.eq_ignore_ascii_case(request.host())
        };
        if said.host.as_deref().is_some_and(|host| !answers_for(host)) {
            return Err(failed("it returned credentials for another host".to_owned()));
        }
        let Some(password) = said.password else {
            return Ok(None);
        };
        if said.expires.is_some_and(|at| at <= context.now()) {
            return Err(failed("it returned expired credentials".to_owned()));
        }
        Ok(Some(FoundCredential {
            credential: Credential {
                user: said.user.unwrap_or_else(|| Credential::TOKEN_USER.to_owned()),
                password,
            },
            source: SourceKind::Helper,
            from: self.shown(),
            expires: said.expires,
        }))
    }

    /// Run it; returns its output, and whether it succeeded.
    fn run(
        &self,
        question: &str,
        limit: Duration,
        context: &Context,
        failed: &dyn Fn(String) -> Error,
    ) -> Result<(Vec<u8>, bool)> {
        let Some((program, rest)) = self.words.split_first() else {
            return Err(failed("it has no program".to_owned()));
        };
        let mut command = Command::new(program);
        command
            .args(rest)
            .arg("get")
            // It must not ask on the terminal.
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running =
            OwnChild::start(&mut command).map_err(|e| failed(format!("cannot start it: {e}")))?;
        let until = Instant::now() + limit;
        let late = || failed(format!("no answer within {} seconds", limit.as_secs_f32()));
        if let Some(mut stdin) = running.process().stdin.take() {
            // A helper that does not read its input may still answer.
            stdin.write_all(question.as_bytes()).ok();
        }
        let (send, said) = channel();
        let stdout = running.process().stdout.take();
        // It ends when the helper and all that has its output have ended, which killing them brings about.
        std::thread::spawn(move || {
            let mut output = Vec::new();
            let read = stdout.map(|stdout| stdout.take(ANSWER_LIMIT + 1).read_to_end(&mut output));
            send.send(read.is_some_and(|read| read.is_ok()).then_some(output))
                .ok();
        });
        let output = loop {
            context.check()?;
            match said.recv_timeout(GLANCE) {
                Ok(output) => break output.unwrap_or_default(),
                Err(RecvTimeoutError::Disconnected) => break Vec::new(),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= until => return Err(late()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        if output.len() as u64 > ANSWER_LIMIT {
            return Err(failed("its answer is too long".to_owned()));
        }
        loop {
            context.check()?;
            match running.process().try_wait() {
                Ok(Some(status)) => return Ok((output, status.success())),
                Ok(None) if Instant::now() >= until => return Err(late()),
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(e) => return Err(failed(format!("cannot wait for it: {e}"))),
            }
        }
    }
}

/// `host`, or `host:port` where the port is not the usual one.
fn server(request: &CredentialRequest<'_>) -> String {
    let port = request.url.port().map(|port| format!(":{port}"));
    format!("{}{}", request.host(), port.unwrap_or_default())
}

/// The answer of a helper.
#[derive(Default)]
struct Said {
    host: Option<String>,
    user: Option<String>,
    password: Option<String>,
    expires: Option<Timestamp>,
}

impl Said {
    fn read(output: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(output).map_err(|_| "its answer is not valid UTF-8")?;
        let said = if text.trim_start().starts_with('{') {
            Self::json(text)
        } else {
            Self::lines(text)
        }?;
        let odd = |text: &Option<String>| text.as_ref().is_some_and(|t| t.contains(char::is_control));
        if odd(&said.user) || odd(&said.password) {
            return Err("its answer has control characters");
        }
        Ok(said)
    }

    fn lines(text: &str) -> Result<Self, &'static str> {
        let mut said = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Some((key, value)) = line.split_once('=') else {
                return Err("its answer is not lines of `key=value`");
            };
            let value = Some(value.to_owned()).filter(|value| !value.is_empty());
            match key {
                "host" => said.host = value,
                "username" => said.user = value,
                "password" => said.password = value,
                "password_expiry_utc" => said.expires = value.map(|at| seconds(&at)).transpose()?,
                _ => {}
            }
        }
        Ok(said)
    }

    fn json(text: &str) -> Result<Self, &'static str> {
        let value: Value = serde_json::from_str(text).map_err(|_| "its answer is not valid JSON")?;
        let get = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| value[*key].as_str());
            found.filter(|text| !text.is_empty()).map(ToOwned::to_owned)
        };
        let expires = match &value["password_expiry_utc"] {
            Value::Null => None,
            Value::Number(at) => Some(seconds(&at.to_string())?),
            Value::String(at) => Some(seconds(at)?),
            _ => return Err("its expiry is not a number of seconds"),
        };
        let url = get(&["ServerURL"]).and_then(|url| url::Url::parse(&url).ok());
        let host = url.as_ref().and_then(url::Url::host_str).map(ToOwned::to_owned);
        Ok(Self {
            host: get(&["host"]).or(host),
            user: get(&["username", "Username"]).filter(|user| user != "<token>"),
            password: get(&["password", "Secret"]),
            expires,
        })
    }
}

fn seconds(text: &str) -> Result<Timestamp, &'static str> {
    let seconds: u64 = text
        .parse()
        .map_err(|_| "its expiry is not a number of seconds")?;
    Ok(Timestamp(seconds.saturating_mul(1000)))
}

/// Cached answers, by helper and question.
type Answers = BTreeMap<(usize, String), Option<FoundCredential>>;

/// The helpers of a user's configuration.
///
/// ```
/// use std::sync::Arc;
///
/// use backlot_net::{CommandHelper, CommandHelpers, CredentialChain};
///
/// let git = CommandHelper {
///     words: vec!["git-credential-libsecret".to_owned()],
///     prefix: None,
/// };
/// let chain = CredentialChain::default().with(Arc::new(CommandHelpers::new(vec![git], CommandHelpers::LIMIT)));
/// assert_eq!(chain.list().unwrap().len(), 1);
/// ```
pub struct CommandHelpers {
    helpers: Vec<CommandHelper>,
    limit: Duration,
    answers: Mutex<Answers>,
}

impl fmt::Debug for CommandHelpers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandHelpers")
            .field("helpers", &self.helpers)
            .finish_non_exhaustive()
    }
}

impl CommandHelpers {
    /// The default time limit of a helper: the user may have to touch a key.
    pub const LIMIT: Duration = Duration::from_mins(1);

    /// Ask these helpers; the one with the longest prefix first, those without one last.
    pub fn new(mut helpers: Vec<CommandHelper>, limit: Duration) -> Self {
        let length = |helper: &CommandHelper| helper.prefix.as_ref().map(|prefix| prefix.length() + 1);
        helpers.sort_by_key(|helper| std::cmp::Reverse(length(helper)));
        Self {
            helpers,
            limit,
            answers: Mutex::default(),
        }
    }
}

impl CredentialSource for CommandHelpers {
    fn kind(&self) -> SourceKind {
        SourceKind::Helper
    }

    fn find(&self, request: &CredentialRequest<'_>, context: &Context) -> Result<Option<FoundCredential>> {
        // Held while a helper runs: many that need the same ask once.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, helper) in self.helpers.iter().enumerate() {
            if !helper.covers(request) {
                continue;
            }
            let key = (number, helper.question(request));
            let good = |known: &&Option<FoundCredential>| match known {
                // Another place may have asked again meanwhile.
                Some(found) => {
                    found.expires.is_none_or(|at| at > context.now())
                        && request.instead_of != Some(&found.credential)
                }
                None => request.instead_of.is_none(),
            };
            let found = match answers.get(&key).filter(good) {
                Some(known) => known.clone(),
                None => {
                    let found = helper.ask(request, self.limit, context)?;
                    answers.insert(key, found.clone());
                    found
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn list(&self) -> Result<Vec<ListedCredential>> {
        let listed = self.helpers.iter().map(|helper| ListedCredential {
            source: SourceKind::Helper,
            from: helper.shown(),
            prefix: helper.prefix.as_ref().map(ToString::to_string),
            host: helper.prefix.as_ref().map(|prefix| prefix.host().to_owned()),
            user: None,
        });
        Ok(listed.collect())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use backlot_core::{Context, Diagnostic as _};

    use super::super::{
        Credential, CredentialRequest, CredentialSource as _, FoundCredential, PlaceName, UrlPrefix,
    };
    use super::{CommandHelper, CommandHelpers, Said};
    use crate::error::Result;

    fn script(folder: &Path, name: &str, text: &str) -> CommandHelper {
        let path = folder.join(name);
        fs_err::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        // Read by a shell, not started: another test's child may still have it open for writing.
        CommandHelper {
            words: vec!["sh".to_owned(), path.display().to_string()],
            prefix: None,
        }
    }

    fn ask(
        helpers: &CommandHelpers,
        url: &str,
        user: Option<&str>,
        instead_of: Option<&Credential>,
    ) -> Result<Option<FoundCredential>> {
        let url = url.parse().unwrap();
        let request = CredentialRequest {
            place: &PlaceName::unnamed(),
            url: &url,
            user,
            instead_of,
        };
        helpers.find(&request, &Context::default())
    }

    fn one(helper: CommandHelper) -> CommandHelpers {
        CommandHelpers::new(vec![helper], Duration::from_secs(5))
    }

    #[test]
    fn a_helper_is_given_the_request_of_git_and_asked_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let text = format!(
            "echo \"$@\" >> {0}; cat >> {0}; printf 'username=ana\\npassword=a b=c\\n'",
            log.display()
        );
        let mut helper = script(folder.path(), "helper", &text);
        helper.prefix = Some(UrlPrefix::parse("https://host:8443/team").unwrap());
        let helpers = one(helper);
        let mut last = None;
        for is_refused in [false, false, true] {
            let refused = last.as_ref().filter(|_| is_refused);
            let found = ask(&helpers, "https://host:8443/team/dev/", Some("ana"), refused)
                .unwrap()
                .unwrap();
            assert_eq!(found.credential.password, "a b=c");
            last = Some(found.credential);
        }
        // Another place that still has an older one is answered what is known by now.
        let older = Credential {
            password: "older".to_owned(),
            ..last.unwrap()
        };
        ask(&helpers, "https://host:8443/team/dev/", Some("ana"), Some(&older)).unwrap();
        assert!(
            ask(&helpers, "https://host:8443/other", None, None)
                .unwrap()
                .is_none()
        );
        let request = "get\nprotocol=https\nhost=host:8443\npath=team\nusername=ana\n\n";
        assert_eq!(fs_err::read_to_string(&log).unwrap(), request.repeat(2));
    }

    #[test]
    fn the_helper_with_the_longest_prefix_is_asked_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut helpers = Vec::new();
        for (name, prefix) in [
            ("all", None),
            ("short", Some("https://host")),
            ("long", Some("https://host/team")),
        ] {
            let mut helper = script(folder.path(), name, &format!("echo password={name}"));
            helper.prefix = prefix.map(|prefix| UrlPrefix::parse(prefix).unwrap());
            helpers.push(helper);
        }
        let helpers = CommandHelpers::new(helpers, Duration::from_secs(5));
        for (url, expected) in [
            ("https://host/team/x", "long"),
            ("https://host/x", "short"),
            ("https://else/", "all"),
        ] {
            let found = ask(&helpers, url, None, None).unwrap().unwrap();
            assert_eq!(found.credential.password, expected);
            assert!(found.credential.is_token());
        }
    }

    #[test]
    fn a_helper_that_fails_hangs_or_answers_nonsense_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, reason) in [
            ("fails", "echo password=hunter2; exit 1", "exited with an error"),
            ("words", "echo hunter2", "key=value"),
            ("json", "echo '{\"password\": \"hunter2'", "not valid JSON"),
            ("bytes", "printf 'password=hunter2\\377\\n'", "UTF-8"),
            ("control", "printf 'password=hunter2\\tx\\n'", "control"),
            (
                "when",
                "printf 'password=hunter2\\npassword_expiry_utc=soon\\n'",
                "seconds",
            ),
            (
                "old",
                "printf 'password=hunter2\\npassword_expiry_utc=1\\n'",
                "expired",
            ),
            (
                "other",
                "printf 'host=evil\\npassword=hunter2\\n'",
                "another host",
            ),
            ("endless", "while :; do echo password=hunter2; done", "too long"),
        ] {
            let error = ask(
                &one(script(folder.path(), name, text)),
                "https://host/",
                None,
                None,
            )
            .unwrap_err();
            assert_eq!(error.code(), "auth::helper", "{name}");
            let text = format!("{error} {:?} {error:?}", error.help());
            assert!(
                text.contains(reason) && text.contains(name) && !text.contains("hunter2"),
                "{text}"
            );
        }
        let missing = CommandHelper {
            words: vec!["/no/such/helper".to_owned(), "--token=hunter2".to_owned()],
            prefix: None,
        };
        let error = ask(&one(missing), "https://host/", None, None).unwrap_err();
        assert!(error.to_string().contains("/no/such/helper …"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
        let mark = folder.path().join("mark");
        let text = format!("sleep 3; echo late > {}; echo password=x", mark.display());
        let slow = CommandHelpers::new(
            vec![script(folder.path(), "hangs", &text)],
            Duration::from_millis(200),
        );
        let started = Instant::now();
        let error = ask(&slow, "https://host/", None, None).unwrap_err();
        assert!(
            error.to_string().contains("no answer within 0.2 seconds"),
            "{error}"
        );
        assert!(started.elapsed() < Duration::from_secs(2));
        // Its child processes are killed, too.
        std::thread::sleep(Duration::from_millis(3200).saturating_sub(started.elapsed()));
        assert!(!mark.exists());
    }

    #[test]
    fn dockers_helpers_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let text = "read url; [ \"$url\" = https://host ] || { echo 'credentials not found in native keychain'; exit 1; }\n\
                    echo '{\"ServerURL\": \"https://host\", \"Username\": \"ana\", \"Secret\": \"x\"}'";
        script(folder.path(), "answers", text);
        let shell = folder.path().join("docker-credential-test");
        std::os::unix::fs::symlink("/bin/sh", &shell).unwrap();
        let helpers = one(CommandHelper {
            words: vec![
                shell.display().to_string(),
                folder.path().join("answers").display().to_string(),
            ],
            prefix: None,
        });
        let found = ask(&helpers, "https://host/team", None, None).unwrap().unwrap();
        assert_eq!(
            (found.credential.user.as_str(), found.credential.password.as_str()),
            ("ana", "x")
        );
        assert!(ask(&helpers, "https://other/", None, None).unwrap().is_none());
    }

    #[test]
    fn an_answer_without_a_password_is_none() {
        for text in ["", "\n", "username=ana\n", "quit=1\n", "{}"] {
            assert!(Said::read(text.as_bytes()).unwrap().password.is_none(), "{text}");
        }
    }
}
