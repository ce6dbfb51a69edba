from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.jobs import marker
from sm_proxy.jobs.marker import Marker, parse
from sm_proxy.public_key import is_public_key
from tests.fakes import ECDSA_KEY, HOST_KEY, marker_line


def parsed(**changes: Any) -> Marker:
    found = parse(marker_line(**changes))
    assert found is not None
    return found


def test_our_marker_is_read() -> None:
    assert parsed(host_keys=[HOST_KEY, ECDSA_KEY]) == Marker(
        "algo-1", ("10.0.1.5",), 2222, "root", (HOST_KEY, ECDSA_KEY)
    )


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("[1,0]<stdout>: ", ""),
        ("2026-11-23T17:53:00 algo-1 | ", "\r"),
        ("\x1b[34m", "\x1b[0m"),
        ('{"level": "info"} ', " and more {"),
    ],
)
def test_a_marker_is_found_inside_a_launchers_text(before: str, behind: str) -> None:
    assert parse(before + marker_line() + behind) == parse(marker_line())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 1 loss 0.3",
        '{"sm_proxy_marker"',
        '{"sm_proxy_marker": 1',
        '{"sm_proxy_marker": 1}',
        marker_line()[:-1],
        marker_line(sm_proxy_marker=2),
        marker_line(sm_proxy_marker="1"),
        marker_line(node=None),
        marker_line(node="algo-1\n"),
        marker_line(node="../x"),
        marker_line(port="22"),
        marker_line(port=True),
        marker_line(port=-1),
        marker_line(port=65536),
        marker_line(port=22.0),
        marker_line(port=1e400),
        marker_line(user=None),
        marker_line(user=""),
        marker_line(user="-oProxyCommand=id"),
        marker_line(user="root\x1b"),
        marker_line(user="x" * 33),
        '{"sm_proxy_marker": ' + "9" * 5000 + "}",
        '{"sm_proxy_marker": ' + "[" * 7000,
        '{"sm_proxy_marker": ' + '{"a":' * 1600,
    ],
)
def test_other_lines_are_not_markers(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(json.loads(marker_line()), sort_keys=True),
        marker_line().replace('{"sm', '{ "sm', 1),
        '{"sm_proxy_marker": 1, "torn": ' + marker_line(),
        "{" * 20 + marker_line(),
        '{"level": "info"} ' + marker_line() + " {",
    ],
)
def test_the_objects_spelling_and_neighbours_do_not_matter(line: str) -> None:
    assert parse(line) == parse(marker_line())


@pytest.mark.parametrize("version", ["true", "1.0", '"1"', "2"])
def test_another_version_is_not_a_marker(version: str) -> None:
    assert (
        parse(marker_line().replace('"sm_proxy_marker": 1', f'"sm_proxy_marker": {version}'))
        is None
    )


def test_the_length_limit_is_for_the_marker_not_the_line() -> None:
    """An event has up to 256 KB: carriage returns or a launcher join other text to our line."""
    spare = marker.LINE_LIMIT - len(marker_line(later=""))
    assert parse(marker_line(later="x" * spare)) is not None
    assert parse(marker_line(later="x" * (spare + 1))) is None
    whole = parse(marker_line())
    for joined in ("x" * 250_000, " " * 8192, "{'loss': 0.3} " * 200, '{"loss": 0.3} ' * 9000):
        assert parse(joined + marker_line()) == whole
        assert parse(marker_line() + joined) == whole


def test_objects_inside_another_object_are_ignored() -> None:
    prompt = '{"prompt": "' + "x" * 9000 + '", "data": ' + marker_line() + "}"
    assert parse(prompt) is None
    assert parse(prompt + marker_line(port=22)) == parse(marker_line(port=22))


STARS = "*" * 12


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"addresses": [{"name": "eth0", "address": STARS, "prefix": 20}]}, {"addresses": ()}),
        ({"addresses": [{"address": "10.0.*.*"}]}, {"addresses": ()}),
        ({"host_keys": [STARS]}, {"host_keys": ()}),
        ({"host_keys": ["ssh-ed25519 AAAA" + STARS]}, {"host_keys": ()}),
        ({"user": "****"}, {"user": ""}),
        ({"node": "******"}, {"node": ""}),
        ({"port": "****"}, {"port": 0}),
    ],
)
def test_values_masked_by_a_data_protection_policy_are_empty(
    changes: dict[str, Any], left: dict[str, Any]
) -> None:
    assert parsed(**changes) == replace(parsed(), **left, masked=True)


@pytest.mark.parametrize("number", ['"port": 2222', '"port": 2222, "user": "root"'])
def test_asterisks_in_place_of_a_number_are_read(number: str) -> None:
    stars = re.sub("[0-9a-z]", "*", number.split("port", 1)[1])
    line = "x" + marker_line().replace(number, f'"port{stars}')
    if '"****":' in line:  # the name of a field is masked: it is not a marker
        assert parse(line) is None
        return
    assert parse(line) == replace(parsed(), port=0, masked=True)
    assert parse(line.replace(": ****", ":****")) == parse(line)


def test_asterisks_elsewhere_do_not_count() -> None:
    found = parsed(problems=["sshd: bad Match *", "**"], features=["*"])
    assert found.masked is False
    assert found.problems == ("sshd: bad Match *", "**")


def test_text_before_a_marker_is_not_parsed_repeatedly() -> None:
    start, rest = '{"sm_proxy_marker": [', "1, " * 2000
    assert parse(start * 3 + rest + marker_line()) == parse(marker_line())
    assert parse(start * 20 + rest + marker_line()) is None


@pytest.mark.parametrize(
    "address",
    [
        None,
        5,
        "",
        "10.0.1",
        "10.0.1.5/20",
        "010.0.1.5",
        "localhost",
        " 10.0.1.5",
        "fe80::1%eth0",
        "2001:db8::1%\x1b[2J",
        ["10.0.1.5"],
    ],
)
def test_invalid_addresses_are_left_out(address: object) -> None:
    entries = [{"name": "eth0", "address": address}, {"address": "10.0.1.6"}, "x", None]
    assert parsed(addresses=entries).addresses == ("10.0.1.6",)


def test_the_number_of_addresses_and_keys_is_limited() -> None:
    found = parsed(
        addresses=[{"address": f"10.0.0.{number}"} for number in range(100)],
        host_keys=[HOST_KEY] * 20,
    )
    assert len(found.addresses) == 32
    assert len(found.host_keys) == 8


@pytest.mark.parametrize("value", [None, "x", 5, {"address": "10.0.1.5"}, [[]]])
def test_other_shapes_of_the_lists_are_empty(value: object) -> None:
    found = parsed(addresses=value, host_keys=value, problems=value)
    assert (found.addresses, found.host_keys, found.problems) == ((), (), ())


def test_problems_are_limited_and_printable() -> None:
    words = ["\x1b]0;owned\x07", "x" * 5000, {"deep": []}, *["more"] * 20]
    found = parsed(problems=words).problems
    assert len(found) == 7
    assert all(item.isprintable() and len(item) <= marker.PROBLEM_LIMIT for item in found)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-ed25519",
        HOST_KEY + " comment",
        HOST_KEY + "\n* " + HOST_KEY,
        HOST_KEY.replace("ssh-ed25519 ", "ssh-rsa "),
        HOST_KEY.replace("ssh-ed25519", "SSH-ED25519"),
        "@revoked " + HOST_KEY,
        HOST_KEY[:-1],
        HOST_KEY.replace("JkD", "J*D"),
        "ssh-ed25519 " + "A" * 3000,
    ],
)
def test_invalid_public_keys_are_left_out(key: str) -> None:
    assert not is_public_key(key)
    assert parsed(host_keys=[key]).host_keys == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def harmless(found: Marker | None) -> bool:
    """Whether nothing in it can reach a terminal, a known_hosts file or a call otherwise."""
    if found is None:
        return True
    words = [found.node, found.user, *found.addresses, *found.host_keys, *found.problems]
    return all(word.isprintable() and len(word) <= 2100 for word in words)


@given(st.text(max_size=200))
def test_any_text_after_the_beginning_is_harmless(text: str) -> None:
    assert harmless(parse('{"sm_proxy_marker"' + text))


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("sm_proxy_marker", "node", "addresses", "port", "user", "host_keys", "problems"), _JSON
        ),
    )
)
def test_any_values_of_the_fields_are_harmless(changes: dict[str, Any]) -> None:
    assert harmless(parse(marker_line(**changes)))


@given(st.lists(st.text(max_size=60), max_size=10), st.lists(st.text(max_size=300), max_size=10))
def test_any_texts_in_the_text_fields_are_harmless(
    addresses: list[str], problems: list[str]
) -> None:
    line = marker_line(addresses=[{"address": text} for text in addresses], problems=problems)
    assert harmless(parse(line))


@given(st.integers(0, len(marker_line())), st.text(max_size=3))
def test_a_marker_with_foreign_text_inside_is_harmless(position: int, splice: str) -> None:
    line = marker_line()
    assert harmless(parse(line[:position] + splice + line[position:]))


@given(st.integers(0, len(marker_line()) - 1))
def test_an_incomplete_marker_is_ignored(length: int) -> None:
    assert parse(marker_line()[:length]) is None


def test_unknown_fields_of_a_marker_are_ignored() -> None:
    assert parsed(features=["rsync"], later={"x": 1}) == parsed()
