"""The Spark session: Delta first, then Sedona, workers on this interpreter, jars from the set-up's folder, times in UTC."""

import atexit
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession
from sedona.spark import SedonaContext

from conf.errors import InputError
from jobs.code_version import CODE_ZIP, write_code_zip

SPARK_CONF = Path(__file__).parents[1] / "conf" / "spark.conf"
JARS = (
    "io.delta:delta-spark_2.13:4.0.0",
    "org.apache.sedona:sedona-spark-shaded-4.0_2.13:1.8.0",
    "org.datasyslab:geotools-wrapper:1.8.0-33.1",
)
LOCAL_MASTER = re.compile(r"local\[(\d+|\*)\]")
TASK_ATTEMPTS = 4


def jars_folder() -> Path:
    """Where the set-up put the jars: URBANTRACE_JARS, else beside the environment."""
    return Path(os.environ.get("URBANTRACE_JARS", Path(sys.prefix) / "jars"))


def retrying(master: str) -> str:
    """A local master that retries tasks: without that one killed Python worker ends the job."""
    if master == "local":
        return f"local[1,{TASK_ATTEMPTS}]"
    match = LOCAL_MASTER.fullmatch(master)
    return f"local[{match[1]},{TASK_ATTEMPTS}]" if match else master


def default_conf() -> dict[str, str]:
    """The settings of conf/spark.conf."""
    lines = (line.split("#", 1)[0].split(None, 1) for line in SPARK_CONF.read_text(encoding="utf-8").splitlines())
    return {name: value.strip() for name, value in (line for line in lines if line)}


def session_conf(master: str, overrides: dict[str, str]) -> dict[str, str]:
    """All of the session's settings; the jars go by class path here and by file server to a cluster."""
    jars = sorted(str(path) for path in jars_folder().glob("*.jar"))
    if len(jars) < len(JARS):
        raise InputError(f"no jars in {jars_folder()}; run ./spark-submit.sh list once, which fetches them, or set URBANTRACE_JARS")
    local = master.startswith("local")
    paths = {"spark.driver.extraClassPath": ":".join(jars)} if local else {"spark.jars": ",".join(jars)}
    return {**default_conf(), **paths, "spark.master": retrying(master), **overrides}


def start_session(master: str, overrides: dict[str, str], app_name: str = "urbantrace") -> SparkSession:
    """A session with Delta and Sedona; a cluster's workers get the code. Raises InputError when there are no jars."""
    _use_utc()
    # Read from the environment by a driver that Python started; the setting of the same meaning is spark-submit's.
    os.environ["PYSPARK_PYTHON"] = overrides.get("spark.pyspark.python", os.environ.get("PYSPARK_PYTHON", sys.executable))
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.appName(app_name)
    for name, value in session_conf(master, overrides).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    logging.getLogger("SQLQueryContextLogger").disabled = True  # it repeats, in JSON, what is raised anyway
    if not master.startswith("local"):
        _ship_code(spark)
    return SedonaContext.create(spark)


def _use_utc() -> None:
    """PySpark turns the driver's times into its time zone and back, whatever the session's is."""
    os.environ["TZ"] = "UTC"
    time.tzset()


def _ship_code(spark: SparkSession) -> None:
    """Workers fetch the zip from the driver. Each driver writes its own: no run beside it can change it under the workers' hands."""
    folder = tempfile.mkdtemp(prefix="urbantrace-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    code = Path(folder) / CODE_ZIP
    write_code_zip(code)
    spark.sparkContext.addPyFile(str(code))
