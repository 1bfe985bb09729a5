# Sourced by the other scripts: builds the programs, finds the folder of trained models, makes data for them.
# Settings by environment: ZOO (folder with make_calib.py; found by walking up to ../shared/zoo otherwise), PYTHON (with numpy where
# data is made), WORK (folder for data and results; a temporary one otherwise), THREADS.

export ORT_DISABLE_TELEMETRY=1
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
threads=${THREADS:-$(nproc)}

if [ -z "${WORK:-}" ]; then
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
fi
mkdir -p "$WORK"

find_zoo() {
  local folder=$repository
  if [ -n "${ZOO:-}" ]; then
    return
  fi
  while [ "$folder" != / ]; do
    folder=$(dirname "$folder")
    if [ -f "$folder/shared/zoo/make_calib.py" ]; then
      ZOO=$folder/shared/zoo
      return
    fi
  done
  echo "no shared/zoo above $repository; set ZOO to the folder with make_calib.py" >&2
  exit 1
}

# find_python [MODULE]: one that has the module, where one is named.
find_python() {
  local candidate
  for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
    if "$candidate" -c "${1:+import $1}" 2>/dev/null; then
      PYTHON=$candidate
      return
    fi
  done
  echo "python3${1:+ with $1} is needed; set PYTHON" >&2
  exit 1
}

build_programs() {
  local project
  for project in OnnxLowRank.Cli scripts/evaluate "$@"; do
    dotnet build -c Release "$repository/$project" -v quiet --nologo >"$WORK/build.log" 2>&1 || { cat "$WORK/build.log" >&2; exit 1; }
  done
}

compress() { "$repository/artifacts/bin/OnnxLowRank.Cli/release/onnx-lowrank" "$@"; }
evaluate() { "$repository/artifacts/bin/evaluate/release/evaluate" "$@"; }
random_samples() { "$repository/artifacts/bin/random-samples/release/random-samples" "$@"; }

# make_data MODEL COUNT: $WORK/data/MODEL-COUNT/{calib,test} and labels.npy of the calibration samples, where the data has labels.
make_data() {
  data=$WORK/data/$1-$2
  if [ -f "$data/done" ]; then
    return
  fi
  mkdir -p "$data"
  "$PYTHON" "$ZOO/make_calib.py" --count "$2" --test --out "$data/made" "$1" >"$data/log" 2>&1 || { tail -1 "$data/log"; return 1; }
  mv "$data/made/$1/calib" "$data/made/$1/test" "$data/"
  "$PYTHON" - "$ZOO" "$1" "$2" "$data" <<'PYTHON' || return 1
import json, os, sys
import numpy as np
zoo, model, count, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
data_set = next(m["dataset"] for m in json.load(open(os.path.join(zoo, "models.json")))["models"] if m["name"] == model)
labels = os.path.join(zoo, "data", data_set + "_calib_labels.npy")
if os.path.exists(labels):
    np.save(os.path.join(out, "labels.npy"), np.load(labels)[:count])
PYTHON
  touch "$data/done"
}

# field REPORT PATH: one number or text of a JSON report, - where it is null.
field() {
  "$PYTHON" - "$1" "$2" <<'PYTHON'
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    value = value.get(key) if value is not None else None
print("-" if value is None else value)
PYTHON
}

# ratio A B: A/B with three decimals, - where one is missing.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a == "-" || b == "-" || b == 0) print "-"; else printf "%.3f\n", a / b }'; }

# test_loss ORIGINAL CANDIDATE TEST_DIR: accuracy lost, as a fraction; for token models, the growth of perplexity.
test_loss() {
  evaluate "$3" "$1" "$2" --tsv --threads "$threads" | awk -F'\t' -v tokens="$4" '
    NR == 2 { accuracy = $4; perplexity = $6 }
    NR == 3 { if ($4 == "-") print "-"; else if (tokens) printf "%.4f\n", $6 / perplexity - 1; else printf "%.4f\n", accuracy - $4 }'
}
