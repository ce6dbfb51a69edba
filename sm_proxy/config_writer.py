"""The managed part of the user's ssh config. Every change to it is planned and made here.

There are two files: our own `sm-proxy/config` with stubs and Host blocks, and the user's config,
which gets one marked `Include` as its first lines. It must come first, because in ssh_config the
first value wins, and an Include after a Host line belongs to that block. Every byte of the user's
file outside our marks stays.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, file_lock, footprint, permissions, private_files
from sm_proxy.settings import Settings, contexts
from sm_proxy.settings.contexts import Contexts
from sm_proxy.ssh_config import blocks, host_patterns, judgement, our_file, requested, user_file
from sm_proxy.ssh_config.blocks import Stub
from sm_proxy.ssh_config.judgement import Rewrite
from sm_proxy.ssh_config.user_file import BEGIN, END

__all__ = [
    "BEGIN",
    "END",
    "Change",
    "Problem",
    "Stub",
    "apply",
    "carry_out",
    "offer_keys",
    "plan",
    "plan_keys",
    "plan_removal",
    "plan_requested",
    "plan_stubs",
    "problems",
    "read_stubs",
    "rewrite_of",
    "writers_lock",
]

_RACE_S = 10.0
"""Seconds after which we give up if another program keeps saving the file."""
_PAUSE_S = (0.05, 0.2)


_WRITE = "Run `sm-proxy config write`."
_PROBE = "zyx-check"
"""A job name for `ssh -G` that no user has a Host line for."""


@dataclass(frozen=True)
class Change:
    """One file before and after a change; None means no file.

    Attributes:
        path: of the file, with symlinks resolved.
        before: its bytes now.
        after: its new bytes.
        by_hand: what the user can do if it cannot be written.
        keep: whether to keep a backup: yes for the user's file, no for our own.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    by_hand: str = ""
    keep: bool = False

    @property
    def needed(self) -> bool:
        """Whether the file must be written."""
        return self.before != self.after

    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = _shown_lines(self.before), _shown_lines(self.after)
        return "".join(difflib.unified_diff(old, new, str(self.path), str(self.path)))


@dataclass(frozen=True)
class Problem:
    """One problem of the files on disk, and how to fix it."""

    what: str
    fix: str


def plan(
    ssh_config: Path, settings: Settings, program: list[str], known: Contexts | None = None
) -> list[Change]:
    """What `config write` changes: our own file first, then the user's.

    Args:
        ssh_config: the user's file.
        settings: for what no context sets; without `known` also the context of their prefix.
        program: the command that starts sm-proxy.
        known: every context after the change; None for those on disk and that of `settings`.

    Raises:
        SmProxyError: `config-malformed`, one of our marks in the files is missing or repeated.
    """
    own = settings.ssh_config_file
    target = atomic_write.follow_symlinks(ssh_config)
    before, content = atomic_write.read(target), atomic_write.read(own)
    if known is None:
        known = {
            **contexts.parse(content or b"", own),
            settings.prefix: our_file.recorded_options(settings),
        }
        settings = Settings(ssh_dir=settings.ssh_dir)
    taken = user_file.user_hosts(target, own)
    stubs = [
        stub
        for stub in blocks.parse_stubs(content or b"", own)
        if (prefix := contexts.prefix_of(stub.host, known)) is not None
        and not host_patterns.matches(
            stub.host, host_patterns.excluded_patterns(taken, prefix, known)
        )
    ]
    text = blocks.render(settings, known, program, stubs=stubs, taken=taken)
    line = f"Add by hand, as the first line of your ssh config: {our_file.include_line(own)}"
    return [
        Change(
            own, content, text.encode(), "Make its folder writable, or name another: --ssh-dir."
        ),
        Change(target, before, _with_include(target, before, own), line, keep=True),
    ]


def plan_requested(ssh_config: Path, settings: Settings, flags: Mapping[str, Any]) -> list[Change]:
    """As `plan`, with the contexts that a command line asks for, and this program."""
    base, known = requested.contexts_of(settings, flags)
    return plan(ssh_config, base, our_file.own_program(), known)


def plan_removal(ssh_config: Path, settings: Settings) -> list[Change]:
    """What `config remove` changes: it removes only what we added."""
    own = settings.ssh_config_file
    target = atomic_write.follow_symlinks(ssh_config)
    before = atomic_write.read(target)
    after = None if before is None else user_file.without_include(target, before)
    if after == b"" and before and _created_by_us(target):
        after = None
    by_hand = "Delete the lines between the sm-proxy marks by hand."
    return [
        Change(target, before, after, by_hand, keep=True),
        Change(own, atomic_write.read(own), None, "Delete this file by hand."),
    ]


def plan_stubs(settings: Settings, stubs: Sequence[Stub]) -> list[Change]:
    """Replace the concrete Host blocks of our own file; nothing else in it changes.

    Raises:
        SmProxyError: `bad-name` or `bad-setting`, a stub has an invalid name or user;
            `config-malformed`, our file is damaged or has not been written yet.
    """
    own = settings.ssh_config_file
    before = atomic_write.read(own)
    span = blocks.stub_span(before or b"", own)
    if before is None or span is None:
        raise SmProxyError(
            "config-malformed",
            f"{own} has no section for running jobs",
            "Run `sm-proxy config write` first.",
        )
    known = contexts.parse(before, own)
    stubs = [stub for stub in stubs if not blocks.is_excluded(stub.host, before, known)]
    lines = before[span[1] :].decode("utf-8", "replace").splitlines()
    section = blocks.stub_section(stubs, known, lines).encode()
    return [
        Change(own, before, before[: span[0]] + section + before[span[1] :], "Make it writable.")
    ]


def plan_keys(settings: Settings, keys: Sequence[Path]) -> list[Change]:
    """Make the blocks that offer our own key, the first of `keys`, offer all of `keys`."""
    own = settings.ssh_config_file
    before = atomic_write.read(own)
    after = None if before is None else blocks.with_keys(before, keys)
    return [Change(own, before, after, "Make it writable, then run `sm-proxy config write`.")]


def offer_keys(settings: Settings, keys: Sequence[Path]) -> None:
    """Make our own file, if it exists, offer these keys; the first one is our own."""
    carry_out(lambda: plan_keys(settings, keys))


def read_stubs(settings: Settings) -> list[Stub]:
    """The stubs that are in our own file now."""
    own = settings.ssh_config_file
    return blocks.parse_stubs(atomic_write.read(own) or b"", own)


def problems(changes: Sequence[Change], ssh_config: Path) -> list[Problem]:
    """The problems of the files on disk.

    Args:
        changes: that `plan` would make.
        ssh_config: the user's file, before symlinks are resolved.
    """
    own, users = changes
    included, first = user_file.find_include(users.before or b"", own.path)
    if own.before is None and not included:
        return [Problem(f"not installed: there is no {own.path}", _WRITE)]
    found = [Problem(f"out of date: {item.path}", _WRITE) for item in changes if item.needed]
    for item in changes:
        if _others_may_write(item.path):
            what = f"bad permissions: others may write {item.path}, so ssh may refuse to start"
            found.append(Problem(what, f"Run `chmod go-w {shlex.quote(str(item.path))}`."))
    if not included:
        found.append(Problem(f"not included: {users.path} has no Include of {own.path}", _WRITE))
    elif not first:
        where = f"{users.path}: our Include is after a Host or Match line"
        found.append(Problem(f"shadowed: {where}", _WRITE))
    missing = [
        *(program for program in blocks.programs(own.before or b"") if not _can_run(program)),
        *(file for file in blocks.scripts(own.before or b"") if not Path(file).exists()),
    ]
    for program in missing:
        what = f"program missing: {program!r} of a ProxyCommand cannot be run"
        found.append(Problem(what, f"Install it there again, or: {_WRITE}"))
    return found or _ignored(changes, ssh_config)


def _can_run(program: str) -> bool:
    return Path(program).is_absolute() and os.access(program, os.X_OK)


def _ignored(changes: Sequence[Change], ssh_config: Path) -> list[Problem]:
    """Problems that only `ssh -G` shows, if the files are as we would write them."""
    own = changes[0]
    try:
        for prefix in contexts.parse(own.before or b"", own.path):
            asked = judgement.ask(f"{prefix}{_PROBE}", prefix, ssh_config, own.path)
            judgement.judge(asked, rewrite_of(changes))
    except SmProxyError as error:
        if error.code != "missing-dependency":  # there is no ssh to ask
            return [Problem(f"not in effect: {error.message}", error.hint)]
    return []


def rewrite_of(changes: Sequence[Change]) -> Rewrite:
    """What ssh would see after these changes of `plan`."""
    own, users = changes
    lines = (own.after or b"").decode("utf-8", "replace").splitlines()
    words = (line.split()[0].lower() for line in lines if line.startswith("    "))
    return Rewrite(frozenset(words), moves=users.needed)


def apply(changes: Sequence[Change]) -> None:
    """Make the changes. Each file is replaced as a whole.

    Raises:
        SmProxyError: `config-read-only`, with the lines to add by hand; `bad-permissions`, others
            may write to a folder of ours; `busy`, another program has saved one of the files
            since the plan, and its version stays.
    """
    for change in changes:
        if not change.needed:
            continue
        if not change.keep:
            permissions.check_folder(change.path.parent)
        try:
            _replace(change)
        except atomic_write.ChangedError as error:
            raise SmProxyError(
                "busy",
                f"another program is changing {change.path}",
                "Wait until that program has saved it, then run the command again.",
            ) from error
        except private_files.NotOursError as error:
            raise permissions.not_ours(error, change.path, "SM_PROXY_STATE_DIR") from None
        except OSError as error:
            raise SmProxyError(
                "config-read-only",
                f"{change.path} cannot be written: {error.strerror or error}",
                change.by_hand,
            ) from None


def carry_out(plan_changes: Callable[[], list[Change]]) -> list[Change]:
    """Plan changes and make them under the writers' lock.

    If another program saves a file in between, the changes are planned again.

    Args:
        plan_changes: reads the files and returns the changes.

    Returns:
        The changes that were made, each with the content before the first plan.

    Raises:
        SmProxyError: as `apply`; `busy` also if another writer holds the lock.
    """
    first: dict[Path, bytes | None] = {}
    with writers_lock():
        until = time.monotonic() + _RACE_S
        while True:
            changes = plan_changes()
            for change in changes:
                first.setdefault(change.path, change.before)
            if changes:
                _note(changes)
            try:
                apply(changes)
            except SmProxyError as error:
                changed = isinstance(error.__cause__, atomic_write.ChangedError)
                if not changed or time.monotonic() >= until:
                    raise
                time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - jitter
            else:
                return [replace(change, before=first[change.path]) for change in changes]


@contextlib.contextmanager
def writers_lock() -> Iterator[None]:
    """Hold the writers' lock, so that concurrent writers all succeed."""
    with file_lock.locked("ssh-config", what="the ssh config"):
        yield


def _with_include(target: Path, before: bytes | None, own: Path) -> bytes:
    content = before or b""
    bare = user_file.without_include(target, content)
    if bare == content and user_file.find_include(content, own) == (True, True):
        return content  # the user has added the Include by hand
    return user_file.with_include(target, before, our_file.include_line(own))


def _note(changes: Sequence[Change]) -> None:
    """Note which ssh config includes which file of ours, for `uninstall`."""
    own, users = changes[0], changes[-1]
    for change in changes:
        if change.needed and change.after is not None:
            footprint.note_ssh_folder(change.path)
    if users is not own and users.keep and users.needed and users.after:  # not a removal
        footprint.note("ssh-config", path=str(users.path), own=str(own.path))


def _created_by_us(target: Path) -> bool:
    """Whether we created the user's file: there is no backup, or it has only our part."""
    original = atomic_write.read(atomic_write.backup_path(target, "original"))
    return original is None or (
        original != b"" and user_file.without_include(target, original) == b""
    )


def _replace(change: Change) -> None:
    path = change.path
    atomic_write.refuse_read_only(path)
    with contextlib.ExitStack() as stack:
        if change.keep and change.before is not None:
            atomic_write.refuse_linked(path)
            stack.enter_context(atomic_write.backed_up(path, change.before))
        if change.after is not None:
            atomic_write.exchange(path, change.before, change.after)
        elif change.before is not None:
            atomic_write.remove(path, change.before)


def _others_may_write(path: Path) -> bool:
    try:
        return sys.platform != "win32" and bool(path.stat().st_mode & 0o022)
    except OSError:
        return False


def _shown_lines(content: bytes | None) -> list[str]:
    """The lines of a file for a diff, each with a newline at its end."""
    lines = (content or b"").split(b"\n")
    last = lines.pop()
    shown = [line.decode("utf-8", "replace") + "\n" for line in lines]
    if last:
        shown.append(last.decode("utf-8", "replace") + "\n\\ No newline at end of file\n")
    return shown
