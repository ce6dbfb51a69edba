"""`python -m sm_proxy`, the console script, and this file as a program: `python -I PATH`.

Another Python's environment must not reach us: a `types.py` on PYTHONPATH or in the working folder
would be imported instead of the standard library's, `PYTHONWARNINGS=error` ends whatever warns. So
the ProxyCommand starts Python with `-I`, and what is typed by hand starts itself again that way.
The environment itself stays as it is, for the programs that we start.

Nothing but what is built in may be imported before that.
"""

import os
import sys


def main() -> int:
    """Run the command line; the exit status."""
    if not __package__:
        _find_own_folder()
    from sm_proxy.local.python_environment import misleading  # noqa: PLC0415 - found now

    # Unless a console script has imported us, some folder stands before the standard library.
    if not sys.flags.isolated and (__name__ == "__main__" or misleading()):
        words = [sys.executable, "-I", os.path.abspath(__file__), *sys.argv[1:]]
        if os.name == "nt":
            return _as_child(words)
        os.execv(sys.executable, words)  # noqa: S606 - ourselves
    from sm_proxy.cli import main as run  # noqa: PLC0415 - not before

    return run()


def _as_child(words: list[str]) -> int:
    """Windows' exec would let the shell go on at once."""
    foreign = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [folder for folder in sys.path if folder not in foreign]
    import subprocess  # noqa: PLC0415 - not before

    with subprocess.Popen(words) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # noqa: PERF203 - the child has got it as well
                continue


def _find_own_folder() -> None:
    """Look for modules where this package is: `-I` leaves a user's own site-packages out."""
    import site  # noqa: PLC0415 - for this case only

    parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if parent not in sys.path:
        usual = (i for i, folder in enumerate(sys.path) if folder in site.getsitepackages())
        sys.path.insert(next(usual, len(sys.path)), parent)
        site.addsitedir(parent)  # its .pth files


if __name__ == "__main__":
    sys.exit(main())
