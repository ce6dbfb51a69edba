"""No command in a lab changes the user's home folder."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from sm_proxy_lab.machines import sshd_binary
from tests.lab.conftest import Runner, needs_root, with_own_etc
from tests.soak import cases, only_in_soak

_LIVED_IN = {
    ".ssh/config": "Host mine\n    User me\n",
    ".ssh/known_hosts": "",
    ".config/Code/User/settings.json": "{}\n",
    ".aws/config": "[default]\nregion = eu-west-1\n",
    ".local/state/other": "",
}
_EVERY_COMMAND = f"""
set -e
sm_proxy() {{ {sys.executable} -m sm_proxy "$@" >/dev/null; }}
PATH=$EDITORS:$PATH
host=$SM_PROXY_LAB_HOST
sm_proxy setup --yes
sm_proxy config remove
test ! -e "$SM_PROXY_SSH_DIR/config"
sm_proxy setup --yes --passphrase none
sm_proxy config write --wait 60
sm_proxy config check
sm_proxy config show
sm_proxy keys show
sm_proxy keys rotate
sm_proxy sync
sm_proxy vscode "$host" --no-wait
grep -q "$host" "$VSCODE_APPDATA/Code/User/settings.json"
sm_proxy resolve "$host"
sm_proxy list --check
sm_proxy relaunch "$host" --dry-run
sm_proxy launch -- true
sm_proxy doctor "$host" || true
sm_proxy login || true
"""
_EVERY_PROGRAM = """
set -e
cd "$(mktemp -d)"
host=$SM_PROXY_LAB_HOST
echo text >here
home=$(ssh "$host" 'cd /tmp && mktemp -d')
scp -q here "$host:$home/there"
scp -q "$host:$home/there" back && cmp here back
echo "get $home/there again" | sftp -q -b - "$host" >/dev/null && cmp here again
rsync -a "$host:$home/there" synced && cmp here synced
for program in ssh scp sftp rsync; do command -v $program; done | sort -u >programs
env PATH=/usr/bin:/bin sh -ec '
    ssh "$0" true
    scp -q "$0:$1/there" plain
    echo "get $1/there found" | sftp -q -b - "$0" >/dev/null
    rsync -a "$0:$1/there" kept' "$host" "$home"
cmp here plain && cmp here found && cmp here kept
ssh -F none -G anything | grep -q '^user '
! ssh -F none -o BatchMode=yes -o ConnectTimeout=5 "$host" true 2>/dev/null
! ssh -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=yes 127.0.0.1 true 2>/dev/null
rm -rf "$PWD"
echo done
"""
_EVERYTHING = list(itertools.product(["netns", "loopback"], [_EVERY_COMMAND, _EVERY_PROGRAM]))


def contents(home: Path) -> dict[str, object]:
    """Path -> mode, time of modification and content, for everything below a folder."""
    return {
        str(path.relative_to(home)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(home.rglob("*"))
    }


@only_in_soak
@needs_root
@pytest.mark.parametrize(
    ("files", "words"),
    cases(
        itertools.product([_LIVED_IN, {}], _EVERYTHING),
        [(_LIVED_IN, _EVERYTHING[0])],
    ),
)
def test_the_home_folder_stays_unchanged(
    lab: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    words: tuple[str, str],
) -> None:
    network, script = words
    home, editors = tmp_path / "home", tmp_path / "editors"
    home.mkdir()
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    editors.mkdir()
    (editors / "code").write_text("#!/bin/sh\n")
    (editors / "code").chmod(0o755)
    monkeypatch.setenv("EDITORS", str(editors))
    monkeypatch.setenv("SM_PROXY_LAB_TOOLS", str(sshd_binary.cache_folder()))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    before = contents(home)
    lab.before = with_own_etc(tmp_path / "etc", home)
    status, output, errors = lab.run("--network", network, "--", "sh", "-c", script)
    assert status == 0, output + errors
    assert contents(home) == before
    assert lab.left() == []
