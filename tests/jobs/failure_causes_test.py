from __future__ import annotations

import time

import pytest

from sm_proxy.jobs.failure_causes import find_likely


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "GPU"),
        ("RuntimeError: CUDA error: out of memory", "GPU"),
        ("AlgorithmError: , exit code: 137", "killed"),
        ("subprocess exited with return code -9", "killed"),
        ("numpy.core._exceptions.MemoryError: Unable to allocate 9 GiB", "killed"),
        ("/entry.sh: line 3:    12 Killed", "killed"),
        ("ClientError: Please use an instance type with more memory, or reduce", "killed"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("CapacityError: Unable to provision requested ML compute capacity.", "no free instance"),
        ("ResourceLimitExceeded: The account-level service limit", "quota"),
        ("LifecycleConfig execution failed with exit code 1", "lifecycle configuration"),
        ("MaxWaitTimeExceeded", "no spot instance"),
        ("MaxRuntimeExceeded", "longer than"),
        ("Interrupted", "reclaimed"),
        ("Your spot instance was interrupted", "reclaimed"),
        (
            "ClientError: Unable to access the ECR image 1.dkr.ecr.eu-west-1.amazonaws.com/x:1",
            "not allowed to pull",
        ),
        (
            "AccessDenied: User x is not authorized to perform: ecr:BatchGetImage",
            "not allowed to pull",
        ),
        ("manifest for 1.dkr.ecr.eu-west-1.amazonaws.com/x:9 not found", "cannot be pulled"),
        ("docker: no such image: x", "cannot be pulled"),
        ("exec /entry.sh: exec format error", "another processor"),
        ('exec: "train": executable file not found in $PATH', "not in the image"),
        ("python: can't open file '/opt/ml/code/train.py': [Errno 2]", "not in the image"),
        ("AlgorithmError: , exit code: 127", "not in the image"),
        ('exec: "/entry.sh": permission denied: unknown', "not executable"),
        ("sh: 1: /entry.sh: Permission denied", "not executable"),
        ("sshd: no hostkeys available -- exiting.", "SSH server"),
        ("sm-proxy: sshd: Cannot bind any address.", "SSH server"),
        ("ModuleNotFoundError: No module named 'einops'", "Python module"),
        ("ClientError: Data download failed: S3 GetObject: Access Denied", "not allowed to read"),
        ("An error occurred (403) Forbidden: s3://bucket/key", "not allowed to read"),
        ("botocore NoSuchKey: The specified key does not exist", "input data"),
        ("ClientError: Data download failed: No S3 objects found under prefix", "input data"),
        ("NCCL WARN Connect to 10.0.1.5 failed", "NCCL"),
        ("InternalServerError: We encountered an internal error.", "SageMaker itself"),
    ],
)
def test_a_line_shows_its_cause(line: str, words: str) -> None:
    cause = find_likely(["epoch 1 loss 0.3", line, "bye"])
    assert cause is not None
    assert words in cause.what
    assert cause.advice.endswith(".")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "AlgorithmError: , exit code: 1",
        "exit code: 1370",
        "epoch 137 loss 0.126",
        "sm-proxy: sshd: Connection closed by 10.0.1.9 port 5000",
        "sm-proxy: sshd: Accepted publickey for root",
        "Downloaded 12 objects from s3://bucket",
        "Training job completed",
        "the class 'unknown' was not found in image 12",
    ],
)
def test_other_lines_show_no_cause(line: str) -> None:
    assert find_likely([line]) is None


def test_a_specific_cause_wins_over_a_general_one() -> None:
    cause = find_likely(["AlgorithmError: , exit code: 137", "CUDA out of memory"])
    assert cause is not None
    assert "GPU" in cause.what


def test_a_hostile_line_is_matched_quickly() -> None:
    started = time.perf_counter()
    find_likely(["denied s3 exec: sh: manifest sshd: " * 10_000] * 10)
    assert time.perf_counter() - started < 20  # a pattern that backtracks would take far longer
    assert find_likely(["x" * 5000 + "CUDA out of memory"]) is None
