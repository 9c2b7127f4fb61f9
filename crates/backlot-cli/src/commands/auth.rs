//! Credentials: stored, removed, listed, tested.
//!
//! Invariant: a secret comes from a terminal without echo or from standard input, never from an argument, and is never printed.

use std::io::{IsTerminal as _, Read as _, Write as _};

use backlot::{
    AuthError, AuthTarget, AuthTest, Credential, Diagnostic as _, Error, ListedCredential, LoginOptions,
    StoreOptions,
};

use crate::args::{Auth, LoginArgs};
use crate::output::{Answer, columns, would};
use crate::session::Session;

/// The longest password or token.
const SECRET_LIMIT: u64 = 64 * 1024;

pub(super) fn auth(session: &Session, command: &Auth) -> Result<Answer, Error> {
    let auth = backlot::Auth::new(&session.host);
    match command {
        Auth::Login(args) => login(session, &auth, args),
        Auth::Logout { url, store, dry } => {
            let report = auth.logout(
                &target(session, url, &store.options())?,
                &dry.changes(),
                &session.context,
            )?;
            let text = format!(
                "{}removed the credential of {} for `{}`",
                would(dry.dry_run),
                report.user,
                report.prefix
            );
            Ok(Answer::new(&report, text))
        }
        Auth::List => {
            let list = auth.list()?;
            let rows: Vec<Vec<String>> = list.credentials.iter().map(row).collect();
            let text = if rows.is_empty() {
                "no credentials; store some with `backlot auth login URL`".to_owned()
            } else {
                columns(&rows)
            };
            Ok(Answer::new(&list, text))
        }
        Auth::Test { url, store } => {
            let test = auth.test(&target(session, url, &store.options())?, &session.context)?;
            let mut answer = Answer::new(&test, describe(&test));
            if !test.accepted {
                answer.failure = Some(Box::new(AuthError::refused(&test)));
            }
            Ok(answer)
        }
    }
}

/// Resolve a URL or a name. A URL needs no workspace, and works even if the workspace is unreadable.
fn target(session: &Session, url: &str, options: &StoreOptions) -> Result<AuthTarget, Error> {
    let config = session
        .open()
        .and_then(|workspace| workspace.config(&session.context));
    let config = match config {
        Ok(config) => Some(config),
        Err(error) if error.code() == "config::invalid" && !url.contains("://") => return Err(error),
        Err(_) => None,
    };
    AuthTarget::find(url, options, config.as_ref())
}

fn login(session: &Session, auth: &backlot::Auth, args: &LoginArgs) -> Result<Answer, Error> {
    let target = target(session, &args.url, &args.store.options())?;
    let credential = credential(args, &target)?;
    let options = LoginOptions::new()
        .untested(args.no_test)
        .dry_run(args.dry.dry_run);
    let report = auth.login(&target, &credential, options, &session.context)?;
    let mut text = format!(
        "{}stored the credential of {} for `{}` in `{}`",
        would(report.dry_run),
        report.user,
        report.prefix,
        report.file.display()
    );
    if let Some(user) = &report.replaced {
        text = format!("{text}, replacing that of {user}");
    }
    match &report.test {
        Some(test) => text = format!("{text}\naccepted by `{}`: {}", test.url, test.answer),
        None => text.push_str("\nnot tested"),
    }
    if let Some(first) = &report.hidden_by {
        text = format!("{text}\nnote: {first} takes precedence, and also has a credential for this URL");
    }
    Ok(Answer::new(&report, text))
}

/// The user, from the arguments, standard input or the terminal.
fn credential(args: &LoginArgs, target: &AuthTarget) -> Result<Credential, Error> {
    // Of an SSH address the user is a part.
    let in_url = target.url.strip_prefix("sftp://").and_then(|rest| {
        let (user, _) = rest.split('/').next()?.split_once('@')?;
        Some(user.to_owned())
    });
    let user = args.user.clone().or(in_url);
    if args.token_stdin {
        return Ok(Credential {
            user: user.unwrap_or_else(|| Credential::TOKEN_USER.to_owned()),
            password: secret_of_stdin()?,
        });
    }
    if args.password_stdin {
        let missing = AuthError::NoTerminal { what: "the user" };
        return Ok(Credential {
            user: user.ok_or(missing)?,
            password: secret_of_stdin()?,
        });
    }
    if !std::io::stdin().is_terminal() {
        return Err(AuthError::NoTerminal { what: "the password" }.into());
    }
    let user = match user {
        Some(user) => user,
        None => ask_user(&target.url)?,
    };
    let prompt = format!("password of {user} for {}: ", target.url);
    let password = rpassword::prompt_password(prompt)?;
    Ok(Credential { user, password })
}

fn ask_user(url: &str) -> Result<String, Error> {
    let mut stderr = std::io::stderr();
    write!(stderr, "user for {url}: ")?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim() {
        "" => Err(AuthError::NoTerminal { what: "the user" }.into()),
        user => Ok(user.to_owned()),
    }
}

/// All of standard input, without the line's end.
fn secret_of_stdin() -> Result<String, Error> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(SECRET_LIMIT + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_LIMIT {
        return Err(AuthError::BadSecret.into());
    }
    let text = String::from_utf8(bytes).map_err(|_| AuthError::BadSecret)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn describe(test: &AuthTest) -> String {
    let who = match (&test.user, &test.source, &test.from) {
        (Some(user), Some(source), Some(from)) => format!("as {user} (source: {}, {from})", source.as_str()),
        _ => "without credentials from Backlot".to_owned(),
    };
    let verdict = if test.accepted { "accepted" } else { "rejected" };
    format!("`{}`: {verdict} {who}: {}", test.url, test.answer)
}

fn row(listed: &ListedCredential) -> Vec<String> {
    let address = listed.prefix.clone().or_else(|| listed.host.clone());
    vec![
        listed.source.as_str().to_owned(),
        address.unwrap_or_else(|| "all hosts".to_owned()),
        listed.user.clone().unwrap_or_else(|| "-".to_owned()),
        listed.from.clone(),
    ]
}
