#!/usr/bin/env bash
# Makes the local environment (.venv) with pinned packages and the session's jars, once; says nothing when it is there.
# Usage: set_up.sh run|dev   (dev adds what tests, lint and benchmarks need)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kind=${1:-run}
venv=$root/.venv

refuse() { echo "urbantrace: $1" >&2; exit 2; }

check_java() {
  local java=${JAVA_HOME:+$JAVA_HOME/bin/}java version
  command -v "$java" >/dev/null || refuse "Java is missing; install Java 17 or 21 and put it on PATH or into JAVA_HOME"
  version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  case "$version" in 17 | 21) ;; *) refuse "Java ${version:-of unknown version} found; Spark 4.0 needs Java 17 or 21" ;; esac
}

find_python() {
  local name
  for name in python3.11 python3.12 python3; do
    if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then echo "$name"; return; fi
  done
  refuse "Python 3.11 or 3.12 is missing; install one and put it on PATH"
}

install_packages() {
  local extra=""
  [ "$kind" = dev ] && extra="[dev]"
  [ -x "$venv/bin/python" ] || "$(find_python)" -m venv "$venv"
  echo "urbantrace: installing packages into $venv (a few minutes, once)" >&2
  "$venv/bin/python" -m pip install --quiet --constraint "$root/constraints.txt" --editable "$root$extra" >&2
}

check_pango() {
  "$venv/bin/python" -c 'import weasyprint' 2>/dev/null || refuse "Pango is missing, which PDF pages are set with; on Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0"
}

fetch_jars() {
  echo "urbantrace: fetching the jars of Delta and Sedona (once)" >&2
  PYTHONPATH=$root "$venv/bin/python" -m jobs.fetch_jars >&2
}

check_java
wanted=$(cat "$root/pyproject.toml" "$root/constraints.txt" | sha256sum | cut -c 1-16)
[ -e "$venv/.ready-dev-$wanted" ] && exit 0
[ "$kind" = run ] && [ -e "$venv/.ready-run-$wanted" ] && exit 0
(
  flock 9
  [ -e "$venv/.ready-$kind-$wanted" ] && exit 0
  install_packages
  if [ "$kind" = dev ]; then check_pango; fi
  [ -e "$venv/jars/.complete" ] || fetch_jars
  touch "$venv/.ready-$kind-$wanted"
) 9>"$root/.set_up.lock"
