#!/usr/bin/env bash
# Set up the project's environment in .venv, from the lock. Usage: envs/install.sh [PYTHON]
#
# Two traps are stepped around here (measurements in docs/explanation/decisions.md):
# - torch: the newest CUDA build is several GB. Without a GPU the CPU build is taken where pip's own settings offer one.
# - schnetpack 2.2 declares Python >= 3.12 and pins tools it does not import, but runs on 3.11: it goes in by itself,
#   its true run-time dependencies are in the lock.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=${PATH//"$PWD/.venv/bin:"/} # the environment that is about to be replaced
python=${1:-python3}
torch=2.13.0
schnetpack=2.2.0

say() { printf 'set-up: %s\n' "$*"; }
stage() { # name the stage that begins, with the time that the one before it took
    [ -z "${began:-}" ] || say "  done in $((SECONDS - began)) s"
    began=$SECONDS
    say "$*"
}
fail() { printf 'set-up failed: %s\n' "$*" >&2; exit 1; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    || fail "'$python' is not a Python of at least 3.11; name one with: make PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null \
    || fail "'$python' has no venv module; on Debian and Ubuntu install the package python3-venv"

stage "a virtual environment in .venv, with $("$python" --version)"
rm -rf .venv
"$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet --quiet "$@"; }
downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT
torch_wheel() { pip wheel --no-deps --wheel-dir "$downloads/torch" "$1"; }
wheels() { pip wheel --wheel-dir "$downloads" "$@"; }

stage "download torch $torch (about 200 MB without CUDA)"
if command -v nvidia-smi >/dev/null 2>&1; then
    # three equal signs: exactly this build, not a local one such as +cpu that would sort above it
    torch_wheel "torch===$torch" || torch_wheel "torch==$torch" || fail "pip could not download torch $torch; its message is above"
else
    torch_wheel "torch==$torch+cpu" 2>/dev/null || {
        say "pip's settings offer no CPU build, so the CUDA build comes, which works without a GPU but is large;"
        say "to avoid it, add PyTorch's CPU wheel index to pip's settings (pip config set global.extra-index-url …)"
        torch_wheel "torch==$torch" || fail "pip could not download torch $torch; its message is above"
    }
fi

stage "download $(grep -c == envs/requirements.lock) locked packages"
wheels "$downloads"/torch/*.whl -r envs/requirements.lock || fail "pip could not download the lock; its message is above"
pip download --no-deps --ignore-requires-python --dest "$downloads" "schnetpack==$schnetpack" || fail "pip could not download schnetpack"

stage "install them"
install() { pip install --no-index --find-links "$downloads" "$@" || fail "pip could not install what it downloaded"; }
install -r envs/requirements.lock "torch==$torch"
install --no-deps --ignore-requires-python "schnetpack==$schnetpack"
pip install --no-deps --no-build-isolation --editable . || fail "pip could not install chemscale itself"

stage "compile and import them once"
# start-up of every job: compiled once here, since some machines forbid Python to write bytecode later
.venv/bin/python -m compileall -q workflow/chemscale
.venv/bin/python -c 'import torch, schnetpack, allegro, tblite, selfies, rdkit' || fail "an installed package does not import"
touch .venv/ready
stage "done in $SECONDS s; 'source .venv/bin/activate' puts chemscale and snakemake on your PATH"
