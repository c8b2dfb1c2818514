#!/usr/bin/env bash
# The tests for a CUDA GPU, then the parts of benchmarks/gpu.py, the largest first, each with a time limit: at most six
# minutes in all. A part that fails or takes too long does not stop the others. The output is ready for
# benchmarks/README.md.
#
#   benchmarks/gpu.sh [--dry-run]
#
# --dry-run runs everything on the CPU at a tiny size. PYTHON names the interpreter (python3), IN_ALL the seconds (360).
# The exit status is 0 if every part passed, 1 if one did not, and 2 if there is no GPU.
# Needs torch, numpy, pandas, scikit-learn, scipy, safetensors, psutil, PyYAML, pytest and hypothesis.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-python3} in_all=${IN_ALL:-360} dry=()
case "$*" in
  "") ;;
  --dry-run) dry=(--dry-run) && export GPU_TESTS_ON=cpu ;;
  *) echo "benchmarks/gpu.sh takes --dry-run or nothing, got: $*" >&2 && exit 2 ;;
esac
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# pytest loads the plugins of whatever is installed otherwise, and one that is broken there ends it.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1

if [ ${#dry[@]} -eq 0 ] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "there is no CUDA GPU here, or no torch for it: nothing was run; --dry-run tries every part on the CPU" >&2
  exit 2
fi

trap 'exit 130' INT
summary=() failed=0
part() { # NAME, the most seconds, the command
  local name=$1 limit=$2 left=$((in_all - SECONDS)) start=$SECONDS status=0 said
  shift 2
  if [ "$left" -lt "$limit" ]; then limit=$left; fi
  printf '\n== %s\n' "$name"
  if [ "$limit" -gt 0 ]; then timeout --foreground -k 3 "$limit" "$@" </dev/null || status=$?; else status=124; fi
  case $status in
    0) said=passed ;;
    124 | 137) said="stopped: its time was up" ;;
    *) said="failed with status $status" ;;
  esac
  if [ "$status" -ne 0 ]; then failed=1; fi
  summary+=("$name: $said, $((SECONDS - start)) s")
}

benchmark() { # PART, the most seconds, of which it takes a while to start
  part "$1" "$2" "$python" benchmarks/gpu.py "$1" --seconds "$(($2 - 15))" "${dry[@]}"
}

part tests 100 "$python" -m pytest -q -s -p no:cacheprovider tests/training/test_cuda.py
benchmark medium 45
benchmark small 35
benchmark digits 35
benchmark limit 30
benchmark graphs 30
benchmark precision 40
benchmark cpu 45
benchmark profile 40
benchmark memory 50

printf '\n== summary, %s s\n' "$SECONDS"
printf '%s\n' "${summary[@]}"
exit $failed
