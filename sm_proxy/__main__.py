"""The program: `python -m sm_proxy`, the console script, or `python -I PATH` with this file.

The user's Python environment must not change how we run. A `types.py` on PYTHONPATH or in the
working folder would hide the standard library's, and `PYTHONWARNINGS=error` would turn warnings
into failures. So the ProxyCommand starts Python with `-I` (isolated mode), and a command typed by
hand restarts itself with `-I`. The environment variables stay, for the programs that we start.

Before that restart, only built-in modules may be imported.
"""

import os
import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    if not __package__:
        _find_own_folder()
    from sm_proxy.local.python_environment import (  # noqa: PLC0415 - the folder is known only now
        archive,
        misleading,
    )

    # A console script puts no folder before the standard library's; `python -m` and a path do.
    if not sys.flags.isolated and (__name__ == "__main__" or misleading()):
        words = [sys.executable, "-I", archive() or os.path.abspath(__file__), *sys.argv[1:]]
        if os.name == "nt":
            return _as_child(words)
        os.execv(sys.executable, words)  # noqa: S606 - this program
    try:
        from sm_proxy.daemon.launcher import hand_over  # noqa: PLC0415 - only in isolated mode

        if (status := hand_over(sys.argv[1:])) is not None:
            os._exit(status)  # there is nothing to clean up, and ssh waits
        if sys.argv[1:3] == ["completion", "query"]:
            return _complete(sys.argv[3:])
        from sm_proxy.cli import main as run  # noqa: PLC0415 - takes longer than all before
    except KeyboardInterrupt:  # from now on, the error handler catches it
        return 130
    try:
        return run()
    finally:
        import gc  # noqa: PLC0415 - built in, and not needed before

        gc.freeze()  # as it ends, Python would search all objects for garbage: 50 ms


def _complete(words: list[str]) -> int:
    """Answer a shell at TAB, without the commands' modules if their options are in the cache."""
    from sm_proxy.completion import query, table  # noqa: PLC0415 - a shell has asked

    def make_table() -> table.Record:
        from sm_proxy.cli import full_parser  # noqa: PLC0415 - takes long
        from sm_proxy.completion import parsers  # noqa: PLC0415 - as above

        return parsers.make(full_parser())

    return query.run(words, make_table)


def _as_child(words: list[str]) -> int:
    """Run it as a child process: after exec on Windows, the shell would not wait for us."""
    foreign = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [folder for folder in sys.path if folder not in foreign]
    import subprocess  # noqa: PLC0415 - only after sys.path is cleaned

    with subprocess.Popen(words) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # noqa: PERF203 - the child gets ^C, too
                continue


def _find_own_folder() -> None:
    """Add our own site-packages to sys.path: with `-I`, Python leaves the user's out."""
    import site  # noqa: PLC0415 - only in this case

    parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if parent not in sys.path:
        usual = (i for i, folder in enumerate(sys.path) if folder in site.getsitepackages())
        sys.path.insert(next(usual, len(sys.path)), parent)
        site.addsitedir(parent)  # its .pth files


if __name__ == "__main__":
    sys.exit(main())
