"""`sm-proxy image build`: builds an image in CodeBuild, for a laptop without docker."""

from __future__ import annotations

import argparse
import functools
import re
import tempfile
from pathlib import Path
from typing import Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import image_source, options
from sm_proxy.commands.image_source import Source
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.image import archive, build, failure, names, upload
from sm_proxy.image import project as projects
from sm_proxy.image import repository as repositories
from sm_proxy.image.build_log import BuildLog
from sm_proxy.image.buildspec import DIGEST, Order
from sm_proxy.image.context import Context
from sm_proxy.image.names import Repository
from sm_proxy.image.project import Project
from sm_proxy.local import output, signals, sizes, waits
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")

DESCRIPTION: Final = (
    "Builds a training image in AWS CodeBuild, and pushes it to ECR. For laptops without docker."
)
EXAMPLES: Final = (("sm-proxy image build . --repository train:1", "build the Dockerfile here"),)
USES: Final = ()

_BUILD: Final[dict[str, Any]] = {
    "help": "build DIR in CodeBuild, and push the image to ECR",
    "description": "Sends DIR to AWS CodeBuild, builds its Dockerfile there, and pushes the image"
    " to ECR. The last line of stdout is the image's address, for the job's TrainingImage.",
    "examples": (
        ("sm-proxy image build . --repository train:1", "build the Dockerfile here"),
        ("sm-proxy image build . --repository train:1 --init", "with our files for ssh"),
        ("sm-proxy image build . --repository train:1 --dry-run", "list what would be sent"),
    ),
    "uses": options.USES_AWS,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`image build DIR --repository NAME:TAG [options]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    command = actions.add_parser("build", **_BUILD)
    command.add_argument("folder", metavar="DIR", type=Path, help="the build context")
    command.add_argument(
        "--repository",
        metavar="NAME:TAG",
        required=True,
        help="where the image goes in ECR; a missing repository is made",
    )
    command.add_argument(
        "--file", metavar="PATH", type=Path, help="the Dockerfile (default: DIR/Dockerfile)"
    )
    command.add_argument(
        "--build-arg",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="for an ARG of the Dockerfile; without a value, that of your environment. Not for"
        " secrets: CodeBuild shows it to all who may see the build, and the image may keep it",
    )
    command.add_argument("--target", metavar="STAGE", default="", help="the stage to build")
    command.add_argument(
        "--init",
        action="store_true",
        help="first write our files into DIR/sm-proxy, as `container init` does, and insist that"
        " the Dockerfile uses them",
    )
    _add_project(command)
    command.add_argument(
        "--compute",
        choices=build.COMPUTE,
        default="",
        help="the size of the host that builds (default: the project's, medium for ours)",
    )
    command.add_argument(
        "--timeout",
        type=lambda text: options.duration(text, least=build.SHORTEST_S, most=build.LONGEST_S),
        metavar="DURATION",
        default=build.DEFAULT_S,
        help="when CodeBuild ends the build (default: 1h)",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="list the files that would be sent; call nothing"
    )
    options.add_json(command)


def _add_project(command: argparse.ArgumentParser) -> None:
    place = command.add_mutually_exclusive_group()
    place.add_argument(
        "--stack",
        metavar="NAME",
        default=stack_names.DEFAULT,
        help=f"the stack whose build project is used (default: {stack_names.DEFAULT})",
    )
    place.add_argument("--project", metavar="NAME", help="a CodeBuild project of your own")


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Build an image.

    Data: `{"image", "repository", "tag", "digest", "build", "uploaded", "ssh"}`: `image` is
    `REGISTRY/NAME@sha256:...`; `ssh` tells whether it starts our entry point. With `--dry-run`:
    `{"files", "bytes", "images", "ssh"}`.

    Raises:
        SmProxyError: `build-failed`, `no-stack`, `usage`, `bad-setting`, or a call failed.
    """
    wanted = names.parse(args.repository)
    if args.init and not args.dry_run:
        image_source.write_our_files(args.folder, args.file)
    source = image_source.read(args)
    if args.dry_run:
        return _shown(source)
    signals.raise_on_hangup()
    try:
        return _built(args, Aws(settings.profile, settings.region), wanted, source)
    except SmProxyError as error:
        if error.code == "access-denied":
            error.hint = f"{error.hint} `sm-proxy infra policy launcher` prints all that it needs."
        raise


def _shown(source: Source) -> Result:
    files = [entry.name for entry in source.context.entries]
    size = source.context.size
    data = {
        "files": files,
        "bytes": size,
        "images": list(source.dockerfile.images),
        "ssh": source.dockerfile.starts_ours,
    }
    text = "\n".join(map(printable, files))
    output.status(f"{len(files)} files and folders with {sizes.in_words(size)} would be sent")
    return Result(data, text)


def _built(args: argparse.Namespace, aws: Aws, wanted: Repository, source: Source) -> Result:
    stack = None if args.project else args.stack
    project = projects.find(aws, args.project or stack_names.project(args.stack), stack=stack)
    uri = repositories.ensure(aws, wanted, project, output.status, stack)
    key, uploaded = _sent(aws, project, source.context)
    order = Order(
        repository=uri,
        tag=wanted.tag,
        registries=names.registries(uri, source.dockerfile.images),
        target=args.target,
        arguments=source.arguments,
    )
    request = build.Request(project, order, f"{project.bucket}/{key}", args.timeout, args.compute)
    log = BuildLog(aws, output.write_to_stderr, output.status)
    done = build.run(aws, request, log, output.status)
    if done.get("buildStatus") != "SUCCEEDED":
        raise failure.explain(done, log.last, project)
    digest = _digest(aws, wanted, done)
    image = f"{uri}@{digest}"
    data = {
        "image": image,
        "repository": uri,
        "tag": wanted.tag,
        "digest": digest,
        "build": done["id"],
        "uploaded": uploaded,
        "ssh": source.dockerfile.starts_ours,
    }
    return Result(data, image)


def _sent(aws: Aws, project: Project, found: Context) -> tuple[str, bool]:
    """Pack the context and upload it; its key, and whether it was not there yet."""
    waiting = waits.waiting("reading the build context", covers=True)
    with tempfile.TemporaryFile() as file, waiting as wait:
        tell = functools.partial(wait.tell, on_status=output.status)
        made = archive.write(found, file, upload.progress("reading", found.size, tell))
        wait.what = "uploading the build context"
        uploaded = upload.ensure(aws, project, made, file, tell)
    if not uploaded:
        output.status("this build context has been uploaded before")
    return upload.key_of(made), uploaded


def _digest(aws: Aws, wanted: Repository, done: dict[str, Any]) -> str:
    """The digest of the image that this build has pushed.

    Raises:
        SmProxyError: `build-failed`, neither the build nor ECR reports it.
    """
    variables = {
        item.get("name"): str(item.get("value"))
        for item in done.get("exportedEnvironmentVariables", [])
    }
    pushed = variables.get(DIGEST, "")
    known = _SHA256.fullmatch(pushed) is not None
    try:
        tagged = repositories.digest_of(aws, wanted)
    except SmProxyError:
        if not known:
            raise
        tagged = ""
    if not known:
        pushed = tagged
    elif tagged not in {"", pushed}:
        output.status(f"meanwhile the tag {wanted.tag} has been given to another image, {tagged}")
    if not pushed:
        raise SmProxyError(
            "build-failed",
            f"the build succeeded, but its image {wanted.name}:{wanted.tag} cannot be found",
            "Allow ecr:DescribeImages: `sm-proxy infra policy launcher` prints what you need.",
        )
    return pushed
