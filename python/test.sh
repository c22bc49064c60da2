#!/usr/bin/env bash
# Builds the wheel with the dev profile, installs it with everything it can use, and runs mypy and pytest against it.
# In: a checkout; a Python from 3.11 on with the module venv; an index that pip can install from; KEYTRAIL_TEST_EXTRAS=test,spark adds
# Spark (it needs Java); arguments go to pytest. Out: pytest's closing line.
# The dev profile shares its dependencies with `cargo test`: only keytrail's binary is linked again.
set -euo pipefail
cd "$(dirname "$0")/.."

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT="$PWD/python/constraints.txt" PATH="$folder/venv/bin:$PATH"

pip install --quiet maturin
# No auditwheel: this wheel is for this machine alone.
maturin build --quiet --locked --profile dev --auditwheel skip --out "$folder/wheels"
ls -l "$folder/wheels"
pip install --quiet "$(echo "$folder"/wheels/keytrail-*.whl)[${KEYTRAIL_TEST_EXTRAS:-test}]"

# The tests are type-checked too: that shows that the installed module carries its types.
mypy --cache-dir "$folder/mypy" python/keytrail
mypy --cache-dir "$folder/mypy" python/tests
python -m pytest -p no:cacheprovider "$@"
