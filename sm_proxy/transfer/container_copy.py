"""One copy between this machine and one container: list, choose the way, copy, verify."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, cast

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname, lookup
from sm_proxy.local import sizes
from sm_proxy.settings import Settings
from sm_proxy.transfer import compression, s3
from sm_proxy.transfer.compression import PIECE, Choice
from sm_proxy.transfer.engine import Engine, Work
from sm_proxy.transfer.large import download, upload
from sm_proxy.transfer.model import SMALL, Entry, Outcome
from sm_proxy.transfer.pool import Pool
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.s3 import ended
from sm_proxy.transfer.small.batches import SmallFiles
from sm_proxy.transfer.ssh.connection import Connection, SftpLike
from sm_proxy.transfer.ssh.connections import Connections
from sm_proxy.transfer.ssh.one_by_one import Reachable
from sm_proxy.transfer.tally import Tally
from sm_proxy.transfer.task import Task
from sm_proxy.transfer.trees.folders import Folders
from sm_proxy.transfer.trees.tree import Tree
from sm_proxy.transfer.trees.tree_down import list_down
from sm_proxy.transfer.trees.tree_up import list_up

_WORTH_ANOTHER: Final = 16 << 20
"""Bytes from which on another first connection costs less than a wrong choice of compression."""
_OVER: Final = frozenset({"job-ended", "job-failed"})


class _InS3:
    """Lists what a job has left, like a connection to its container.

    Attributes:
        sftp: its files.
    """

    def __init__(self, files: ended.Files) -> None:
        self.sftp = cast("SftpLike", files)  # it has the methods that a listing calls

    def failure(self, _error: Exception, /) -> SmProxyError | None:
        """There is no connection to lose."""


class ContainerCopy:
    """The copy of one task. Nothing is printed.

    Args:
        task: what to copy.
        settings: of this run.
        aws: for the calls.
        meter: counts what moves.
        on_status: takes a line for the user.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        aws: Aws,
        meter: Meter,
        on_status: Callable[[str], None],
    ) -> None:
        self._task = task
        self._aws = aws
        self._meter = meter
        self._say = on_status
        self._connections = Connections(
            task.host, settings, aws, user=task.user, most=task.most, on_status=on_status
        )
        self._pool = Pool(self._connections)
        self._prefix = settings.prefix
        self._bucket = settings.copy_s3
        self._tally = Tally()
        self._is_direct = False

    def run(self) -> Outcome:
        """Copy, and end all connections.

        Raises:
            SmProxyError: nothing can be copied, or no more: `job-ended`, `session-lost`, ...
        """
        began = time.monotonic()
        try:
            over = self._connect()
            if over is None:
                self._copy()
            else:
                self._copy_what_is_left(over)
        finally:
            self.close()
        self._tally.sessions = self._connections.most_at_once
        return self._tally.outcome(time.monotonic() - began)

    def close(self) -> None:
        """End all connections, in any thread: `run` then raises."""
        self._connections.close()

    def _connect(self) -> SmProxyError | None:
        """Open the first connection; return why the job is over, if S3 may have its files.

        Raises:
            SmProxyError: there is no connection.
        """
        task = self._task
        asked = task.options.compress
        # An upload is faster than zlib, and its data can be looked at before they move.
        self._pool.prefer(False if asked is None and task.direction == "up" else asked)
        try:
            self._is_direct = self._pool.first().process.is_direct
        except SmProxyError as error:
            if error.code in _OVER and task.direction == "down" and task.options.via != "ssh":
                return error
            raise
        self._pool.release()
        return None

    def _copy_what_is_left(self, over: SmProxyError) -> None:
        """Copy the files of an ended job from S3.

        Raises:
            SmProxyError: `over`, if it has kept nothing; or a call failed.
        """
        task = self._task
        job = lookup.find(self._aws, hostname.parse(task.host, self._prefix))
        try:
            left = _InS3(ended.Files(self._aws, job))
        except SmProxyError as error:
            raise (over if error.code in _OVER else error) from None
        folders = Folders(self._list(left), "down", task.host)
        found = folders.make(left)
        self._tally.problems += found.problems
        self._meter.expect(len(found.files), sum(file.size for file in found.files))
        plan = s3.plan(self._aws, None, job, found.files, task.options.via)
        self._announce(found.files, plan.reason, (), None)
        result = s3.run(plan, self._aws, None, self._meter.moved)
        self._tally.add_s3(result)
        self._meter.finished(len(result.done) + len(result.unverified))
        folders.finish(left, complete=not self._tally.problems)

    def _copy(self) -> None:
        task = self._task
        folders = Folders(self._pool.ask(self._list), task.direction, task.host)
        found = self._pool.ask(folders.make)
        self._tally.problems += found.problems
        self._meter.expect(len(found.files), sum(file.size for file in found.files))
        plan = self._plan(found.files)
        by_ssh = [file for file in plan.by_ssh if file.kind == "file"]
        choice = self._compression(by_ssh) if by_ssh else None
        self._announce(found.files, plan.reason, by_ssh, choice)
        if plan.by_s3:
            by_ssh += self._run_s3(plan)
        if by_ssh:
            self._tally.by_ssh = True
            self._run_ssh(by_ssh, compress=choice is not None and choice.compress)
        complete = not self._tally.problems
        self._pool.ask(lambda connection: folders.finish(connection, complete=complete))

    def _list(self, connection: Reachable) -> Tree:
        task = self._task
        by = list_down if task.direction == "down" else list_up
        recursive = task.options.recursive
        return by(connection, task.sources, task.target, recursive=recursive, host=task.host)

    def _plan(self, files: Sequence[Entry]) -> s3.Plan:
        """Which files come by S3; with `auto` none, if it cannot be asked."""
        task = self._task
        try:
            return s3.plan(
                self._aws,
                self._connections.container,
                None,
                files,
                task.options.via,
                bucket=task.options.bucket or self._bucket,
                direction=task.direction,
            )
        except SmProxyError as error:
            if task.options.via != "auto":
                raise
            reason = f"S3 cannot be asked ({error.message})"
            return s3.Plan((), (), tuple(files), reason, task.direction)

    def _run_s3(self, plan: s3.Plan) -> Sequence[Entry]:
        """Copy what comes by S3; return what is left for ssh after all."""
        try:
            result = s3.run(plan, self._aws, self._connections, self._meter.moved, self._say)
        except SmProxyError as error:
            if self._task.options.via != "auto":
                raise
            self._say(f"by ssh after all: {error.message}")
            return plan.by_s3
        self._tally.add_s3(result)
        self._meter.finished(len(result.done) + len(result.unverified))
        return result.again

    def _compression(self, files: Sequence[Entry]) -> Choice:
        asked, is_direct = self._task.options.compress, self._is_direct
        choice = compression.choose(asked, files, self._sample, is_direct=is_direct)
        first_matters = is_direct or self._task.direction == "up"
        if first_matters and sum(file.size for file in files) >= _WORTH_ANOTHER:
            self._pool.prefer(choice.compress)
        return choice

    def _sample(self, path: str, offsets: Sequence[int]) -> bytes:
        if self._task.direction == "up":
            with Path(path).open("rb") as local:
                pieces = []
                for offset in offsets:
                    local.seek(offset)
                    pieces.append(local.read(PIECE))
                return b"".join(pieces)

        def read(connection: Connection) -> bytes:
            with connection.sftp.open(path, "rb") as file:
                if len(offsets) > 1:  # then the file is long enough for all of them
                    return b"".join(file.readv([(offset, PIECE) for offset in offsets]))
                file.seek(offsets[0])
                return file.read(PIECE)

        return self._pool.ask(read)

    def _announce(
        self, files: Sequence[Entry], reason: str, by_ssh: Sequence[Entry], choice: Choice | None
    ) -> None:
        """Say in one line what is copied how, and why."""
        task = self._task
        count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        size = sizes.in_words(sum(file.size for file in files))
        where = f"{'from' if task.direction == 'down' else 'to'} {task.host}"
        how = [reason] if reason else []
        if choice is not None:
            most = self._connections.most
            some = f"{len(by_ssh)} of them " if len(by_ssh) < len(files) else ""
            sessions = "1 session" if most == 1 else f"up to {most} sessions"
            if not self._connections.speaks_sftp:
                sessions += ", as the container has no SFTP server"
            how.append(f"{some}over {sessions}, {choice.words}")
        if files:
            self._say(f"{count}, {size} {where}: {'; '.join(how)}")

    def _run_ssh(self, files: Sequence[Entry], *, compress: bool) -> None:
        task = self._task
        by = download.works_for if task.direction == "down" else upload.works_for
        small = SmallFiles(
            [file for file in files if file.size <= SMALL],
            task.direction,
            self._connections,
            self._meter,
            verify=task.options.verify,
        )
        large = [file for file in files if file.size > SMALL]
        shares, copied = by(large, self._connections, self._meter, verify=task.options.verify)
        try:
            self._run([*small.works(), *shares], compress=compress)
        finally:
            small.close()
        self._tally.add_small(small.result())
        self._tally.add_large(copied)
        for note in copied.notes:
            self._say(note)

    def _run(self, works: Iterable[Work], *, compress: bool) -> None:
        engine = Engine(
            self._pool,
            compress,
            self._meter.moved,
            on_begin=self._meter.begun,
            gently=self._task.direction == "up",
        )
        try:
            self._tally.problems += engine.run(works)
        finally:
            self._pool.release()
