"""The grammar of host names: `<prefix><name>[.<node>][.<kind>]`.

The kinds of `SESSION_KINDS` have labels of their own in place of the node: the domain of a Studio
space, group and node of a HyperPod cluster.

A host name may come from a link that someone else wrote (`ssh://`, `vscode://`), so every other
name is refused before any call is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sm_proxy.aws.job_kinds import KINDS, SESSION_KINDS, Kind
from sm_proxy.errors import SmProxyError, printable

FIRST_NODE: Final = "algo-1"

_NAME: Final = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}")
"""The pattern of CreateTrainingJob; the other kinds have the same."""
_HEAD: Final = re.compile(r"([A-Za-z0-9]+)[-_.]")
"""A mistyped prefix, such as `ms-` or `sm_`."""
NAME_LIMIT: Final = 63
"""The limit of CreateTrainingJob; the pattern alone does not limit hyphens."""
_INSTANCE: Final = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_NODE: Final = re.compile(r"(?:algo-)?([1-9][0-9]{0,3})")


@dataclass(frozen=True)
class Target:
    """A parsed host name.

    Attributes:
        host: the whole name, as typed.
        prefix: the part before the job's name.
        job: the job's name without prefix.
        node: `algo-2`; the first node unless the name has one. For a kind of `SESSION_KINDS`, the
            labels of its name, such as `d-abc` or `workers.2`; empty if it has none.
        kind: of the job; None if the name has none.
        names_node: whether the name has a node.
    """

    host: str
    prefix: str
    job: str
    node: str = FIRST_NODE
    kind: Kind | None = None
    names_node: bool = False


def parse(host: str, prefix: str) -> Target:
    """Read a host name as the user typed it.

    Raises:
        SmProxyError: `bad-name`.
    """
    if not host.startswith(prefix):
        error = _bad(host, prefix, f"it does not begin with {prefix!r}")
        if meant := _with_prefix(host, prefix):
            from sm_proxy.local import suggestion  # noqa: PLC0415 - only for a name that is wrong

            error.hint = f"{suggestion.question([meant])} {error.hint}"
        raise error
    name, *labels = host[len(prefix) :].split(".")
    _refuse_bad_name(host, prefix, name)
    try:
        node, kind = _read_labels(labels)
    except ValueError as error:
        raise _bad(host, prefix, str(error)) from None
    return _target(host, prefix, name, node, kind)


def compose(prefix: str, job: str, node: str | None = None, kind: Kind | None = None) -> Target:
    """The host name that leads to a job of the account.

    Args:
        prefix: the part before the job's name.
        job: its name.
        node: such as `algo-2`, or the labels of a kind of `SESSION_KINDS`; None leaves it out of
            the name, which then means the first node.
        kind: None leaves it out of the name.

    Raises:
        SmProxyError: `bad-name`, the job's name does not fit into a host name.
    """
    host = ".".join([f"{prefix}{job}", *filter(None, (node, kind))])
    _refuse_bad_name(host, prefix, job)
    return _target(host, prefix, job, node, kind)


def shortest(prefix: str, job: str, kind: Kind) -> Target:
    """The shortest host name that leads to a job, without the kind that is looked for first.

    Raises:
        SmProxyError: as `compose`.
    """
    known = None if kind == next(iter(KINDS)) else kind
    return compose(prefix, job, kind=known)


def whole(target: Target, name: str, place: str) -> Target:
    """The host name that means the same space or cluster on every day.

    Args:
        target: a host name; its kind is one of `SESSION_KINDS`.
        name: the whole name of what it means.
        place: the domain of a space, because its whole name may mean one in another domain; empty
            for a cluster.
    """
    if name == target.job:
        return target
    return compose(target.prefix, name, target.node or place or None, target.kind)


def _target(host: str, prefix: str, job: str, node: str | None, kind: Kind | None) -> Target:
    first = "" if kind in SESSION_KINDS else FIRST_NODE
    return Target(host, prefix, job, node or first, kind, names_node=node is not None)


def is_label(text: str) -> bool:
    """Whether `text` is a node or a kind, which may follow a job's name and a dot."""
    kinds = {*KINDS, *SESSION_KINDS}
    return text in kinds or any(pattern.fullmatch(text) for pattern in (_NODE, _INSTANCE))


def _with_prefix(host: str, prefix: str) -> str:
    """The host name with our prefix that was probably meant: `sm-x` for `ms-x`, `SM-x` and `x`."""
    head = _HEAD.match(host)
    if host.lower().startswith(prefix.lower()):
        meant = f"{prefix}{host[len(prefix) :]}"
    elif head and sorted(head[1].lower()) == sorted(prefix.rstrip("-_.").lower()):
        meant = f"{prefix}{host[head.end() :]}"
    else:
        meant = f"{prefix}{host}"
    try:
        return parse(meant, prefix).host
    except SmProxyError:
        return ""


def _refuse_bad_name(host: str, prefix: str, name: str) -> None:
    if len(name) > NAME_LIMIT:
        raise _bad(host, prefix, f"a job name has at most {NAME_LIMIT} characters, not {len(name)}")
    if not _NAME.fullmatch(name):
        raise _bad(host, prefix, "a job name is letters and digits, with hyphens between them")


def _read_labels(labels: list[str]) -> tuple[str | None, Kind | None]:
    if labels and (session_kind := SESSION_KINDS.get(labels[-1])):
        return _read_own_labels(labels[:-1], session_kind.labels), labels[-1]
    node: str | None = None
    kind: Kind | None = None
    for position, label in enumerate(labels):
        if position == 0 and (found := _NODE.fullmatch(label)):
            node = f"algo-{int(found[1])}"
        elif position == 0 and _INSTANCE.fullmatch(label):
            node = label
        elif position == len(labels) - 1 and label in KINDS:
            kind = label
        elif label in SESSION_KINDS:
            raise ValueError(f"nothing can follow {label!r}")
        else:
            shown = printable(label, 40)
            raise ValueError(
                f"{shown!r} is neither a node like algo-2 nor one of"
                f" {', '.join([*KINDS, *SESSION_KINDS])}"
            )
    return node, kind


def _read_own_labels(labels: list[str], pattern: str) -> str | None:
    if not labels:
        return None
    text = ".".join(labels)
    if not re.fullmatch(pattern, text):
        raise ValueError(f"{printable(text, 80)!r} cannot stand before the last label")
    return text


def _bad(host: str, prefix: str, why: str) -> SmProxyError:
    hint = f"Write {prefix}<job>, {prefix}<job>.algo-2 or {prefix}<job>.<kind>."
    _, *labels = host.removeprefix(prefix).split(".")
    if own := next((SESSION_KINDS[label] for label in labels if label in SESSION_KINDS), None):
        hint = f"Write {' or '.join(prefix + form for form in own.forms)}."
    what = f"{printable(host, 100)!r} is not an sm-proxy host name: {why}"
    return SmProxyError("bad-name", what, hint)
