"""End a job's time windows from outside: the wait before its program, and the keeping after it.

A window is the wait, the keeping, or the wait of a job with SM_PROXY_SHELL. The entrypoint watches
for two files in its run folder, `go` and `done`. Every ssh session has the folder's path in
SM_PROXY_RUN_DIR. The file `window` in it contains `wait`, `keep`, `shell` or `none`; older
entrypoints do not write it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Literal

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import hostname, kinds
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.remote.run import run_script
from sm_proxy.settings import Settings

EndWord = Literal["go", "done"]
"""The file that ends a window: `go` the wait, `done` the keeping; each ends the window `shell`."""
_AT_ONCE: Final = 8
_WINDOWS: Final = frozenset({"wait", "keep", "shell", "none"})
_GONE: Final = frozenset({"connect-refused", "job-ended", "job-failed"})
"""What a node that has ended answers while another node of its job can be reached."""
_CUT: Final = frozenset({"session-lost", "sshd-silent"})
"""The errors of a node that ends during the call: the end of one node may end all of them."""
_ANSWER: Final = "sm-proxy-window"
_SCRIPT: Final = """
run=${SM_PROXY_RUN_DIR-}
if [ -z "$run" ] || [ ! -d "$run" ]; then echo 'sm-proxy-window absent'; exit 0; fi
window=
read -r window 2>/dev/null <"$run/window"
: >"$run/@WORD@" || exit 1
echo "sm-proxy-window ${window:-unknown}"
"""


@dataclass(frozen=True)
class NodeOutcome:
    """The outcome for one node.

    Attributes:
        node: `algo-1`.
        window: the window that it was in: wait, keep, shell, none, or unknown with an older
            entrypoint; `ended` if its container is gone, so that there is nothing to tell.
        error: why the file could not be created, or None.
    """

    node: str
    window: str = "unknown"
    error: SmProxyError | None = None

    @property
    def told(self) -> bool:
        """Whether the file was created."""
        return self.error is None and self.window != "ended"


def release_nodes(
    release: EndWord, target: Target, settings: Settings, aws: Aws, on_status: Callable[[str], None]
) -> tuple[str, list[NodeOutcome]]:
    """End a window on the node that the host name has, or on every node of the job.

    Returns:
        The job's name, and the outcome for each node, in the order of the nodes.

    Raises:
        SmProxyError: the host cannot be resolved, or the only node cannot be released.
    """
    first = resolver.resolve(target, settings, aws, wait=settings.wait, on_status=on_status)

    def tell(node: Target, *, fresh: bool = False) -> NodeOutcome:
        try:
            again = fresh or node.node != first.node
            found = resolver.resolve(node, settings, aws, fresh=fresh) if again else first
            return _release_node(release, found, settings)
        except SmProxyError as error:
            return NodeOutcome(node.node, error=error)

    def settle(node: Target, outcome: NodeOutcome) -> NodeOutcome:
        cut_off = outcome.error is not None and outcome.error.code in _CUT
        return _ended_if_gone(tell(node, fresh=True) if cut_off else outcome)

    nodes = [target] if target.names_node else _all_nodes(first, target, aws)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        released = list(pool.map(tell, nodes))
        if any(outcome.told for outcome in released):
            released = list(pool.map(settle, nodes, released))
    if len(released) == 1 and released[0].error:
        raise released[0].error
    return first.job, released


def _ended_if_gone(outcome: NodeOutcome) -> NodeOutcome:
    """A node that refuses us has ended, since we reach another node of its job in the same way."""
    if outcome.error is None or outcome.error.code not in _GONE:
        return outcome
    return NodeOutcome(outcome.node, "ended")


def _all_nodes(first: Container, target: Target, aws: Aws) -> list[Target]:
    """Each node of the job.

    The cache holds the job since `first` was found a moment ago, unless its folder cannot be used.
    """
    cached = JobCache(aws).job(replace(target, job=first.job), float("inf"))
    job = cached[0] if cached else kinds.of(first.kind).describe(aws, first.job)
    nodes = job.nodes if job else 1
    if nodes <= 1 or not first.node.startswith("algo-"):
        return [target]
    return [
        hostname.compose(target.prefix, first.job, f"algo-{number + 1}", first.kind)
        for number in range(nodes)
    ]


def _release_node(release: EndWord, container: Container, settings: Settings) -> NodeOutcome:
    # The container may end as soon as the file is written, and cut our session off.
    script = _SCRIPT.replace("@WORD@", release)
    answer = run_script(container, settings, script, last_word=_ANSWER)
    lines = [line.split() for line in answer.output.splitlines()]
    window = next((rest[0] for key, *rest in filter(None, lines) if _is_ours(key, rest)), "")
    if window in {"absent", ""}:
        raise SmProxyError(
            "unsupported",
            f"cannot reach the entrypoint on {container.host}: in its ssh sessions,"
            " SM_PROXY_RUN_DIR is not set, or names no writable folder",
            "Check that the image has the sm-proxy entrypoint, and that its SSH server passes the"
            " environment on.",
        )
    shown = window if window in _WINDOWS else "unknown"
    return NodeOutcome(container.node, printable(shown, 20))


def _is_ours(key: str, rest: list[str]) -> bool:
    return key == _ANSWER and len(rest) == 1
