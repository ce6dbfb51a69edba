from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.bootstrap import files
from sm_proxy.bootstrap.files import Tools
from sm_proxy.bootstrap.shell import RemoteShell
from sm_proxy.errors import SmProxyError

from .terminals import programs, session

NEEDED = ["sh", *files._NEEDED]
CONTENT = {
    "all.bin": bytes(range(256)) * 5,
    "empty": b"",
    "line": b"no end of line",
    "percent": b"%s \\n %d\\\\\n",
    "wheels/w-1.whl": os.urandom(40_000),
}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[RemoteShell]:
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    with session(environment=environment) as shell:
        shell.enter()
        yield shell


def send(shell: RemoteShell, tools: Tools, content: dict[str, bytes] = CONTENT) -> str:
    folder = files.make_folder(shell, content)
    files.send(shell, tools, folder, content, lambda _: None)
    return folder


def hashes(folder: str) -> dict[str, str]:
    names = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != "test"]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in names
    }


EXPECTED = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


@pytest.mark.parametrize(
    ("extra", "decoder"),
    [
        (["base64", "sha256sum"], "base64"),
        (["openssl", "stty"], "openssl"),
        (["python3"], "python3"),
        (["sha256sum"], "printf"),
        (["shasum", "perl"], "printf"),
    ],
    ids=lambda item: item if isinstance(item, str) else "+".join(item),
)
def test_files_arrive_whole_with_the_programs_that_an_image_has(
    extra: list[str], decoder: str, tmp_path: Path
) -> None:
    environment = programs(tmp_path / "bin", *NEEDED, *extra) | {"TMPDIR": str(tmp_path)}
    with session(environment=environment) as shell:
        shell.enter()
        tools = files.find_tools(shell)
        assert tools.codec is files._CODECS[decoder]
        assert hashes(send(shell, tools)) == EXPECTED


@pytest.mark.parametrize("missing", ["head", "sha256sum"])
def test_an_image_that_lacks_a_program_is_refused(missing: str, tmp_path: Path) -> None:
    there = {*NEEDED, "sha256sum"} - {missing}
    with session(environment=programs(tmp_path / "bin", *there)) as shell:
        shell.enter()
        with pytest.raises(SmProxyError, match=missing) as caught:
            files.find_tools(shell)
    assert caught.value.code == "unsupported"


def test_files_that_are_there_are_not_sent_again(shell: RemoteShell) -> None:
    tools = files.find_tools(shell)
    folder = send(shell, tools)
    before = {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*.bin")}
    Path(folder, "line").write_bytes(b"changed")
    assert send(shell, tools) == folder
    assert hashes(folder) == EXPECTED
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_folder_is_private_and_that_of_another_user_is_not_used(
    shell: RemoteShell, tmp_path: Path
) -> None:
    folder = Path(files.make_folder(shell, CONTENT))
    assert folder.parent.parent == tmp_path
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    folder.parent.rename(tmp_path / "elsewhere")
    folder.parent.symlink_to(tmp_path / "elsewhere")
    assert tmp_path not in Path(files.make_folder(shell, CONTENT)).parents
    folder.parent.unlink()
    folder.parent.mkdir(mode=0o755)
    folder.parent.chmod(0o755)
    assert tmp_path not in Path(files.make_folder(shell, CONTENT)).parents


def test_files_that_never_arrive_whole_are_refused(shell: RemoteShell) -> None:
    tools = Tools(files.Codec(files._base64_lines, "false"), "sha256sum")
    with pytest.raises(SmProxyError) as caught:
        send(shell, tools)
    assert caught.value.code == "session-lost"
    assert shell.run("echo next").text == "next"


def test_a_full_disk_leaves_a_shell_that_answers(shell: RemoteShell) -> None:
    tools = Tools(files.Codec(files._base64_lines, "base64 -d | head -c 9"), "sha256sum")
    with pytest.raises(SmProxyError):
        send(shell, tools, {"large": os.urandom(300_000)})
    assert shell.run("echo next").text == "next"
