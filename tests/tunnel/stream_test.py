"""A wrapper passes on every call that it does not override."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sm_proxy.tunnel.stream import Stream, StreamWrapper, unwrapped
from tests.tunnel.fakes import FakeStream

PROPERTIES = [name for name, item in vars(Stream).items() if isinstance(item, property)]
METHODS = {
    "fileno": (),
    "deadline": (5.0,),
    "advance": (5.0,),
    "read": (),
    "write": (b"x",),
    "finish": (),
    "close": (),
}


def test_the_wrapper_has_every_member_of_a_stream() -> None:
    members = [name for name in vars(Stream) if not name.startswith("_")]
    methods = [name for name, item in vars(Stream).items() if inspect.isfunction(item)]
    assert sorted(members) == sorted([*PROPERTIES, *METHODS])
    assert set(METHODS) <= set(methods)
    assert not set(members) - set(vars(StreamWrapper))


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_is_the_inner_streams(name: str) -> None:
    inner = SimpleNamespace(**{name: object()})
    assert getattr(StreamWrapper(cast("Stream", inner)), name) is getattr(inner, name)


@pytest.mark.parametrize("name", METHODS)
def test_a_call_reaches_the_inner_stream(name: str) -> None:
    answer = object()
    calls: list[tuple[Any, ...]] = []

    def called(*words: Any, **options: Any) -> object:
        calls.append((*words, *options.items()))
        return answer

    wrapper = StreamWrapper(cast("Stream", SimpleNamespace(**{name: called})))
    options = {"readable": True} if name == "advance" else {}
    given = getattr(wrapper, name)(*METHODS[name], **options)
    assert calls == [(*METHODS[name], *options.items())]
    assert given is (answer if name in {"fileno", "deadline", "read"} else None)


class Transparent(StreamWrapper):
    @property
    def transparent(self) -> bool:
        return True


def test_only_wrappers_with_nothing_left_to_do_are_taken_off() -> None:
    stream = FakeStream()
    assert unwrapped(stream) is stream
    assert unwrapped(Transparent(Transparent(stream))) is stream
    working = StreamWrapper(Transparent(stream))
    assert unwrapped(working) is working
    assert unwrapped(Transparent(working)) is working
