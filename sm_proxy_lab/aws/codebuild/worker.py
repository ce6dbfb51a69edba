"""Where a build's processes are: folders, programs on their PATH, variables, network."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.codebuild.shell import Shell
from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import rootfs, sshd_binary
from sm_proxy_lab.python import python_module

if TYPE_CHECKING:
    from sm_proxy_lab.aws.codebuild.build import Build
    from sm_proxy_lab.aws.http.identity import Keys

_SIOCGSKNS: Final = 0x894C  # Linux: a descriptor of a socket's network namespace
_SYSTEM: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS: Final = {
    "docker": "sm_proxy_lab.image_build.docker",
    "aws": "sm_proxy_lab.image_build.aws",
}


@dataclass(frozen=True)
class Site:
    """What all builds share.

    Attributes:
        folder: for their files.
        endpoint: URL of the lab's AWS endpoint.
        netns: the network namespace where that is; None for our own.
    """

    folder: Path
    endpoint: str = ""
    netns: int | None = None

    @property
    def layers(self) -> Path:
        """The folder of the images' layers."""
        return self.folder / "layers"


def site(folder: Path, listener: socket.socket) -> Site:
    """The site of an endpoint: it may listen in another network namespace than this process's."""
    host, port = listener.getsockname()[:2]
    try:
        netns = fcntl.ioctl(listener, _SIOCGSKNS)
    except OSError:  # without root there is only one
        return Site(folder, f"http://{host}:{port}")
    os.set_inheritable(netns, False)
    return Site(folder, f"http://{host}:{port}", netns)


class Place:
    """The folders of one build, made when it is provisioned."""

    def __init__(self, site: Site, name: str, *, privileged: bool) -> None:
        self._site = site
        self._folder = site.folder / name
        self._shells = 0
        self.source = self._folder / "src"
        for folder in (self.source, self._folder / "home", self._folder / "bin"):
            folder.mkdir(mode=0o700, parents=True)
        told = {
            "endpoint": site.endpoint,
            "layers": str(site.layers),
            "folder": str(self._folder / "docker"),
            "tools": str(sshd_binary.cache_folder().absolute()),
            "privileged": privileged,
        }
        file = self._folder / "lab.json"
        file.write_text(json.dumps(told), encoding="utf-8")
        for program, module in _PROGRAMS.items():
            words = shlex.join([*python_module(module), str(file)])
            stand_in = self._folder / "bin" / program
            stand_in.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
            stand_in.chmod(0o755)

    def prepare_docker(self, say: Callable[[str], None]) -> None:
        """Build the root file system that stands in for public images, if this machine lacks it.

        Its packages are downloaded, and the network of the build's commands is the lab's own.
        """
        if os.geteuid() != 0:
            return
        with contextlib.suppress(LabError):  # docker says it again, when it needs the root
            rootfs.find("debian", [], say)

    def environment(self, build: Build, keys: Keys, variables: dict[str, str]) -> dict[str, str]:
        """The variables of the commands; what a build was given comes before the buildspec's."""
        given = {
            each["name"]: each["value"] for each in build["environment"]["environmentVariables"]
        }
        own = {
            "PATH": f"{self._folder / 'bin'}:{_SYSTEM}",
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder),
            "AWS_REGION": build.region,
            "AWS_DEFAULT_REGION": build.region,
            "AWS_ENDPOINT_URL": self._site.endpoint,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "CODEBUILD_BUILD_ARN": build["arn"],
            "CODEBUILD_BUILD_ID": build.id,
            "CODEBUILD_BUILD_IMAGE": build["environment"]["image"],
            "CODEBUILD_BUILD_NUMBER": str(build["buildNumber"]),
            "CODEBUILD_CI": "true",
            "CODEBUILD_INITIATOR": build["initiator"],
            "CODEBUILD_LOG_PATH": build.stream,
            "CODEBUILD_SRC_DIR": str(self.source),
            "CODEBUILD_START_TIME": str(int(build["startTime"] * 1000)),
        }
        return {**variables, **given, **own}

    def shell(
        self, name: str, environment: dict[str, str], output: Callable[[bytes], None]
    ) -> Shell:
        """Start a shell for the commands."""
        self._shells += 1
        folder = self._folder / f"shell-{self._shells}"
        return Shell(
            name,
            folder,
            source=self.source,
            environment=environment,
            output=output,
            netns=self._site.netns,
        )

    def remove(self) -> None:
        """Remove all but the layers of images."""
        shutil.rmtree(self._folder, ignore_errors=True)
