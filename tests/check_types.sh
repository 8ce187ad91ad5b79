#!/usr/bin/env bash
# Check types: no error in the packages named below, and elsewhere no more errors than CEILING, which only falls.
set -euo pipefail
cd "$(dirname "$0")/.."
CEILING=27

mypy --no-error-summary -p chemscale.config -p chemscale.study -p chemscale.scaling -p chemscale.analysis \
    --follow-imports silent
count=$(mypy | grep -c ': error:' || true)
if ((count > CEILING)); then
    mypy || true
    echo "types: $count errors; the ceiling is $CEILING: correct the new ones" >&2
    exit 1
elif ((count < CEILING)); then
    echo "types: $count errors; lower CEILING in $0 to $count" >&2
    exit 1
fi
echo "types: $count errors, the ceiling"
