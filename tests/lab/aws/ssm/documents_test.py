from __future__ import annotations

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.ssm.helpers import remote


def test_unknown_documents_and_parameters_are_refused(lab: Lab, bastion: str) -> None:
    start = lab.client("ssm").start_session
    assert refusal(start, Target=bastion, DocumentName="No-Such") == (
        "InvalidDocument",
        "Document with name No-Such does not exist.",
        400,
    )
    code, words, _ = refusal(start, **remote(bastion, portNumber=["70000"]))
    assert code == "InvalidParameters"
    assert words.startswith('Parameter "portNumber" has value "70000" not matching "^(')
    assert refusal(start, **remote(bastion, colour=["red"]))[0] == "InvalidParameters"
