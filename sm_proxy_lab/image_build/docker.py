"""`docker`, as far as a build of CodeBuild needs it.

The first argument is the file that the lab has written for this build (see `Daemon.read`); the
others are docker's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from sm_proxy_lab.image_build import ecr, ignore, names, tree
from sm_proxy_lab.image_build.builder import Builder
from sm_proxy_lab.image_build.daemon import Daemon, Image, is_logged_in, log_in, logins
from sm_proxy_lab.image_build.ecr import CallError, Registry
from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.progress import Progress, excerpt

_VERSION: Final = "Docker version 26.1.4, build lab (a stand-in of the sm-proxy lab)"
_NO_DAEMON: Final = (
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
    "running?"
)
_IGNORED: Final = ("--pull", "--no-cache", "--load", "--rm", "--force-rm", "-q", "--quiet")
_IGNORED_WITH_VALUE: Final = ("--platform", "--progress", "--cache-from", "--network", "--label")


class _Parser(argparse.ArgumentParser):
    """Fails as docker does."""

    def error(self, message: str) -> NoReturn:
        raise DockerError(f"{message}\nSee 'docker --help'.")


def main(argv: list[str] | None = None) -> int:
    """Run one docker command; return its exit status."""
    file, *words = sys.argv[1:] if argv is None else argv
    if words in (["--version"], ["-v"]):
        _say(_VERSION)
        return 0
    daemon = Daemon.read(file)
    if not daemon.privileged:
        sys.stderr.write(f"ERROR: {_NO_DAEMON}\n")
        return 1
    try:
        options = _parser().parse_args(words)
        options.run(daemon, options)
    except DockerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:  # the lab's own trouble, such as a full disk
        sys.stderr.write(f"ERROR: lab: {error}\n")
        return 1
    except CallError as error:
        sys.stderr.write(f"{_refusal(error)}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="docker")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_build(commands.add_parser("build"))
    buildx = commands.add_parser("buildx").add_subparsers(required=True, parser_class=_Parser)
    _add_build(buildx.add_parser("build"))
    login = commands.add_parser("login")
    login.add_argument("-u", "--username", default="")
    login.add_argument("-p", "--password", default="")
    login.add_argument("--password-stdin", action="store_true")
    login.add_argument("server", nargs="?", default="https://index.docker.io/v1/")
    login.set_defaults(run=_login)
    logout = commands.add_parser("logout")
    logout.add_argument("server", nargs="?", default="https://index.docker.io/v1/")
    logout.set_defaults(run=_logout)
    for name, run in (("push", _push), ("pull", _pull)):
        command = commands.add_parser(name)
        command.add_argument("-q", "--quiet", action="store_true")
        command.add_argument("image")
        command.set_defaults(run=run)
    tag = commands.add_parser("tag")
    tag.add_argument("source")
    tag.add_argument("target")
    tag.set_defaults(run=_tag)
    for name in ("version", "info"):
        commands.add_parser(name).set_defaults(run=lambda *_: _say(_VERSION))
    image = commands.add_parser("image").add_subparsers(required=True, parser_class=_Parser)
    for each in (commands, image):
        inspect = each.add_parser("inspect")
        inspect.add_argument("-f", "--format", default="")
        inspect.add_argument("image")
        inspect.set_defaults(run=_inspect)
    return parser


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--file", default="")
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("--target", default="")
    parser.add_argument("--push", action="store_true")
    parser.add_argument("--iidfile", default="")
    for name in _IGNORED:
        parser.add_argument(name, action="store_true", dest="_ignored")
    for name in _IGNORED_WITH_VALUE:
        parser.add_argument(name, dest="_ignored")
    parser.add_argument("context")
    parser.set_defaults(run=_build)


def _build(daemon: Daemon, options: argparse.Namespace) -> None:
    root = Path(options.context)
    if not root.is_dir():
        raise DockerError(f"ERROR: unable to prepare context: path {str(root)!r} not found")
    file = Path(options.file) if options.file else root / "Dockerfile"
    progress = Progress()
    progress.step(f"[internal] load build definition from {file.name}")
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        reason = str(error.strerror).lower()
        message = f"failed to read dockerfile: open {file.name}: {reason}"
        raise DockerError(f"ERROR: failed to solve: {message}") from None
    progress.done()
    tags = [str(names.parse(tag)) for tag in options.tag]
    pairs = (word.partition("=") for word in options.build_arg)
    given = {name: value if eq else os.environ.get(name, "") for name, eq, value in pairs}
    mounts = tree.may_mount()
    if mounts:
        tree.enter_own_mounts()
    context = ignore.read(root.resolve(), file)
    try:
        image = Builder(daemon, context, given, progress, mounts=mounts).build(text, options.target)
    except DockerError as error:
        where = f"{excerpt(file.name, text, error.line)}\n" if error.line else ""
        raise DockerError(f"{where}ERROR: failed to solve: {error}") from None
    for tag in tags or [image.id]:
        daemon.keep(tag, image)
    if options.iidfile:
        Path(options.iidfile).write_text(image.id, encoding="ascii")
    for tag in tags if options.push else ():
        _push_image(daemon, tag)


def _login(daemon: Daemon, options: argparse.Namespace) -> None:
    server = options.server.removeprefix("https://").rstrip("/")
    password = options.password
    if options.password_stdin:
        if not options.username:
            raise DockerError("Must provide --username with --password-stdin")
        password = sys.stdin.read().rstrip("\r\n")
    if not password:
        raise DockerError("Error: Cannot perform an interactive login from a non TTY device")
    name = names.ImageName(server.partition("/")[0], "", "", "")
    if name.ecr is None:
        message = f"Get {'https://' + server + '/v2/'!r}: dial tcp: lookup {server}: no such host"
        raise DockerError(f"Error response from daemon: {message}")
    status = ecr.try_login(daemon.endpoint, options.username, password)
    if status != 200:
        words = {400: "400 Bad Request", 401: "401 Unauthorized"}.get(status, str(status))
        where = f"https://{server}/v2/"
        raise DockerError(
            f"Error response from daemon: login attempt to {where} failed with status: {words}"
        )
    log_in(server, options.username, password)
    sys.stderr.write(
        f"WARNING! Your password will be stored unencrypted in {logins()}.\n"
        "Configure a credential helper to remove this warning.\n"
    )
    _say("Login Succeeded")


def _logout(_daemon: Daemon, options: argparse.Namespace) -> None:
    file = logins()
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        known["auths"].pop(options.server.removeprefix("https://").rstrip("/"), None)
        file.write_text(json.dumps(known), encoding="utf-8")
    _say(f"Removing login credentials for {options.server}")


def _push(daemon: Daemon, options: argparse.Namespace) -> None:
    _push_image(daemon, str(names.parse(options.image)))


def _push_image(daemon: Daemon, tag: str) -> None:
    name = names.parse(tag)
    _say(f"The push refers to repository [{name.repository}]")
    image = daemon.images().get(str(name))
    if image is None:
        raise DockerError(f"An image does not exist locally with the tag: {name.repository}")
    if name.ecr is None:
        raise DockerError("denied: requested access to the resource is denied")
    if not is_logged_in(name.host):
        raise DockerError("no basic auth credentials")
    digest, size = Registry.of(daemon, name).push(image, _say)
    image.digests[name.repository] = digest
    daemon.keep(str(name), image)
    _say(f"{name.tag}: digest: {digest} size: {size}")


def _pull(daemon: Daemon, options: argparse.Namespace) -> None:
    name = names.parse(options.image)
    if name.ecr is None or not is_logged_in(name.host):
        raise DockerError(
            f"Error response from daemon: pull access denied for {name.repository}, repository "
            "does not exist or may require 'docker login': denied: requested access to the "
            "resource is denied"
        )
    image = Registry.of(daemon, name).pull()
    if image is None:
        message = f"manifest for {name} not found: manifest unknown: Requested image not found"
        raise DockerError(f"Error response from daemon: {message}")
    daemon.keep(str(name), image)
    _say(f"Digest: {image.digests[name.repository]}\n{name}")


def _tag(daemon: Daemon, options: argparse.Namespace) -> None:
    daemon.keep(str(names.parse(options.target)), _image(daemon, options.source))


def _image(daemon: Daemon, text: str) -> Image:
    """An image that the daemon has, by its name or id.

    Raises:
        DockerError: there is none.
    """
    known = daemon.images()
    found = known.get(text) if text.startswith("sha256:") else known.get(str(names.parse(text)))
    found = found or next((image for image in known.values() if image.id == text), None)
    if found is None:
        raise DockerError(f"Error response from daemon: No such image: {text}")
    return found


def _inspect(daemon: Daemon, options: argparse.Namespace) -> None:
    image = _image(daemon, options.image)
    digests = [f"{where}@{digest}" for where, digest in image.digests.items()]
    shown: dict[str, Any] = {"Id": image.id, "RepoDigests": digests, "Config": image.config}
    known = {
        "{{.Id}}": image.id,
        "{{index .RepoDigests 0}}": digests[0] if digests else None,
        "{{json .RepoDigests}}": json.dumps(digests),
        "{{json .Config}}": json.dumps(image.config),
        "": json.dumps([shown], indent=4),
    }
    text = known.get(options.format)
    if options.format == "{{range .RepoDigests}}{{println .}}{{end}}":
        text = "".join(f"{digest}\n" for digest in digests)
    if text is None:
        raise DockerError(f"template parsing error: the lab does not know {options.format!r}")
    _say(text)


def _refusal(error: CallError) -> str:
    """What docker says when ECR refuses a push or a pull."""
    words = {
        "RepositoryNotFoundException": "name unknown",
        "ImageTagAlreadyExistsException": "tag invalid",
    }
    kind = words.get(error.code, "denied" if "not authorized" in str(error) else "unknown")
    return f"{kind}: {error}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
