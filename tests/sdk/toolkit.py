"""Stands in for the training toolkit of AWS's framework images, in which SDK 2's script mode runs.

It is the image's ENTRYPOINT. It takes the user's code from S3, as the hyperparameters tell, and
runs it with the other hyperparameters as arguments and with some of the variables `SM_*`. It needs
only Python and curl.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

CODE = Path("/opt/ml/code")
ENTRYPOINT = ["python3", "/opt/toolkit/toolkit.py"]


def main() -> None:
    """Run the user's program, and end as it ends."""
    text = Path("/opt/ml/input/config/hyperparameters.json").read_text(encoding="utf-8")
    given = {name: json.loads(value) for name, value in json.loads(text).items()}
    unpack(read(given["sagemaker_submit_directory"], given["sagemaker_region"]))
    own = {name: value for name, value in given.items() if not name.startswith("sagemaker_")}
    words = [word for name, value in own.items() for word in (f"--{name}", str(value))]
    variables = {f"SM_HP_{name.upper()}": str(value) for name, value in own.items()}
    variables |= {"SM_MODULE_DIR": given["sagemaker_submit_directory"]}
    program = [sys.executable, given["sagemaker_program"], *words, *sys.argv[1:]]
    done = subprocess.run(program, cwd=CODE, env={**os.environ, **variables}, check=False)
    sys.exit(done.returncode)


def read(url: str, region: str) -> bytes:
    """An object in S3, with the credentials of the job's role."""
    path = os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
    with urllib.request.urlopen(f"http://169.254.170.2{path}", timeout=60) as answer:
        keys = json.load(answer)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ["AWS_ENDPOINT_URL"]
    command = [
        *("curl", "-sSf", "--noproxy", "*", "--aws-sigv4", f"aws:amz:{region}:s3"),
        *("--user", f"{keys['AccessKeyId']}:{keys['SecretAccessKey']}"),
        *("-H", f"x-amz-security-token: {keys['Token']}"),
        *("-H", f"x-amz-content-sha256: {hashlib.sha256(b'').hexdigest()}"),
        url.replace("s3:/", endpoint),
    ]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def unpack(archive: bytes) -> None:
    """Write the files of an archive into the folder of the user's code."""
    CODE.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files.getmembers():
            if content := files.extractfile(member):
                (CODE / member.name).write_bytes(content.read())


def image(folder: Path) -> dict[str, object]:
    """The config of an image that has this toolkit; its files are put into `folder`."""
    there = folder / "opt" / "toolkit" / "toolkit.py"
    there.parent.mkdir(parents=True)
    there.write_bytes(Path(__file__).read_bytes())
    return {
        "Entrypoint": ENTRYPOINT,
        "Labels": {"sm-proxy-lab.files": str(folder)},
    }


HISTORY = ["RUN apt-get install -y openssh-server python3"]


if __name__ == "__main__":
    main()
