#!/usr/bin/env bash
# Does it matter whether a model was trained on the samples it is calibrated with? Compresses twice: with training images, and with images of
# the test split, of which those that are left measure both results.
#
#   scripts/bench-fresh.sh [MODEL...]
#
# Settings: SAMPLES (2000), TOLERANCE (0.005), FORMATS ("fp32 auto"), OPTIONS, and those of zoo.sh. Losses are fractions of accuracy.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs

samples=${SAMPLES:-2000} tolerance=${TOLERANCE:-0.005}
models=("$@")
if [ $# = 0 ]; then
  models=(vgg11_cifar10)
fi
row='%-18s %-6s %-9s %4s %7s %9s %8s\n'
printf "$row" model format images exit bytes verified 'test'
for model in "${models[@]}"; do
  original=$ZOO/$model.onnx
  if [ ! -f "$original" ] || ! make_data "$model" "$samples" || [ ! -f "$data/labels.npy" ]; then
    echo "$model: skipped, no model or no labelled images"
    continue
  fi
  fresh=$WORK/fresh-$model
  mkdir -p "$fresh/calib" "$fresh/test"
  "$PYTHON" - "$data/test" "$fresh" "$samples" <<'PYTHON' || exit 1
import os, sys
import numpy as np
test, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for name in os.listdir(test):
    rows = np.load(os.path.join(test, name))
    np.save(os.path.join(out, "labels.npy") if name == "labels.npy" else os.path.join(out, "calib", name), rows[:count])
    np.save(os.path.join(out, "test", name), rows[count:])
PYTHON
  for format in ${FORMATS:-fp32 auto}; do
    for images in training fresh; do
      folder=$([ $images = fresh ] && echo "$fresh" || echo "$data")
      output=$WORK/out.onnx report=$WORK/out.json
      rm -f "$output" "$report"
      # shellcheck disable=SC2086
      compress "$original" "$output" --calib "$folder/calib" --labels "$folder/labels.npy" --tolerance "$tolerance" --format "$format" \
        --threads "$threads" --report "$report" -q ${OPTIONS:-} </dev/null
      code=$?
      loss=$([ "$code" = 0 ] && test_loss "$original" "$output" "$fresh/test" "" || echo -)
      printf "$row" "$model" "$format" "$images" "$code" "$(ratio "$(field "$report" after.bytes)" "$(field "$report" before.bytes)")" \
        "$(field "$report" verified.loss | awk '{ if ($1 == "-") print "-"; else printf "%.4f\n", $1 }')" "$loss"
    done
  done
done
