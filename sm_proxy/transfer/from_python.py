"""`sm_proxy.copy`: what `sm-proxy cp` does, for programs and notebooks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from sm_proxy import settings as settings_of
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output
from sm_proxy.transfer import copy as copying
from sm_proxy.transfer import places, tally, task
from sm_proxy.transfer.model import Outcome, Via
from sm_proxy.transfer.progress import Progress
from sm_proxy.transfer.task import Options

__all__ = ["CopyError", "copy"]

_Path: TypeAlias = str | os.PathLike[str]


class CopyError(SmProxyError):
    """A copy that is not complete.

    Attributes:
        outcome: what was copied; its `problems` tell what was not.
    """

    outcome: Outcome


def copy(
    sources: _Path | Sequence[_Path],
    target: _Path,
    *,
    recursive: bool = False,
    sessions: int | None = None,
    via: Via = "auto",
    bucket: str | None = None,
    compress: bool | None = None,
    verify: bool = True,
    progress: Callable[[Progress], None] | None = None,
    profile: str | None = None,
    region: str | None = None,
    wait: int | str = 0,
    **settings: str | bool,
) -> Outcome:
    """Copy files from or to a container, as `sm-proxy cp`.

    Args:
        sources: `HOST:PATH` or a local path, or several of one side. A `pathlib.Path` is local.
        target: on the other side.
        recursive: whether folders are copied.
        sessions: how many sessions at most; None for as many as help, 8 at most.
        via: `ssh`, `s3`, or `auto`: a checkpoint from S3 if it is there.
        bucket: `BUCKET` or `BUCKET/PREFIX` in which `s3` hands over what is not in S3.
        compress: whether ssh compresses; None tries a sample of the data.
        verify: whether checksums are compared.
        progress: called with a `Progress` five times a second, in a thread of its own.
        profile: AWS profile.
        region: AWS region.
        wait: how long to wait for a job that is starting: seconds, or a duration such as `10m`.
        settings: further settings by their names in config.toml, such as `route="direct"`.

    Returns:
        What was copied. A copy that was interrupted, in any way, goes on if it is called again.

    Raises:
        CopyError: some files could not be copied or, if `verify`, not be verified; the others are.
        SmProxyError: nothing could be copied, or no more: its `code` tells why.
    """
    words = task.words(sources)
    ends = places.ends(words, *task.words(target))
    given = {**settings, "profile": profile, "region": region, "wait": wait}
    loaded = settings_of.load_given(given, ends.remote.host)
    options = Options(recursive, sessions, via, bucket, compress, verify)
    with output.status_to_log():
        outcome = copying.copy(
            ends,
            loaded,
            Aws(loaded.profile, loaded.region, terminal=False),
            options,
            progress=progress,
            on_status=output.status,
        )
    failure = tally.failure(outcome, verify=verify)
    if failure is not None:
        error = CopyError(failure.code, failure.message, failure.hint)
        error.outcome = outcome
        raise error
    return outcome
