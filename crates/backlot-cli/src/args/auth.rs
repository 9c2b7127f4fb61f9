//! Arguments of `auth`: credentials for servers.

use clap::{Args, Subcommand};

use super::DryRun;
use super::places::Store;

#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Store a user and password, or a token, for a server or a path on it
    #[command(
        after_help = "The password is read from the terminal or from standard input. If the server accepts it, it is stored in\n~/.config/backlot/credentials.json (or BACKLOT_CREDENTIALS), which only you can read. It is used for all addresses that begin\nwith URL; the longest matching URL wins. It is never sent to another host.\n\nExamples:\n  backlot auth login https://index.studio.lan/team --user ana\n  backlot auth login webdav+https://files.studio.lan/repo --user ana --password-stdin < secret.txt\n  vault read -field=token studio/index | backlot auth login https://index.studio.lan --token-stdin\n  backlot auth login s3://assets/files --endpoint https://s3.studio.lan --region eu-west-1 --user KEY_ID\n  backlot auth login sftp://ana@farm.studio.lan/srv/repo\n\nExit codes: 0 stored, 2 URL without support for credentials, 3 rejected by the server, 6 no response."
    )]
    Login(LoginArgs),
    /// Remove a stored credential
    #[command(
        after_help = "Examples:\n  backlot auth logout https://index.studio.lan/team\n  backlot auth logout https://index.studio.lan/team --dry-run"
    )]
    Logout {
        /// The URL as it was given to `auth login`, or the name of a repo or remote of this workspace
        url: String,
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the credentials of all sources in order of precedence, without secrets
    #[command(
        after_help = "Sources, in this order: variables (BACKLOT_REPO_<NAME>_TOKEN and others), the helpers of the user's configuration,\nthe file of `auth login`, ~/.netrc. For buckets without any of these, the credentials of the service's own tools are used.\n\nExamples:\n  backlot auth list\n  backlot auth list --json | jq '.credentials[] | [.source, .prefix, .user]'"
    )]
    List,
    /// Test the credentials of a server; changes nothing there
    #[command(
        after_help = "Shows the source and the user of the credential, and the server's response.\n\nExamples:\n  backlot auth test https://index.studio.lan/team/dev/+simple/\n  backlot auth test s3://assets/files --endpoint https://s3.studio.lan --region eu-west-1\n  backlot auth test blessed                     a repo or remote of this workspace\n\nExit codes: 0 accepted, 2 URL without support for credentials, 3 rejected, 6 no response or a failed helper."
    )]
    Test {
        /// The URL of a repo or remote, or the name of one in this workspace
        url: String,
        #[command(flatten)]
        store: Store,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The URL of a server or of a path on it, or the name of a repo or remote of this workspace
    pub(crate) url: String,
    /// The user name; for a bucket, the key ID
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Read a token, which needs no user name, from standard input
    #[arg(long, conflicts_with = "password_stdin")]
    pub(crate) token_stdin: bool,
    /// Store the credential without testing it
    #[arg(long)]
    pub(crate) no_test: bool,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}
