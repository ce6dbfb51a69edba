# ruff: noqa: INP001, T201 - an example, to be copied
"""Script mode: AWS's image, your entry point, and this folder beside it.

    source_dir/
        script_mode.py      entry_point
        sm-proxy/           this folder, whole

AWS's deep-learning images have no sshd. Add `openssh-server` with a Dockerfile of two lines, or
install it at run time as below, if the container can reach a package mirror.
"""

import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).parent


def start_ssh() -> None:
    """Make this container reachable for as long as this program runs; never fail because of it."""
    if not (shutil.which("sshd") or pathlib.Path("/usr/sbin/sshd").exists()):
        install = "apt-get update -qq && apt-get install -y -qq openssh-server >/dev/null"
        subprocess.run(["sh", "-c", install], check=False)
    subprocess.run(["sh", str(HERE / "sm-proxy" / "entrypoint.sh")], check=False)


if __name__ == "__main__":
    start_ssh()
    print("training")
