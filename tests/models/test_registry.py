"""Registry: what is refused, what a new store holds, what a URI stands for."""

import sqlite3
from pathlib import Path

import pytest

from conf.errors import InputError
from models import registry
from models.registry import ensure_store, file_sha256, log_run, make_champion, register_model, resolve_model

# MLflow 3.17 still uses a loader strategy that SQLAlchemy 2.1 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture
def shipped(make_bundle, monkeypatch, tmp_path):
    path = make_bundle()
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    return path


def test_a_store_that_does_not_exist_is_looked_up_among_shipped_weights_and_not_created(shipped, tmp_path):
    pin = resolve_model("models:/tiny@champion", f"sqlite:///{tmp_path}/w/mlflow.db")
    assert pin == ("tiny", "1", file_sha256(shipped), str(shipped))
    assert resolve_model("models:/tiny/1", None) == pin
    assert not (tmp_path / "w").exists()


def test_a_new_store_holds_the_shipped_weights_and_later_versions_challenge_the_champion(shipped, make_bundle, tmp_path):
    uri, artifacts = f"sqlite:///{tmp_path}/w/mlflow.db", str(tmp_path / "w" / "artifacts")
    ensure_store(uri, artifacts)
    first = resolve_model("models:/tiny@champion", uri)
    assert (first.version, first.sha256) == ("1", file_sha256(shipped))
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["artifacts", "mlflow.db"]

    second = register_model(uri, artifacts, make_bundle(threshold=0.6), {"f1": 0.5}, {"origin": "test"})
    ensure_store(uri, artifacts)
    assert resolve_model("models:/tiny@champion", uri) == first
    assert resolve_model("models:/tiny@challenger", uri) == resolve_model("models:/tiny/2", uri) == second
    make_champion(uri, second)
    assert resolve_model("models:/tiny@champion", uri) == second
    make_champion(uri, first)
    assert resolve_model("models:/tiny@champion", uri) == first

    log_run(uri, "flow", "buildings", {"a": "b"}, {"rows": 3.0}, {"code": "x"})
    with sqlite3.connect(tmp_path / "w" / "mlflow.db") as store:
        assert store.execute("SELECT key, value FROM metrics WHERE key = 'rows'").fetchall() == [("rows", 3.0)]

    Path(second.path).write_bytes(Path(first.path).read_bytes())
    with pytest.raises(InputError, match="sha256 is"):
        resolve_model("models:/tiny/2", uri)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/absent@champion", "train it first"),
        ("models:/tiny@other", "alias champion, not other"),
        ("models:/tiny/2", "not 2"),
        ("models:/tiny", "write models:/NAME@ALIAS"),
        ("weights.pt#sha256=" + "0" * 64, "pickle models not accepted"),
        ("weights.pkl.gz", "pickle models not accepted"),
        ("weights.pt2", "pickle models not accepted"),
        ("{path}#sha256=" + "0" * 64, "was expected"),
        ("gone.safetensors#sha256=" + "0" * 64, "No such file"),
    ],
)
def test_refused_uris(shipped, uri, says):
    with pytest.raises(InputError, match=says) as error:
        resolve_model(uri.format(path=shipped), None)
    assert "\n" not in str(error.value)


def test_refused_stores(tmp_path):
    with pytest.raises(InputError, match="not supported"):
        ensure_store("./mlruns", str(tmp_path))
    (tmp_path / "other.db").write_bytes(b"no database, but long enough to have a header" * 9)
    with pytest.raises(InputError, match="point tracking_uri"):
        resolve_model("models:/tiny@champion", f"sqlite:///{tmp_path}/other.db")
