from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sm_proxy import config_writer
from sm_proxy.ssh_config import user_file


@given(content=st.binary(max_size=200))
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_removing_the_include_restores_any_bytes(content: bytes, tmp_path: Path) -> None:
    # Newer versions of hypothesis collect our marks from the code; config_writer_test breaks them.
    assume(b"sm-proxy" not in content)
    own = tmp_path / "sm-proxy" / "config"
    once = config_writer._with_include(tmp_path, content, own)
    assert config_writer._with_include(tmp_path, once, own) == once
    assert user_file.without_include(tmp_path, once) == content
