#!/usr/bin/env bash
# Compresses every other model of the zoo with defaults, and checks what comes out: it loads and runs in ONNX Runtime, and the ONNX
# checker (python3-onnx, if there) accepts it. Models of our own training get their real samples, published ones random samples.
#
#   scripts/check-wild.sh [MODEL...]
#
# Settings: SAMPLES (64, for random ones), OPTIONS, and those of zoo.sh. Exit 1 if anything crashed or came out wrong.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs scripts/random-samples

row='%-24s %4s %10s %10s %6s %-10s %9s %11s %7s %-20s %s\n'
printf "$row" model exit before after ratio metric verified 'difference' seconds checker message
bad=0

# The checker works on a copy: with full_check it writes inferred shapes into the file.
check() {
  cp "$1" "$WORK/checked.onnx"
  if [ -f "$1.data" ]; then
    echo 'external data'
    return
  fi
  "$PYTHON" - "$WORK/checked.onnx" <<'PYTHON'
import sys
try:
    import onnx, onnx.checker, onnx.defs
except ImportError:
    print("absent"); sys.exit()
model = onnx.load(sys.argv[1])
newest = onnx.defs.onnx_opset_version()
opset = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] + [0])
if opset > newest or model.ir_version > onnx.IR_VERSION:
    print(f"opset {opset} unknown"); sys.exit()
try:
    onnx.checker.check_model(model)
except Exception as e:
    print("REFUSED: " + str(e).replace("\n", " ")[:200]); sys.exit()
try:
    onnx.checker.check_model(sys.argv[1], full_check=True)
    print("passes, full")
except Exception as e:
    print("passes, not full: " + str(e).replace("\n", " ")[:120])
PYTHON
}

try_model() {
  local original=$1 samples=$2 name code before after checked difference message
  shift 2
  name=$(basename "$original" .onnx)
  local output=$WORK/$name.onnx report=$WORK/$name.json
  rm -f "$output" "$report"
  # shellcheck disable=SC2086
  compress "$original" "$output" --calib "$samples" --threads "$threads" --report "$report" -q "$@" ${OPTIONS:-} 2>"$WORK/$name.err" </dev/null
  code=$?
  message=$(head -1 "$WORK/$name.err" | cut -c1-300)
  before=$(stat -c %s "$original") after=- checked=- difference=-
  if [ -f "$output" ]; then
    after=$(stat -c %s "$output")
    checked=$(check "$output")
    difference=$(evaluate "$samples" "$original" "$output" --tsv --threads "$threads" 2>"$WORK/$name.evaluate" | awk -F'\t' 'NR == 3 { print $7 }')
    if [ -z "$difference" ]; then
      difference=FAILED
      message="$message $(head -1 "$WORK/$name.evaluate")"
    fi
  fi
  case $code in 0 | 3 | 4 | 5) ;; *) bad=1 ;; esac
  if [ "$difference" = FAILED ] || [[ $checked == REFUSED* ]]; then
    bad=1
  fi
  local metric=- loss=- seconds=-
  if [ -f "$report" ]; then
    metric=$(field "$report" verified.metric) loss=$(field "$report" verified.loss) seconds=$(field "$report" seconds.total | cut -c1-5)
  fi
  case $loss in [-0-9]*[0-9]) loss=$(printf '%.3g' "$loss") ;; esac
  printf "$row" "$name" "$code" "$before" "$after" "$(ratio "$after" "$before")" "$metric" "$loss" "$difference" "$seconds" "$checked" "$message"
}

wanted() { [ $# -eq 1 ] || [[ " ${*:2} " == *" $1 "* ]]; }

for model in mnist_mlp_model6 mnist_mlp_model10 resnet32_cifar10; do
  if ! wanted "$model" "$@" || [ ! -f "$ZOO/$model.onnx" ]; then
    continue
  fi
  if make_data "$model" 1000; then
    try_model "$ZOO/$model.onnx" "$data/calib" --labels "$data/labels.npy"
  else
    echo "$model: skipped, no calibration data"
  fi
done
for file in "$ZOO"/wild/*.onnx; do
  name=$(basename "$file" .onnx)
  if ! wanted "$name" "$@" || [ ! -f "$file" ]; then
    continue
  fi
  if ! random_samples "$file" "$WORK/random/$name" --count "${SAMPLES:-64}" --shapes "$ZOO/wild/ort_check.json" --value sr=16000 >"$WORK/$name.samples" 2>&1; then
    echo "$name: skipped, $(tail -1 "$WORK/$name.samples")"
    continue
  fi
  try_model "$file" "$WORK/random/$name"
done
exit $bad
