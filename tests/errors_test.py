from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy import errors
from sm_proxy.errors import Code, SmProxyError, printable

PROMISED = """bad-name job-not-found job-ambiguous job-ended job-failed no-vpc no-address
address-refused no-bastion bastion-offline agent-too-old no-credentials expired-credentials
access-denied throttled network sshd-silent connect-refused host-key-unknown host-key-changed
wrong-user session-lost wait-timeout config-malformed config-read-only unsupported"""


def test_the_promised_codes_are_there() -> None:
    assert set(PROMISED.split()) <= set(get_args(Code))


def drawn() -> Iterator[tuple[str, str, str]]:
    """Class, base and module of each line of the tree that gives a module."""
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"( {4,})(\w+)(?: {2,}(\S+\.py) {2,}\S.*)?", line)
        if found is None:
            continue
        indent, name, module = found.groups()
        above[len(indent)] = name
        if module is not None:
            yield name, above[len(indent) - 2], module


@functools.cache
def nodes() -> list[tuple[str, ast.AST]]:
    """Module and syntax node of each class and call in the code."""
    folder = Path(errors.__file__).parent
    return [
        (path.relative_to(folder).as_posix(), node)
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.ClassDef, ast.Call))
    ]


def defined() -> Iterator[tuple[str, str, str]]:
    """Class, base and module of each exception class in the code."""
    shown = {name for name, _, _ in drawn()}
    for module, node in nodes():
        if not isinstance(node, ast.ClassDef) or not node.bases:
            continue
        base = ast.unparse(node.bases[0]).rpartition(".")[2]
        words = (base, node.name)
        if base in shown or any(re.search("(Error|Exception|Hangup)$", word) for word in words):
            yield node.name, base, module


def test_the_tree_shows_every_exception_class() -> None:
    assert sorted(drawn()) == sorted(defined())


def written(node: ast.expr) -> str:
    """The text of a literal, with a stroke for each value in it; empty for other expressions."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "|" for p in node.values)
    return ""


def test_messages_and_hints_are_written_alike() -> None:
    """A message follows `sm-proxy: <code>: `; a hint is a sentence, or ends with a command."""
    seen = 0
    for module, node in nodes():
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != "SmProxyError":
            continue
        message, hint = (*map(written, node.args[1:3]), "", "")[:2]
        seen += bool(message)
        assert not re.match("(An?|It|No|Some|Source|The|There|This|Your) ", message), module
        assert re.search(r"[.?:|]$|^$|: | --|https:", hint), (module, hint)
    assert seen > 300


def test_a_line_has_the_code_the_message_and_the_hint() -> None:
    error = SmProxyError("no-vpc", "job x has no VPC", "Submit it with one.")
    assert error.line == "sm-proxy: no-vpc: job x has no VPC. Submit it with one."
    assert str(error) == "job x has no VPC"
    assert SmProxyError("no-vpc", "is it?", "Look.").text == "is it? Look."
    assert SmProxyError("no-vpc", "no hint").line == "sm-proxy: no-vpc: no hint"


@given(st.text(), st.text())
def test_a_line_is_one_printable_line(message: str, hint: str) -> None:
    line = SmProxyError("network", message, hint).line
    assert line.isprintable()
    assert line.startswith("sm-proxy: network: ")
    assert len(line) < 4000


def test_a_long_message_keeps_its_hint() -> None:
    line = SmProxyError("job-failed", "x" * 10_000, "Look there.").line
    assert line.endswith("x\N{HORIZONTAL ELLIPSIS} Look there.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\tc", "a b c"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("\x9b31m \x07 \x00", "\ufffd31m \ufffd \ufffd"),
        ("right\u202eleft", "right\ufffdleft"),
        ("lone \udc80 surrogate", "lone \ufffd surrogate"),
        ("bjørn 日本", "bjørn 日本"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
