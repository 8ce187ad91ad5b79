#!/usr/bin/env bash
# Set up the project's environment in .venv, from the lock. Usage: envs/install.sh [PYTHON]
#
# Two traps are stepped around here (measurements in docs/decisions.md):
# - torch: the newest CUDA build is several GB. Without a GPU the CPU build is taken where pip's own settings offer one.
# - schnetpack 2.2 declares Python >= 3.12 and pins tools it does not import, but runs on 3.11: it goes in by itself,
#   its true run-time dependencies are in the lock.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
torch=2.13.0
schnetpack=2.2.0

say() { printf 'set-up: %s\n' "$*"; }
fail() { printf 'set-up failed: %s\n' "$*" >&2; exit 1; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    || fail "'$python' is not a Python of at least 3.11; name one with: make PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null \
    || fail "'$python' has no venv module; on Debian and Ubuntu install the package python3-venv"

say "a virtual environment in .venv, with $("$python" --version)"
rm -rf .venv
"$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check install --quiet --quiet "$@"; }

say "torch $torch (about 200 MB without CUDA)"
if command -v nvidia-smi >/dev/null 2>&1; then
    # three equal signs: exactly this build, not a local one such as +cpu that would sort above it
    pip "torch===$torch" || pip "torch==$torch" || fail "pip could not install torch $torch; its message is above"
else
    pip "torch==$torch+cpu" 2>/dev/null || {
        say "pip's settings offer no CPU build, so the CUDA build comes, which works without a GPU but is large;"
        say "to avoid it, add PyTorch's CPU wheel index to pip's settings (pip config set global.extra-index-url …)"
        pip "torch==$torch" || fail "pip could not install torch $torch; its message is above"
    }
fi

say "$(grep -c == envs/requirements.lock) locked packages"
pip -r envs/requirements.lock || fail "pip could not install the lock; its message is above"

say "schnetpack $schnetpack, by itself"
pip --no-deps --ignore-requires-python "schnetpack==$schnetpack" || fail "pip could not install schnetpack"

say "chemscale, editable"
pip --no-deps --no-build-isolation --editable . || fail "pip could not install chemscale itself"

# start-up of every job: compiled once here, since some machines forbid Python to write bytecode later
.venv/bin/python -m compileall -q workflow/chemscale
.venv/bin/python -c 'import torch, schnetpack, allegro, tblite, selfies, rdkit' || fail "an installed package does not import"
touch .venv/ready
say "done; 'source .venv/bin/activate' puts chemscale and snakemake on your PATH"
