"""Variables of the job's environment that a shell could misinterpret."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sm_proxy.local import container_files

_SCENE = """
run=$1 uid=1000 here=$2
check_exchange() { :; }
add_problem() { echo "$*" >&2; }
. "$here/environment.sh"
. "$here/keys.sh"
write_authorized_keys
write_environment_file
unset EVIL
. "$run/environment.sh"
printf %s "$EVIL"
"""


def test_read_only_variables_of_bash_are_left_out(tmp_path: Path) -> None:
    """A session's shell may be bash as `sh`, which exits when one of them is set."""
    own = dict.fromkeys(("UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO"), "1")
    scene = _SCENE.partition("unset")[0]
    subprocess.run(
        ["/bin/sh", "-c", scene, "sh", str(tmp_path), str(container_files.folder())],
        env={"PATH": os.environ["PATH"], "UID_2": "mine", **own},
        check=True,
    )
    session = f". {tmp_path}/environment.sh; echo $UID_2 on"
    for shell in (["sh"], ["bash", "--posix"], ["bash"]):
        done = subprocess.run(
            [*shell, "-c", session], env={}, capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == ("mine on\n", "")


def test_invalid_utf8_is_not_run_as_a_command(tmp_path: Path) -> None:
    by_key, by_value = tmp_path / "by-key", tmp_path / "by-value"
    key = b"ssh-ed25519 AAAAC3 Jos\351;>" + os.fsencode(by_key)
    value = b"a\351; touch " + os.fsencode(by_value) + b"; it's"
    done = subprocess.run(
        ["/bin/sh", "-c", _SCENE, "sh", str(tmp_path), str(container_files.folder())],
        env={
            b"PATH": os.environb[b"PATH"],
            b"LC_ALL": b"C.UTF-8",
            b"SM_PROXY_AUTHORIZED_KEY": key,
            b"EVIL": value,
        },
        capture_output=True,
        check=False,
    )
    assert done.stdout == value, done.stderr
    assert not by_key.exists()
    assert not by_value.exists()
    assert (tmp_path / "authorized_keys").read_text() == "ssh-ed25519 AAAAC3\n"
