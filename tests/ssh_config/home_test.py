"""How the real ssh, without `-F`, reads our config in home folders of unusual names.

ssh takes the home folder from /etc/passwd, so each test runs in a mount namespace with its own one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

IS_ROOT = sys.platform != "win32" and os.geteuid() == 0
UNSHARE = ["unshare", *(["--map-root-user"] if not IS_ROOT else []), "--mount"]
IN_HOME = """
import json, os, subprocess, sys
from sm_proxy import cli
status = [cli.main(["config", action]) for action in ("write", "check")]
asked = subprocess.run(["ssh", "-G", "sm-Job"], capture_output=True, text=True)
lines = asked.stdout.splitlines()
found = dict(line.partition(" ")[::2] for line in lines if not line.startswith("identityfile"))
keys = [line.partition(" ")[2] for line in lines if line.startswith("identityfile")]
status += [cli.main(["config", action]) for action in ("remove", "check")]
sys.stderr.write(json.dumps([status, found, keys[0]]))
"""


def may_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not may_unshare(), reason="needs a mount namespace")
@pytest.mark.parametrize(
    ("name", "same"),
    [
        *((name, True) for name in ("a b", "a'b", 'a"b', "bjørn 日本", "a#b", "a{b,c}", "a$b")),
        *(
            (name, True)
            for name in ("a[b]", "a[b", "a*b", "a?b", "a%b", "100%", "a${b}", "a${HOME}")
        ),
        *((name, False) for name in ("plain", "a'b", "a[b]")),
    ],
)
def test_ssh_reads_our_block_in_a_home_of_any_name(name: str, same: bool, tmp_path: Path) -> None:
    """`same`: whether $HOME names this folder. Only the tilde of an Include uses $HOME."""
    home = tmp_path / name
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    passwd = tmp_path / "passwd"
    passwd.write_text(f"me:x:0:0:me:{home}:/bin/sh\n")
    script = f'mount --bind "{passwd}" /etc/passwd && exec "$@"'
    words = ["sh", "-c", script, "sh", sys.executable, "-c", IN_HOME]
    environment = {**os.environ, "HOME": str(home if same else tmp_path)}
    done = subprocess.run(
        [*UNSHARE, *words], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    answers = json.loads(done.stderr.splitlines()[-1])
    assert answers[0] == [0, 0, 0, 1], done.stdout + done.stderr
    found = answers[1]
    assert "connect --user %r %n %p" in found["proxycommand"]
    assert found["stricthostkeychecking"] in {"yes", "true"}
    assert found["userknownhostsfile"] == f"{home}/.ssh/sm-proxy/known_hosts.d/sm-Job"
    key = answers[2].replace("%d", str(home)).replace("~", str(home), answers[2].startswith("~"))
    assert key == f"{home}/.ssh/sm-proxy/id_ed25519"
    assert "not installed" in done.stdout
    assert not (home / ".ssh" / "config").exists()
