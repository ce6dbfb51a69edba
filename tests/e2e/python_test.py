"""The examples of docs/python.md, in the lab: a client, and a copy."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from tests.e2e.labs import Lab
from tests.waits import await_true

_DOC = (Path(__file__).parents[2] / "docs/python.md").read_text(encoding="utf-8")
_SERVER = """
import http.server
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
_BEGIN = f"""
server = sm_proxy.open("sm-myjob")
_, out, _ = server.exec_command({f"exec python3 -c {shlex.quote(_SERVER)}"!r}, get_pty=True)
PORT = int(out.readline())
"""
_END = """
assert "checkpoints" in names, names
assert answer.startswith(b"HTTP/1.0 200"), answer
assert code == "job-not-found"
assert outcome.files >= 1, outcome
assert outcome.verified
"""


def test_the_examples_run_and_leave_no_session(lab: Lab, tmp_path: Path) -> None:
    """The client `server` is still open when the interpreter exits."""
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    lab.ok(lab.host, f"echo weights > {ml}/checkpoints/last.pt")
    first, *others = re.findall(r"```python\n(.*?)```", _DOC, re.DOTALL)
    program = "\n".join([first, _BEGIN, *others, _END])
    program = program.replace("sm-myjob", lab.host)
    program = program.replace("/opt/ml", ml)
    program = program.replace('Path("copied")', f"Path({str(tmp_path)!r})")
    program = program.replace("print(error.code, error.text)", "code = error.code")
    done = lab.run(sys.executable, "-W", "error", "-c", program)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"checkpoints" in done.stdout
    assert (tmp_path / "checkpoints" / "last.pt").read_text() == "weights\n"
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
