//! Telling one hook of one event.
//!
//! A program gets the event as JSON on its standard input, and takes it by ending with 0; there is no shell. A server gets it as a signed message. What fails is
//! tried again, after pauses. Invariant: each attempt at an event has the same id, so that who gets it twice can tell. Deliberately absent: what comes after that.

use std::ffi::OsString;
use std::time::Duration;

use backlot_net::{Pauses, SignedPost};

use crate::error::{EventsError, Result};
use crate::feed::hook::{Hook, Target};
use crate::feed::reading::{RepoEvent, rest};
use crate::validate::command::{Program, output, run};
use crate::validate::found::Outcome;
use crate::workspace::Opened;

/// How often a program that failed is started again, and the first pause before.
const RETRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The ID of an event for its receiver.
pub(crate) fn delivery_id(event: &RepoEvent) -> String {
    format!("{}:{}", event.repo, event.event.id)
}

impl Opened {
    /// Tell a hook of an event, until it takes it or was tried too often.
    pub(crate) fn deliver(&self, hook: &Hook, event: &RepoEvent) -> Result<()> {
        let body = serde_json::to_vec(event).expect("an event is plain data");
        match &hook.target {
            Target::Command(words) => self.start_hook(hook, words, event, &body),
            Target::Webhook(url, secret) => {
                let secret = self.hook_secret(hook, secret.as_deref())?;
                let id = delivery_id(event);
                let post = SignedPost::new(url, &id, &body, &secret).deadline(hook.timeout);
                self.network()?.post(&post).map_err(|error| match error {
                    backlot_net::Error::Cancelled(stopped) => stopped.into(),
                    error => not_taken(hook, error.to_string()),
                })
            }
        }
    }

    fn program<'a>(&'a self, hook: &Hook, words: &'a [String], event: Option<&RepoEvent>) -> Program<'a> {
        let mut variables = self.host().environment.0.clone();
        let secret = OsString::from(hook.variable());
        variables.retain(|(name, _)| *name != secret);
        if let Some(event) = event {
            variables.push(("BACKLOT_EVENT_ID".into(), delivery_id(event).into()));
            variables.push(("BACKLOT_EVENT_TOPIC".into(), event.event.topic.clone().into()));
        }
        Program {
            argv: words,
            folder: self.root(),
            programs: self.root(),
            expect: None,
            variables,
            request: Vec::new(),
            timeout: hook.timeout,
        }
    }

    fn start_hook(&self, hook: &Hook, words: &[String], event: &RepoEvent, body: &[u8]) -> Result<()> {
        let mut pauses = Pauses::new(RETRIES, FIRST_PAUSE);
        loop {
            let program = Program {
                request: body.to_vec(),
                ..self.program(hook, words, Some(event))
            };
            let (outcome, found) = run(&program, self.context());
            self.context().check()?;
            if outcome == Outcome::Pass {
                return Ok(());
            }
            match pauses.next(None) {
                Some(pause) => rest(pause, self.context())?,
                None => {
                    let why = found.first().map(|item| item.message.clone());
                    return Err(not_taken(
                        hook,
                        why.unwrap_or_else(|| "it exited with 1".to_owned()),
                    ));
                }
            }
        }
    }

    /// The secret that messages to a hook are signed with: its variable, else what its command prints first.
    fn hook_secret(&self, hook: &Hook, command: Option<&[String]>) -> Result<String> {
        let variable = hook.variable();
        let no_secret = |reason: String| EventsError::NoSecret {
            hook: hook.name.clone(),
            reason,
            variable: variable.clone(),
        };
        if let Some(secret) = self.host().variable(&variable) {
            let secret = secret.into_string().unwrap_or_default();
            if secret.trim().is_empty() {
                return Err(no_secret(format!("{variable} is empty")).into());
            }
            return Ok(secret.trim().to_owned());
        }
        let Some(words) = command else {
            return Err(no_secret(format!("{variable} is not set, and it has no `secret-command`")).into());
        };
        let printed = output(&self.program(hook, words, None), self.context());
        self.context().check()?;
        let printed = printed.map_err(|reason| no_secret(format!("`{}`: {reason}", words[0])))?;
        match printed
            .lines()
            .next()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            Some(secret) => Ok(secret.to_owned()),
            None => Err(no_secret(format!("`{}` printed nothing", words[0])).into()),
        }
    }
}

fn not_taken(hook: &Hook, reason: String) -> crate::error::Error {
    EventsError::NotTaken {
        hook: hook.name.clone(),
        reason,
    }
    .into()
}
