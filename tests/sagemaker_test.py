"""`enable_ssh`: its arguments, and what it does with the request of an SDK's object."""

from __future__ import annotations

import inspect
import json
import pickle
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.launch import channel, prepare
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.prepare import Prepared
from sm_proxy.launch.request import Made, Ssh, add_ssh
from sm_proxy.sagemaker import EnableSshError, enable_ssh
from sm_proxy.settings import load_for
from tests.fakes import ECDSA_KEY, HOST_KEY

REQUEST: dict[str, Any] = {
    "TrainingJobName": "bert-1",
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
}


class Session:
    def __init__(self) -> None:
        self.boto_session = boto3.Session("AKIATHEIRS", "secret", region_name="eu-north-1")
        self.sagemaker_client = self.boto_session.client("sagemaker")


class Estimator:
    __module__ = "sagemaker.estimator"
    __qualname__ = "EstimatorBase"

    def __init__(self) -> None:
        self.sagemaker_session = Session()

    def fit(self) -> None:
        self.sagemaker_session.sagemaker_client.create_training_job(**REQUEST)


class Preparation:
    """Takes the place of `prepare` and `upload`, which ask AWS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ssh: Ssh | None = None
        self.keys: list[str] = []
        self.uploaded: list[Channel] = []
        self.refusal: SmProxyError | None = None
        monkeypatch.setattr(prepare, "prepare", self._prepare)
        monkeypatch.setattr(channel, "upload", lambda _, it, __: self.uploaded.append(it))

    def _prepare(
        self, aws: Any, operation: Any, request: dict[str, Any], ssh: Ssh, **others: Any
    ) -> Prepared:
        self.others = others
        assert aws.region == "eu-north-1"
        self.keys.append(aws.session.get_credentials().access_key)
        self.ssh = ssh
        if self.refusal:
            raise self.refusal
        made = Made({**request, "Environment": {"SSH": "yes"}}, (), Channel("s3://bucket/x", {}))
        return Prepared(operation, made, ("the role has no key",))


@pytest.fixture
def preparation(monkeypatch: pytest.MonkeyPatch) -> Preparation:
    return Preparation(monkeypatch)


def fit(estimator: Estimator) -> list[Any]:
    """Fit it; return the Environment of each request sent."""
    sent = []

    def answer(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        sent.append(json.loads(params["body"]).get("Environment"))
        return SimpleNamespace(status_code=200, headers={}), {}

    events = estimator.sagemaker_session.sagemaker_client.meta.events
    events.register("before-call.sagemaker", answer)
    estimator.fit()
    return sent


def test_the_job_gets_ssh(preparation: Preparation, capsys: pytest.CaptureFixture[str]) -> None:
    estimator = enable_ssh(Estimator(), keys=HOST_KEY)
    assert fit(estimator) == [{"SSH": "yes"}]
    assert preparation.ssh == Ssh(keys=(HOST_KEY,))
    assert preparation.keys == ["AKIATHEIRS"]
    assert [found.root for found in preparation.uploaded] == ["s3://bucket/x"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "sm-proxy: the role has no key\n" in err
    assert err.endswith(": ssh sm-bert-1\n")


def test_the_options_reach_the_request(preparation: Preparation) -> None:
    estimator = Estimator()
    enable_ssh(estimator, keys=HOST_KEY)
    enable_ssh(
        estimator,
        keep="2h",
        wait="15m",
        keys=[HOST_KEY, ECDSA_KEY],
        subnets=["subnet-1"],
        security_groups=["sg-1"],
    )
    assert fit(estimator) == [{"SSH": "yes"}]
    assert preparation.ssh == Ssh(
        keys=(HOST_KEY, ECDSA_KEY),
        wait_s=900,
        keep_s=7200,
        subnets=("subnet-1",),
        security_groups=("sg-1",),
    )
    assert len(preparation.uploaded) == 1
    assert preparation.others["entrypoint"] is None
    assert preparation.others["sure"] is False


@pytest.mark.parametrize("command", ["python -u 'a b.py'", ["python", "-u", "a b.py"]])
def test_the_command_of_an_unreadable_image_may_be_given(
    command: Any, preparation: Preparation
) -> None:
    fit(enable_ssh(Estimator(), keys=HOST_KEY, entrypoint=command, sure=True, remote_debug=True))
    assert preparation.others["entrypoint"] == ("python", "-u", "a b.py")
    assert preparation.others["sure"] is True
    assert preparation.ssh
    assert preparation.ssh.remote_debug


def test_a_refusal_is_an_error_with_its_next_step(preparation: Preparation) -> None:
    estimator = enable_ssh(Estimator(), keys=HOST_KEY)
    preparation.refusal = SmProxyError("no-vpc", "the job has no VPC", "Give subnets=[...].")
    with pytest.raises(EnableSshError) as caught:
        fit(estimator)
    assert str(caught.value) == "the job has no VPC. Give subnets=[...]."
    assert caught.value.code == "no-vpc"
    assert preparation.uploaded == []


def test_a_refusal_leaves_a_pool_of_processes_as_it_is() -> None:
    refusal = EnableSshError("no-vpc", "the job has no VPC", "Give subnets=[...].")
    copied = pickle.loads(pickle.dumps(refusal))  # noqa: S301 - our own
    assert type(copied) is EnableSshError
    assert (copied.code, str(copied)) == ("no-vpc", "the job has no VPC. Give subnets=[...].")


def test_a_hint_names_arguments_instead_of_options(preparation: Preparation) -> None:
    names = "bucket|image|limits|permissions|prepare|request|vpc"
    folder = Path(inspect.getfile(prepare)).parent
    files = [path for path in folder.glob("**/*.py") if re.fullmatch(names, path.stem)]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    options = set(re.findall(r"--[a-z][a-z-]+(?: 'PROGRAM ARGUMENT...'| (?:sg|subnet)-...)?", text))
    # These are of the commands of AWS and of `submit`, which only our commands call.
    options -= {f"--{name}" for name in ["group-id", "protocol", "port", "source-group", "region"]}
    options -= {"--name", "--instance-type"}
    options -= {"--identity-file"}  # of `sm-proxy setup`, which the hint names
    assert "--entrypoint" in options
    for option in options:
        estimator = enable_ssh(Estimator(), keys=HOST_KEY)
        preparation.refusal = SmProxyError("no-vpc", "no", f"Give {option}.")
        with pytest.raises(EnableSshError) as caught:
            fit(estimator)
        assert "=" in caught.value.hint, option
        assert "--" not in caught.value.hint, option


def test_this_machines_keys_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preparation: Preparation
) -> None:
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))
    with pytest.raises(EnableSshError, match=r"no key for ssh .*sm-proxy setup.*keys=\[LINE\]"):
        enable_ssh(Estimator())
    assert not (tmp_path / "ssh").exists()
    key = identities.ensure(load_for({}))
    assert fit(enable_ssh(Estimator())) == [{"SSH": "yes"}]
    assert preparation.ssh
    assert preparation.ssh.keys == (key.public_key,)


@pytest.mark.parametrize("kind", [str, Path])
def test_keys_may_be_files(kind: Any, tmp_path: Path, preparation: Preparation) -> None:
    path = tmp_path / "id_ed25519.pub"
    path.write_text(f"# mine\n{HOST_KEY} me@laptop\n\n{ECDSA_KEY}\n")
    estimator = enable_ssh(Estimator(), keys=[kind(path)])
    assert fit(estimator) == [{"SSH": "yes"}]
    assert preparation.ssh
    assert preparation.ssh.keys == (f"{HOST_KEY} me@laptop", ECDSA_KEY)


def test_a_text_may_hold_several_keys(preparation: Preparation) -> None:
    text = f"# mine\n{HOST_KEY}\t me\n\n#{ECDSA_KEY}\n# {ECDSA_KEY}\n{ECDSA_KEY}\r\n"
    fit(enable_ssh(Estimator(), keys=text))
    assert preparation.ssh
    assert preparation.ssh.keys == (f"{HOST_KEY} me", ECDSA_KEY)


def test_a_session_of_a_pipeline_given_later_is_refused_in_the_same_words(
    preparation: Preparation,
) -> None:
    class PipelineSession(Session):
        pass

    estimator = enable_ssh(Estimator(), keys=HOST_KEY)
    estimator.sagemaker_session = PipelineSession()
    with pytest.raises(EnableSshError, match=r"PipelineSession .*sm-proxy relaunch JOB"):
        estimator.fit()
    assert preparation.ssh is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": "soon"}, "keep must be a duration.*keep=.30m."),
        ({"wait": "-1"}, "wait must be a duration"),
        ({"wait": None}, "wait must be a duration"),
        ({"keys": []}, "keys is empty"),
        ({"keys": "no-such-file"}, "neither a public key nor a file.*No such file"),
        ({"keys": ["ssh-ed25519 AAAA"]}, "neither a public key nor a file"),
        ({"keys": "\0"}, "neither a public key nor a file"),
        ({"keys": "/dev/null"}, "holds no public key.*pub"),
        ({"keys": 5}, "keys has the wrong type, int.*ssh-ed25519 AAAA"),
        ({"keys": [None]}, "an item of the wrong type, NoneType"),
        ({"keys": HOST_KEY.encode()}, "an item of the wrong type, int"),
        ({"keys": f"# {HOST_KEY}"}, "neither a public key nor a file"),
        ({"keys": f'from="10.0.0.1" {HOST_KEY}'}, "begins with options.*from the type"),
        ({"subnets": "subnet-1"}, r"subnets must be a list.*\[.subnet-1.\]"),
        ({"security_groups": "sg-1"}, r"security_groups must be a list"),
        ({"subnets": 5}, r"subnets must be a list of texts.*subnets=\[.subnet-id.\]"),
        ({"subnets": [5]}, "subnets must be a list of texts"),
        ({"security_groups": [""]}, "security_groups has an empty text"),
        ({"entrypoint": 5}, "entrypoint must be a list of texts"),
        ({"entrypoint": ["python", 1]}, "entrypoint must be a list of texts"),
        ({"sure": "no"}, "sure must be True or False"),
        ({"remote_debug": 1}, "remote_debug must be True or False"),
        ({"entrypoint": "python 'x"}, r"entrypoint has No closing quotation.*\[.python."),
        ({"entrypoint": []}, "entrypoint is empty"),
    ],
)
def test_a_wrong_argument_is_explained(options: dict[str, Any], words: str) -> None:
    estimator = Estimator()
    with pytest.raises(EnableSshError) as caught:
        enable_ssh(estimator, **{"keys": HOST_KEY, **options})
    assert re.search(words, str(caught.value))
    assert caught.value.code == "usage"
    assert type(estimator) is Estimator


def test_a_private_key_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "id"
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecretsecret\n")
    with pytest.raises(EnableSshError) as caught:
        enable_ssh(Estimator(), keys=path)
    assert "secretsecret" not in str(caught.value)
    assert ".pub" in str(caught.value)
    with pytest.raises(EnableSshError) as caught:
        enable_ssh(Estimator(), keys=path.read_text())
    assert "secretsecret" not in str(caught.value)


def test_the_settings_of_the_object_count_where_no_argument_is_given(
    preparation: Preparation,
) -> None:
    fit(enable_ssh(Estimator(), keys=HOST_KEY))
    variables = {"SM_PROXY_WAIT": "15m", "SM_PROXY_KEEP_CONNECTED": "2h"}
    assert preparation.ssh
    assert windows_of(preparation.ssh, variables) == variables
    assert windows_of(preparation.ssh, {})["SM_PROXY_KEEP_FAILURE"] == "30m"
    fit(enable_ssh(Estimator(), keys=HOST_KEY, wait="0", keep="30m"))
    found = windows_of(preparation.ssh, variables)
    assert found == {
        "SM_PROXY_WAIT": "0",
        "SM_PROXY_KEEP_FAILURE": "30m",
        "SM_PROXY_KEEP_CONNECTED": "30m",
    }


def windows_of(ssh: Ssh, variables: dict[str, str]) -> dict[str, str]:
    """The settings of time that a job of these variables gets."""
    request = {
        **REQUEST,
        "AlgorithmSpecification": {"TrainingImage": "bert:1", "TrainingInputMode": "File"},
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "Environment": variables,
    }
    files = Channel("s3://bucket/x", {})
    made = add_ssh("CreateTrainingJob", request, ssh, files, ["bash"]).request
    return {
        name: value
        for name, value in made["Environment"].items()
        if name.startswith(("SM_PROXY_WAIT", "SM_PROXY_KEEP"))
    }


def test_the_signature_is_a_promise() -> None:
    assert (
        str(inspect.signature(enable_ssh))
        .replace(" ", "")
        .startswith("(obj:'_Object',*,keep:'str'='30m',wait:'str'='0',keys:")
    )


def test_an_object_that_cannot_have_ssh_is_refused() -> None:
    with pytest.raises(EnableSshError, match="not an Estimator"):
        enable_ssh(object(), keys=HOST_KEY)


def test_the_extra_is_as_measured() -> None:
    """Without the bound on s3fs, pip tries a hundred releases before it finds one that fits SDK 3.

    Measured on Python 3.11 with sagemaker 3.27: pip 26 resolves it in 18 s instead of 50 s, pip 23
    in 35 s instead of 145 s; all of the installation takes 46 s. `script/test sdk` installs it.
    """
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'sagemaker = ["sagemaker>=2.200", "s3fs<0.5"]\n' in text


def test_an_error_shows_no_secret_and_no_escape_sequence() -> None:
    error = EnableSshError(
        "aws-error", "refused: token=abcdef123456 \x1b[31m", "See AKIAABCDEFGHIJKL."
    )
    assert "abcdef123456" not in str(error)
    assert "EFGHIJKL" not in str(error)
    assert str(error).isprintable()
