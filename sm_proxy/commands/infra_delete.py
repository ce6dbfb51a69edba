"""`sm-proxy infra delete`: removes the stack, after a look at who still uses it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import infra_options, infra_run, options
from sm_proxy.commands.infra_run import Run
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import bastion, bucket, config_file, events, in_use, repositories
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.bucket import Contents
from sm_proxy.infra.repositories import Repository
from sm_proxy.infra.stack import Stack
from sm_proxy.infra.watch import DELETED
from sm_proxy.local import output, sizes
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

_SUBNET = "AWS::EC2::Subnet"
_GROUP = "AWS::EC2::SecurityGroup"
_DELETABLE = ("CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
"""What CloudFormation works on and can delete all the same."""

DESCRIPTION: Final = (
    "Removes the stack. It refuses while jobs use its network or your data are in its bucket,"
    " and names them."
)
EXAMPLES: Final = (
    ("sm-proxy infra delete", "looks first, then asks"),
    ("sm-proxy infra delete --images", "also the images that it has built"),
)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra delete [--stack NAME] [--with-data] [--images] [--yes] [--timeout D] [--json]`."""
    infra_options.add_stack(parser)
    parser.add_argument(
        "--with-data",
        action="store_true",
        help="delete the stack's bucket even if it has files that sm-proxy did not put there",
    )
    parser.add_argument(
        "--images",
        action="store_true",
        help="also delete the repositories that `image build` made for this stack",
    )
    infra_run.add_arguments(parser)


@dataclass(frozen=True)
class _Found:
    """What a deletion is about.

    Attributes:
        stack: the stack.
        subnets: that go with it; none in an existing VPC.
        groups: the security groups that go with it.
        bucket: its bucket; empty if there is none.
        contents: what is in the bucket.
        with_data: whether the user's data in the bucket may go.
    """

    stack: Stack
    subnets: tuple[str, ...]
    groups: tuple[str, ...]
    bucket: str
    contents: Contents
    with_data: bool

    @property
    def begun(self) -> bool:
        """Whether CloudFormation deletes it already."""
        return self.stack.status == "DELETE_IN_PROGRESS"


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Delete the stack, or go on with its deletion.

    Data: `{"stack", "deleted", "images", "config_changed"}`; `images` are the repositories of
    `image build`, each with `repository`, `stack`, `images`, `bytes` and `deleted`.
    """
    with Interruptible("nothing has begun") as left:
        run = Run.of(args, settings, left)
        stack = stacks.find(run.aws, run.name)
        images = repositories.with_our_tag(run.aws)
        going = tuple(item for item in images if args.images and item.stack == run.name)
        if stack is None and not going:
            text = f"there is no stack {run.name} in {run.aws.region}: nothing to delete"
            return _result(run, text, images, deleted=False)
        stack = None if stack is None else _deletable(run, stack)
        found = None if stack is None else _look(run, stack, with_data=args.with_data)
        if not _is_meant(run, found, going):
            return _result(run, "nothing was deleted", images, deleted=False, status=1)
        forgot = _delete(run, found) if found else False
        for item in going:
            repositories.delete(run.aws, item.name)
        text = f"the stack {run.name} is deleted" if found else "the images are deleted"
        return _result(run, text, images, deleted=bool(found), gone=going, forgot=forgot)


def _deletable(run: Run, stack: Stack) -> Stack | None:
    """The stack once it can be deleted: not in an update. None if it is gone by then."""
    if not stack.busy or stack.status in _DELETABLE:
        return stack
    output.status(f"the stack {run.name} is {stack.status}: waiting for that first")
    found, _ = run.follow(stack)
    return None if found.status == DELETED else found


def _look(run: Run, stack: Stack, *, with_data: bool) -> _Found:
    """Check everything that could prevent the deletion.

    Raises:
        SmProxyError: `in-use`: the stack is not ours; jobs are in its network; its bucket has the
            user's data.
    """
    stacks.refuse_foreign(stack, lambda: stacks.template(run.aws, run.name))
    made = stacks.resources(run.aws, stack.id)
    found = _found(run.aws, stack, made, with_data=with_data)
    if not found.begun:
        running = in_use.jobs(run.aws, found.subnets or _own_subnets(stack), output.status)
        own = _instances(run.aws, made)
        others = in_use.interfaces(run.aws, found.subnets, found.groups, own)
        refusal = in_use.refusal(run.name, running, others, run.settings.prefix, run.again)
        if refusal is not None and (found.subnets or others):
            raise refusal
    if not with_data:
        bucket.refuse_data(found.bucket, found.contents)
    return found


def _found(
    aws: Aws, stack: Stack, made: Mapping[str, tuple[str, str, str]], *, with_data: bool
) -> _Found:
    named = made.get("Bucket", ("", "", ""))[1]
    contents = bucket.contents(aws, named) if named else Contents({}, {})
    subnets = tuple(name for kind, name, _ in made.values() if kind == _SUBNET)
    groups = tuple(name for kind, name, _ in made.values() if kind == _GROUP)
    return _Found(stack, subnets, groups, named, contents, with_data)


def _own_subnets(stack: Stack) -> tuple[str, ...]:
    """The subnets of an existing VPC, which stay."""
    return tuple(filter(None, stack.outputs.get("Subnets", "").split(",")))


def _instances(aws: Aws, made: Mapping[str, tuple[str, str, str]]) -> tuple[str, ...]:
    """The bastion, which goes with the stack."""
    group = made.get("Bastion", ("", "", ""))[1]
    return bastion.instances(aws, group) if group else ()


def _is_meant(run: Run, found: _Found | None, images: tuple[Repository, ...]) -> bool:
    if found is not None and found.begun and not images:
        return True
    going = []
    if found is not None and not found.begun:
        going.append(f"the stack {run.name} in {run.place}")
        if found.contents.counts:
            going.append(f"the bucket {found.bucket} with {found.contents.words}")
    going += [f"the repository {_words(item)}" for item in images]
    for item in going:
        output.status(f"will be deleted: {item}")
    return run.confirmed("Delete it? It cannot be brought back.")


def _delete(run: Run, found: _Found) -> bool:
    """Empty the bucket, delete the stack; whether config.toml has forgotten its network."""
    run.left.words = f"the deletion may have begun; to continue: {run.again} --yes"
    if found.bucket and found.contents.counts:
        count = bucket.empty(
            run.aws, found.bucket, run.deadline, output.status, with_data=found.with_data
        )
        output.status(f"deleted {bucket.objects(count)} of the bucket {found.bucket}")
    # Before the stack is deleted: if this run is interrupted, the next one may find no stack, and
    # would leave a stale network behind.
    forgot = _forget(found)
    if found.begun:
        output.status(f"the stack {run.name} is already being deleted; its events follow")
        run.succeeded(found.stack)
    else:
        last = events.newest(run.aws, found.stack.id)
        stacks.delete(run.aws, found.stack)
        run.succeeded(replace(found.stack, status="DELETE_IN_PROGRESS"), last)
    return forgot


def _forget(found: _Found) -> bool:
    """Remove the network from config.toml; a file that cannot be edited stops no deletion."""
    groups = {*found.groups, found.stack.outputs.get("JobGroup", "")} - {""}
    try:
        return config_file.remove_launch(sorted(groups)) if groups else False
    except SmProxyError as error:
        output.status(f"{error.message}. {error.hint}")
        return False


def _words(item: Repository) -> str:
    count = f"{item.images} image{'' if item.images == 1 else 's'}"
    return f"{item.name} ({count}, {sizes.in_words(item.bytes)})"


def _staying(run: Run, images: tuple[Repository, ...]) -> str:
    """The line about repositories that stay: those of others stay with `--images`, too."""
    own = ", ".join(_words(item) for item in images if item.stack == run.name)
    of_others = ", ".join(
        f"{_words(item)} of {f'the stack {item.stack}' if item.stack else 'no stack'}"
        for item in images
        if item.stack != run.name
    )
    said = [f"the repositories {own}; sm-proxy infra delete --images deletes them"] if own else []
    said += [f"the repositories {of_others}"] if of_others else []
    return f"what stays: {'. And '.join(said)}"


def _result(
    run: Run,
    text: str,
    images: tuple[Repository, ...],
    *,
    deleted: bool,
    gone: tuple[Repository, ...] = (),
    forgot: bool = False,
    status: int = 0,
) -> Result:
    lines = [text]
    if forgot:
        lines.append("config.toml no longer names its network for new jobs")
    if staying := tuple(item for item in images if item not in gone):
        lines.append(_staying(run, staying))
    shown: list[dict[str, Any]] = [
        {
            "repository": item.name,
            "stack": item.stack or None,
            "images": item.images,
            "bytes": item.bytes,
            "deleted": item in gone,
        }
        for item in images
    ]
    data = {"stack": run.name, "deleted": deleted, "images": shown, "config_changed": forgot}
    return Result(data, tuple(lines), exit_status=status)
