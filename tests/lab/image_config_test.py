"""What an image's configuration says about its containers."""

from __future__ import annotations

from sm_proxy_lab import image_config


def test_an_image_of_a_registry_is_read() -> None:
    config = {
        "Entrypoint": ["a"],
        "Cmd": None,
        "User": "worker",
        "WorkingDir": "/w",
        "Env": ["A=b=c"],
        "Labels": {"sm-proxy-lab.root": "python", "sm-proxy-lab.hide": "/x /y"},
    }
    found = image_config.parse({"config": config})
    assert (found.entrypoint, found.cmd, found.user, found.folder) == (("a",), (), "worker", "/w")
    assert (found.environment, found.root) == ({"A": "b=c"}, "python")
    assert (found.layers, found.hidden) == ((), ("/x", "/y"))


def test_an_image_that_the_lab_built_has_layers() -> None:
    built = {"root": "debian", "layers": ["/one", "/two"], "gone": ["etc/motd"]}
    config = {"Labels": {"sm-proxy-lab.root": "python"}}
    found = image_config.parse({"config": config, "lab": built})
    assert (found.root, found.layers, found.hidden) == ("debian", ("/one", "/two"), ("/etc/motd",))
