#!/usr/bin/env bash
# The conformance tests of the shared directory and store run against a real Redis server.
set -euo pipefail

if command -v redis-server >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "==> installing redis-server for the tests"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || true
    # RUNLEVEL=1: the tests start their own server, so the system's service stays off.
    if RUNLEVEL=1 apt-get install -y -qq --no-install-recommends redis-server >/dev/null; then
        exit 0
    fi
fi
echo "The tests need the redis-server program: install your system's Redis package and run again." >&2
exit 1
