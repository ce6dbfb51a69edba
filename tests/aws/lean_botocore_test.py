"""What botocore leaves out for us must be what none of our calls uses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import botocore.session
import pytest

from sm_proxy.aws import lean_botocore, models

_CALLS = (
    *("before-parameter-build", "provide-client-params", "before-endpoint-resolution"),
    *("before-call", "request-created", "choose-signer", "before-sign", "before-send"),
    *("response-received", "before-parse", "needs-retry", "after-call", "after-call-error"),
)
"""The events of a call; botocore adds service and operation."""
_HELP = """
import inspect, json, sys
from sm_proxy.aws import lean_botocore
session = lean_botocore.new_session()
early = [name for name in sys.modules if name.startswith(("botocore.docs", "html"))]
client = session.create_client("sts", region_name="us-east-1")
late = [name for name in sys.modules if name.startswith("botocore.docs")]
print(json.dumps([early + late, inspect.getdoc(client.get_caller_identity)]))
"""


def handlers(session: botocore.session.Session, event: str) -> list[str]:
    emitter: Any = session.get_component("event_emitter")
    found = emitter._emitter._handlers.prefix_search(emitter._alias_event_name(event))
    return [repr(handler).split(" at 0x")[0] for handler in found]


@pytest.mark.parametrize("service", models.SERVICES)
def test_every_handler_of_a_service_that_we_call_is_registered(service: str) -> None:
    ours, full = lean_botocore.new_session(), botocore.session.Session()
    if service not in full.get_available_services():
        pytest.skip("an older botocore does not have it")
    for name in models.OPERATIONS.get(service) or full.get_service_model(service).operation_names:
        for event in _CALLS:
            where = f"{event}.{service}.{name}"
            assert handlers(ours, where) == handlers(full, where), where
    for event in ("creating-client-class", "choose-service-name", f"getattr.{service}.any"):
        where = f"{event}.{service}" if event == "creating-client-class" else event
        assert handlers(ours, where) == handlers(full, where), where
    assert handlers(ours, f"before-call.{service}.Any")


def test_no_handler_of_another_service_is_registered() -> None:
    ours, full = lean_botocore.new_session(), botocore.session.Session()
    for event in ("before-call.glacier.UploadArchive", "before-call.rds.CreateDBCluster"):
        assert len(handlers(ours, event)) < len(handlers(full, event))


def test_a_handler_keeps_its_place_before_or_after_the_others() -> None:
    ours = handlers(lean_botocore.new_session(), "before-call.s3.PutObject")
    assert ours == handlers(botocore.session.Session(), "before-call.s3.PutObject")
    assert len(ours) > 1


def test_the_documentation_is_imported_when_it_is_read() -> None:
    words = [sys.executable, "-I", "-W", "error", "-c", _HELP]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    imported, text = json.loads(done.stdout)
    assert imported == []
    assert "IAM user" in text
