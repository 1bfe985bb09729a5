#!/usr/bin/env bash
# Does the promise hold? Compresses with default options at a tolerance of 0.005 of accuracy, with several seeds, and measures on test images
# that the tool never saw how often more than that is lost.
#
#   scripts/bench-promise.sh [MODEL...]
#
# Settings: SEEDS ("0 1 2 3 4"), SAMPLES (2000), TOLERANCE (0.005), OPTIONS (more options for onnx-lowrank), and those of zoo.sh.
# A seed decides how the samples are shared out between calibration, search and verification. Losses are fractions of accuracy.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs

seeds=${SEEDS:-0 1 2 3 4} samples=${SAMPLES:-2000} tolerance=${TOLERANCE:-0.005}
models=("$@")
if [ $# = 0 ]; then
  models=(lenet5_mnist mnist_mlp_model0 resnet20_cifar10 resnet32_cifar10 vgg11_cifar10)
fi

row='%-18s %4s %4s %7s %9s %19s %8s %s\n'
printf "$row" model seed exit bytes verified '[low, high]' test above
rows=$WORK/promise.rows
: >"$rows"
for model in "${models[@]}"; do
  original=$ZOO/$model.onnx
  if [ ! -f "$original" ]; then
    echo "$model: skipped, $original is absent"
    continue
  fi
  if ! make_data "$model" "$samples"; then
    echo "$model: skipped, no calibration data"
    continue
  fi
  for seed in $seeds; do
    output=$WORK/$model-seed$seed.onnx report=$WORK/$model-seed$seed.json
    rm -f "$output" "$report"
    # shellcheck disable=SC2086
    compress "$original" "$output" --calib "$data/calib" --labels "$data/labels.npy" --tolerance "$tolerance" --seed "$seed" \
      --threads "$threads" --report "$report" -q ${OPTIONS:-} </dev/null
    code=$?
    if [ ! -f "$report" ]; then
      echo "$model seed $seed: exit $code, no report"
      continue
    fi
    loss=-
    if [ "$code" = 0 ]; then
      loss=$(test_loss "$original" "$output" "$data/test" "")
    fi
    exact() { field "$report" "$1" | awk '{ if ($1 == "-") print "-"; else printf "%.4f\n", $1 }'; }
    above=$(awk -v loss="$loss" -v tolerance="$tolerance" 'BEGIN { print (loss == "-" ? "-" : (loss > tolerance + 1e-9 ? "yes" : "no")) }')
    bytes=$(ratio "$(field "$report" after.bytes)" "$(field "$report" before.bytes)")
    printf "$row" "$model" "$seed" "$code" "$bytes" "$(exact verified.loss)" "[$(exact verified.low), $(exact verified.high)]" "$loss" "$above"
    echo "$model $bytes $above" >>"$rows"
  done
done
awk -v tolerance="$tolerance" '
  { runs++; above += $3 == "yes"; if ($2 != "-") { written++; sum += $2 } }
  END { printf "%d of %d runs lost more than %s on test images; mean size of the %d written: %.4f of the original\n", above, runs, tolerance, written, written ? sum / written : 0 }' "$rows"
