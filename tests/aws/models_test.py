"""Cut-down service models give the same requests and responses as botocore's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.loaders import Loader
from botocore.stub import Stubber

from sm_proxy.aws import models
from sm_proxy.local import paths, private_files


def session() -> botocore.session.Session:
    """A session with our loader, as `Aws` makes it."""
    made = botocore.session.Session()
    made.set_config_variable("region", "eu-west-1")
    made.register_component("data_loader", models.CachedLoader())
    return made


def own_client(service: str) -> Any:
    """A client on the cut-down model."""
    models.ensure_trimmed(service)
    return session().create_client(service, aws_access_key_id="a", aws_secret_access_key="b")


NEWER = {"StartSession"}
"""Operations that the oldest botocore that we accept does not know."""


@pytest.mark.parametrize("service", sorted(models.OPERATIONS))
def test_the_kept_operations_equal_botocores(service: str) -> None:
    own = own_client(service).meta.service_model
    full = botocore.session.Session().get_service_model(service)
    ours = set(models.OPERATIONS[service])
    assert set(own.operation_names) == ours & set(full.operation_names)
    assert ours - set(full.operation_names) <= NEWER
    for name in own.operation_names:
        ours, theirs = own.operation_model(name), full.operation_model(name)
        assert _shape(ours.input_shape) == _shape(theirs.input_shape)
        assert _shape(ours.output_shape) == _shape(theirs.output_shape)
        assert ours.http == theirs.http


def _shape(shape: Any, depth: int = 6) -> object:
    """The parts of a shape that count on the wire."""
    if shape is None or depth == 0:
        return None
    members = getattr(shape, "members", None) if shape.type_name == "structure" else None
    inner = getattr(shape, "member", None) if shape.type_name == "list" else None
    return (
        shape.name,
        shape.type_name,
        {name: _shape(item, depth - 1) for name, item in (members or {}).items()},
        _shape(inner, depth - 1),
        shape.serialization,
    )


def test_endpoints_are_found_in_every_partition() -> None:
    keys: Any = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    ours, botocores = session(), botocore.session.Session()
    for region, suffix in (
        ("eu-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-gov-west-1", "amazonaws.com"),
    ):
        for service in models.OPERATIONS:
            models.ensure_trimmed(service)
            own = ours.create_client(service, region, **keys)
            full = botocores.create_client(service, region, **keys)
            assert own.meta.endpoint_url == full.meta.endpoint_url
            assert own.meta.endpoint_url.endswith(suffix)


def test_responses_are_parsed_alike() -> None:
    client = own_client("sagemaker")
    with Stubber(client) as stub:
        stub.add_client_error("describe_training_job", "ValidationException", "Requested ...")
        with pytest.raises(client.exceptions.ClientError, match="ValidationException"):
            client.describe_training_job(TrainingJobName="x")


def test_credential_services_still_have_their_models() -> None:
    client = session().create_client("sts", aws_access_key_id="a", aws_secret_access_key="b")
    assert hasattr(client, "assume_role")


def test_models_are_written_once_and_private() -> None:
    models.ensure_trimmed("ssm")
    found = list((paths.cache_dir() / "models").rglob("service-2.json"))
    assert len(found) == 1
    assert found[0].stat().st_mode & 0o077 == 0
    before = found[0].stat().st_mtime_ns
    models.ensure_trimmed("ssm")
    assert found[0].stat().st_mtime_ns == before
    assert b"documentation" not in found[0].read_bytes()


def test_an_unwritable_cache_does_not_stop_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(private_files, "write_private", refuse)
    assert own_client("ssm").meta.service_model.operation_names


@pytest.mark.parametrize("name", ["service-2.json", "endpoints.json"])
def test_a_damaged_model_is_replaced_by_botocores(name: str) -> None:
    models.ensure_trimmed("ssm")
    path = next((paths.cache_dir() / "models").rglob(name))
    path.write_text('{"torn":')
    assert own_client("ssm").meta.endpoint_url == "https://ssm.eu-west-1.amazonaws.com"
    assert not path.exists()


def test_trimming_follows_recursive_shapes() -> None:
    model = {
        "operations": {"A": {"input": {"shape": "S"}}, "B": {"input": {"shape": "Other"}}},
        "shapes": {
            "S": {"type": "structure", "members": {"s": {"shape": "S"}, "t": {"shape": "T"}}},
            "T": {"type": "string", "documentation": "words"},
            "Other": {"type": "string"},
        },
        "metadata": {"x": 1},
    }
    kept = models.trim(model, ["A"])
    assert sorted(kept["shapes"]) == ["S", "T"]
    assert sorted(kept["operations"]) == ["A"]
    assert "documentation" not in json.dumps(kept)


def test_models_that_others_could_have_written_are_not_used() -> None:
    """Their endpoint list could send our calls elsewhere."""
    models.ensure_trimmed("ssm")
    endpoints = models._folder() / "endpoints.json"
    text = endpoints.read_text().replace("amazonaws.com", "attacker.example")
    endpoints.write_text(text)

    def host() -> str:
        client = session().create_client("ssm", aws_access_key_id="a", aws_secret_access_key="b")
        return str(client.meta.endpoint_url)

    models._folder().chmod(0o770)
    models.ensure_trimmed("ssm")
    assert "attacker" not in str(session().get_component("data_loader").load_data("endpoints"))
    assert host() == "https://ssm.eu-west-1.amazonaws.com"
    models._folder().chmod(0o700)
    assert "attacker" in str(session().get_component("data_loader").load_data("endpoints"))


@pytest.mark.parametrize("service", sorted(models.OPERATIONS))
def test_a_client_is_made_without_listing_the_folders_of_all_services(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.ensure_trimmed(service)
    listed: list[str] = []

    def list_folders(_: object, type_name: str) -> list[str]:
        listed.append(type_name)
        return []

    monkeypatch.setattr(Loader, "list_available_services", list_folders)
    session().create_client(service, aws_access_key_id="a", aws_secret_access_key="b")
    assert not listed


def test_kept_files_are_read_once_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_files", [])
    models.keep_files()
    path = paths.cache_dir() / "models" / "one" / "service-2.json"
    monkeypatch.setattr(models, "_folder", lambda: path.parent)
    private_files.write_private(path, b'{"a": 1}')
    first = models.CachedLoader().load_data("service-2")
    assert first == {"a": 1}
    assert models.CachedLoader().load_data("service-2") is first
    private_files.write_private(path, b'{"a": 2}')
    assert models.CachedLoader().load_data("service-2") == {"a": 2}


def test_a_client_is_the_same_whichever_were_made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks of the daemon share what is kept; botocore completes the endpoints that it uses."""
    models.ensure_trimmed("ssm")
    kinds = [("us-east-1", False), ("us-east-1", True), ("cn-north-1", False)]

    def url(region: str, fips: bool) -> str:
        config = Config(use_fips_endpoint=fips)
        client: Any = session().create_client(
            "ssm", region, aws_access_key_id="a", aws_secret_access_key="b", config=config
        )
        with Stubber(client) as stubber:
            stubber.add_response("terminate_session", {"SessionId": "s-1"})
            client.terminate_session(SessionId="s-1")
        found: str = client.meta.endpoint_url
        return found

    def loaded() -> str:
        names = ("partitions", "_retry", "sdk-default-configuration")
        return json.dumps([models.CachedLoader().load_data(name) for name in names])

    alone = [url(*kind) for kind in kinds]
    assert len(set(alone)) == len(kinds)
    monkeypatch.setattr(models, "_files", [])
    models.keep_files()
    before = loaded()
    assert [url(*kind) for kind in kinds] == alone
    assert [url(*kind) for kind in reversed(kinds)] == alone[::-1]
    assert loaded() == before


def test_the_users_own_models_are_those_of_the_present_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore asks for the home folder when it is imported."""
    monkeypatch.setenv("HOME", str(tmp_path / "another"))
    assert str(tmp_path / "another/.aws/models") in models.CachedLoader().search_paths
