#!/usr/bin/env bash
# Renders the chart with Helm's own engine into src/tests/kubernetes/golden/helm-*.yaml, which tests validate against
# Kubernetes' schemas. Run it after every change of the chart: a test compares the digest in the first line.
# Helm as a program is in no package registry that we use; the PyPI package helm-python-sdk has its library (4.2.3).
set -euo pipefail
cd "$(dirname "$0")"

venv=${HELM_VENV:-${TMPDIR:-/tmp}/outrigger-helm-0.2.2}
if ! [ -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --require-hashes --only-binary :all: -r requirements.txt
fi
"$venv/bin/python" golden.py ../../src/tests/kubernetes/golden
