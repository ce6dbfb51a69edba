from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm_proxy.editors import jsonc
from sm_proxy.editors.jsonc import JsoncError
from tests.soak import SOAK

KEYS = ("remote.SSH.remotePlatform", "sm-job")


def edited(text: str) -> str:
    return jsonc.with_value(text, KEYS, "linux")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n    "remote.SSH.remotePlatform": {\n        "sm-job": "linux"\n    }\n}\n'),
        (
            "// mine",
            '// mine\n{\n    "remote.SSH.remotePlatform": {\n        "sm-job": "linux"\n    }\n}\n',
        ),
        (
            "{}",
            '{\n    "remote.SSH.remotePlatform": {\n        "sm-job": "linux"\n    }\n}',
        ),
        (
            '{\n\t"a": 1 // one\n}\n',
            (
                '{\n\t"a": 1, // one\n'
                '\t"remote.SSH.remotePlatform": {\n\t\t"sm-job": "linux"\n\t}\n}\n'
            ),
        ),
        (
            '{\r\n  "a": 1, // one\r\n  // the end\r\n}\r\n',
            (
                '{\r\n  "a": 1, // one\r\n'
                '  "remote.SSH.remotePlatform": {\r\n    "sm-job": "linux"\r\n  },\r\n'
                "  // the end\r\n}\r\n"
            ),
        ),
        ('{"a": 1}', '{"a": 1, "remote.SSH.remotePlatform": {"sm-job": "linux"}}'),
        ('{"a": 1,}', '{"a": 1, "remote.SSH.remotePlatform": {"sm-job": "linux"},}'),
        (
            '{"remote.SSH.remotePlatform": {"x": "linux"}}',
            '{"remote.SSH.remotePlatform": {"x": "linux", "sm-job": "linux"}}',
        ),
        (
            '{\n  "remote.SSH.remotePlatform": {\n    "x": "linux"\n  }\n}',
            '{\n  "remote.SSH.remotePlatform": {\n    "x": "linux",\n    "sm-job": "linux"\n  }\n}',
        ),
        (
            '{\n  "remote.SSH.remotePlatform": {\n    // none\n  }\n}',
            '{\n  "remote.SSH.remotePlatform": {\n    "sm-job": "linux"\n    // none\n  }\n}',
        ),
        (
            '{"remote.SSH.remotePlatform": {"sm-job": /* ? */ "macOS"}}',
            '{"remote.SSH.remotePlatform": {"sm-job": /* ? */ "linux"}}',
        ),
        # Of two members with one name, the last counts.
        (
            '{"remote.SSH.remotePlatform": 1, "remote.SSH.remotePlatform": {"sm-job": ""}}',
            '{"remote.SSH.remotePlatform": 1, "remote.SSH.remotePlatform": {"sm-job": "linux"}}',
        ),
    ],
)
def test_a_value_is_set_and_the_layout_kept(before: str, after: str) -> None:
    assert edited(before) == after
    assert edited(after) == after


@pytest.mark.parametrize(
    "text",
    [
        *("{", "}", "[", '{"a"}', '{"a": 1 "b": 2}', "{,}", '{"a": 1,,}', "{} {}", "[]", "1"),
        *("{'a': 1}", "{a: 1}", '{"a": NaN}', '{"a": 01}', '{"a": .5}', '{"a": "\t"}', "{/*}"),
        *('{"a": undefined}', '{"remote.SSH.remotePlatform": null}', '{"a": 1}\x00', '{"a": [1,'),
        *('{"remote.SSH.remotePlatform": []}', "{1: 2}", "<<<<<<< mine\n{}", "[" * 100_000),
    ],
)
def test_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(JsoncError):
        edited(text)


def test_true_does_not_equal_one() -> None:
    assert jsonc.with_value('{"a": true}', ["a"], 1) == '{"a": 1}'


MORE = settings(max_examples=2000 if SOAK else 70)
SPACE = st.sampled_from(
    ["", " ", "\t", "\n", "\r\n", "\n  ", ' // {" } */ ,\n', '/* // " , */', "/*\n{*/", "\r\n\t"]
)
NAMES = st.one_of(
    st.sampled_from([KEYS[0], KEYS[1], "a", "//", "/*", "}", '"']), st.text(max_size=4)
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    NAMES,
)


@st.composite
def texts(draw: st.DrawFn, depth: int = 3, *, root: bool = True) -> tuple[str, Any]:
    """A text with comments, and its value."""
    value: Any
    kind: str = "object" if root else draw(st.sampled_from(["scalar", "object", "array"]))
    if kind == "scalar" or depth == 0:
        value = draw(SCALARS)
        ascii_only: bool = draw(st.booleans())
        return json.dumps(value, ensure_ascii=ascii_only), value
    count = draw(st.integers(0, 4))
    parts: list[str] = []
    items: list[tuple[str, Any]] = []
    for _ in range(count):
        text, value = draw(texts(depth - 1, root=False))
        name = draw(NAMES)
        key = f"{json.dumps(name)}{draw(SPACE)}:{draw(SPACE)}" if kind == "object" else ""
        parts.append(f"{draw(SPACE)}{key}{text}{draw(SPACE)}")
        items.append((name, value))
    inside = ",".join(parts) or draw(SPACE)
    trailing: bool = draw(st.booleans())
    if parts and trailing:
        inside += "," + draw(SPACE)
    if kind == "object":
        text, value = "{" + inside + "}", dict(items)
    else:
        text, value = "[" + inside + "]", [value for _, value in items]
    return (draw(SPACE) + text + draw(SPACE), value) if root else (text, value)


@MORE
@given(texts())
def test_only_the_set_value_changes_the_meaning(case: tuple[str, Any]) -> None:
    text, meaning = case
    assert jsonc.parse(text) == meaning
    platforms = meaning.get(KEYS[0], {})
    if not isinstance(platforms, dict):
        with pytest.raises(JsoncError):
            edited(text)
        return
    after = edited(text)
    assert jsonc.parse(after) == {**meaning, KEYS[0]: {**platforms, KEYS[1]: "linux"}}
    assert edited(after) == after


@MORE
@given(texts())
def test_all_other_text_is_kept(case: tuple[str, Any]) -> None:
    text, meaning = case
    platforms = meaning.get(KEYS[0], {})
    if isinstance(platforms, dict) and KEYS[1] not in platforms:
        rest = iter(edited(text))
        assert all(character in rest for character in text)
        assert jsonc.with_value(text, ["new"], 1).count("\n") <= text.count("\n") + 2


@pytest.mark.parametrize(
    ("text", "keys", "expected"),
    [
        ('{"a": 1}', "b", '{"a": 1}'),
        ('{"a": 1}', "a", "{}"),
        ('{"a": 1, "b": 2}', "b", '{"a": 1}'),
        ('{"a": 1, "b": 2}', "a", '{ "b": 2}'),
        ('{"a": 1, "b": 2,}', "b", '{"a": 1,}'),
        ('{\n  "a": 1,\n  "b": 2\n}\n', "b", '{\n  "a": 1\n}\n'),
        ('{\r\n  "a": 1,\r\n  "b": 2\r\n}', "a", '{\r\n  "b": 2\r\n}'),
        ('{\n  "a": 1, // one\n  "b": 2 // two\n}', "b", '{\n  "a": 1 // one\n   // two\n}'),
        ('{\n  "a": 1 /* x */, // one\n  "b": 2\n}', "a", '{\n   /* x */ // one\n  "b": 2\n}'),
        ('{\n  "a": {\n    "b": 1\n  },\n  "c": 2\n}', "a.b", '{\n  "c": 2\n}'),
        ('{"a": {"b": 1, "c": 2}}', "a.b", '{"a": { "c": 2}}'),
        ('{"a": [1]}', "a.b", '{"a": [1]}'),
        ("", "a", ""),
    ],
)
def test_a_member_is_removed_and_comments_stay(text: str, keys: str, expected: str) -> None:
    assert jsonc.without(text, keys.split(".")) == expected
    assert jsonc.value_at(expected, keys.split(".")) is None
