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
IN_HOMES = """
import json, os, subprocess, sys
from sm_proxy import cli
import sm_proxy.commands.config, sm_proxy.config_writer

def answers():
    status = [cli.main(["config", action]) for action in ("write", "check")]
    asked = subprocess.run(["ssh", "-G", "sm-Job"], capture_output=True, text=True)
    lines = asked.stdout.splitlines()
    found = dict(line.partition(" ")[::2] for line in lines if not line.startswith("identityfile"))
    keys = [line.partition(" ")[2] for line in lines if line.startswith("identityfile")]
    status += [cli.main(["config", action]) for action in ("remove", "check")]
    return [status, found, keys[0]]

for passwd, environment, out in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    subprocess.run(["mount", "--bind", passwd, "/etc/passwd"], check=True)
    os.environ.update(environment)
    with open(out, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    found = json.dumps(answers())
    print(flush=True)
    print(found, flush=True)
    os._exit(0)
"""
"""One Python for all homes: to import sm-proxy takes longer than the rest."""
NAMES = [
    *("a b", "a'b", 'a"b', "bjørn 日本", "a#b", "a{b,c}", "a$b", "a[b]", "a[b", "a*b", "a?b"),
    *("a%b", "100%", "a${b}", "a${HOME}"),
]
OTHER_NAMES = ["plain", "a'b", "a[b]"]
"""Of homes that $HOME does not name."""


def may_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not may_unshare(), reason="needs a mount namespace")
def test_ssh_reads_our_block_in_a_home_of_any_name(tmp_path: Path) -> None:
    """Only the tilde of an Include uses $HOME."""
    homes: dict[Path, tuple[str, dict[str, str], str]] = {}
    for number, name in enumerate([*NAMES, *OTHER_NAMES]):
        folder = tmp_path / str(number)
        home = folder / name
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        (folder / "passwd").write_text(f"me:x:0:0:me:{home}:/bin/sh\n")
        environment = {
            f"SM_PROXY_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "CACHE", "STATE")
        }
        environment["HOME"] = str(home if number < len(NAMES) else folder)
        homes[home] = (str(folder / "passwd"), environment, str(folder / "out"))
    words = [sys.executable, "-c", IN_HOMES, json.dumps([*homes.values()])]
    done = subprocess.run(
        [*UNSHARE, *words], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    for home, (_, _, out) in homes.items():
        said = Path(out).read_text()
        status, found, key = json.loads(said.splitlines()[-1])
        assert status == [0, 0, 0, 1], said
        assert "connect --user %r %n %p" in found["proxycommand"], home
        assert found["stricthostkeychecking"] in {"yes", "true"}, home
        assert found["userknownhostsfile"] == f"{home}/.ssh/sm-proxy/known_hosts.d/sm-Job"
        key = key.replace("%d", str(home)).replace("~", str(home), key.startswith("~"))
        assert key == f"{home}/.ssh/sm-proxy/id_ed25519"
        assert "not installed" in said, home
        assert not (home / ".ssh" / "config").exists(), home
