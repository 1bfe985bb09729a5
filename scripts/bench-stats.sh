#!/usr/bin/env bash
# How calibrations in 1, 3 and 16 shards differ: largest relative difference of moments, SHA-256 of the compressed model; and what calibrate takes, by samples per run.
# Settings as scripts/zoo.sh; MODELS names the models, SAMPLES how many samples there are.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/zoo.sh"
find_zoo
find_python numpy
[ -n "${BUILT:-}" ] || build_programs
samples=${SAMPLES:-200}

for model in ${MODELS:-lenet5_mnist resnet20_cifar10 gpt_small}; do
  make_data "$model" "$samples"
  labels=() tolerance=0.05
  if [ -f "$data/labels.npy" ]; then labels=(--labels "$data/labels.npy"); fi
  calibrate() { compress calibrate "$ZOO/$model.onnx" --calib "$data/calib" -q --device cpu --threads "$threads" "$@"; }
  for batch in 1 chosen 64; do
    TIMEFORMAT="$model: --batch $batch: %R s, processor %U + %S s"
    options=()
    if [ "$batch" != chosen ]; then options=(--batch "$batch"); fi
    time calibrate --stats "$WORK/$model.$batch.stats" "${options[@]}"
  done
  for shards in 1 3 16; do
    files=()
    for ((i = 1; i <= shards; i++)); do
      files+=("$WORK/$model.$i.$shards.stats")
      calibrate --stats "${files[-1]}" --shard "$i/$shards"
    done
    difference=$("$PYTHON" "$repository/scripts/stats-difference.py" "$WORK/$model.1.1.stats" "${files[@]}")
    out=$WORK/$model.$shards.onnx
    compress "$ZOO/$model.onnx" "$out" --calib "$data/calib" "${labels[@]}" --no-timing --tolerance "$tolerance" --best-effort -q --device cpu --threads "$threads" \
      --stats "${files[@]}" || [ $? = 5 ]
    echo "$model: $shards shards: moments differ by $difference, $(stat -c %s "$out") bytes, SHA-256 $(sha256sum "$out" | head -c 16)"
  done
done
