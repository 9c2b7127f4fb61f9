#!/usr/bin/env bash
# Installs what the tests need and a fresh Debian machine lacks: a C compiler, Python, an SSH server, Apache, nginx, strace, npm, Ceph, Slurm, and the real peers that judge us
# (pip, uv, twine, dvc, packaging, devpi-server, pypiserver, build, hatchling, moto, wsgidav, openjd-cli; Azurite) in an environment of their own, outside the repository. Does nothing when all is there.
set -euo pipefail

tools="${BACKLOT_TEST_TOOLS:-$HOME/.cache/backlot/test-tools}"
peers="pip==26.3 uv==0.13.8 twine==7.0.0 dvc==3.67.1 dvc-s3==3.3.0 dvc-ssh==4.3.0 dvc-webdav==3.0.1 bcrypt==4.3.0 packaging==26.3 devpi-server==6.20.3 pypiserver==2.4.2 build==1.6.1 hatchling==1.33.0 moto[server,s3]==5.2.5 wsgidav==4.4.0 cheroot==11.1.2 openjd-cli==0.8.0"

have() { command -v "$1" >/dev/null 2>&1; }

missing=()
have cc || missing+=(build-essential)
have git || missing+=(git)
have python3 || missing+=(python3 python3-venv python3-pip)
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
have setpriv || missing+=(util-linux)
[ -x /usr/sbin/sshd ] || have sshd || missing+=(openssh-server)
have strace || missing+=(strace)
have faketime || missing+=(faketime)
have npm || missing+=(npm)
[ -x /usr/sbin/apache2 ] || missing+=(apache2)
[ -x /usr/sbin/nginx ] || missing+=(nginx-light)
[ -e /usr/lib/nginx/modules/ngx_http_dav_ext_module.so ] || missing+=(libnginx-mod-http-dav-ext)
have slurmctld || [ -x /usr/sbin/slurmctld ] || missing+=(slurm-wlm)
have munged || [ -x /usr/sbin/munged ] || missing+=(munge)
have radosgw || missing+=(ceph-mon ceph-osd ceph-mgr radosgw ceph-common)
have ssh-agent || missing+=(openssh-client)
# For C code of dependencies in the check of Windows.
have x86_64-w64-mingw32-gcc || missing+=(gcc-mingw-w64-x86-64-win32)
# Disks that share blocks, and that take two names for one; tests that cannot mount them say so.
have mkfs.xfs || [ -x /sbin/mkfs.xfs ] || missing+=(xfsprogs)
have mkntfs || [ -x /sbin/mkntfs ] || missing+=(ntfs-3g)
if [ "${#missing[@]}" -gt 0 ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update -q
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

stamp="$tools/.installed"
if [ "$(cat "$stamp" 2>/dev/null)" != "$peers" ]; then
    python3 -m venv "$tools"
    # shellcheck disable=SC2086 -- one word a package
    "$tools/bin/python" -m pip install --quiet --upgrade $peers
    printf '%s\n' "$peers" >"$stamp"
fi
azurite="azurite@3.37.0"
if [ "$(cat "$tools/.azurite" 2>/dev/null)" != "$azurite" ]; then
    npm install --silent --no-fund --no-audit --prefix "$tools/npm" "$azurite"
    ln -sf ../npm/node_modules/.bin/azurite-blob "$tools/bin/azurite-blob"
    printf '%s\n' "$azurite" >"$tools/.azurite"
fi
echo "test tools: $tools"
