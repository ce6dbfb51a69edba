"""`go` and `done` for the nodes of one job: some are gone, or end while they are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.remote import release
from sm_proxy.remote.release import NodeOutcome, release_nodes
from sm_proxy.remote.run import Answer
from sm_proxy.settings import Settings
from tests.fakes import FakeAws, container, description

Answers = dict[str, list[str]]
Run = Callable[[Answers], list[NodeOutcome]]
TOLD = "sm-proxy-window keep"


def _resolve(target: Target, *_: object, **__: object) -> Container:
    return container(host=target.host, job=target.job, node=target.node)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`done` for a job whose nodes give these answers, one after the other; a code is an error."""

    def done(answers: Answers) -> list[NodeOutcome]:
        left = {node: iter(words) for node, words in answers.items()}

        def script(found: Container, *_: object, **__: object) -> Answer:
            word = next(left[found.node])
            if " " in word:
                return Answer(0, word)
            code: Code = word  # type: ignore[assignment]
            raise SmProxyError(code, "no way")

        nodes = [hostname.parse(f"sm-j.{node}", "sm-") for node in answers]
        monkeypatch.setattr(release, "run_script", script)
        monkeypatch.setattr(release, "_all_nodes", lambda *_: nodes)
        target = hostname.parse("sm-j", "sm-")
        _, outcomes = release_nodes("done", target, Settings(), Aws(None, "eu-west-1"), print)
        assert [next(words, None) for words in left.values()] == [None] * len(left)
        return outcomes

    monkeypatch.setattr(resolver, "resolve", _resolve)
    return done


@pytest.mark.parametrize(
    "answers",
    [["connect-refused"], ["job-failed"], ["job-ended"], ["session-lost", "connect-refused"]],
)
def test_a_node_that_is_gone_counts_if_another_is_reached(answers: list[str], run: Run) -> None:
    first, second = run({"algo-1": [TOLD], "algo-2": answers})
    assert (first.window, first.told) == ("keep", True)
    assert (second.window, second.told, second.error) == ("ended", False, None)


def test_a_node_whose_session_was_cut_is_released_again(run: Run) -> None:
    outcomes = run({"algo-1": [TOLD], "algo-2": ["session-lost", TOLD]})
    assert [node.told for node in outcomes] == [True, True]


@pytest.mark.parametrize(
    "answers",
    [["access-denied"], ["login-refused"], ["sshd-silent", "sshd-silent"]],
)
def test_another_trouble_is_still_an_error(answers: list[str], run: Run) -> None:
    _, second = run({"algo-1": [TOLD], "algo-2": answers})
    assert second.error is not None
    assert second.error.code == answers[-1]


def test_a_refused_connection_says_nothing_if_no_node_is_reached(run: Run) -> None:
    outcomes = run({"algo-1": ["connect-refused"], "algo-2": ["connect-refused"]})
    assert [node.error and node.error.code for node in outcomes] == ["connect-refused"] * 2


def test_all_nodes_are_released_without_a_usable_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(release, "run_script", lambda *_, **__: Answer(0, TOLD))
    monkeypatch.setattr(resolver, "resolve", _resolve)
    aws = FakeAws(
        DescribeTrainingJob=description(TrainingJobName="j", ResourceConfig={"InstanceCount": 2})
    )
    _, outcomes = release_nodes("go", hostname.parse("sm-j", "sm-"), Settings(), aws, print)
    assert [node.node for node in outcomes] == ["algo-1", "algo-2"]
