"""The build does what was asked, and runs nothing that the user typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.image import buildspec
from sm_proxy.image.buildspec import Order
from sm_proxy.image.names import Registry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CodeBuild's hosts have a shell")

HOST = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
OWN = Registry(HOST, "111122223333", "eu-west-1")
OTHER = Registry("763104351884.dkr.ecr.us-east-1.amazonaws.com", "763104351884", "us-east-1")
DIGEST = "sha256:" + "a" * 64
HOSTILE = "$(touch /tmp/x) `id` \"'; exit 3 #\\"
PROGRAM = """#!/bin/sh
(printf '%s\\n' "${0##*/}" "$@" "") > "$CALLS.$$" && mv "$CALLS.$$" "$CALLS/$(date +%s%N).$$"
case "${0##*/} $1 $2" in
"aws ecr get-login-password") echo token ;;
"docker login "*) [ "$(cat)" = token ] ;;
"docker build "*) exit "${BUILD_STATUS:-0}" ;;
"docker image inspect") echo "other@sha256:1"; echo "$SM_PROXY_REPOSITORY@$DIGEST" ;;
esac
"""


def order(**changes: Any) -> Order:
    given: dict[str, Any] = {"repository": f"{HOST}/mine", "tag": "1", "registries": [OWN]}
    return Order(**{**given, **changes})


class Host:
    """Runs a buildspec as CodeBuild's host does, with stand-ins for `docker` and `aws`."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.calls.mkdir()
        self.source = folder / "source"
        self.source.mkdir()
        (folder / "bin").mkdir()
        for name in ("docker", "aws"):
            (folder / "bin" / name).write_text(PROGRAM)
            (folder / "bin" / name).chmod(0o755)
        subprocess.run(
            ["tar", "-cf", "context.tar", "-C", "/", "--files-from=/dev/null"],
            cwd=self.source,
            check=True,
        )
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self.environment = {"PATH": path, "CALLS": str(self.calls), "DIGEST": DIGEST}

    def run(self, made: Order, *, succeeding: bool = True) -> str:
        """Run all phases up to the first failing command; returns the exported digest."""
        phases = json.loads(buildspec.render(made))["phases"]
        groups = (
            "; ".join(f"{{ {command}\n}} || exit 9" for command in phases[name]["commands"])
            for name in ("pre_build", "build", "post_build")
        )
        done = subprocess.run(
            ["sh", "-c", "; ".join([*groups, f'printf "%s" "${buildspec.DIGEST}"'])],
            cwd=self.source,
            env={
                **self.environment,
                **buildspec.variables(made),
                "CODEBUILD_BUILD_SUCCEEDING": str(int(succeeding)),
            },
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def called(self, program: str) -> list[list[str]]:
        """The arguments of each call of a program."""
        files = sorted(self.calls.iterdir(), key=lambda file: int(file.stem))
        calls = [file.read_text().removesuffix("\n\n").split("\n") for file in files]
        return [words for name, *words in calls if name == program]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_image_is_built_and_pushed(host: Host) -> None:
    assert host.run(order(target="run", arguments={"A": "1", "B": "x=y"})) == DIGEST
    login, build, push, _ = host.called("docker")
    assert login == ["login", "--username", "AWS", "--password-stdin", HOST]
    assert build == [
        *("build", "--pull", "--file", "Dockerfile", "--tag", f"{HOST}/mine:1"),
        *("--target", "run", "--build-arg", "A=1", "--build-arg", "B=x=y", "context"),
    ]
    assert push == ["push", f"{HOST}/mine:1"]


def test_registries_of_base_images_are_logged_in_to_where_they_are(host: Host) -> None:
    host.run(order(registries=[OWN, OTHER]))
    assert [words[-1] for words in host.called("aws")] == ["eu-west-1", "us-east-1"]
    assert [words[-1] for words in host.called("docker")[:2]] == [OWN.host, OTHER.host]


def test_typed_values_are_neither_run_nor_printed(host: Host) -> None:
    made = order(target=HOSTILE, arguments={"A": HOSTILE})
    assert host.run(made) == DIGEST
    build = host.called("docker")[1]
    assert build[build.index("--target") + 1] == HOSTILE
    assert build[build.index("--build-arg") + 1] == f"A={HOSTILE}"
    assert "touch" not in buildspec.render(made)
    assert "touch" not in repr(order(arguments={"A": HOSTILE}))


def test_nothing_is_pushed_after_a_failed_build(host: Host) -> None:
    assert host.run(order(), succeeding=False) == ""
    assert [words[0] for words in host.called("docker")] == ["login", "build"]
    host.environment["BUILD_STATUS"] = "1"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        host.run(order())
    assert caught.value.returncode == 9
