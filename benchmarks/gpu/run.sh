#!/usr/bin/env bash
# Everything that only a GPU can show, in one go: the CUDA kernels are built,
# compared with the CPU and with the keras.ops path, checked by compute-sanitizer
# and timed beside XLA and PyTorch.
#
#     benchmarks/gpu/run.sh [--out FOLDER] [--seconds N] [STAGE ...]
#     benchmarks/gpu/run.sh --dry-run   # without a GPU, at tiny sizes
#
# It needs nvcc, g++, CMake and a Python with Keras, pytest-xdist and hypothesis
# ($PYTHON; default: .venv/bin/python or python3), and JAX, TensorFlow or PyTorch:
# what is missing is left out, and said. FOLDER (default: $OUT, or
# build/gpu/results) gets stages.txt, log.txt, environment.txt, results.jsonl and
# summary.md.
#
# Stages run in the order of what matters most. Each has a limit of its own and
# ends before N seconds (default: 540) are over; a dry run has ten times as long.
# A stage that succeeded is not run again with the same FOLDER, and a measurement
# that was cut off goes on with the cases that are missing.

set -u
cd "$(dirname "$0")/../.." || exit 2
ROOT=$PWD
DRY="" FOLDER=${OUT:-} ALLOWED="" ONLY=()
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) DRY=1 ;;
    --out) FOLDER=${2:?--out needs a folder}; shift ;;
    --seconds) ALLOWED=${2:?--seconds needs a number}; shift ;;
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "run.sh: unknown option $1; see --help" >&2; exit 2 ;;
    *) ONLY+=("$1") ;;
  esac
  shift
done
FOLDER=${FOLDER:-$ROOT/build/gpu/results}
mkdir -p "$FOLDER" || exit 2
FOLDER=$(cd "$FOLDER" && pwd)
BUILD=$ROOT/build/gpu/core${DRY:+-emulated}
LOG=$FOLDER/log.txt RESULTS=$FOLDER/results.jsonl STAGES=$FOLDER/stages.txt
touch "$STAGES"
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  [ -x .venv/bin/python ] && PYTHON=$ROOT/.venv/bin/python
fi
export PYTHONPATH=$ROOT:$ROOT/tests${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=3
export XLA_PYTHON_CLIENT_PREALLOCATE=false TF_FORCE_GPU_ALLOW_GROWTH=true

if [ -n "$DRY" ]; then
  echo "DRY RUN: no GPU is used. Kernels are emulated, or those of the CPU;" \
    "sizes are tiny, and times mean nothing."
  DRY_OPTION=--dry-run CASES=1 SANITIZED=1 SLOWER=10
  export KERAS_PSS_GPU_TESTS=dry
else
  if ! command -v nvidia-smi > /dev/null || ! nvidia-smi -L | grep -q GPU; then
    echo "run.sh: no GPU (nvidia-smi finds none). --dry-run tries the code" \
      "without one." >&2
    exit 2
  fi
  DRY_OPTION="" CASES=40 SANITIZED=3 SLOWER=1
  export KERAS_PSS_NATIVE=gpu
  # Code for this GPU alone compiles sooner.
  CUDAARCHS=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1)
  export CUDAARCHS=${CUDAARCHS/./}
fi

ALLOWED=${ALLOWED:-$((540 * SLOWER))}

has() { "$PYTHON" -c "import sys, importlib.util as u
sys.exit(u.find_spec('$1') is None)"; }

stage_build() {
  local emulate="" ops="" core
  [ -z "$DRY" ] && emulate=-DKERAS_PSS_CUDA=ON
  {
    cmake -S custom_ops -B "$BUILD" -DKERAS_PSS_TESTS=ON $emulate \
      -DCMAKE_BUILD_TYPE=$([ -n "$DRY" ] && echo Debug || echo Release) &&
      cmake --build "$BUILD" -j "$(nproc)" --target cuda_test
  } &
  core=$!
  for framework in jax tensorflow; do
    has $framework || continue
    KERAS_BACKEND=$framework "$PYTHON" -c "from keras_pss.native import build
print(build.build('$framework', cuda=${DRY:+not }True))" || ops=failed
  done
  wait $core && [ -z "$ops" ]
}

stage_core() { "$BUILD/cuda_test" $CASES; }

sanitized() {
  if [ -n "$DRY" ]; then
    echo "No compute-sanitizer in a dry run: the test alone."
    "$BUILD/cuda_test" $SANITIZED
    return
  fi
  compute-sanitizer --tool "$1" --error-exitcode 9 "$BUILD/cuda_test" $SANITIZED
}
stage_memcheck() { sanitized memcheck; }
stage_racecheck() { sanitized racecheck; }
stage_initcheck() { sanitized initcheck; }
stage_synccheck() { sanitized synccheck; }

tests() {
  local output=$FOLDER/.tests
  KERAS_BACKEND=$1 "$PYTHON" -m pytest -q -rs -W default -p no:cacheprovider \
    -m "not real_data" tests/native/gpu_test.py 2>&1 | tee "$output"
  local status=${PIPESTATUS[0]}
  # Tests that were all skipped have shown nothing.
  grep -q "[0-9] passed" "$output" || status=1
  rm -f "$output"
  return "$status"
}
stage_tests_jax() { tests jax; }
stage_tests_tensorflow() { tests tensorflow; }

keras_ways() {
  KERAS_BACKEND=$1 "$PYTHON" benchmarks/gpu/keras_ways.py "$2" \
    --out "$RESULTS" $DRY_OPTION
}
torch_ways() {
  "$PYTHON" benchmarks/gpu/torch_ways.py "$1" --out "$RESULTS" $DRY_OPTION
}
stage_robe_jax() { keras_ways jax robe; }
stage_train_jax() { keras_ways jax train; }
stage_robe_torch() { torch_ways robe; }
stage_train_torch() { torch_ways train; }
stage_robe_tensorflow() { keras_ways tensorflow robe; }
stage_train_tensorflow() { keras_ways tensorflow train; }

# Name, limit in seconds, and what it needs: a Python package or a program.
PLAN="
build 240
core 60
tests_jax 120 jax
memcheck 60 compute-sanitizer
robe_jax 170 jax
robe_torch 60 torch
train_jax 60 jax
train_torch 60 torch
tests_tensorflow 150 tensorflow
robe_tensorflow 90 tensorflow
train_tensorflow 60 tensorflow
racecheck 90 compute-sanitizer
initcheck 60 compute-sanitizer
synccheck 60 compute-sanitizer
"

missing() {
  case $1 in
    "") return 1 ;;
    compute-sanitizer) [ -z "$DRY" ] && ! command -v "$1" > /dev/null ;;
    *) ! has "$1" ;;
  esac
}

said() {  # stage, result, seconds
  printf '%s %s %s\n' "$1" "$2" "$3" >> "$STAGES"
  printf '%-18s %-22s %4ss\n' "$1" "$2" "$3"
}

run_stage() {  # name, limit, needed
  local name=$1 limit=$(($2 * SLOWER)) begin=$SECONDS
  local left=$((ALLOWED - SECONDS))
  if grep -q "^$name ok" "$STAGES"; then
    printf '%-18s %s\n' "$name" "ok before"
    return
  fi
  if missing "${3:-}"; then said "$name" "skipped:no-$3" 0; return; fi
  if [ $left -lt 10 ]; then said "$name" "skipped:no-time" 0; return; fi
  [ $limit -gt $left ] && limit=$left
  echo "== $name" >> "$LOG"
  # In a process group of its own, which `timeout` ends as a whole.
  timeout -k 5 "$limit" bash -c "set -u; stage_$name" >> "$LOG" 2>&1
  local status=$? result=ok
  [ $status -ne 0 ] && result=failed:$status
  [ $status -eq 124 ] || [ $status -eq 137 ] && result=cut-off
  said "$name" "$result" $((SECONDS - begin))
  [ $result = ok ] || FAILED+=("$name")
}

FAILED=()
export ROOT DRY DRY_OPTION FOLDER BUILD RESULTS CASES SANITIZED PYTHON
export -f $(compgen -A function)
{
  date -u
  git describe --always --dirty 2> /dev/null
  uname -srm
  if [ -z "$DRY" ]; then nvidia-smi; nvcc --version; fi
  "$PYTHON" -m pip list 2> /dev/null |
    grep -iE '^(keras|jax|tensorflow|torch|numpy|tltorch|tensorly)'
} > "$FOLDER/environment.txt"
while read -r name limit needed; do
  [ -z "$name" ] && continue
  if [ ${#ONLY[@]} -gt 0 ] && [[ " ${ONLY[*]} " != *" $name "* ]]; then
    continue
  fi
  run_stage "$name" "$limit" "$needed" < /dev/null
done <<< "$PLAN"
"$PYTHON" benchmarks/gpu/summary.py "$RESULTS" | tee "$FOLDER/summary.md"
[ -n "$DRY" ] && echo "DRY RUN: nothing above was measured on a GPU."
if [ ${#FAILED[@]} -gt 0 ]; then
  echo "Not all stages succeeded: ${FAILED[*]}. The end of $LOG:"
  tail -n 40 "$LOG"
  exit 1
fi
