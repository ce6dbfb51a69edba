from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sm_proxy
from sm_proxy.aws.job_kinds import Kind
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.hostname import Target, compose, parse, whole


@pytest.mark.parametrize(
    ("host", "job", "node", "kind"),
    [
        ("sm-bert", "bert", "algo-1", None),
        ("sm-Bert-2026", "Bert-2026", "algo-1", None),
        ("sm-a--b", "a--b", "algo-1", None),
        ("sm-sm-x", "sm-x", "algo-1", None),
        ("sm-algo-2", "algo-2", "algo-1", None),
        ("sm-" + "x" * 63, "x" * 63, "algo-1", None),
        ("sm-x.algo-2", "x", "algo-2", None),
        ("sm-x.2", "x", "algo-2", None),
        ("sm-x.algo-9999", "x", "algo-9999", None),
        ("sm-x.training", "x", "algo-1", "training"),
        ("sm-x.12.endpoint", "x", "algo-12", "endpoint"),
    ],
)
def test_a_host_name_is_parsed(host: str, job: str, node: str, kind: str | None) -> None:
    target = parse(host, "sm-")
    assert (target.host, target.job, target.node, target.kind) == (host, job, node, kind)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "sm-",
        "sm",
        "x",
        "SM-x",
        "sm--x",
        "sm-x-",
        "sm-x_y",
        "my-job",
        "sm-x y",
        "sm-x\n",
        "sm-x.",
        "sm-.algo-1",
        "sm-x.algo-0",
        "sm-x.0",
        "sm-x.algo-01",
        "sm-x.algo-10000",
        "sm-x.algo-1.algo-2",
        "sm-x.training.algo-1",
        "sm-x.training.training",
        "sm-x.1.training.1",
        "sm-x.Training",
        "sm-x..training",
        "sm-x.algo-1.",
        "sm-bjørn",
        "sm-x.algo-\N{FULLWIDTH DIGIT TWO}",
        "sm-٣",
        "sm-../../etc/passwd",
        "sm-x/y",
        "sm-x;id",
        "sm-$(id)",
        "sm-`id`",
        "sm-%h",
        "sm-*",
        "sm-x\0",
        "sm-x\x1b[2J",
        "sm-\u202ex",
        "sm-" + "x" * 64,
        "sm-x" + "-" * 62 + "y",
        "sm-" + "-" * 100_000,
    ],
)
def test_a_bad_name_is_refused_and_shown_printable(host: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        parse(host, "sm-")
    assert caught.value.code == "bad-name"
    assert caught.value.line.isprintable()
    assert len(caught.value.line) < 500


def test_the_error_names_the_length_limit() -> None:
    with pytest.raises(SmProxyError, match="at most 63 characters, not 64"):
        parse("sm-" + "x" * 64, "sm-")


def test_the_hint_shows_the_prefix_in_use() -> None:
    with pytest.raises(SmProxyError) as caught:
        parse("sm-x", "eu-")
    assert "eu-<job>.algo-2" in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("ms-x", "sm-x"), ("SM-x", "sm-x"), ("sm_x", "sm-x"), ("sm.x.algo-2", "sm-x.algo-2")),
        *(("my-job.processing", "sm-my-job.processing"), ("smart-job", "sm-smart-job")),
    ],
)
def test_a_name_without_the_prefix_suggests_it_with_the_prefix(typed: str, meant: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        parse(typed, "sm-")
    assert (
        caught.value.hint
        == f"Did you mean `{meant}`? Write sm-<job>, sm-<job>.algo-2 or sm-<job>.<kind>."
    )


@pytest.mark.parametrize("typed", ["", "github.com", "me@sm-x", "x\x1b[2J", "-" * 100_000])
def test_a_name_that_is_invalid_even_with_the_prefix_suggests_nothing(typed: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        parse(typed, "sm-")
    assert caught.value.hint.startswith("Write sm-<job>")


def test_a_prefix_is_stripped_once() -> None:
    assert parse("eu-eu-x", "eu-") == Target("eu-eu-x", "eu-", "eu-x")


@given(st.text(max_size=100))
def test_any_text_is_refused_or_has_only_safe_characters(text: str) -> None:
    if isinstance(found := outcome("sm-" + text), SmProxyError):
        assert found.code == "bad-name"
        assert found.line.isprintable()
    else:
        assert found.host.isascii()
        assert found.host.replace("-", "").replace(".", "").isalnum()
        assert len(found.job) <= 63


def outcome(host: str) -> Target | SmProxyError:
    try:
        return parse(host, "sm-")
    except SmProxyError as error:
        return error


@pytest.mark.parametrize("kind", [None, "training", "endpoint"])
@pytest.mark.parametrize("node", [None, "algo-1", "algo-12"])
def test_a_composed_name_parses_back_to_the_same_target(
    node: str | None, kind: Kind | None
) -> None:
    composed = compose("sm-", "bert", node, kind)
    assert parse(composed.host, "sm-") == composed
    assert composed.names_node == (node is not None)


@pytest.mark.parametrize("job", ["", "-x", "x_y", "x.training", "x" * 64])
def test_a_job_whose_name_does_not_fit_gets_no_host_name(job: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        compose("sm-", job)
    assert caught.value.code == "bad-name"


def test_host_names_are_parsed_only_where_they_come_in() -> None:
    """From ssh, a command line (also bad names, and names of jobs), our ssh file, and Python."""
    root = Path(sm_proxy.__file__).parent
    parsing = re.compile(r"\bhostname\.parse\(|\bhostname import .*\bparse\b")
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if parsing.search(path.read_text(encoding="utf-8"))
    }
    assert found == {
        "proxy.py",
        "commands/options.py",
        "commands/doctor.py",
        "commands/job_argument.py",
        "jobs/name_matching.py",  # names that earlier lists have shown
        "jobs/nodes.py",  # a name with `.*`
        "ssh_config/blocks.py",
        "ssh_client.py",
        "transfer/ssh/connections.py",
        "transfer/container_copy.py",
    }


@pytest.mark.parametrize(
    ("host", "job", "node", "kind"),
    [
        ("sm-My-Space.space", "My-Space", "", "space"),
        ("sm-x.d-abc-1.space", "x", "d-abc-1", "space"),
        ("sm-c.hyperpod", "c", "", "hyperpod"),
        ("sm-c.a-1.2.hyperpod", "c", "a-1.2", "hyperpod"),
        ("sm-c.G.i-0123456789abcdef0.hyperpod", "c", "G.i-0123456789abcdef0", "hyperpod"),
    ],
)
def test_spaces_and_nodes_of_clusters_have_labels_of_their_own(
    host: str, job: str, node: str, kind: str
) -> None:
    found = parse(host, "sm-")
    assert (found.job, found.node, found.kind) == (job, node, kind)
    assert found.names_node is bool(node)
    assert compose("sm-", job, node or None, kind) == found


@pytest.mark.parametrize(
    "host",
    [
        *("sm-x.2.space", "sm-x.d-A.space", "sm-x.d-a.d-b.space", "sm-x.space.training"),
        *("sm-c.2.hyperpod", "sm-c.g.hyperpod", "sm-c.g.0.hyperpod", "sm-c.g.i-1.hyperpod"),
        *("sm-c.-g.1.hyperpod", "sm-x..space", "sm-c..hyperpod"),
    ],
)
def test_labels_of_another_kind_are_refused(host: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        parse(host, "sm-")
    assert caught.value.code == "bad-name"
    noun = "<cluster>" if "hyperpod" in host else "<space>"
    assert caught.value.hint.startswith(f"Write sm-{noun}")


@pytest.mark.parametrize("host", ["sm-x.space.d-abc", "sm-x.space.nope", "sm-c.hyperpod.g.1"])
def test_a_label_that_must_be_last_is_named(host: str) -> None:
    kind = host.split(".")[1]
    with pytest.raises(SmProxyError, match=f"nothing can follow '{kind}'") as caught:
        parse(host, "sm-")
    assert f".{kind}." in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "name", "place", "expected"),
    [
        ("sm-lab.space", "lab", "d-one", "sm-lab.space"),
        ("sm-LA.space", "lab", "d-one", "sm-lab.d-one.space"),
        ("sm-la.d-one.space", "lab", "d-one", "sm-lab.d-one.space"),
        ("sm-c.workers.2.hyperpod", "cluster", "", "sm-cluster.workers.2.hyperpod"),
        ("sm-c.hyperpod", "cluster", "", "sm-cluster.hyperpod"),
    ],
)
def test_a_whole_name_stands_for_a_part_of_one(
    typed: str, name: str, place: str, expected: str
) -> None:
    assert whole(parse(typed, "sm-"), name, place) == parse(expected, "sm-")
