#!/usr/bin/env bash
# Write envs/requirements.lock from the environment in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
{
    echo "# Every package of the environment but torch and schnetpack, which envs/install.sh installs by themselves."
    echo "# Made by: make lock"
    .venv/bin/python -m pip freeze --all --exclude-editable |
        grep -viE '^(pip|torch|schnetpack|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' # what torch's build brings itself
} >envs/requirements.lock
