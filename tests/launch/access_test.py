"""A user learns whom a request lets in besides themselves."""

from __future__ import annotations

import pytest

from sm_proxy import public_key
from sm_proxy.launch import access
from sm_proxy.launch.request import Ssh
from tests.fakes import ECDSA_KEY, HOST_KEY

MINE = Ssh(keys=(f"{HOST_KEY} me@laptop",), image_keys=False)
THEIRS = public_key.describe(ECDSA_KEY)
BEGIN = "The request's own Environment lets others log in too: "


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"OTHER": ECDSA_KEY, "SM_PROXY_AUTHORIZED_KEY_12345": ECDSA_KEY}, ""),
        ({"SM_PROXY_AUTHORIZED_KEY": f"{HOST_KEY} me", "SM_PROXY_IMAGE_KEYS": "no"}, ""),
        ({"SM_PROXY_AUTHORIZED_KEY": f"{ECDSA_KEY} bob@x"}, f"{THEIRS} bob@x"),
        ({"SM_PROXY_AUTHORIZED_KEY_2": f"{HOST_KEY} me\r{ECDSA_KEY}"}, THEIRS),
        (
            {"SM_PROXY_AUTHORIZED_KEY_2": ECDSA_KEY, "SM_PROXY_AUTHORIZED_KEY_3": ECDSA_KEY},
            THEIRS,
        ),
        ({"SM_PROXY_KEYS_S3": "s3://team/keys/"}, "the keys in s3://team/keys/"),
        ({"SM_PROXY_IMAGE_KEYS": "yes"}, "the keys in the image (SM_PROXY_IMAGE_KEYS)"),
    ],
)
def test_other_users_with_access_are_named(variables: dict[str, str], expected: str) -> None:
    assert access.others_with_access({"Environment": variables}, MINE) == (
        BEGIN + expected if expected else ""
    )


def test_many_keys_are_counted() -> None:
    variables = {
        f"SM_PROXY_AUTHORIZED_KEY_{number}": f"{ECDSA_KEY} user{number}" for number in range(9)
    }
    told = access.others_with_access({"Environment": variables}, MINE)
    assert "user4" in told
    assert "user5" not in told
    assert told.endswith(", 4 more keys")
