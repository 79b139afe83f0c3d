#!/usr/bin/env bash
# Run the tests with the lowest versions that the requirements allow, in an environment made for it and removed again.
#     [PYTHON=python3.11] tests/lowest.sh [options of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/pip" install -q uv
"$environment/bin/uv" pip install -q --python "$environment/bin/python" --resolution lowest-direct -r requirements-dev.txt
"$environment/bin/python" -m pytest "$@"
