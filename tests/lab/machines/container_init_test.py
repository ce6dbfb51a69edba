"""The launcher of a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy_lab.machines import container_init, rootfs
from tests.lab.conftest import Runner, needs_debian, needs_root, slow_behind_fork, with_own_etc

# A launcher whose container gets SIGTERM while it is being built.
_STOPPED = """
import os, signal
from sm_proxy_lab.machines import container_init, rootfs
container_init._build_machine = lambda spec: os.kill(os.getpid(), signal.SIGTERM)
container_init.main()
"""
_MAIN = "from sm_proxy_lab.machines import container_init; container_init.main()"
_PROGRAM = "trap 'exit 4' TERM; kill -{} $PPID; while :; do sleep 0.05; done"


def launched(
    launcher: str,
    folder: Path,
    program: str,
    *,
    isolated: bool = False,
    image: str = "",
    user: str = "",
    **more: list[str],
) -> int:
    """Run a launcher; return its exit status."""
    spec = folder / "spec.json"
    content = {
        "isolated": isolated,
        "netns": None,
        "hostname": "algo-1",
        "image": image,
        "user": user,
        "root": str(folder),
        "argv": ["sh", "-c", program],
        "environment": {"PATH": os.environ["PATH"]},
        **more,
    }
    spec.write_text(json.dumps(content), encoding="utf-8")
    return subprocess.run([sys.executable, "-c", launcher, str(spec)], check=False).returncode


@pytest.mark.parametrize(("name", "status"), [("TERM", 4), ("USR1", 137)])
def test_the_container_gets_signals_from_the_start(name: str, status: int, tmp_path: Path) -> None:
    assert (
        launched(slow_behind_fork("machines.container_init"), tmp_path, _PROGRAM.format(name))
        == status
    )


@needs_root
def test_sigterm_ends_a_container_that_is_being_built(tmp_path: Path) -> None:
    assert launched(_STOPPED, tmp_path, "exit 9", isolated=True) == 143


_REPLACED = """
login() { ssh -F "$SM_PROXY_LAB_SSH_CONFIG" "$SM_PROXY_LAB_HOST" "$@" || exit 9; }
login true
for file in passwd group shadow hosts hostname nsswitch.conf resolv.conf login.defs; do
    if test -f /etc/$file; then cp -p /etc/$file /etc/$file+ && mv /etc/$file+ /etc/$file; fi
done
login 'id -un; cat /etc/hostname; getent hosts algo-1 | wc -l; useradd -M new && id -gn new
    for file in /etc/*; do test -f "$file" && grep -q " $file " /proc/self/mounts && echo "$file"
    done; true'
grep -c ^new: /etc/passwd
"""


@needs_root
def test_a_container_keeps_files_that_the_host_replaces(lab: Runner, tmp_path: Path) -> None:
    lab.before = with_own_etc(tmp_path / "etc")
    status, output, errors = lab.run("--", "sh", "-c", _REPLACED)
    assert (status, output.split()) == (1, ["root", "algo-1", "1", "new", "0"]), errors


@needs_root
def test_copies_keep_owner_and_mode(tmp_path: Path) -> None:
    source, link, target = (tmp_path / name for name in ("source", "link", "target"))
    source.write_text("x")
    source.chmod(0o640)
    os.chown(source, 0, 42)
    link.symlink_to("../elsewhere")
    container_init._copy(source, target)
    container_init._copy(link, tmp_path / "same")
    container_init._copy(link, target)
    status = target.stat()
    assert (status.st_mode & 0o777, status.st_gid, target.read_text()) == (0o640, 42, "x")
    assert (tmp_path / "same").readlink() == Path("../elsewhere")
    container_init._copy(tmp_path / "gone", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@needs_debian
def test_the_run_folder_of_the_image_is_visible_and_unchanged(tmp_path: Path) -> None:
    image, machine = tmp_path / "image", tmp_path / "machine"
    (image / "run" / "sshd").mkdir(parents=True)
    (image / "run" / "sshd" / "made").write_text("by the image")
    for name in ("etc", "opt"):
        (machine / name).mkdir(parents=True)
    script = """
        grep -q "by the image" /run/sshd/made || exit 9
        echo changed >/run/sshd/made && touch /run/new /run/lock/new && exit 7
    """
    # An overlay of two layers is an image with one more file.
    layers = f"{image}:{rootfs.find('dropbear', [])}"
    status = launched(_MAIN, machine, script, isolated=True, image=layers)
    assert status == 7
    assert (image / "run" / "sshd" / "made").read_text() == "by the image"
    assert {file.name for file in (image / "run").iterdir()} == {"sshd"}


@needs_debian
def test_layers_lie_over_the_root(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    (machine / "etc").mkdir(parents=True)
    (machine / "opt" / "ml").mkdir(parents=True)
    (machine / "opt" / "ml" / "data").write_text("of the job")
    for name in ("lower", "upper"):
        (tmp_path / name / "opt" / "app").mkdir(parents=True)
        (tmp_path / name / "opt" / "app" / name).write_text(name)
        (tmp_path / name / "opt" / "app" / "both").write_text(name)
    script = """
        cd /opt && grep -q upper app/both || exit 9
        grep -q lower app/lower && grep -q job ml/data || exit 9
        test -e /usr/bin/busybox && test ! -e /usr/sbin/dropbear && exit 7
    """
    layers = [str(tmp_path / name) for name in ("lower", "upper")]
    image = str(rootfs.find("dropbear", []))
    hidden = ["usr/sbin/dropbear"]
    done = launched(
        _MAIN, machine, script, isolated=True, image=image, layers=layers, hidden=hidden
    )
    assert done == 7
    assert sorted(path.name for path in (tmp_path / "upper" / "opt" / "app").iterdir()) == [
        "both",
        "upper",
    ]


@needs_debian
@pytest.mark.parametrize(
    ("user", "seen"),
    [
        ("", "0 0 0 /root"),
        ("daemon", "1 1 1 /usr/sbin"),
        ("daemon:games", "1 60 60 /usr/sbin"),
        ("1", "1 1 1 /usr/sbin"),
        ("12345", "12345 0 0 /"),
        ("12345:777", "12345 777 777 /"),
        ("nobody-knows", ""),
        ("daemon:nobody-knows", ""),
    ],
)
def test_a_container_runs_as_the_user_of_its_image(user: str, seen: str, tmp_path: Path) -> None:
    for name in ("etc", "opt"):
        (tmp_path / name).mkdir()
    script = f'test "$(id -u) $(id -g) $(id -G) ${{HOME:-/root}}" = "{seen}"'
    image = str(rootfs.find("dropbear", []))
    status = launched(_MAIN, tmp_path, script, isolated=True, image=image, user=user)
    assert status == (0 if seen else 127)
