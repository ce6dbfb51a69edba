# Sourced by the other scripts: installs everything that they need, in this clone.
#
# Python packages go to .venv. Root with apt-get gets the missing programs from Debian; other users
# get the command that installs them. openssh-server is not installed: the lab unpacks it into the
# user's cache folder, so that no service starts, now or at boot. Only root in a container without
# the right to make namespaces needs it, for its `sshd` user; no service starts there.

cd "$(dirname "$0")/.." || exit 1

# Thousands of processes import the same modules: what one of them compiles, the others take.
unset PYTHONDONTWRITEBYTECODE

say() {
    if [ -t 2 ] && [ -z "${NO_COLOR-}" ] && [ "${TERM-dumb}" != dumb ]; then
        printf '\033[2m== %s\033[0m\n' "$*" >&2
    else
        printf '== %s\n' "$*" >&2
    fi
}

stop() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

missing_packages() {
    command -v python3 >/dev/null 2>&1 || printf ' python3'
    python3 -c 'import ensurepip, venv' 2>/dev/null || printf ' python3-venv'
    command -v ssh >/dev/null 2>&1 || printf ' openssh-client'
    command -v rsync >/dev/null 2>&1 || printf ' rsync'
    command -v ip >/dev/null 2>&1 || printf ' iproute2'
    command -v curl >/dev/null 2>&1 || printf ' curl'
    # The lab enforces security groups with it. Without it only the lab's gateway does.
    [ "$(id -u)" != 0 ] || [ -x /usr/sbin/nft ] || printf ' nftables'
    if [ "$(id -u)" = 0 ] && ! unshare -m true 2>/dev/null && ! id sshd >/dev/null 2>&1; then
        printf ' openssh-server'
    fi
    # Tests use these; without root they are skipped.
    if [ "$(id -u)" = 0 ]; then
        command -v pdsh >/dev/null 2>&1 || printf ' pdsh'
        command -v parallel-ssh >/dev/null 2>&1 || printf ' pssh'
        command -v zsh >/dev/null 2>&1 || printf ' zsh'
        [ -e /usr/share/bash-completion/bash_completion ] || printf ' bash-completion'
        command -v fish >/dev/null 2>&1 || printf ' fish'
        command -v busybox >/dev/null 2>&1 || printf ' busybox-static'
        [ -x /usr/sbin/dropbear ] || printf ' dropbear-bin'
        /usr/bin/python3 -c 'import asyncssh' 2>/dev/null || printf ' python3-asyncssh'
    fi
    [ -e /etc/ssl/certs/ca-certificates.crt ] || printf ' ca-certificates'
}

install_packages() {
    packages=$(missing_packages)
    [ -n "$packages" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
        # On a line of its own, a short list is not broken within a word.
        stop "please install first, for example with:
sudo apt-get install --no-install-recommends$packages"
    fi
    say "installing$packages"
    log=$(mktemp)
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
        cat "$log" >&2
        stop "apt-get could not install$packages"
    fi
    rm -f "$log"
}

# pip_of_venv ARGUMENT...: pip for .venv. It is that of python3 if it has one (22.3 or newer): to install and
# compile another one takes 4 s of CPU.
pip_of_venv() {
    python3 -m pip --python .venv/bin/python "$@" 2>/dev/null && return 0
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip "$@"
}

# with_uv PYTHON PACKAGE...: install by the uv of .venv, which is faster than pip. Fails if uv cannot be had,
# or if pip's settings name an index: uv does not read them, and would ask another one.
with_uv() {
    ours=.venv/bin/python
    settings=$(pip_of_venv config list) || return 1
    ! printf '%s\n' "$settings" | grep -q '[.]index-url=' || return 1
    "$ours" -c 'import uv' ||
        pip_of_venv install --quiet --disable-pip-version-check --no-compile uv || return 1
    "$ours" -m uv pip install --quiet --python "$@"
}

uncompiled='ansible(_test)?|cffi|docutils|hypothesis|markdown_it|mpmath|mypyc?|networkx|pip|pyasn1'
uncompiled="$uncompiled|pycparser|pygments|setuptools|sympy|wcwidth"
# The parts of moto that the lab does not use: 1,200 files.
uncompiled="$uncompiled|moto/(?!core|ec2|iam|moto_api|s3|sagemaker|ssm|sts|utilities)\\w+"

# make_venv FOLDER PYTHON PACKAGE...: a virtual environment, made again when pyproject.toml changes.
make_venv() {
    wanted=$(cksum <pyproject.toml)
    [ "$(cat "$1/.made-for" 2>/dev/null)" = "$wanted" ] && return 0
    say "making $1 with $("$2" --version): this takes some minutes"
    folder=$1 python=$1/bin/python
    # uv installs pip in a tenth of the time that Python takes for the one that it brings.
    "$2" -m venv --without-pip "$folder" || stop "$2 could not make $folder"
    shift 2
    if ! with_uv "$python" pip "$@" >/dev/null 2>&1; then
        "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
        "$python" -m pip install --quiet --disable-pip-version-check --no-compile "$@" >&2 ||
            stop "pip could not install $*"
    fi
    # Processes of the tests import the same modules at the same time: each would compile them. pip would compile
    # on one core. Some packages hold files for other Pythons, which do not compile. Of those left out, most
    # modules are never imported: Python compiles and keeps the others. The other Pythons run one process.
    [ "$folder" != .venv ] ||
        "$python" -m compileall -q -j 0 -x "/($uncompiled)/" "$folder"/lib/python*/site-packages >/dev/null 2>&1
    printf '%s\n' "$wanted" >"$folder/.made-for"
}

python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    ! command -v python3 >/dev/null 2>&1 ||
    stop "Python 3.10 or newer is needed, this is $(python3 --version)"
install_packages
make_venv .venv python3 -e '.[lab,dev]'
# The user of a test's ssh may not be able to write, so each ssh would compile our modules again.
.venv/bin/python -m compileall -q sm_proxy sm_proxy_lab
