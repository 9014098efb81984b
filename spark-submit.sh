#!/usr/bin/env bash
# Runs one command of UrbanTrace; makes its environment on first use. `./spark-submit.sh --help` lists the commands.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$root/conf/set_up.sh" run
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$root/.venv/bin/python" -m jobs.cli "$@"
