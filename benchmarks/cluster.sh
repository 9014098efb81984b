#!/usr/bin/env bash
# Runs `flow` on a Spark standalone cluster of one master and two workers on loopback, and locally, and exits 0 only if
# every fingerprint is equal. Workers run as another, unprivileged user in another folder and cannot read this checkout:
# the environment reaches them as a copied image, the code as a zip, the jars from the driver. Arguments go to `flow`.
# Needs root, to become the other user.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
user=nobody
[ "$(id -u)" = 0 ] || { echo "cluster.sh: run as root; it starts the workers as user $user" >&2; exit 2; }
"$root/conf/set_up.sh" run
work=$(mktemp -d "${TMPDIR:-/tmp}/urbantrace-cluster.XXXXXX")
mode=$(stat -c %a "$root")
group=$(id -gn "$user")
pids=()

finish() {
  chmod "$mode" "$root"
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
chmod go-rwx "$root"

as_worker() { setpriv --reuid="$user" --regid="$group" --clear-groups "$@"; }

# By links where both lie on one file system; a copy that stops half-way must not be copied into.
copy() { cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2" && cp -a "$1" "$2"; }; }

# The image: the environment, and the Python below it where the worker's user cannot read that one either.
make_image() {
  mkdir -p "$work/image"
  copy "$root/.venv" "$work/image/env"
  rm -rf "$work/image/env/jars"
  local base
  base=$("$root/.venv/bin/python" -c 'import sys; print(sys.base_prefix)')
  if ! as_worker test -r "$base/lib"; then
    copy "$base" "$work/image/python"
    # The one link of the environment that leaves it; which name it has depends on how the environment was made.
    for link in "$work"/image/env/bin/python*; do
      case "$(readlink "$link")" in /*) ln -sf "$work/image/python/bin/python3" "$link" ;; esac
    done
    sed -i.own "s|^home = .*|home = $work/image/python/bin|" "$work/image/env/pyvenv.cfg"
    export LD_LIBRARY_PATH="$work/image/python/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  fi
}

free_port() { "$root/.venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_node() { # NAME CLASS ARGUMENTS...
  local name=$1
  shift
  mkdir -p "$work/$name"
  chown "$user" "$work/$name"
  (
    cd "$work/$name"
    umask 000
    export HOME="$work/$name" SPARK_HOME SPARK_LOCAL_IP=127.0.0.1 SPARK_WORKER_DIR="$work/$name" SPARK_LOCAL_DIRS="$work/$name"
    export PYSPARK_PYTHON="$python" NUMBA_CACHE_DIR="$work/$name/numba" MPLCONFIGDIR="$work/$name"
    exec setpriv --reuid="$user" --regid="$group" --clear-groups "$SPARK_HOME/bin/spark-class" "$@"
  ) >"$work/$name/log" 2>&1 &
  pids+=($!)
}

wait_for_workers() { # WEB_PORT
  for _ in $(seq 60); do
    if "$root/.venv/bin/python" - "$1" <<'PY' 2>/dev/null; then return; fi
import json, sys, urllib.request
with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/json/", timeout=2) as answer:
    sys.exit(json.load(answer)["aliveworkers"] != 2)
PY
    sleep 1
  done
  echo "cluster.sh: the workers did not register within a minute; their logs:" >&2
  tail -n 5 "$work"/*/log >&2
  exit 1
}

make_image
python=$work/image/env/bin/python
SPARK_HOME=$(cd "$work/image/env" && echo "$PWD"/lib/python3.*/site-packages/pyspark)
if as_worker ls "$root" >/dev/null 2>"$work/denied"; then
  echo "cluster.sh: user $user can read $root; the proof would be worth nothing" >&2
  exit 1
fi
echo "user $user of the workers: $(cat "$work/denied")"

port=$(free_port)
web=$(free_port)
start_node master org.apache.spark.deploy.master.Master --host 127.0.0.1 --port "$port" --webui-port "$web"
sleep 3
for n in 1 2; do
  start_node "worker$n" org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --cores 1 --memory 2g --webui-port 0 "spark://127.0.0.1:$port"
done
wait_for_workers "$web"

# Both users write one warehouse; Hadoop sets folders to its own umask, whatever the process's is.
umask 000
remote=(--set "warehouse=$work/cluster" "$@")
local=(--set "warehouse=$work/local" "$@")
"$root/spark-submit.sh" flow "${remote[@]}" --master "spark://127.0.0.1:$port" --conf "spark.pyspark.python=$python" \
  --conf spark.driver.host=127.0.0.1 --conf spark.hadoop.fs.permissions.umask-mode=000 \
  --conf spark.executor.memory=1200m --conf spark.executor.memoryOverhead=700m
"$root/spark-submit.sh" flow "${local[@]}"

status=0
for table in tiles built_up buildings units population unit_statistics indicators; do
  [ -n "$(find "$work/local" -maxdepth 2 -name "$table" -print -quit)" ] || continue
  a=$("$root/spark-submit.sh" fingerprint "$table" "${remote[@]}" 2>/dev/null)
  b=$("$root/spark-submit.sh" fingerprint "$table" "${local[@]}" 2>/dev/null)
  if [ "$a" = "$b" ]; then echo "$table: equal, $a"; else echo "$table: cluster $a, local $b"; status=1; fi
done
exit $status
