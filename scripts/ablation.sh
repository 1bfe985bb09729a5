#!/usr/bin/env bash
# What each part of the method earns: the smallest file within 0.005 of accuracy with the first part alone, then with one more at a time, and
# at last without one of the earlier ones (scripts/ablation). Plans go by bytes alone.
#
#   scripts/ablation.sh [MODEL...]
#
# Settings: SEEDS ("0 1 2"), SAMPLES (2000), TOLERANCE (0.005), and those of zoo.sh. Columns per model: parameters (elements of weights,
# whatever their bits) and bytes in units of the original's, and losses as fractions of accuracy: verified, on samples that no decision of that
# row has seen, and test, measured by scripts/evaluate on unseen images. All are means over the seeds, which decide how samples are shared out:
# one seed's plan is smaller or larger by luck, often by more than a part earns. Where no plan passes, the original counts.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs scripts/ablation

seeds=${SEEDS:-0 1 2}
models=("$@")
if [ $# = 0 ]; then
  models=(lenet5_mnist resnet20_cifar10 vgg11_cifar10)
fi

# steps_of MODEL SEED FOLDER: its rows with the test loss behind them.
steps_of() {
  local original=$ZOO/$1.onnx files
  mkdir -p "$3"
  "$repository/artifacts/bin/ablation/release/ablation" "$original" "$data/calib" "$data/labels.npy" "$3" \
    --tolerance "${TOLERANCE:-0.005}" --seed "$2" --threads "$threads" >"$3/steps.tsv" </dev/null || return 1
  mapfile -t files < <(awk -F'\t' -v folder="$3" '$5 != "-" { print folder "/" $5 }' "$3/steps.tsv")
  evaluate "$data/test" "$original" "${files[@]}" --tsv --threads "$threads" >"$3/test.tsv" || return 1
  awk -F'\t' -v OFS='\t' '
    FNR == NR { if (FNR == 2) original = $4; accuracy[$1] = $4; next }
    { print $1, $2, $3, $4, $5 == "-" ? 0 : original - accuracy[$5] }' "$3/test.tsv" "$3/steps.tsv"
}

shown=() columns=()
for model in "${models[@]}"; do
  if [ ! -f "$ZOO/$model.onnx" ]; then
    echo "$model: skipped, $ZOO/$model.onnx is absent"
    continue
  fi
  if ! make_data "$model" "${SAMPLES:-2000}"; then
    echo "$model: skipped, no calibration data"
    continue
  fi
  means=$WORK/ablation-$model.tsv
  for seed in $seeds; do
    steps_of "$model" "$seed" "$WORK/ablation/$model-$seed" || echo "$model: seed $seed failed" >&2
  done | awk -F'\t' '
    !($1 in count) { name[++rows] = $1 }
    { count[$1]++; for (i = 2; i <= 5; i++) sum[$1, i] += $i }
    END {
      for (row = 1; row <= rows; row++) {
        step = name[row]
        printf "%s\t%7.3f %7.3f %9.4f %8.4f\n", step, sum[step, 2] / count[step], sum[step, 3] / count[step], sum[step, 4] / count[step], sum[step, 5] / count[step]
      }
    }' >"$means"
  if [ -s "$means" ]; then
    shown+=("$model")
    columns+=("$means")
  fi
done
if [ ${#columns[@]} = 0 ]; then
  exit 1
fi

printf '%30s' ''
printf ' | %34s' "${shown[@]}"
printf '\n%-30s' step
for _ in "${shown[@]}"; do
  printf ' | %7s %7s %9s %8s' params bytes verified test
done
echo
paste "${columns[@]}" | awk -F'\t' '{ printf "%-30s", $1; for (i = 2; i <= NF; i += 2) printf " | %s", $i; print "" }'
