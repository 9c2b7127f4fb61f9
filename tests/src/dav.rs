//! Apache and nginx, as studios run them: `WebDAV` over a folder, and a folder as plain files.
//!
//! Each is one process, without a master, so that it ends with the test. The user is `ana`, the password `secret`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::peer::Peer;

/// The user and the SHA-1 of the password.
const PASSWORDS: &str = "ana:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

const APACHE: [&str; 9] = [
    "mpm_event",
    "authz_core",
    "dav",
    "dav_fs",
    "mime",
    "auth_basic",
    "authn_core",
    "authn_file",
    "authz_user",
];

/// Apache's `mod_dav` over `root`; `folder` is its own.
pub fn apache(folder: &Path, root: &Path) -> Peer {
    prepare(folder, root);
    let (at, root) = (folder.display(), root.display());
    let modules: String = APACHE
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    Peer::start(|port| {
        let text = format!(
            "ServerRoot {at}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {at}/pid\nErrorLog {at}/log\nUser www-data\n\
             Group www-data\n{modules}TypesConfig /etc/mime.types\nDocumentRoot {root}\nDavLockDB {at}/lock/db\n<Directory {root}>\n\
             Dav On\nDavDepthInfinity On\nAuthType Basic\nAuthName dav\nAuthUserFile {at}/passwords\nRequire valid-user\n</Directory>\n"
        );
        fs::write(folder.join("httpd.conf"), text).expect("written");
        let mut apache = Command::new("/usr/sbin/apache2");
        apache.args(["-X", "-f"]).arg(folder.join("httpd.conf"));
        apache
    })
}

/// nginx with its module for `WebDAV` over `root`, which takes plain `PUT`, too.
pub fn nginx(folder: &Path, root: &Path) -> Peer {
    prepare(folder, root);
    let location = format!(
        "auth_basic dav; auth_basic_user_file {}/passwords; dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; \
         dav_ext_lock zone=locks; create_full_put_path on;",
        folder.display()
    );
    start_nginx(folder, root, "dav_ext_lock_zone zone=locks:10m;", &location)
}

/// nginx over a folder, which is only read.
pub fn nginx_files(folder: &Path, root: &Path) -> Peer {
    prepare(folder, root);
    start_nginx(folder, root, "", "autoindex on;")
}

fn start_nginx(folder: &Path, root: &Path, before: &str, location: &str) -> Peer {
    let (at, root) = (folder.display(), root.display());
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {at}/{name}; "))
        .collect();
    Peer::start(|port| {
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;\ndaemon off; master_process off; pid {at}/pid; error_log {at}/log;\n\
             events {{ worker_connections 512; }}\nhttp {{ access_log off; {paths}client_max_body_size 0; sendfile on; {before}\n\
             server {{ listen 127.0.0.1:{port}; root {root}; location / {{ {location} }} }} }}\n"
        );
        fs::write(folder.join("nginx.conf"), text).expect("written");
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.arg("-c").arg(folder.join("nginx.conf"));
        nginx.arg("-e").arg(folder.join("log"));
        nginx
    })
}

/// Its folders, which it has to get to and to write to as the user that it becomes.
fn prepare(folder: &Path, root: &Path) {
    for made in [folder, &folder.join("lock"), root] {
        fs::create_dir_all(made).expect("made");
        fs::set_permissions(made, PermissionsExt::from_mode(0o777)).expect("opened");
    }
    for above in root
        .ancestors()
        .skip(1)
        .take_while(|above| above.parent().is_some())
    {
        let mode = fs::metadata(above).expect("there").permissions().mode();
        if mode & 0o001 == 0 {
            fs::set_permissions(above, PermissionsExt::from_mode(mode | 0o011)).expect("opened");
        }
    }
    fs::write(folder.join("passwords"), PASSWORDS).expect("written");
}
