#!/usr/bin/env bash
# All that needs a card, in parts of less than eight minutes each.
#
#   benchmarks/first-run-on-a-gpu.sh --list       the parts
#   benchmarks/first-run-on-a-gpu.sh 1 3          these parts
#   benchmarks/first-run-on-a-gpu.sh all          all of them, one after the other
#
# Needs this checkout, and a Python in which the miner's packages with PyCUDA and NVRTC are
# installed (docs/cuda.md): PYTHON names it, else .venv/bin/python. DEVICE names the card (cuda:0).
# Each part writes its reports as JSON under RESULTS (benchmarks/results/gpu); a part that does not
# hold ends with an exit code that is not 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-.venv/bin/python}
DEVICE=${DEVICE:-cuda:0}
RESULTS=${RESULTS:-benchmarks/results/gpu}
PORT=${PORT:-3334}
# What parts 6 and 7 mine, how hard a share is (1 is 4.3 G hashes), and for how long.
VARIANT=${VARIANT:-kawpow}
DIFFICULTY=${DIFFICULTY:-0.002}
MINE_SECONDS=${MINE_SECONDS:-180}
HEIGHTS=(937863 1234567 1006647)
PARTS=(
  "the card, and every variant's known answers on toy-sized epochs"
  "selftest on real epochs: the first half of the variants, and KawPow over 5 GiB"
  "selftest on real epochs: the second half of the variants"
  "KawPow measured at three heights through CUDA"
  "KawPow measured at three heights through NVIDIA's OpenCL, where it is installed"
  "three minutes against the bundled pool, over the change to epoch 1"
  "three minutes against the bundled pool, over the change to epoch 2"
  "a card that failed is used again; 200 periods without growth; compute-sanitizer where it is"
  "what the card allows: its memory, shared memory and arithmetic, and the hashrates that follow"
)

list() {
  local number
  for number in "${!PARTS[@]}"; do
    printf '%d  %s\n' "$((number + 1))" "${PARTS[number]}"
  done
}

# NAME LIMIT COMMAND...: runs it for at most LIMIT seconds and writes its report.
report() {
  local name=$1 limit=$2
  shift 2
  "$PYTHON" benchmarks/gpu.py run --out "$RESULTS/$name.json" --device "$DEVICE" \
    --limit "$limit" -- "$@"
}

# FIRST|SECOND: half of the variants' names.
variants() {
  "$PYTHON" - "$1" <<'PY'
import sys

from miner.catalog import variants

names = sorted(variants())
half = len(names) // 2
print("\n".join(names[:half] if sys.argv[1] == "first" else names[half:]))
PY
}

part_1() {
  report devices 60 "$PYTHON" -m miner devices --json
  if command -v nvidia-smi >/dev/null; then
    report nvidia-smi 60 nvidia-smi -q
  fi
  report selftest 400 "$PYTHON" -m miner selftest --device "$DEVICE"
}

# FIRST|SECOND [SECONDS]: real epochs of half of the variants.
real() {
  local name failed=0 end=$((SECONDS + ${2:-460}))
  local -a names
  mapfile -t names < <(variants "$1")
  for name in "${names[@]}"; do
    if ((SECONDS >= end)); then
      echo "no time is left for $name and what follows"
      return 1
    fi
    report "selftest-real-$name" "$((end - SECONDS))" \
      "$PYTHON" -m miner selftest --real --device "$DEVICE" --variant "$name" || failed=1
  done
  return "$failed"
}

part_2() {
  # Epoch 550: addresses that do not fit 32 bits.
  report selftest-real-kawpow-over-5-gib 120 "$PYTHON" -m miner selftest --device "$DEVICE" \
    --variant kawpow --height 4125000
  real first 340
}
part_3() { real second; }

# DEVICE NAME: measures at the three heights.
measure() {
  local height
  for height in "${HEIGHTS[@]}"; do
    report "bench-$2-kawpow-$height" 150 "$PYTHON" -m miner bench --device "$1" \
      --variant kawpow --height "$height" --seconds 30 --json
  done
}

part_4() { measure "$DEVICE" cuda; }

part_5() {
  local twin
  twin=$("$PYTHON" benchmarks/gpu.py twin "$DEVICE")
  if [ -z "$twin" ]; then
    echo "OpenCL does not show $DEVICE: its library is not installed; nothing is measured"
    return 0
  fi
  measure "$twin" opencl
}

# HEIGHT NAME: mines from there on, a block every two seconds, and looks at every share.
against_the_pool() {
  local pool place ledger
  place=$(mktemp -d)
  ledger=$place/ledger.sqlite
  # No function: it would run in a shell of its own, and ending that leaves the pool.
  "$PYTHON" -m miner pool --listen "127.0.0.1:$PORT" --variant "$VARIANT" --height "$1" \
    --block-time 2 --difficulty "$DIFFICULTY" >/dev/null &
  pool=$!
  # shellcheck disable=SC2064  # as it is now
  trap "kill $pool 2>/dev/null || true; rm -rf '$place'" EXIT
  PROGPOW_MINER_LEDGER_FILE=$ledger report "mine-$2" "$MINE_SECONDS" \
    "$PYTHON" -m miner mine --variant "$VARIANT" --devices "$DEVICE" \
    --url "stratum+tcp://127.0.0.1:$PORT" --user bench --console plain --api off \
    || true # it is stopped by a signal
  report "mine-$2-shares" 60 "$PYTHON" benchmarks/gpu.py judge "$ledger" --epochs 2
}

part_6() { against_the_pool 7455 epoch-1; }
part_7() { against_the_pool 14955 epoch-2; }

part_8() {
  report recovers 120 "$PYTHON" benchmarks/gpu.py recover "$DEVICE"
  report periods 180 "$PYTHON" benchmarks/gpu.py periods "$DEVICE" --count 200
  if command -v compute-sanitizer >/dev/null; then
    report sanitizer 170 compute-sanitizer --tool memcheck --error-exitcode 9 \
      "$PYTHON" -m miner selftest --device "$DEVICE" --variant kawpow
  else
    echo "compute-sanitizer is not installed: it comes with the CUDA toolkit; left out"
  fi
}

part_9() {
  report limits 300 "$PYTHON" benchmarks/limits.py "$DEVICE"
}

main() {
  local number code failed=() numbers=("$@")
  case ${1:-} in
    --list)
      list
      return 0
      ;;
    all) mapfile -t numbers < <(seq "${#PARTS[@]}") ;;
    "" | -h | --help)
      echo "usage: $0 --list | all | PART..."
      list
      return 2
      ;;
  esac
  for number in "${numbers[@]}"; do
    if ! [[ $number =~ ^[0-9]+$ ]] || ((number < 1 || number > ${#PARTS[@]})); then
      echo "$0: there is no part '$number'; --list shows them" >&2
      return 2
    fi
  done
  if ! "$PYTHON" -c 'import miner' 2>/dev/null; then
    echo "$0: '$PYTHON' cannot import the miner: install it there, or name another with PYTHON=" >&2
    return 2
  fi
  mkdir -p "$RESULTS"
  for number in "${numbers[@]}"; do
    echo "== part $number: ${PARTS[number - 1]}"
    # In a process of its own, so that the first failure ends the part, and only that. (As the
    # condition of an "if" it would go on.)
    set +e
    (
      set -e
      "part_$number"
    )
    code=$?
    set -e
    if ((code)); then
      failed+=("$number")
    fi
  done
  if ((${#failed[@]})); then
    echo "parts that did not hold: ${failed[*]}"
    return 1
  fi
}

main "$@"
