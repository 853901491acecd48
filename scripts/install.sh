#!/usr/bin/env bash
# Makes .venv and installs Baton into it, in place, at the versions of constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Baton needs Python 3.11 or later; set PYTHON to its path if it is not on PATH." >&2
    return 1
}

say() { echo "==> $*"; }

pip_install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"; }

python="$(find_python)"
if ! .venv/bin/python -c '' 2>/dev/null; then
    say "[1/4] making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
else
    say "[1/4] .venv is there"
fi
say "[2/4] installing torch"
# First and alone: an exact version finds a plain CPU build, which a range in another package may not.
pip_install "$(grep '^torch==' constraints.txt)"
say "[3/4] installing Baton and what it needs (a minute or two)"
pip_install -e '.[dev]'
say "[4/4] building the native kernels for this CPU"
.venv/bin/python -m engine.torch_runner.build_native
say "ready"
