"""A hostile server writes nothing outside of the target folder, and ends nothing but its copy."""

from __future__ import annotations

import stat
import struct
from pathlib import Path

import paramiko
import pytest
from paramiko import sftp

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.small.batches import SmallFiles
from sm_proxy.transfer.trees import far_side
from sm_proxy.transfer.trees.folders import Folders
from sm_proxy.transfer.trees.tree import DEEPEST
from sm_proxy.transfer.trees.tree_down import list_down
from tests.transfer import hostile_server, sftp_server
from tests.transfer.hostile_server import attributes

pytestmark = pytest.mark.usefixtures("here")

FOLDER = attributes(stat.S_IFDIR | 0o755)


def test_names_that_no_file_can_have_are_refused() -> None:
    bad = [b"../up", b"/etc/passwd", b"a/b", b"nul\0", b"", b"..\0"]
    found = [(name, attributes()) for name in [*bad, b"..", b".", b"good"]]
    with hostile_server.connection(hostile_server.Folders(found)) as far:
        tree = list_down(far, ["d"], "new", recursive=True)
    assert [one.target for one in tree.files] == ["new/good"]
    assert len(tree.problems) == len(bad)
    for one in tree.problems:
        assert one.error.code == "copy-failed"
        assert one.error.text == printable(one.error.text)


def test_a_glob_takes_no_such_name_either() -> None:
    found = [(name, FOLDER) for name in (b"../a", b"a/../../b", b"a")]
    with hostile_server.connection(hostile_server.Folders(found)) as far:
        tree = list_down(far, ["d/*"], ".", recursive=False)
    assert [one.path for one in tree.problems] == ["d/a"]


def test_a_name_comes_once() -> None:
    found = [(b"twice", attributes()), (b"twice", attributes(size=2)), (b"twice", FOLDER)]
    with hostile_server.connection(hostile_server.Folders(found)) as far:
        tree = list_down(far, ["d"], "new", recursive=True)
    assert ([one.target for one in tree.files], len(tree.folders)) == (["new/twice"], 1)
    assert len(tree.problems) == 2


def test_a_tree_without_end_has_one() -> None:
    with hostile_server.connection(hostile_server.Folders([(b"d", FOLDER)])) as far:
        tree = list_down(far, ["d"], "new", recursive=True)
    assert len(tree.folders) <= DEEPEST + 2
    assert "folders deep" in tree.problems[0].error.message


def test_a_folder_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_side, "MOST_NAMES", 1000)
    endless = hostile_server.Folders([(b"a", attributes())] * 90, times=1_000_000)
    with hostile_server.connection(endless) as far:
        with pytest.raises(SmProxyError, match="more than 1000 files") as caught:
            list_down(far, ["d"], "new", recursive=True)
        assert caught.value.code == "copy-failed"
        assert endless.sent <= 13


_NAME, _FOUND, _DATA = (bytes([kind]) for kind in (sftp.CMD_NAME, sftp.CMD_ATTRS, sftp.CMD_DATA))
_ENDLESS = struct.pack(">I", 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("reply", "lost"),
    [
        pytest.param(_NAME + _ENDLESS, True, id="fewer names than it says"),
        pytest.param(_NAME + struct.pack(">I", 1) + _ENDLESS + b"x" * 9, False, id="a long name"),
        pytest.param(_DATA + struct.pack(">I", 0), False, id="no data"),
        pytest.param(_DATA + hostile_server.text(b"data"), False, id="data for a stat"),
        pytest.param(_FOUND + struct.pack(">I", 1 << 31) + _ENDLESS, False, id="no type"),
        pytest.param(bytes([250]) + b"x" * 40, True, id="an unknown type"),
        pytest.param(hostile_server.status(sftp.SFTP_OK), False, id="done"),
        pytest.param(hostile_server.status(sftp.SFTP_FAILURE), False, id="failure"),
        pytest.param(bytes(2 << 20), True, id="a large packet"),
    ],
)
def test_replies_that_make_no_sense_end_the_connection_or_the_file(
    reply: bytes, *, lost: bool
) -> None:
    with hostile_server.connection(lambda _kind, _body: reply) as far:
        if lost:
            with pytest.raises((paramiko.SSHException, EOFError)) as caught:
                list_down(far, ["d"], "new", recursive=True)
            assert far.failure(caught.value) is not None
        else:
            tree = list_down(far, ["d"], "new", recursive=True)
            assert (tree.files, len(tree.problems)) == ((), 1)
            assert "\x1b" not in tree.problems[0].error.line


@pytest.mark.parametrize("sent", [0, 1, 9_000, 40_000])
def test_a_file_may_be_of_another_size_than_the_server_says(here: Path, sent: int) -> None:
    content = bytes(sent)

    def answer(kind: int, body: bytes) -> bytes | None:
        if kind == sftp.CMD_OPEN:
            return bytes([sftp.CMD_HANDLE]) + hostile_server.text(b"handle")
        if kind == sftp.CMD_FSTAT:
            return bytes([sftp.CMD_ATTRS]) + attributes(size=4096)
        if kind == sftp.CMD_READ:
            at, length = struct.unpack(">QI", body[10:22])
            part = content[at : at + length]
            data = bytes([sftp.CMD_DATA]) + hostile_server.text(part)
            return data if part else hostile_server.status(sftp.SFTP_EOF)
        return hostile_server.status(sftp.SFTP_OK)

    file = Entry("file", "a", "a", 4096, 0o644, 1, 1)
    (here / "a").write_bytes(content)  # of which the checksum is computed
    with hostile_server.connection(answer) as far:
        small = SmallFiles([file], "down", sftp_server.Scripts(here))
        (work,) = small.works()
        work.run(far, lambda _: None)
    assert small.result().problems == ()
    assert (here / "a").read_bytes() == content


def test_more_bytes_than_were_asked_for_are_refused(here: Path) -> None:
    def answer(kind: int, _body: bytes) -> bytes | None:
        if kind == sftp.CMD_OPEN:
            return bytes([sftp.CMD_HANDLE]) + hostile_server.text(b"handle")
        if kind == sftp.CMD_FSTAT:
            return bytes([sftp.CMD_ATTRS]) + attributes(size=10)
        if kind == sftp.CMD_READ:
            return bytes([sftp.CMD_DATA]) + hostile_server.text(b"x" * 1000)
        return hostile_server.status(sftp.SFTP_OK)

    with hostile_server.connection(answer) as far:
        small = SmallFiles(
            [Entry("file", "a", "a", 10, 0o644, 1, 1)], "down", sftp_server.Scripts(here)
        )
        (work,) = small.works()
        work.run(far, lambda _: None)
    assert "more than was asked for" in small.result().problems[0].error.message
    assert list(here.iterdir()) == []


def test_a_link_here_is_no_way_out_of_the_target(here: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (here / "new").mkdir()
    (here / "new/d").symlink_to(tmp_path / "outside")
    with hostile_server.connection(hostile_server.Folders([(b"file", attributes())])) as far:
        tree = list_down(far, ["d"], "new", recursive=True)
        made = Folders(tree, "down").make(far)
    assert (made.files, made.folders) == ((), ())
    assert "new/d is a link" in made.problems[0].error.message
    assert list((tmp_path / "outside").iterdir()) == []
