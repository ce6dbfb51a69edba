"""What a container tells about a server that does not answer, or refuses a key."""

from __future__ import annotations

import pytest

from tests.fakes import container


@pytest.mark.parametrize(
    ("kind", "look", "key_advice"),
    [
        ("training", "", "authorized_keys"),
        ("space", "sm-proxy start sm-x.space", "sm-proxy doctor sm-x.space"),
        ("hyperpod", "Bad. Look at sshd in a shell on the node: aws ssm", "/fsx/me/.ssh/"),
    ],
)
def test_advice_is_for_the_kind(kind: str, look: str, key_advice: str) -> None:
    host = f"sm-x.{kind}"
    found = container(host=host, kind=kind, user="me", source=None, problems=("Bad.",))
    assert look in found.look
    assert bool(found.look) is bool(look)
    assert key_advice in found.key_advice
