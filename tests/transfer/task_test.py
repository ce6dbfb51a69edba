"""How the words of a copy become a task for each container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname, nodes
from sm_proxy.settings import Settings
from sm_proxy.transfer import places, task
from sm_proxy.transfer.task import Options, Task


def tasks(sources: list[str], target: str, options: Options = Options()) -> tuple[Task, ...]:  # noqa: B008 - frozen
    return task.tasks(places.ends(sources, target), Settings(), Aws(None, "eu-west-1"), options)


@pytest.fixture
def three_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(target: object, *_: object) -> nodes.Nodes:
        targets = tuple(hostname.compose("sm-", "bert", f"algo-{number}") for number in (1, 2, 3))
        return nodes.Nodes(job=None, targets=targets)  # type: ignore[arg-type]

    monkeypatch.setattr(nodes, "find", find)


def test_one_host_is_one_task_without_a_lookup() -> None:
    found = tasks(["bob@sm-bert:/opt/a", "bob@sm-bert:b"], "here", Options(sessions=5))
    options = Options(sessions=5)
    assert found == (Task("sm-bert", "bob", "down", ("/opt/a", "b"), "here", options, 5),)
    assert tasks(["a"], "sm-bert:")[0].most is None


@pytest.mark.usefixtures("three_nodes")
def test_each_node_has_a_folder_and_its_share_of_the_sessions(tmp_path: Path) -> None:
    target = tmp_path / "new"
    found = tasks(["sm-bert.*:/opt/ml"], str(target))
    assert [each.target for each in found] == [
        str(target / f"sm-bert.algo-{number}") for number in (1, 2, 3)
    ]
    assert all(Path(each.target).is_dir() for each in found)
    assert [each.most for each in found] == [2, 2, 2]
    assert [each.most for each in tasks(["sm-bert.*:/x"], str(target), Options(sessions=2))] == [
        *(1, 1, 1)
    ]


@pytest.mark.usefixtures("three_nodes")
def test_each_node_gets_the_same_files() -> None:
    found = tasks(["a"], "sm-bert.*:/tmp/")
    assert [(each.host, each.target) for each in found] == [
        (f"sm-bert.algo-{number}", "/tmp/") for number in (1, 2, 3)
    ]


@pytest.mark.usefixtures("three_nodes")
def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SmProxyError) as caught:
        tasks(["sm-bert.*:/opt"], str(tmp_path / "file"))
    assert caught.value.code == "copy-failed"


def test_a_path_of_python_is_local_whatever_its_name() -> None:
    assert task.words(Path("sm-bert:x")) == ("./sm-bert:x",)
    assert task.words(["sm-bert:x", Path("/a/b:c")]) == ("sm-bert:x", "/a/b:c")
    assert task.words("sm-bert:x") == ("sm-bert:x",)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"sessions": 0}, "from 1 to 64, not 0"), ({"sessions": 65}, "not 65"), ({"via": "S3"}, "s3")],
)
def test_values_that_the_command_line_cannot_say_are_refused(given: Any, words: str) -> None:
    with pytest.raises(SmProxyError, match=words) as caught:
        Options(**given)
    assert caught.value.code == "usage"
