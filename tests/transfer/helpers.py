"""Copies of large files in a small world."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

from sm_proxy.transfer.engine import Engine
from sm_proxy.transfer.large import download, upload
from sm_proxy.transfer.large.large_files import Copied
from sm_proxy.transfer.model import Entry, Problem
from sm_proxy.transfer.progress import Meter, Progress
from tests.transfer.sftp_world import World

MODIFIED = 1_700_000_000


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - only to be different


def entry(source: Path, target: Path, size: int | None = None) -> Entry:
    found = source.stat()
    seconds = (int(found.st_mtime), int(found.st_atime))
    length = found.st_size if size is None else size
    return Entry("file", str(source), str(target), length, found.st_mode & 0o7777, *seconds)


class Result:
    """What came of a copy."""

    def __init__(self, problems: tuple[Problem, ...], copied: Copied, progress: Progress) -> None:
        self.problems, self.copied, self.progress = problems, copied, progress

    @property
    def codes(self) -> list[str]:
        return [problem.error.code for problem in self.problems]


def copy(world: World, *entries: Entry, up: bool = False, verify: bool = True) -> Result:
    meter = Meter(None)
    meter.expect(len(entries), sum(item.size for item in entries))
    works_for: Any = upload.works_for if up else download.works_for
    works, copied = works_for(entries, cast(Any, world), meter, verify=verify)
    try:
        problems = Engine(world, on_moved=meter.moved, gently=up).run(works)
    finally:
        world.close()
    return Result(problems, copied, meter.now())
