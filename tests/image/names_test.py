"""An image goes where the user says, or nowhere."""

from __future__ import annotations

import pytest

from sm_proxy.commands import image
from sm_proxy.errors import SmProxyError
from sm_proxy.image import names
from sm_proxy.image.names import Registry, Repository

HOST = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
OWN = Registry(HOST, "111122223333", "eu-west-1")
CHINA = "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("byoc:debug", Repository("byoc", "debug")),
        ("team/byoc_x--y:1.2-RC_3", Repository("team/byoc_x--y", "1.2-RC_3")),
        (f"{HOST}/a.b/c:1", Repository("a.b/c", "1", OWN)),
    ],
)
def test_a_repository_has_a_name_and_a_tag(text: str, wanted: Repository) -> None:
    assert names.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("byoc", "no tag"),
        ("byoc:", "no tag"),
        ("Byoc:1", "lower case"),
        ("a..b:1", "lower case"),
        ("-a:1", "lower case"),
        ("a:1", "2 to 256 lower case"),
        ("a" * 257 + ":1", "lower case"),
        ("byoc:-1", "a tag that Docker does not take"),
        ("byoc:" + "1" * 129, "a tag that Docker does not take"),
        ("byoc:$(id)", "a tag that Docker does not take"),
        ("byoc:1\n", "a tag that Docker does not take"),
        ("byoc:1@sha256:" + "0" * 64, "a digest"),
        ("docker.io/library/python:3", "another registry"),
        ("localhost:5000/byoc:1", "lower case|a tag"),
    ],
)
def test_another_form_is_refused(text: str, why: str) -> None:
    with pytest.raises(SmProxyError, match=why) as caught:
        names.parse(text)
    assert caught.value.code == "usage"


@pytest.mark.parametrize(
    ("image", "region"),
    [
        (f"{HOST}/a:1", "eu-west-1"),
        (f"{CHINA}/a/b@sha256:0", "cn-north-1"),
        ("763104351884.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a", "us-gov-west-1"),
        ("763104351884.dkr-ecr.us-east-1.on.aws/a", "us-east-1"),
        ("763104351884.dkr.ecr.eusc-de-east-1.amazonaws.eu/a", "eusc-de-east-1"),
        ("763104351884.dkr.ecr.us-isob-east-1.sc2s.sgov.gov/a", "us-isob-east-1"),
    ],
)
def test_private_registries_of_all_partitions_are_known(image: str, region: str) -> None:
    found = names.registry_of(image)
    assert found is not None
    assert found.region == region


@pytest.mark.parametrize(
    "image",
    [
        "python:3.12",
        "public.ecr.aws/lts/ubuntu:18.04_stable",
        HOST,
        "1.dkr.ecr.eu-west-1.amazonaws.com/a",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com;id/a",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com.example.com/a",
        "111122223333.dkr.ecr.eu-west-1.example.com/a",
        f"{chr(0x661) * 12}.dkr.ecr.eu-west-1.amazonaws.com/a",
    ],
)
def test_other_images_need_no_login(image: str) -> None:
    assert names.registry_of(image) is None


def test_the_names_in_help_can_be_used() -> None:
    lines = [line for line, _ in image._BUILD["examples"]]
    assert {names.parse(line.split("--repository ")[1].split()[0]).name for line in lines}
