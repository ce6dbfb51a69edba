"""Keys from S3: they stay valid for an hour if S3 cannot be read. The tests set the clock."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy.local import container_files

from .conftest import SHELLS, shell_argv

OF_THE_JOB = "ssh-ed25519 AAAAjob"
_SCENE = """
run=$1 here=$2 SM_PROXY_KEYS_S3=s3://team/keys/
shift 2
for part in clock environment keys s3 keys_s3; do . "$here/$part.sh"; done
read_clock() { smp_clock=$now; }
s3_with_any_tool() {
    [ "$outcome" != denied ] || { echo 'S3 said 403' >&2 && return 1; }
    echo "ssh-ed25519 AAAA$outcome of a laptop" >"$3/obj.1"
    echo '1 keys/laptop.pub' >"$3/list"
}
look() {
    [ "$looks" ] || exit 0
    look=${looks%% *} looks=${looks#* }
    now=${look%:*} outcome=${look#*:}
}
sleep_until_refresh() {
    echo "$look" $(cut -d ' ' -f 2 "$run/authorized_keys")
    look
}
looks="$* "
look
refresh_keys
"""


def looks(tmp_path: Path, shell: str, *schedule: str) -> tuple[list[str], str]:
    """Read S3 at these times ("seconds:key" or "seconds:denied").

    Returns:
        A line for each read: its entry of `schedule` and the keys that may log in. And the log.
    """
    for name in ("keys.environment", "authorized_keys"):
        (tmp_path / name).write_text(f"{OF_THE_JOB}\n", encoding="utf-8")
    done = subprocess.run(
        [
            *shell_argv(shell),
            "-c",
            _SCENE,
            "sh",
            str(tmp_path),
            str(container_files.folder()),
            *schedule,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_keys_are_dropped_after_an_hour_without_s3(tmp_path: Path, shell: str) -> None:
    shown, said = looks(
        tmp_path,
        shell,
        *("1000:ann", "2000:denied", "3000:bob", "4000:denied", "6599:denied"),
        *("6600:denied", "9000:denied", "9001:bob"),
    )
    assert shown == [
        "1000:ann AAAAjob AAAAann",
        "2000:denied AAAAjob AAAAann",
        "3000:bob AAAAjob AAAAbob",
        "4000:denied AAAAjob AAAAbob",
        "6599:denied AAAAjob AAAAbob",
        "6600:denied AAAAjob",
        "9000:denied AAAAjob",
        "9001:bob AAAAjob AAAAbob",
    ]
    assert said.count("S3 could not be read for an hour: its keys may no longer log in") == 1
    # One message for each outage, not for each read.
    assert said.count("S3 could not be read: S3 said 403") == 2


def test_no_key_is_dropped_if_s3_was_never_read(tmp_path: Path) -> None:
    shown, said = looks(tmp_path, "sh", "0:denied", "4000:denied")
    assert shown == ["0:denied AAAAjob", "4000:denied AAAAjob"]
    assert "no longer log in" not in said


def test_without_keys_from_s3_no_process_is_started() -> None:
    """It would become a zombie."""
    script = f'. {container_files.folder()}/keys_s3.sh; start_keys_s3; echo "${{!-none}}"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "none\n"


def test_a_change_of_the_keys_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the image has no `cmp`."""
    (tmp_path / "cmp").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    (tmp_path / "cmp").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    shown, said = looks(tmp_path, "sh", "0:ann", "60:ann", "120:bob", "180:bob")
    assert shown[1] == "60:ann AAAAjob AAAAann"
    assert shown[3] == "180:bob AAAAjob AAAAbob"
    assert said.count("1 from S3 may log in") == 2


_MANY = """
run=$1 here=$2 SM_PROXY_KEYS_S3=s3://team/keys/
PATH=$run/programs:$PATH
for part in clock environment keys s3 keys_s3; do . "$here/$part.sh"; done
exchange_say() { :; }
s3_with_any_tool() { :; }
round=0
sleep_until_refresh() {
    round=$((round + 1))
    echo "$round $(wc -l <"$run/forks") $(wc -l <"$run/authorized_keys")"
    : >"$run/forks"
    [ "$round" != 2 ] || echo 'ssh-ed25519 AAAAnew' >"$run/s3-keys/obj.7"
    [ "$round" != 3 ] || sed -i '/^8 /d' "$run/s3-keys/list"
    [ "$round" != 4 ] || exit 0
}
refresh_keys
"""


def test_only_changed_objects_are_parsed(tmp_path: Path) -> None:
    """There are 100 objects; the number of started programs shows how many are parsed."""
    mirror, programs = tmp_path / "s3-keys", tmp_path / "programs"
    for folder in (mirror, programs):
        folder.mkdir()
    for name in ("tr", "sed", "cat", "grep", "cksum", "cut", "rm", "mv"):
        real = shutil.which(name)
        script = f'#!/bin/sh\necho {name} >>{tmp_path}/forks\nexec {real} "$@"\n'
        (programs / name).write_text(script, encoding="utf-8")
        (programs / name).chmod(0o755)
    for name in ("keys.environment", "authorized_keys", "forks"):
        (tmp_path / name).write_text("", encoding="utf-8")
    for number in range(100):
        text = "some words of no use\n" * 20 + f"ssh-ed25519 AAAA{number} of somebody\n"
        (mirror / f"obj.{number}").write_text(text, encoding="utf-8")
    lines = [f"{number} keys/{number}.pub\n" for number in range(100)]
    (mirror / "list").write_text("".join(lines), encoding="utf-8")
    done = subprocess.run(
        ["sh", "-c", _MANY, "sh", str(tmp_path), str(container_files.folder())],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    rounds = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [keys for _, _, keys in rounds] == [100, 100, 100, 99]
    first, unchanged, one_changed, one_gone = (forks for _, forks, _ in rounds)
    assert first > 100
    assert max(unchanged, one_changed, one_gone) < 40
    assert "AAAAnew" in (tmp_path / "authorized_keys").read_text(encoding="utf-8")
    assert len(list(mirror.glob("keys.*"))) == 99
