"""A lab without a way to the internet, and the Pythons with the SDKs in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import labs
from tests.sdk import toolkit
from tests.sdk.records import BUCKET

HERE = Path(__file__).parent
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1"
PROGRAMS = sorted(path.stem for path in (HERE / "programs").glob("*.py"))


@dataclass(frozen=True)
class Sdks:
    """Runs programs that use an SDK, in a lab."""

    lab: labs.Lab
    folder: Path

    def path(self, program: str) -> str:
        """The file of a program."""
        return str(HERE / "programs" / f"{program}.py")

    def variable(self, program: str) -> str:
        """The program's name of the object that submits the job."""
        text = Path(self.path(program)).read_text(encoding="utf-8")
        return text.partition("__main__")[2].split("\n", 1)[1].split(".")[0].strip()

    def run(self, program: str, *words: str, timeout: float = 120) -> str:
        """Run a command, in which PYTHON stands for the SDK's; return its stderr."""
        python = os.environ[f"SM_PROXY_{program.partition('_')[0].upper()}"]
        command = [python if word == "PYTHON" else word for word in words]
        done = self.lab.run(*command, env=self._environment(), timeout=timeout)
        if done.returncode:
            pytest.fail((done.stdout + done.stderr).decode()[-3000:])
        return done.stderr.decode()

    def sent(self, program: str, *lines: str) -> tuple[dict[str, Any], str]:
        """Run a program, with these lines put into it; return its one request, and stderr."""
        record = self.folder / f"{program}.json"
        record.unlink(missing_ok=True)
        command = (str(HERE / "run.py"), self.path(program), str(record), *lines)
        err = self.run(program, "PYTHON", *command)
        requests = [json.loads(line) for line in record.read_text().splitlines()]
        assert len(requests) == 1, requests
        return requests[0], err

    def _environment(self) -> dict[str, str]:
        vpc = self.lab.python("answer = describe(os.environ['SM_PROXY_LAB_JOB'])['VpcConfig']")
        return {
            "HOME": str(self.folder),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(HERE / "sagemaker.yaml"),
            "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
            "SUBNET": vpc["Subnets"][0],
            "SECURITY_GROUP": vpc["SecurityGroupIds"][0],
        }


_DATA = f"client('s3').put_object(Bucket={BUCKET!r}, Key='data/rows.csv', Body=b'1,2')"


def provide(lab: labs.Lab, folder: Path) -> None:
    """Put the programs' image into the lab's ECR, and their data into S3."""
    lab.python(_DATA)
    lab.control("put_image", IMAGE, toolkit.image(folder), history=toolkit.HISTORY)


@pytest.fixture(scope="session")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdks]:
    """The SDKs, in a lab of their own: the machines of a namespace see nothing but each other."""
    with labs.running(tmp_path_factory.mktemp("lab")) as lab:
        assert lab.netns, "without a network namespace, the SDKs would call the internet"
        provide(lab, tmp_path_factory.mktemp("image"))
        yield Sdks(lab, tmp_path_factory.mktemp("sdk"))
