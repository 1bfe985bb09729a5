#!/usr/bin/env bash
# What each part of the method earns: the smallest file within 0.005 of accuracy with the first part alone, then with one more at a time, and
# at last with all parts but one (scripts/ablation). Plans go by bytes alone.
#
#   scripts/ablation.sh [MODEL...]
#
# Settings: SAMPLES (2000), TOLERANCE (0.005), SEED (0), and those of zoo.sh. Columns per model: parameters (elements of weights, whatever their
# bits) and bytes in units of the original's, and losses as fractions of accuracy: verified, on samples that no decision of that row has seen,
# and test, measured by scripts/evaluate on unseen images. 1.000 without losses: no plan passed.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python
build_programs scripts/ablation

models=("$@")
if [ $# = 0 ]; then
  models=(lenet5_mnist resnet20_cifar10 vgg11_cifar10)
fi
done_models=() columns=()
for model in "${models[@]}"; do
  original=$ZOO/$model.onnx
  if [ ! -f "$original" ]; then
    echo "$model: skipped, $original is absent"
    continue
  fi
  if ! make_data "$model" "${SAMPLES:-2000}"; then
    echo "$model: skipped, no calibration data"
    continue
  fi
  folder=$WORK/ablation/$model
  mkdir -p "$folder"
  if ! "$repository/artifacts/bin/ablation/release/ablation" "$original" "$data/calib" "$data/labels.npy" "$folder" \
    --tolerance "${TOLERANCE:-0.005}" --seed "${SEED:-0}" --threads "$threads" >"$folder/steps.tsv" </dev/null; then
    echo "$model: skipped, the program failed"
    continue
  fi
  # shellcheck disable=SC2046
  evaluate "$data/test" "$original" $(awk -F'\t' -v folder="$folder" '$5 != "-" { print folder "/" $5 }' "$folder/steps.tsv") \
    --tsv --threads "$threads" >"$folder/test.tsv"
  # The row's name stays in front, to be shown once for all models.
  awk -F'\t' '
    FNR == NR { if (FNR == 2) original = $4; accuracy[$1] = $4; next }
    { printf "%s\t%7s %7s %9s %8s\n", $1, $2, $3, $4, $5 == "-" ? "-" : sprintf("%.4f", original - accuracy[$5]) }
  ' "$folder/test.tsv" "$folder/steps.tsv" >"$folder/columns.tsv"
  done_models+=("$model")
  columns+=("$folder/columns.tsv")
done
if [ ${#columns[@]} = 0 ]; then
  exit 1
fi

printf '%-28s' ''
printf ' | %-34s' "${done_models[@]}"
printf '\n%-28s' step
for _ in "${done_models[@]}"; do
  printf ' | %7s %7s %9s %8s' params bytes verified test
done
echo
paste "${columns[@]}" | awk -F'\t' '{ printf "%-28s", $1; for (i = 2; i <= NF; i += 2) printf " | %s", $i; print "" }'
