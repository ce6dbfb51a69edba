"""Runs the AWS CLI, or s3.py, in forks of a process that has already imported its packages.

`warm_s3.py SOCKET PROGRAM` serves, and `warm_s3.py SOCKET PROGRAM ARGUMENT...` runs the program
there, with the caller's environment, folder, input and outputs. Each start of these programs takes
half a second, nearly all of it for imports. The programs cannot share a process: the AWS CLI has a
botocore of its own.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import socket
import sys
from typing import Any


def _call(connection: socket.socket, words: list[str]) -> int:
    asked = {"words": words, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])
    return int(connection.recv(16) or b"99")


def _serve(listener: socket.socket, program: str) -> None:
    if program == "aws":
        import awscli.clidriver  # type: ignore[import-untyped]
        from awscli.botocore import loaders  # type: ignore[import-untyped]

        _keep_what_is_read(loaders.JSONFileLoader)
        session = awscli.clidriver.create_clidriver().session  # imports the plugins
    else:
        import botocore.loaders
        import botocore.session

        _keep_what_is_read(botocore.loaders.JSONFileLoader)
        import boto3

        session = boto3.session.Session()._session
    keys = {"aws_access_key_id": "-", "aws_secret_access_key": "-"}
    session.create_client("s3", "us-east-1", **keys)
    gc.collect()
    gc.freeze()  # a search for garbage would copy the pages that the forks share
    listener.listen()
    while True:
        connection, _ = listener.accept()
        message, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 3)
        if not message:  # a test whether we answer
            connection.close()
            continue
        child = os.fork()
        if not child:
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            _become(**json.loads(message))
        for descriptor in descriptors:
            os.close(descriptor)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with connection:
            connection.sendall(str(status).encode())


def _keep_what_is_read(loader: Any) -> None:
    """Let all sessions of the forks have the service models that have been parsed here."""
    read = loader.load_file
    kept = functools.cache(lambda path: read(loader(), path))
    loader.load_file = lambda _, path: kept(path)


def _become(words: list[str], environment: dict[str, str], folder: str) -> None:
    """Run the program in this process, and exit with its status."""
    data = os.environ.get("AWS_DATA_PATH")  # the AWS CLI sets it when it is imported
    os.environ.clear()
    os.environ.update(environment if data is None else {**environment, "AWS_DATA_PATH": data})
    os.chdir(folder)
    sys.argv = words
    if words[0] == "aws":
        import awscli.clidriver

        sys.exit(awscli.clidriver.main())
    import runpy

    runpy.run_path(words[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as ours:
        if sys.argv[3:]:
            ours.connect(sys.argv[1])
            sys.exit(_call(ours, sys.argv[2:]))
        ours.bind(sys.argv[1])
        _serve(ours, sys.argv[2])
