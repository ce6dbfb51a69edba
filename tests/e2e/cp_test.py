"""`sm-proxy cp` through the real ssh: what scp's users do, and what goes wrong."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.copies import (
    MIB,
    SESSIONS,
    command,
    contents,
    cp,
    folder_there,
    leaves_nothing,
    names,
    run,
)
from tests.e2e.labs import Lab
from tests.waits import await_true

pytestmark = pytest.mark.e2e

COMMANDS = "$(touch pwned);`touch pwned`"
_TIME = 1_700_000_000


@pytest.fixture
def there(lab: Lab) -> str:
    """A new folder in the container."""
    return folder_there(lab)


def file(path: Path, size: int, mode: int = 0o640) -> bytes:
    """A file of random bytes, with a mode and a time of its own."""
    data = secrets.token_bytes(size)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, (_TIME, _TIME))
    return data


def test_a_large_file_comes_and_goes(lab: Lab, there: str, tmp_path: Path) -> None:
    here, back = tmp_path / "model.bin", tmp_path / "back"
    data = file(here, 2 * MIB + 77)
    back.mkdir()
    (back / "model.bin").write_text("an older one")
    for words in ((str(here), f"{lab.host}:{there}"), (f"{lab.host}:{there}/model.bin", str(back))):
        shown = cp(lab, SESSIONS, "2", *words)["data"]
        expected = {"files": 1, "bytes": len(data), "via": "ssh", "verified": True, "problems": []}
        assert expected.items() <= shown.items()
        assert 1 <= shown["sessions"] <= 2
    assert contents(back)[b"model.bin"][1:3] == (0o640, _TIME)
    assert (back / "model.bin").read_bytes() == data
    assert names(back) == ["model.bin"], "a part file is left"
    assert lab.ok(lab.host, f"ls -A {there}").split() == [b"model.bin"]
    leaves_nothing(lab)


def _tree(folder: Path) -> None:
    """Files and folders with all that a name may have."""
    (folder / "sub" / "no files").mkdir(parents=True)
    for name in (
        "plain.txt",
        "with space.txt",
        "new\nline",
        "-rf",
        "a:b",
        "*",
        "ü",
        "sub/deep",
        COMMANDS,
    ):
        file(folder / name, 100)
    raw = os.fsencode(folder) + b"/\xff raw"
    with open(raw, "wb") as out:  # noqa: PTH123 - bytes
        out.write(b"not UTF-8")
    file(folder / "empty", 0)
    file(folder / "run.sh", 10, 0o755)
    with (folder / "sparse").open("wb") as out:
        out.truncate(MIB)
        out.seek(0, os.SEEK_END)
        out.write(b"end")
    (folder / "link").symlink_to("plain.txt")


def test_a_tree_with_odd_names_comes_and_goes(lab: Lab, there: str, tmp_path: Path) -> None:
    tree, back = tmp_path / "tree", tmp_path / "back"
    _tree(tree)
    up = cp(lab, "-r", str(tree), f"{lab.host}:{there}")["data"]
    files = sum(kind == "file" for kind, *_ in contents(tree).values())
    assert (up["files"], up["verified"], up["problems"]) == (files, True, [])
    cp(lab, "-r", f"{lab.host}:{there}/tree", str(back))
    assert contents(back) == contents(tree)
    assert b"pwned\n" not in lab.ok(lab.host, f"ls {there} ~")


def test_globs_and_several_sources(lab: Lab, there: str, tmp_path: Path) -> None:
    lab.ok(lab.host, f"cd {there} && touch a.txt b.txt c.log && mkdir d.txt")
    place = f"{lab.host}:{there}"
    into = tmp_path / "into"
    into.mkdir()
    cp(lab, f"{place}/[ab].txt", f"{place}/c.log", str(into))
    assert names(into) == ["a.txt", "b.txt", "c.log"]
    shown = cp(lab, f"{place}/a.txt", f"{place}/b.txt", str(tmp_path / "none"), status=1)
    assert shown["error"]["code"] == "copy-failed"
    assert not (tmp_path / "none").exists()


def test_each_node_has_its_own_folder(lab: Lab, tmp_path: Path) -> None:
    shown = cp(lab, f"{lab.host}.*:/etc/hostname", str(tmp_path / "all"))["data"]
    assert (shown["files"], shown["verified"]) == (2, True)
    found = {path.parent.name: path.read_text() for path in tmp_path.glob("all/*/hostname")}
    assert sorted(found.values()) == ["algo-1\n", "algo-2\n"]
    assert all(node.strip() in host for host, node in found.items())


def test_files_that_fail_are_named_and_the_rest_is_copied(
    lab: Lab, there: str, tmp_path: Path
) -> None:
    lab.ok(lab.host, f"cd {there} && mkdir folder && echo good >good")
    place = f"{lab.host}:{there}"
    shown = cp(lab, f"{place}/missing", f"{place}/folder", f"{place}/good", str(tmp_path), status=1)
    assert (tmp_path / "good").read_text() == "good\n"
    assert shown["data"]["files"] == 1
    named = {Path(problem["path"]).name: problem for problem in shown["data"]["problems"]}
    assert set(named) == {"missing", "folder"}
    assert {problem["code"] for problem in named.values()} == {"copy-failed"}
    assert "o such file" in named["missing"]["message"]


def test_a_loop_of_links_ends(lab: Lab, there: str, tmp_path: Path) -> None:
    lab.ok(lab.host, f"cd {there} && mkdir a && echo x >a/file && ln -s .. a/up && ln -s me a/me")
    run(lab, "-r", f"{lab.host}:{there}/a", str(tmp_path))
    assert (tmp_path / "a" / "file").read_text() == "x\n"
    assert len(list(tmp_path.rglob("file"))) < 100


def on_a_small_disk(lab: Lab, folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command where `folder` is a file system of 1 MiB; its listing ends the output."""
    folder.mkdir(exist_ok=True)
    script = 'mount -t tmpfs -o size=1m none "$0" && "$@"; status=$?; ls -A "$0" >&2; exit $status'
    return lab.run("unshare", "-m", "sh", "-c", script, str(folder), *words, timeout=120)


def test_a_full_disk_is_named(lab: Lab, there: str, tmp_path: Path) -> None:
    """On both sides, for a large file and for many small ones."""
    if not lab.netns:
        pytest.skip("mounts nothing")
    small, disk = tmp_path / "small", tmp_path / "disk"
    small.mkdir()
    for number in range(20):
        file(small / str(number), 100_000)
    file(tmp_path / "large", 2 * MIB)
    lab.ok(lab.host, f"mkdir {there}/full && mount -t tmpfs -o size=1m none {there}/full")
    for words in ((str(tmp_path / "large"),), ("-r", str(small))):
        shown = cp(lab, *words, f"{lab.host}:{there}/full/", status=1)
        _is_about_the_disk(shown)
    lab.ok(lab.host, f"head -c {2 * MIB} /dev/zero >{there}/large")
    done = on_a_small_disk(lab, disk, *command(f"{lab.host}:{there}/large", str(disk / "large")))
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Free space, then run it again" in done.stderr
    lab.ok(lab.host, f"umount {there}/full")


def _is_about_the_disk(shown: dict[str, Any]) -> None:
    assert shown["error"]["code"] == "copy-failed"
    told = {problem["message"] for problem in shown["data"]["problems"]} | {
        shown["error"]["message"]
    }
    # SFTP 3 has no code for it: OpenSSH's server says "Failure".
    assert any("No space" in text or "ailure" in text for text in told), told


def test_a_folder_that_may_not_be_written_is_named(lab: Lab, there: str, tmp_path: Path) -> None:
    if not lab.netns:
        pytest.skip("mounts nothing")
    file(tmp_path / "one", 10)
    where = f"{there}/ro"
    lab.ok(lab.host, f"mkdir {where} && mount -t tmpfs -o ro none {where}")
    shown = cp(lab, str(tmp_path / "one"), f"{lab.host}:{where}/", status=1)
    assert shown["error"]["code"] == "copy-failed"
    assert shown["error"]["message"].startswith(str(tmp_path / "one"))
    lab.ok(lab.host, f"umount {where}")


def test_a_job_that_ends_meanwhile_ends_the_copy(lab: Lab, tmp_path: Path) -> None:
    job = lab.launch("vanishes")
    lab.ok(job.host, f"head -c {64 * MIB} /dev/urandom >/tmp/large")
    words = command(f"{job.host}:/tmp/large", str(tmp_path / "large"))
    process = lab.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await_true(lambda: any(tmp_path.glob(".large*")), 60, alive=process)
    job.stop()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert any(code in out for code in (b'"job-ended"', b'"job-failed"')), (out, err)
    assert not (tmp_path / "large").exists()
    leaves_nothing(lab)
