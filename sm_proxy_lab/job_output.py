"""Copies folders of a job's containers to S3 while the job runs, as SageMaker does.

A training job's checkpoints and a processing job's Continuous outputs are copied, asynchronously: a
file that changes is copied again some time later, and a copy may be of a file that is just being
written. What the containers delete stays in S3. The calls have the identity of the job's role.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sm_proxy_lab.job_data import JobData
    from sm_proxy_lab.job_kinds.request import Output

EVERY_S = 1.0
"""How long a folder rests between two looks. SageMaker's own interval is not documented."""


@dataclass
class JobOutput:
    """The folders of one container that are copied.

    Attributes:
        data: makes the calls.
        outputs: what the request names.
        root: where the container's files are.
    """

    data: JobData
    outputs: Sequence[Output]
    root: Path
    _sent: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What is there already came from S3, or with the image."""
        self._sent |= {path: mark for _, path, mark in self._files()}

    async def run(self) -> None:
        """Copy what has changed, again and again."""
        while self.outputs:
            await asyncio.sleep(EVERY_S)
            await asyncio.to_thread(self.copy)

    def copy(self) -> None:
        """Copy what has changed since the last time."""
        for output, path, mark in self._files():
            if self._sent.get(path) == mark:
                continue
            try:
                content = path.read_bytes()
            except OSError:  # gone, or a container's own
                continue
            name = str(path.relative_to(self.root / output.folder))
            if problem := self.data.put(output.uri, name, content):
                sys.stderr.write(f"{name} is not copied to {output.uri}: {problem}\n")
            self._sent[path] = mark

    def _files(self) -> Iterator[tuple[Output, Path, tuple[int, int]]]:
        """Each file, with its size and its time of modification."""
        for output in self.outputs:
            for path in sorted((self.root / output.folder).rglob("*")):
                try:
                    about = path.lstat()
                except OSError:
                    continue
                if path.is_file() and not path.is_symlink():
                    yield output, path, (about.st_size, about.st_mtime_ns)
