"""Fetches the session's jars once, by Spark's own resolver, into the folder that sessions take them from.
Run: python -m jobs.fetch_jars"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyspark

from jobs.session import JARS, jars_folder


def fetch(folder: Path) -> None:
    """Put the jars and what they need into `folder`; raises CalledProcessError when a registry cannot be reached."""
    with tempfile.TemporaryDirectory() as scratch:
        spark_home = Path(pyspark.__file__).parent
        nothing = Path(scratch) / "nothing.py"
        nothing.write_text("", encoding="utf-8")
        command = [
            spark_home / "bin" / "spark-submit",
            "--master",
            "local[1]",
            "--packages",
            ",".join(JARS),
            "--conf",
            f"spark.jars.ivy={scratch}",
            nothing,
        ]
        environment = {**os.environ, "SPARK_HOME": str(spark_home), "PYSPARK_PYTHON": sys.executable}
        subprocess.run([str(part) for part in command], check=True, env=environment, stdout=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        for jar in (Path(scratch) / "jars").glob("*.jar"):
            shutil.copy2(jar, folder / jar.name)
    (folder / ".complete").touch()


if __name__ == "__main__":
    fetch(jars_folder())
