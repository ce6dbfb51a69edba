"""The client's `image build` against the lab's CodeBuild: a real process, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from sm_proxy_lab import account
from tests import soak
from tests.lab.aws.codebuild.helpers import describe, make_project
from tests.lab.aws.harness import REGION, Lab
from tests.lab.aws.iam.identities import ADMINISTRATOR, client
from tests.lab.conftest import needs_root

DOCKERFILE = """
FROM public.ecr.aws/lts/ubuntu:18.04_stable
COPY . /opt/program/
RUN test ! -e /opt/program/data && test -x /opt/program/run.sh
ARG WHAT
ENV WHAT=$WHAT
"""
_FOLDERS = ("cache", "config", "ssh", "state")


class Laptop:
    """Runs `image build` in a process of its own, whose files are below `folder`."""

    def __init__(self, lab: Lab, role: str, folder: Path) -> None:
        bucket = f"context-{uuid.uuid4().hex[:8]}"
        client(lab, "s3", ADMINISTRATOR).create_bucket(Bucket=bucket)
        self.folder = folder / "context"
        self.folder.mkdir()
        self.project = make_project(
            lab,
            role,
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "privilegedMode": True,
                "environmentVariables": [{"name": "SM_PROXY_BUCKET", "value": bucket}],
            },
        )
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            **{f"SM_PROXY_{kind.upper()}_DIR": str(folder / kind) for kind in _FOLDERS},
            "AWS_ACCESS_KEY_ID": account.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": account.SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": lab.endpoint,
        }

    def dockerfile(self, text: str) -> None:
        (self.folder / "Dockerfile").write_text(text)

    def start(self, *words: str) -> subprocess.Popen[str]:
        repository = f"image-{uuid.uuid4().hex[:8]}:1"
        command = ["image", "build", str(self.folder), "--repository", repository]
        return subprocess.Popen(
            [sys.executable, "-m", "sm_proxy", *command, "--project", self.project, *words],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, *words: str) -> dict[str, Any]:
        """The envelope on stdout."""
        shown, told = self.start("--json", *words).communicate(timeout=120)
        assert shown, told
        return dict(json.loads(shown))


@pytest.fixture
def laptop(lab: Lab, role: str, tmp_path: Path) -> Laptop:
    return Laptop(lab, role, tmp_path)


@needs_root
def test_the_host_gets_the_context_as_it_is_and_once(laptop: Laptop, tmp_path: Path) -> None:
    (laptop.folder / "run.sh").write_text("#!/bin/sh\n")
    (laptop.folder / "run.sh").chmod(0o755)
    (laptop.folder / "data").write_text("large")
    (laptop.folder / ".dockerignore").write_text("data\n")
    laptop.dockerfile(DOCKERFILE)
    touched = tmp_path / "touched"
    found = [laptop.build("--build-arg", f"WHAT=$(touch {touched})`touch {touched}`") for _ in "12"]
    assert [item["ok"] for item in found] == [True, True], found
    assert [item["data"]["uploaded"] for item in found] == [True, False]
    assert found[0]["data"]["digest"] == found[1]["data"]["digest"]
    assert not touched.exists()


@needs_root
@soak.only_in_soak
def test_a_large_context_is_taken(laptop: Laptop) -> None:
    (laptop.folder / "data").write_bytes(os.urandom(70_000_000))
    laptop.dockerfile("FROM scratch\nCOPY data /\n")
    assert laptop.build()["ok"]


@needs_root
@pytest.mark.parametrize(
    "number",
    soak.cases([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], [signal.SIGINT]),
)
def test_a_signal_stops_the_build(laptop: Laptop, lab: Lab, number: signal.Signals) -> None:
    laptop.dockerfile("FROM ubuntu\nRUN echo it has begun && sleep 600\n")
    process = laptop.start()
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.endswith(" it has begun\n"):
            break
    process.send_signal(number)
    shown, told = process.communicate(timeout=60)
    assert process.returncode == 130, lines
    assert shown == ""
    assert told.splitlines()[-1] == "sm-proxy: the build has ended: STOPPED"
    (name,) = {line.split()[4].rstrip(";") for line in lines if "the build is " in line}
    assert describe(lab, name)["buildStatus"] == "STOPPED"
