"""Registry: what is refused, what a new store holds, what a URI stands for."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from conf.errors import InputError
from models import registry
from models.registry import ensure_store, file_sha256, log_run, make_champion, register_model, resolve_model
from models.tracking import open_client

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


def test_a_registered_model_that_would_run_code_is_never_opened(shipped, tmp_path):
    uri, marker = f"sqlite:///{tmp_path}/w/mlflow.db", tmp_path / "ran"
    ensure_store(uri, str(tmp_path / "a"))
    package = tmp_path / "package"
    (package / "code").mkdir(parents=True)
    (package / "MLmodel").write_text("flavors: {python_function: {loader_module: evil, code: code, python_model: python_model.pkl}}")
    (package / "code" / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()")
    (package / "python_model.pkl").write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % str(marker).encode())
    client = open_client(uri)
    client.create_registered_model("evil")
    client.create_model_version("evil", str(package), tags={"sha256": "0" * 64})
    with pytest.raises(InputError, match=r"model evil version 1: it has no model\.safetensors .* pickle models are not accepted"):
        resolve_model("models:/evil/1", uri)
    (package / "model.safetensors").write_bytes((package / "python_model.pkl").read_bytes())
    with pytest.raises(InputError, match="no safetensors file"):
        resolve_model("models:/evil/1", uri)
    assert not marker.exists()


def test_a_store_that_is_locked_or_of_an_old_schema_is_refused(shipped, tmp_path):
    file = tmp_path / "w" / "mlflow.db"
    uri = f"sqlite:///{file}"
    ensure_store(uri, str(tmp_path / "a"))
    with closing(sqlite3.connect(file)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="database is locked; stop what holds it"):
            resolve_model("models:/tiny@champion", uri)
    old = f"sqlite:///{shutil.copy(file, tmp_path / 'old.db')}"  # under another name, as MLflow keeps open what it has opened
    with closing(sqlite3.connect(tmp_path / "old.db")) as store:
        store.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        store.commit()
    with pytest.raises(InputError, match=f"out-of-date .*run: mlflow db upgrade {old}"):
        resolve_model("models:/tiny@champion", old)


def test_refused_stores(tmp_path):
    with pytest.raises(InputError, match="not supported"):
        ensure_store("./mlruns", str(tmp_path))
    (tmp_path / "other.db").write_bytes(b"no database, but long enough to have a header" * 9)
    with pytest.raises(InputError, match="point tracking_uri"):
        resolve_model("models:/tiny@champion", f"sqlite:///{tmp_path}/other.db")
