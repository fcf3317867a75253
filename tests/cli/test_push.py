"""A classifier goes to a hub on loopback with its card, and is predicted with from there."""

import json
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

import tortie as package
from tests.cli.test_cli import run  # noqa: F401
from tests.hub import TOKEN, Hub

# of the hub's library, about the client that it uses
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
MARK = "<!-- written by tortie push -->"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on loopback, which huggingface_hub takes for its own, and a cache of its own."""
    running = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", running.url)
    template = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield running
    running.stop()


@pytest.fixture
def tortie(run, monkeypatch):  # noqa: F811
    """Runs a command whose hub is the one on loopback."""

    def tortie(*words, token=TOKEN):
        monkeypatch.setenv("HF_TOKEN", token or "")
        code, out, err = run(*words)
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return tortie


def test_what_is_pushed_predicts_from_there(hub, tortie, fitted_file, monkeypatch):
    done = tortie("push", fitted_file, "hf://cats/textures", "--private")
    assert done.returncode == 0, done.stderr
    assert hub.commits == ["tortie push textures.safetensors"]
    assert done.stdout == f"hf://cats/textures: {hub.url}/cats/textures/commit/{1:040x}\n"
    assert "hashes of the training photographs" in done.stderr
    files = hub.repositories["cats/textures"]
    assert files["model.safetensors"] == fitted_file.read_bytes()
    assert MARK in files["README.md"].decode()
    assert hub.visibility == {"cats/textures": "private"}

    image = fitted_file.parent / "photographs" / "stripes" / "00.jpg"
    here = tortie("predict", fitted_file, image, "--json")
    there = tortie("predict", "hf://cats/textures", image, "--json", token=None)
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert package.load("hf://cats/textures").predict([image]) == ["stripes"]


def test_a_card_by_hand_stays_and_our_own_is_renewed(hub, tortie, fitted_file):
    hub.repositories["cats/textures"] = {"README.md": b"by hand"}
    done = tortie("push", fitted_file, "hf://cats/textures")
    assert done.returncode == 0
    assert "README.md there was not written by tortie, and stays as it is" in done.stderr
    assert hub.repositories["cats/textures"]["README.md"] == b"by hand"
    hub.repositories["cats/textures"]["README.md"] = f"old {MARK}".encode()
    assert tortie("push", fitted_file, "hf://cats/textures").returncode == 0
    assert hub.repositories["cats/textures"]["README.md"].startswith(b"---\nlibrary_name: tortie")


@pytest.mark.parametrize(
    "target, token, code, said",
    [
        (
            "hf://cats/textures",
            None,
            2,
            "hf://cats/textures: no leave to write there: `hf auth login`",
        ),
        ("hf://cats/textures@old", TOKEN, 2, "hf://cats/textures: no branch old there"),
        ("hf://textures", TOKEN, 2, "is not of the form hf://OWNER/NAME"),
        ("hf://cats/textures/a.bin", TOKEN, 2, "a file that ends in .safetensors"),
    ],
)
def test_what_cannot_be_pushed_is_one_line(hub, tortie, fitted_file, target, token, code, said):
    done = tortie("push", fitted_file, target, "-q", token=token)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert said in done.stderr
    assert hub.commits == []


def test_plan_prints_the_card_and_asks_nobody(hub, tortie, fitted_file):
    done = tortie("push", fitted_file, "hf://cats/textures", "--plan", "-q", token=None)
    assert done.returncode == 0
    assert MARK in done.stdout and hub.repositories == {}
