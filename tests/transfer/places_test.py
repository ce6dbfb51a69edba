"""scp's grammar: what is a host and what is a path."""

from __future__ import annotations

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer import places
from sm_proxy.transfer.model import Place


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("file", Place("file")),
        ("./a:b", Place("./a:b")),
        ("/tmp/a:b", Place("/tmp/a:b")),
        (":a", Place(":a")),
        ("-rf", Place("-rf")),
        ("a b\nc", Place("a b\nc")),
        ("sm-x:", Place("", "sm-x")),
        ("sm-x:/a:b", Place("/a:b", "sm-x")),
        ("sm-x.algo-2:~/a", Place("~/a", "sm-x.algo-2")),
        ("root@sm-x:a", Place("a", "sm-x", "root")),
        ("me@corp@sm-x:a", Place("a", "sm-x", "me@corp")),
        ("sm-x.*:out", Place("out", "sm-x", None, every_node=True)),
        ("sm-c.*.hyperpod:", Place("", "sm-c.hyperpod", None, every_node=True)),
        ("sm-c.w.*.hyperpod:a", Place("a", "sm-c.w.hyperpod", None, every_node=True)),
        ("c:x", Place("x", "c")),
        ("x@y/[::1]", Place("x@y/[::1]")),
    ],
)
def test_a_word_is_read_as_scp_reads_it(word: str, place: Place) -> None:
    assert places.parse(word, windows=False) == place


@pytest.mark.parametrize("word", [r"C:\a", "c:/a", "d:a"])
def test_a_drive_of_windows_is_local(word: str) -> None:
    assert places.parse(word, windows=True) == Place(word)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("", "empty"),
        ("a\0b", "NUL"),
        ("scp://sm-x/a", "URI"),
        ("SFTP://sm-x", "URI"),
        ("[::1]:a", "brackets"),
        ("me@[fe80::1]:a", "brackets"),
        ("-oProxyCommand=x:a", "not a host name"),
        ("a b:c", "not a host name"),
        (".*:c", "not a host name"),
        ("sm-x.*.*:c", "not a host name"),
        ("@sm-x:c", "not a user name"),
        ("-l@sm-x:c", "not a user name"),
    ],
)
def test_a_word_that_names_no_place_is_refused(word: str, why: str) -> None:
    with pytest.raises(SmProxyError, match=why) as caught:
        places.parse(word, windows=False)
    assert caught.value.code == "usage"


def test_the_direction_is_where_the_host_is() -> None:
    down = places.ends(["sm-x:a", "sm-x:b"], "out")
    assert (down.direction, down.remote.host, len(down.sources)) == ("down", "sm-x", 2)
    up = places.ends(["a"], "me@sm-x.*:b")
    assert (up.direction, up.remote) == ("up", Place("b", "sm-x", "me", every_node=True))


@pytest.mark.parametrize(
    ("sources", "target", "why"),
    [
        ([], "b", "a source and a target"),
        (["sm-x:a"], "sm-y:b", "both remote"),
        (["a", "sm-x:a"], "sm-x:b", "both remote"),
        (["a"], "b", "neither"),
        (["a", "sm-x:a"], "b", "some sources and the target are local"),
        (["sm-x:a", "sm-y:a"], "b", "several hosts"),
        (["sm-x:a", "root@sm-x:a"], "b", "several hosts"),
    ],
)
def test_a_copy_has_one_remote_end(sources: list[str], target: str, why: str) -> None:
    with pytest.raises(SmProxyError, match=why) as caught:
        places.ends(sources, target)
    assert caught.value.code == "usage"


@pytest.mark.parametrize("target", ["out", "out/"])
def test_each_node_has_a_folder_of_its_own(target: str) -> None:
    assert places.folder_of_node(target, "sm-x.algo-1") == "out/sm-x.algo-1"
