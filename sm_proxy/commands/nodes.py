"""`sm-proxy nodes`: the host names of a job's nodes, for programs that run commands on many."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import accelerators, hostname, nodes
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.nodes import Nodes
from sm_proxy.local import output, threads
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings
from sm_proxy.state import host_names
from sm_proxy.state.host_names import HostName

_AT_ONCE: Final = 8
"""Concurrent look-ups of containers."""

DESCRIPTION: Final = (
    "Prints the host names of the nodes of a job or cluster, for programs that run a command "
    "on many hosts."
)
EXAMPLES: Final = (
    ("sm-proxy nodes sm-myjob", "one host name a line"),
    ("sm-proxy nodes sm-myjob --format pdsh", "for pdsh -R ssh -w, and clush -w"),
    ("sm-proxy nodes --format ansible", "all running jobs, as an inventory"),
)
USES: Final = options.USES_HOST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`nodes [HOST] [--format lines|pdsh|ansible|hostfile] [--json]`."""
    parser.add_argument(
        "host",
        metavar="HOST",
        nargs="?",
        help="a job or cluster, such as sm-myjob or sm-c.hyperpod; without it, all running jobs",
    )
    parser.add_argument(
        "--format",
        choices=("lines", "pdsh", "ansible", "hostfile"),
        default="lines",
        help="lines: one host a line (the default); pdsh: with commas, also for clush; "
        "ansible: an inventory in JSON; hostfile: with slots, for MPI and DeepSpeed",
    )
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """List the nodes; data: `{"nodes": [{"host", "job", "kind", "node"}]}`.

    A node of a HyperPod cluster also has `instance`, its id.
    """
    aws = Aws(settings.profile, settings.region)
    if args.host is not None:  # the empty name of an unset variable must not mean all jobs
        target = nodes.parse(args.host, settings.prefix)
        found = [nodes.find(target, settings, aws, output.status)]
    else:
        found = nodes.of_all_running(settings, aws, output.status)
    data = {"nodes": [line for each in found for line in _data(each)]}
    host_names.keep(HostName(host, each.job.kind) for each in found for host in each.hosts)
    if args.format == "ansible":
        return Result(data, _inventory(found, settings, partial(_user, settings, aws)))
    if args.format == "pdsh":
        return Result(data, ",".join(host for each in found for host in each.hosts))
    slots = _slots if args.format == "hostfile" else lambda _: ""
    lines = (
        host + slots(instance_type)
        for each in found
        for host, instance_type in zip(each.hosts, each.instance_types, strict=True)
    )
    return Result(data, "\n".join(lines))


def _data(found: Nodes) -> list[dict[str, str]]:
    job = found.job
    return [
        {"host": target.host, "job": job.name, "kind": job.kind, "node": target.node, **more}
        for target, more in zip(found.targets, _ids(found), strict=True)
    ]


def _ids(found: Nodes) -> list[dict[str, str]]:
    """The instance id of each target, as far as it is known."""
    known = [{"instance": node.instance} for node in found.members]
    return known or [{} for _ in found.targets]


def _slots(instance_type: str) -> str:
    """` slots=8`; empty if the number is unknown: then launchers count one."""
    number = accelerators.slots(instance_type)
    return "" if number is None else f" slots={number}"


def _user(settings: Settings, aws: Aws, target: Target) -> str | None:
    """The login user, where it differs from the user in our ssh config."""
    if target.kind in SESSION_KINDS:
        return SESSION_KINDS[target.kind].user
    try:
        user = resolver.resolve(target, settings, aws).user
    except SmProxyError:  # Ansible will say that it cannot be reached
        return None
    return None if user == settings.user else user


def _inventory(
    found: Sequence[Nodes], settings: Settings, user_of: Callable[[Target], str | None]
) -> str:
    """What Ansible expects of an inventory script: a group for each job, and all variables.

    The group of a HyperPod cluster has a child for each instance group.

    The form is from Ansible's guide, "Developing dynamic inventory". With `_meta`, Ansible does not
    run the script again for each host.
    """
    targets = [target for each in found for target in each.targets]
    users = threads.map_concurrently(user_of, targets, _AT_ONCE)
    known = [variables for each in found for variables in _variables(each)]
    variables = {
        target.host: {**({"ansible_user": user} if user else {}), **more}
        for target, user, more in zip(targets, users, known, strict=True)
    }
    names = _groups([each.job for each in found], settings.prefix)
    groups = {
        group: members
        for name, each in zip(names, found, strict=True)
        for group, members in _members(name, each).items()
    }
    document = {
        "_meta": {"hostvars": variables},
        "all": {"children": ["ungrouped", *names]},
        **groups,
    }
    return json.dumps(document, indent=1)


def _variables(found: Nodes) -> list[dict[str, str]]:
    """The variables of each target, but for its user."""
    job = found.job
    ids = [{f"sm_{name}": value for name, value in known.items()} for known in _ids(found)]
    return [
        {
            "sm_job": job.name,
            "sm_kind": job.kind,
            "sm_node": target.node,
            **known,
            **({"sm_instance_type": machine} if machine else {}),
        }
        for target, known, machine in zip(found.targets, ids, found.instance_types, strict=True)
    ]


def _members(name: str, found: Nodes) -> dict[str, dict[str, list[str]]]:
    """The group of a job; for a cluster, also those of its instance groups."""
    if not found.members:
        return {name: {"hosts": list(found.hosts)}}
    groups: dict[str, dict[str, list[str]]] = {}
    for host, node in zip(found.hosts, found.members, strict=True):
        inner = groups.setdefault(f"{name}_{_plain(node.group)}", {"hosts": []})
        inner["hosts"].append(host)
    return {name: {"children": list(groups)}, **groups}


def _groups(jobs: Sequence[Job], prefix: str) -> list[str]:
    """The group of each job, so that a command for one never runs in another.

    Two would share a group if only a dot tells them apart, as in `x.processing` and `x-processing`:
    then the kind is added.
    """
    names = [_group(job, prefix) for job in jobs]
    count = Counter(names)
    return [
        f"{name}_{job.kind}" if count[name] > 1 else name
        for name, job in zip(names, jobs, strict=True)
    ]


def _group(job: Job, prefix: str) -> str:
    """The job's host name as a group: Ansible warns of a hyphen, because it may mean `minus`."""
    host = hostname.shortest(prefix, job.name, job.kind).host
    name = _plain(host)
    return f"_{name}" if name[0].isdigit() else name


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)
