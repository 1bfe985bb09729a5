#!/bin/sh
# Optional: lets ONNX's own checker and shape inference judge rewritten models of every kind. Not part of dotnet test.
# Wants Debian's python3-onnx (apt install python3-onnx), or any Python with onnx in PYTHON.
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-/usr/bin/python3}"
"$python" -c 'import onnx' || { echo "no onnx in $python: apt install python3-onnx" >&2; exit 1; }
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
dotnet build -c Release OnnxLowRank.Tests -v quiet
ONNX_LOWRANK_EXPORT="$folder" dotnet artifacts/bin/OnnxLowRank.Tests/release/OnnxLowRank.Tests.dll \
  -class "OnnxLowRank.Tests.Rewriting.ModelExport" -explicit only > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
"$python" - "$folder" <<'PYTHON'
import glob, sys, onnx
bad = 0
files = sorted(glob.glob(sys.argv[1] + "/*.onnx"))
for file in files:
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=not any(i.domain == "com.microsoft" for i in model.opset_import))
    except Exception as e:
        bad += 1
        print(file.rsplit("/", 1)[1], "::", str(e).strip().split("\n")[0])
print(f"onnx {onnx.__version__}: {len(files)} models, {bad} refused")
sys.exit(bad > 0 or not files)
PYTHON
