#!/usr/bin/env bash
# Everything that needs a card, in parts of less than eight minutes each.
#
#   benchmarks/first-run-on-a-gpu.sh --list       list the parts
#   benchmarks/first-run-on-a-gpu.sh 1 3          run parts 1 and 3
#   benchmarks/first-run-on-a-gpu.sh all          run all parts in order
#
# Needs this checkout, and a Python that has the packages of the miner with PyCUDA and NVRTC
# (docs/cuda.md). PYTHON names that Python (default: .venv/bin/python), DEVICE the card (default:
# cuda:0). Each part writes its reports as JSON under RESULTS (benchmarks/results/gpu). A part that
# fails exits with a code other than 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-.venv/bin/python}
DEVICE=${DEVICE:-cuda:0}
RESULTS=${RESULTS:-benchmarks/results/gpu}
PORT=${PORT:-3334}
# Parts 6 and 7: variant, share difficulty (1 is 4.3 G hashes), duration.
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
  "three minutes against the test pool, over the change to epoch 1"
  "three minutes against the test pool, over the change to epoch 2"
  "recovery after a failure; 200 periods without memory growth; compute-sanitizer if installed"
  "limits of the card: memory, shared memory, arithmetic, and the hashrates that follow"
)

list() {
  local number
  for number in "${!PARTS[@]}"; do
    printf '%d  %s\n' "$((number + 1))" "${PARTS[number]}"
  done
}

# report NAME LIMIT COMMAND...: run COMMAND for at most LIMIT seconds and write its report.
report() {
  local name=$1 limit=$2
  shift 2
  "$PYTHON" benchmarks/gpu.py run --out "$RESULTS/$name.json" --device "$DEVICE" \
    --limit "$limit" -- "$@"
}

# variants first|second: print half of the names of the variants.
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

# real first|second [SECONDS]: self-test half of the variants on real epochs.
real() {
  local name failed=0 end=$((SECONDS + ${2:-460}))
  local -a names
  mapfile -t names < <(variants "$1")
  for name in "${names[@]}"; do
    if ((SECONDS >= end)); then
      echo "no time left for $name and the variants after it"
      return 1
    fi
    report "selftest-real-$name" "$((end - SECONDS))" \
      "$PYTHON" -m miner selftest --real --device "$DEVICE" --variant "$name" || failed=1
  done
  return "$failed"
}

part_2() {
  # Epoch 550: addresses need more than 32 bits.
  report selftest-real-kawpow-over-5-gib 120 "$PYTHON" -m miner selftest --device "$DEVICE" \
    --variant kawpow --height 4125000
  real first 340
}
part_3() { real second; }

# measure DEVICE NAME: measure at the three heights.
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
    echo "OpenCL does not list $DEVICE: the OpenCL library of NVIDIA is not installed; skipped"
    return 0
  fi
  measure "$twin" opencl
}

# against_the_pool HEIGHT NAME: mine from HEIGHT on, a block every two seconds; check every share.
against_the_pool() {
  local pool place ledger
  place=$(mktemp -d)
  ledger=$place/ledger.sqlite
  # Not a function: it would run in a subshell, and killing that would leave the pool running.
  "$PYTHON" -m miner pool --listen "127.0.0.1:$PORT" --variant "$VARIANT" --height "$1" \
    --block-time 2 --difficulty "$DIFFICULTY" >/dev/null &
  pool=$!
  # shellcheck disable=SC2064  # expand now
  trap "kill $pool 2>/dev/null || true; rm -rf '$place'" EXIT
  PROGPOW_MINER_LEDGER_FILE=$ledger report "mine-$2" "$MINE_SECONDS" \
    "$PYTHON" -m miner mine --variant "$VARIANT" --devices "$DEVICE" \
    --url "stratum+tcp://127.0.0.1:$PORT" --user bench --console plain --api off \
    || true # a signal stops it
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
    echo "compute-sanitizer not found (part of the CUDA toolkit); skipped"
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
      echo "$0: unknown part '$number'; see --list" >&2
      return 2
    fi
  done
  if ! "$PYTHON" -c 'import miner' 2>/dev/null; then
    echo "$0: '$PYTHON' cannot import miner: install it there, or set PYTHON to another Python" >&2
    return 2
  fi
  mkdir -p "$RESULTS"
  for number in "${numbers[@]}"; do
    echo "== part $number: ${PARTS[number - 1]}"
    # In a subshell, so that the first failure ends this part only. (Bash ignores "set -e" in the
    # condition of an "if".)
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
    echo "failed parts: ${failed[*]}"
    return 1
  fi
}

main "$@"
