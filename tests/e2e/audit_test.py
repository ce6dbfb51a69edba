"""No secret leaks: we search everything that many commands have written, printed and spawned.

The secrets are known: the tokens of the lab's gateway, the AWS credentials of the run, and the
private key. Other tests plant a secret and check that the search finds it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.labs import Lab
from tests.e2e.spaces import make_domain, make_space
from tests.lab.conftest import needs_root
from tests.soak import only_in_soak

pytestmark = pytest.mark.e2e

WATCH = Path(__file__).parent / "watch"
WATCHED = [sys.executable, str(WATCH / "run.py")]
ACCESS_KEY = "ASIA" + "ABCDEFGH" + "IJKL2345"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2Vj" + secrets.token_urlsafe(300),
}
_LAUNCHER = """
import os, pathlib, sys, botocore.session
pathlib.Path(sys.argv[1]).write_text(os.environ["AWS_ENDPOINT_URL_SAGEMAKER"])
client = botocore.session.Session().create_client("sagemaker")
client.list_training_jobs()
client.create_training_job(
    TrainingJobName="audited", RoleArn="arn:aws:iam::123456789012:role/x" + "y" * 20,
    AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
    OutputDataConfig={"S3OutputPath": "s3://x/y"}, ResourceConfig={"VolumeSizeInGB": 1},
    StoppingCondition={"MaxRuntimeInSeconds": 60},
)
"""
Evidence = dict[str, str]


class Run:
    """Runs commands in a lab, and collects their traces."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.log = folder / "watched"
        self.given = {
            **CREDENTIALS,
            "SM_PROXY_LOG": "debug",
            "SM_PROXY_TEST_WATCH": str(self.log),
            "PYTHONPATH": str(WATCH),
            "TMPDIR": str(folder),
        }
        self.said: list[str] = []

    def ssh(self, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        config = self.lab.ssh("-G", words[0]).stdout.decode()
        (command,) = re.findall(r"^proxycommand .* -m sm_proxy (.*)$", config, re.MULTILINE)
        watched = f"ProxyCommand={' '.join(WATCHED)} {command}"
        done = self.lab.ssh("-o", watched, *words, env={**self.given, **env})
        self.said += [done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")]
        return done

    def sm_proxy(self, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        done = self.lab.run(*WATCHED, *words, env={**self.given, **env})
        self.said += [done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")]
        return done

    def watched(self, kind: str) -> list[list[object]]:
        found = map(json.loads, self.log.read_text().splitlines())
        return [line[1:] for line in found if line[0] == kind]

    @property
    def folders(self) -> dict[str, Path]:
        kinds = ("CONFIG", "CACHE", "STATE")
        own = {kind: Path(self.lab.environment[f"SM_PROXY_{kind}_DIR"]) for kind in kinds}
        return {**own, "SSH": Path(self.lab.config).parent}

    def evidence(self) -> Evidence:
        """All files, all output, and all arguments and environments of processes."""
        self.lab.settle()
        found = {
            str(path): path.read_bytes().decode(errors="replace")
            for folder in self.folders.values()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "id_ed25519"
        }
        found["printed"] = "\n".join(self.said)
        found["processes"] = self.log.read_text()
        # The environment that the test gives the commands has the credentials.
        for name, value in CREDENTIALS.items():
            given = f'"{name}": {json.dumps(value)}'
            assert given in found["processes"]
            found["processes"] = found["processes"].replace(given, "")
        return found

    def secrets(self) -> dict[str, str]:
        """Name -> secret that must not be found."""
        tokens = self.lab._gateway(op="tokens")["tokens"]
        assert tokens
        key = Path(self.lab.config).parent / "sm-proxy" / "id_ed25519"
        public = key.with_name(
            "id_ed25519.pub"
        ).read_text()  # the private file holds the public half, too
        lines = enumerate(key.read_text().splitlines()[1:-1])
        private = {
            f"private key, line {n}": line
            for n, line in lines
            if not leaks({"": public}, {"": line})
        }
        assert len(private) >= 2
        return {
            **{f"token {number}": token for number, token in enumerate(tokens)},
            "secret access key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            "session token": CREDENTIALS["AWS_SESSION_TOKEN"],
            **private,
        }


def leaks(evidence: Evidence, secrets_: dict[str, str]) -> list[str]:
    """The places where secrets were found: complete, in part, or encoded."""
    return [
        f"{name} in {where}"
        for name, secret in secrets_.items()
        for where, text in evidence.items()
        if any(form in text for form in forms(secret))
    ]


def forms(secret: str) -> set[str]:
    """A part from the middle, and the complete secret as base64 and URL-encoded."""
    middle = len(secret) // 3
    return {
        secret[middle : middle + 16],
        base64.b64encode(secret.encode()).decode()[:-4],
        urllib.parse.quote(secret, safe=""),
    }


@pytest.fixture(scope="module")
def run(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Many commands that succeed or fail, with the debug log on; one of them has a bug."""
    run = Run(lab, tmp_path_factory.mktemp("audit"))
    assert run.ssh(lab.host, "true").returncode == 0
    assert run.ssh(f"{lab.host}.2", "echo hello; exit 3").returncode == 3
    assert run.sm_proxy("resolve", lab.host, "--json").returncode == 0
    assert run.sm_proxy("wait", lab.host).returncode == 0
    assert run.sm_proxy("list", "--check").returncode == 0
    assert run.sm_proxy("keys", "show", "--env").returncode == 0
    assert run.sm_proxy("config", "write", "--ssh-config", f"{run.folder}/config").returncode == 0
    with lab.faults(gateway={"cut_client_after_bytes": 60_000}):
        assert run.ssh(lab.host, "head -c 300000 /dev/urandom | base64").returncode == 0
    assert run.ssh("sm-no-such-job", "true").returncode == 255
    assert run.sm_proxy("relaunch", lab.host, "--dry-run", "--yes").returncode == 0
    launcher = [sys.executable, "-c", _LAUNCHER, f"{run.folder}/url"]
    assert run.sm_proxy("launch", "--", *launcher).returncode == 1  # the service refuses the job
    for fault in ({"deny": ["ssm:StartSession"]}, {"credentials": "invalid"}):
        with lab.faults(**fault):
            assert run.ssh(lab.host, "true").returncode == 255
    bug = run.ssh(lab.host, "true", SM_PROXY_TEST_BUG="1")
    assert b"sm-proxy: bug: KeyError" in bug.stderr
    for session in lab.sessions():  # the bug's session, and any that is about to end
        lab._gateway(op="close", session=session)
    return run


def test_no_secret_is_written_printed_or_passed_to_a_process(run: Run) -> None:
    evidence, known = run.evidence(), run.secrets()
    assert len([name for name in known if name.startswith("token")]) >= 5
    assert any("reports" in where for where in evidence), "the bug was reported"
    assert "session granted" in evidence[str(run.folders["STATE"] / "debug.log")]
    assert "ResumeSession" in evidence["printed"]
    assert leaks(evidence, {**known, "access key id": ACCESS_KEY}) == []


@needs_root
@only_in_soak
def test_no_secret_of_a_spaces_session_is_written_or_printed(run: Run) -> None:
    space = make_space(run.lab, make_domain(run.lab, "audited"), "audited", running=True)
    before = len(run.secrets())
    report = run.folder / "report"
    assert run.ssh(space.host, "true").returncode == 0
    assert run.sm_proxy("doctor", space.host, "--bundle", str(report)).returncode == 0
    with run.lab.faults(gateway={"refuse_upgrade": 403}):
        assert run.ssh(space.host, "true").returncode == 255
    assert len(run.secrets()) >= before + 3
    assert space.arn.rpartition("/")[2] in report.read_text()
    assert leaks({**run.evidence(), "report": report.read_text()}, run.secrets()) == []


def test_the_path_of_the_endpoint_is_only_in_the_environment_of_its_command(run: Run) -> None:
    path = (run.folder / "url").read_text().rpartition("/")[2]
    assert len(path) >= 32
    evidence = run.evidence()
    assert path in evidence.pop("processes")
    evidence["arguments"] = json.dumps([argv for argv, _ in run.watched("start")])
    assert "operation=CreateTrainingJob" in evidence[str(run.folders["STATE"] / "debug.log")]
    assert leaks(evidence, {"path": path}) == []


def test_every_process_was_watched(run: Run) -> None:
    commands = [" ".join(map(str, argv)) for argv, _ in run.watched("start")]  # type: ignore[call-overload]
    for word in ("connect", "resolve", "wait", "list", "keys", "config", "relaunch", "launch"):
        assert any(f" {word}" in command for command in commands), word


def test_nothing_is_written_outside_our_folders(run: Run) -> None:
    own = [*map(str, run.folders.values()), str(run.folder), os.devnull, "/dev/tty"]
    for (path,) in run.watched("write"):
        if isinstance(path, str) and "__pycache__" not in path:
            assert path.startswith(tuple(own)), path


def test_all_written_files_are_private(run: Run) -> None:
    for kind in ("CACHE", "STATE"):
        for path in [run.folders[kind], *run.folders[kind].rglob("*")]:
            assert path.lstat().st_mode & 0o077 == 0, path


def in_a_file(run: Run, secret: str) -> None:
    (run.folders["STATE"] / "planted").write_text(f"x{secret}x")


def in_an_argument(run: Run, secret: str) -> None:
    run.sm_proxy("resolve", secret)


def in_a_childs_environment(run: Run, secret: str) -> None:
    program = f"import subprocess; subprocess.run(['true'], env={{'X': {secret!r}}})"
    run.lab.run(sys.executable, "-c", program, env=run.given)


def on_stderr(run: Run, secret: str) -> None:
    run.said.append(f"sm-proxy: network: {secret[5:-5]}")


def as_base64(run: Run, secret: str) -> None:
    run.said.append(base64.b64encode(secret.encode()).decode())


@pytest.mark.parametrize(
    "plant", [in_a_file, in_an_argument, in_a_childs_environment, on_stderr, as_base64]
)
def test_the_search_finds_a_planted_secret(
    plant: Callable[[Run, str], None], run: Run, tmp_path: Path
) -> None:
    said, log = list(run.said), shutil.copy(run.log, tmp_path)
    secret = secrets.token_urlsafe(150)
    try:
        plant(run, secret)
        found = leaks(run.evidence(), {**run.secrets(), "planted": secret})
        assert found
        assert all(item.startswith("planted in ") for item in found)
    finally:
        run.said = said
        shutil.copy(log, run.log)
        (run.folders["STATE"] / "planted").unlink(missing_ok=True)
