"""CodeBuild: projects and their builds."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
import traceback
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.codebuild.projects import Projects
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.image_build.layers import LayerStore, root_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sm_proxy_lab.aws.codebuild.agent import Agent
    from sm_proxy_lab.aws.codebuild.build import Build
    from sm_proxy_lab.aws.codebuild.worker import Site
    from sm_proxy_lab.aws.ecr.images import Blob
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.errors import Reply
    from sm_proxy_lab.aws.iam.principals import Principals
    from sm_proxy_lab.aws.iam.roles import Roles

_TOKEN_S: Final = 300
_PAGE: Final = 100


class CodeBuild:
    """The operations that the lab has.

    Args:
        answer: `AwsApp.answer`, for calls with the credentials of a build's role.
        principals: begins a session of that role.
        roles: whether that role trusts CodeBuild.
        faults: the faults of builds.
    """

    def __init__(
        self, answer: Callable[[Call], Reply], principals: Principals, roles: Roles, faults: Faults
    ) -> None:
        self._answer, self._principals, self._faults = answer, principals, faults
        self._projects = Projects(lambda call, role: roles.trusts_service(call, role, "codebuild"))
        self._place: tuple[Path, socket.socket] | None = None
        self._site: Site | None = None
        self._running = threading.Condition()
        self._count = 0
        self._builds: dict[str, Build] = {}
        self._tokens: dict[str, tuple[float, str]] = {}
        self.operations = {
            **self._projects.operations,
            "StartBuild": self._start,
            "StopBuild": self._stop,
            "BatchGetBuilds": self._batch_get,
            "ListBuildsForProject": self._list,
        }

    def serve(self, folder: Path, listener: socket.socket) -> None:
        """Say where builds may put files, and the socket of the endpoint that they call."""
        self._place = folder, listener

    def _where(self) -> Site:
        from sm_proxy_lab.aws.codebuild import worker  # noqa: PLC0415 - only builds need it

        if self._site is None:
            if self._place is None:
                self._site = worker.Site(Path(tempfile.mkdtemp(prefix="sm-proxy-builds-")))
            else:
                self._site = worker.site(*self._place)
            self._site.layers.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._site

    def built(self, layers: tuple[Blob, ...]) -> dict[str, Any]:
        """Where the files of an image are, if a build has made it: `root`, `layers`, `gone`."""
        if not layers or not all(_is_ours(blob.content) for blob in layers):
            return {}
        store = LayerStore(self._where().layers)
        found = {blob.digest: store.files(blob.digest) for blob in layers}
        folders = [str(files) for files in found.values() if files]
        gone = store.gone(layers[-1].digest) if found[layers[-1].digest] else []
        from sm_proxy_lab.machines import rootfs  # noqa: PLC0415 - a start without builds is faster

        root = root_of(layers[0].content) or rootfs.EMPTY
        return {"root": root, "layers": folders, "gone": gone}

    def _find(self, call: Call, name: str) -> Build | None:
        found = self._builds.get(name.rpartition(":build/")[2])
        return found if found and found.region == call.region else None

    def _start(self, call: Call) -> dict[str, Any]:
        from sm_proxy_lab.aws.codebuild.build import Build  # noqa: PLC0415

        params, now = call.params, time.time()
        with self._running:
            project = self._projects.find(call, params["projectName"])
            role = params.get("serviceRoleOverride", project.settings["serviceRole"])
            self._projects.check_role(call, role)
            token = params.get("idempotencyToken")
            key = json.dumps([call.region, params["projectName"], token])
            until, known = self._tokens.get(key, (0.0, ""))
            if token and until > now:
                return {"build": self._builds[known].describe()}
            project.builds += 1
            build = Build(call, project.settings, project.builds, str(uuid.uuid4()))
            self._builds[build.id] = build
            if token:
                self._tokens[key] = now + _TOKEN_S, build.id
        for phase in ("SUBMITTED", "QUEUED"):
            build.enter(phase)
            if phase == "SUBMITTED":
                build.leave("SUCCEEDED")
        shown = build.describe()
        threading.Thread(target=self._run, args=(build,), daemon=True, name=build.id).start()
        return {"build": shown}

    def _run(self, build: Build) -> None:
        """Wait until there is a place for one more build, then run it."""
        minute_s = self._faults["build_minute_ms"] / 1000
        until = time.monotonic() + build["queuedTimeoutInMinutes"] * minute_s
        with self._running:
            while self._count >= self._faults["build_limit"]:
                left = until - time.monotonic()
                if left <= 0 or build.stopping:
                    status = "STOPPED" if build.stopping else "TIMED_OUT"
                    build.leave(status)
                    build.end(status)
                    return
                self._running.wait(min(left, 1.0))  # a test may raise the limit meanwhile
            self._count += 1
        build.leave("SUCCEEDED")
        try:
            self._agent(build, minute_s).run()
        except Exception:  # noqa: BLE001 - with a bug of the lab, the build still ends
            traceback.print_exc(file=sys.stderr)
            build.end("FAULT")
        finally:
            with self._running:
                self._count -= 1
                self._running.notify_all()

    def _agent(self, build: Build, minute_s: float) -> Agent:
        from sm_proxy_lab.aws.codebuild import worker  # noqa: PLC0415 - only builds need it
        from sm_proxy_lab.aws.codebuild.agent import Agent, folder_of  # noqa: PLC0415

        site = self._where()
        folder = folder_of(site.folder, build)
        privileged = bool(build["environment"].get("privilegedMode"))
        session = f"AWSCodeBuild-{build.id.partition(':')[2]}"
        return Agent(
            build,
            worker.Place(site, folder.name, privileged=privileged),
            self._answer,
            lambda: self._principals.assume(build.role, session),
            self._faults["build"],
            minute_s,
        )

    def _stop(self, call: Call) -> dict[str, Any]:
        found = self._find(call, call.params["id"])
        if found is None:
            # That a build of another region is not found, we know; the words are a guess.
            raise AwsError("ResourceNotFoundException", f"Build {call.params['id']} not found")
        found.stop()
        with self._running:
            self._running.notify_all()
        return {"build": found.describe()}

    def _batch_get(self, call: Call) -> dict[str, Any]:
        ids = call.params["ids"]
        found = {each: self._find(call, each) for each in ids}
        missing = [each for each, build in found.items() if build is None]
        builds = [build.describe() for build in found.values() if build is not None]
        return {"builds": builds, "buildsNotFound": missing}

    def _list(self, call: Call) -> dict[str, Any]:
        project = self._projects.find(call, call.params["projectName"])
        name = project.settings["name"]
        ids = [
            build.id
            for build in self._builds.values()
            if build.region == call.region and build["projectName"] == name
        ]
        if call.params.get("sortOrder", "DESCENDING") == "DESCENDING":
            ids.reverse()
        return {"ids": ids[:_PAGE]}


def _is_ours(content: bytes) -> bool:
    """Whether a layer was made by a build of the lab."""
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False
