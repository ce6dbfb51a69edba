from __future__ import annotations

import pytest

from sm_proxy_lab.aws.kms import open_blob
from tests.lab.aws.harness import Lab


def test_the_gateway_can_open_data_keys(lab: Lab) -> None:
    kms = lab.client("kms")
    context = {"aws:ssm:SessionId": "s", "aws:ssm:TargetId": "i-1"}
    key = kms.generate_data_key(KeyId="alias/x", NumberOfBytes=64, EncryptionContext=context)
    assert key["KeyId"] == "arn:aws:kms:us-east-1:123456789012:alias/x"
    assert len(key["Plaintext"]) == 64
    assert open_blob(key["CiphertextBlob"], context) == key["Plaintext"]
    opened = kms.decrypt(CiphertextBlob=key["CiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == key["Plaintext"]
    with pytest.raises(ValueError, match="context"):
        open_blob(key["CiphertextBlob"], {})
