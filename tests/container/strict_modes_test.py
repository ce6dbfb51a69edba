"""Servers refuse key files that others may write to, and users without a shell."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.local import container_files
from tests.soak import cases

from .conftest import SHELLS, Box, needs_container, shell_argv, wait_for
from .servers_test import DROPBEAR, Laptop, new_key

needs_dropbear = pytest.mark.skipif(not DROPBEAR, reason="needs dropbear")
_RULE = '. "$1/keys.sh"; uid=$(id -u) home=$2; passes_strict_modes "$3" || echo "$path"'


def refused_for(shell: list[str], home: Path, file: Path) -> str:
    words = ["sh", str(container_files.folder()), str(home), str(file)]
    done = subprocess.run([*shell, "-c", _RULE, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("shell", SHELLS)
def test_our_check_follows_the_strict_modes_of_sshd_and_dropbear(
    tmp_path: Path, shell: str
) -> None:
    """They check folders up to the user's home; outside it, up to the root."""
    argv = shell_argv(shell)
    shared, home = tmp_path / "a folder", tmp_path / "a folder/home"
    file = home / ".ssh/authorized_keys"
    file.parent.mkdir(parents=True)
    file.touch()
    shared.chmod(0o1777)
    for place in (home, file.parent, file):
        place.chmod(0o700)
    assert refused_for(argv, home, file) == ""
    assert refused_for(argv, tmp_path / "elsewhere", file) == str(shared)
    link = tmp_path / "link"
    link.symlink_to(file.parent)
    assert refused_for(argv, home, link / file.name) == ""
    for place in (home, file.parent, file):
        for mode in (0o770, 0o702):
            place.chmod(mode)
            assert refused_for(argv, home, file) == str(place)
        place.chmod(0o700)
    assert refused_for(argv, home, file.parent / "none") == str(file.parent / "none")
    if os.geteuid() == 0:
        os.chown(file.parent, 12345, -1)
        assert refused_for(argv, home, file) == str(file.parent)


def served(box: Box, tmp_path: Path, **environment: str) -> tuple[Laptop, dict[str, Any]]:
    """Start a container with a key in its environment and one in its image.

    Returns:
        A laptop that has both keys, and the container's marker.
    """
    mine, images = new_key(tmp_path / "mine"), new_key(tmp_path / "images")
    file = box.root / "opt/image/authorized_keys"
    file.parent.mkdir()
    file.write_text(Path(f"{images}.pub").read_text(encoding="utf-8"), encoding="utf-8")
    keys = "mkdir -m 700 /root/.ssh; cp /opt/image/authorized_keys /root/.ssh/"
    box.prelude = f"{keys}; chmod 600 /root/.ssh/*; {box.prelude}"
    public = Path(f"{mine}.pub").read_text(encoding="utf-8")
    environment.setdefault("SM_PROXY_AUTHORIZED_KEY", public)
    box.start("sleep", "600", **environment)
    wait_for(box.run_dir / "marker")
    marker: dict[str, Any] = {}
    while not marker:
        text = (box.run_dir / "marker").read_text(encoding="utf-8")
        marker = json.loads(text) if text.endswith("\n") else {}
    return Laptop(box, mine), marker


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize(
    "place", cases(["/root", "/root/.ssh", "/root/.ssh/authorized_keys"], ["/root"])
)
def test_sshd_ignores_image_keys_that_others_may_write_to(
    box: Box, tmp_path: Path, place: str
) -> None:
    box.prelude = f"chmod o+w {place}"
    laptop, marker = served(box, tmp_path)
    problem = "keys in /root/.ssh/authorized_keys are ignored: others may write to"
    assert marker["problems"] == [f"{problem} {place}"]
    assert laptop.ssh("true").returncode == 0
    assert laptop.ssh("true", key=tmp_path / "images").returncode == 255


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_a_group_that_may_write_is_a_possible_problem(box: Box, tmp_path: Path) -> None:
    """Debian's sshd trusts the group if it has no other members."""
    box.prelude = "chmod g+w /root"
    _, marker = served(box, tmp_path)
    problem = "keys in /root/.ssh/authorized_keys may be ignored: its group may write to /root"
    assert marker["problems"] == [problem]


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_a_container_without_usable_keys_reports_a_problem(box: Box, tmp_path: Path) -> None:
    box.prelude = "chmod 777 /root /opt/ml"
    _, marker = served(box, tmp_path, SM_PROXY_AUTHORIZED_KEY="")
    assert marker["problems"] == [
        "keys in /root/.ssh/authorized_keys are ignored: others may write to /root",
        "nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set",
    ]


# A dropbear that accepts the newer option -D and drops it: this machine's may not know it.
_NEWER = """case " $* " in *" -h "*) echo '-D DIR  with authorized_keys'; exec REAL "$@" ;; esac
n=$#; while [ "$n" != 0 ]; do word=$1; shift; n=$((n - 1))
if [ "$word" = -D ]; then shift; n=$((n - 1)); else set -- "$@" "$word"; fi; done
exec REAL "$@"
"""


@needs_container
@needs_dropbear
@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize("newer", [True, False])
def test_dropbear_uses_the_home_folder_if_others_could_swap_ours(
    box: Box, tmp_path: Path, *, newer: bool
) -> None:
    """Dropbear ignores keys below such a folder."""
    box.prelude = "chmod 1777 /opt/ml"
    program = str(DROPBEAR)
    if newer:
        program = box.add_program("dropbear", _NEWER.replace("REAL", program))
        (box.root / "opt/program/dropbearkey").symlink_to("/usr/bin/dropbearkey")
    laptop, marker = served(box, tmp_path, SM_PROXY_SSHD=program)
    assert "dropbear" in marker["features"], marker["problems"]
    for key in ("mine", "images"):
        assert laptop.ssh("true", key=tmp_path / key).returncode == 0


@needs_container
@needs_dropbear
@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (
            "chmod 770 /root",
            (
                "dropbear would ignore keys in /root/.ssh and /opt/ml/run: its group may write to"
                " /root. Set SM_PROXY_RUN_DIR"
            ),
        ),
        (
            "chmod 700 /opt/image/shells; mount --bind /opt/image/shells /etc/shells",
            "dropbear would refuse root: the login shell /bin/bash is not in /etc/shells",
        ),
    ],
    ids=["home", "shell"],
)
def test_a_dropbear_that_would_refuse_every_login_is_not_started(
    box: Box, tmp_path: Path, fault: str, problem: str
) -> None:
    (box.root / "opt/image").mkdir()
    (box.root / "opt/image/shells").write_text("/bin/other\n", encoding="utf-8")
    (box.root / "opt/image").rename(box.root / "opt/kept")
    box.prelude = fault.replace("/opt/image", "/opt/kept")
    _, marker = served(box, tmp_path, SM_PROXY_SSHD=str(DROPBEAR))
    assert problem in marker["problems"]
    assert (marker["port"], marker["features"]) == (0, [])


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize("shell", ["/bin/gone", "/usr/sbin/nologin"])
def test_a_user_without_a_usable_shell_is_a_problem(box: Box, tmp_path: Path, shell: str) -> None:
    passwd = (box.root / "etc/passwd").read_text(encoding="utf-8").splitlines()
    passwd[0] = f"root:x:0:0:root:/root:{shell}"
    (box.root / "etc/passwd").write_text("\n".join(passwd) + "\n", encoding="utf-8")
    _, marker = served(box, tmp_path)
    if shell == "/bin/gone":
        problem = "sshd would refuse root: the login shell /bin/gone does not exist"
        assert "sshd" not in marker["features"]
    else:
        problem = f"the login shell of root is {shell}: sessions cannot run commands"
    assert problem in marker["problems"]
