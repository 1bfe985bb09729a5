#!/usr/bin/env bash
# How much of their weights' space the zoo's classifiers use, one row per model and delta: mean layer utilization, parameters and
# multiply-adds after decomposition, accuracy lost by all projections together on samples kept aside, passes (as run; without cached
# prefixes; without early stops either) and seconds.
#
#   scripts/bench-utilization.sh [MODEL...]
#
# DELTAS (0.001 0.004), OPTIONS (more options for onnx-lowrank), and the settings of zoo.sh.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs

# model, samples
cases="lenet5_mnist 2000
mnist_mlp_model0 2000
mnist_mlp_model6 2000
mnist_mlp_model10 2000
vgg11_cifar10 1000
vgg11_cifar10 2000"

row='%-18s %7s %6s %6s %7s %6s %7s %19s %7s %9s %9s %8s\n'
# shellcheck disable=SC2059
printf "$row" model samples delta MLU params MACs loss '[low, high]' passes uncached unstopped seconds
while read -r model count; do
  if [ $# -gt 0 ] && [[ " $* " != *" $model "* ]]; then
    continue
  fi
  if [ ! -f "$ZOO/$model.onnx" ]; then
    echo "$model: skipped, $ZOO/$model.onnx is absent"
    continue
  fi
  if ! make_data "$model" "$count"; then
    echo "$model: skipped, no calibration data"
    continue
  fi
  for delta in ${DELTAS:-0.001 0.004}; do
    report=$WORK/$model-$count-$delta.json
    # shellcheck disable=SC2086
    compress utilization "$ZOO/$model.onnx" --calib "$data/calib" --labels "$data/labels.npy" --delta "$delta" --threads "$threads" --json "$report" -q \
      ${OPTIONS:-} </dev/null || { echo "$model: exit $?"; continue; }
    get() { field "$report" "$1"; }
    round() { get "$1" | LC_ALL=C awk -v format="%.$2f\n" '{ printf format, $1 }'; }
    # shellcheck disable=SC2059
    printf "$row" "$model" "$count" "$delta" "$(round meanLayerUtilization 3)" "$(ratio "$(get after.parameters)" "$(get before.parameters)")" \
      "$(ratio "$(get after.macs)" "$(get before.macs)")" "$(round verified.estimate 4)" "[$(round verified.low 4), $(round verified.high 4)]" \
      "$(round passes.made 1)" "$(round passes.withoutCache 1)" "$(round passes.withoutEither 1)" "$(round seconds 1)"
  done
done <<<"$cases"
