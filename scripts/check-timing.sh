#!/usr/bin/env bash
# How well layers timed alone add up: per model, whole models of uniform ranks against the sums of their layers' times, for one sample
# and for 32, in units of the dense model of the same format. Measured and predicted should agree to a few hundredths.
#
#   scripts/check-timing.sh [MODEL...]
#
# THREADS (1 is steadier than all cores on a machine that does other things), and the other settings of zoo.sh.
set -uo pipefail
export THREADS=${THREADS:-1}
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs OnnxLowRank.Tests

if [ $# -eq 0 ]; then
  set -- lenet5_mnist mnist_mlp_model0 resnet20_cifar10 vgg11_cifar10 vit_cifar10
fi
for model in "$@"; do
  if [ ! -f "$ZOO/$model.onnx" ] || ! make_data "$model" 500; then
    echo "$model: skipped, no model or no calibration data"
    continue
  fi
  echo "$model, $threads threads"
  ONNX_LOWRANK_TIMING="$ZOO/$model.onnx $data/calib $threads" "$repository/artifacts/bin/OnnxLowRank.Tests/release/OnnxLowRank.Tests" \
    -class "OnnxLowRank.Tests.Timing.Prediction" -explicit only -showLiveOutput 2>&1 | grep 'predicted' | sed 's/.*\[OUTPUT\] //'
done
