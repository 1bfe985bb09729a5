#!/usr/bin/env bash
# Proves that the tool's package works: packs, installs from a folder as the only source, with a home that is empty, and does the main job
# from an empty folder. Nothing is fetched but what the build itself needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

repository=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/home" "$work/empty"

echo "== pack"
dotnet pack -c Release -v q -o "$work/packages" OnnxLowRank.Cli
ls -l "$work/packages" | awk 'NR > 1 { printf "%s, %s bytes\n", $9, $5 }'

cat >"$work/NuGet.config" <<'EOF'
<configuration>
  <packageSources>
    <clear />
    <add key="local" value="packages" />
  </packageSources>
</configuration>
EOF

# A new user: of this one's settings only where .NET is and, if it is set, which ONNX Runtime to load.
dotnet_root=$(dirname "$(readlink -f "$(command -v dotnet)")")
as_new_user() {
  (cd "$work/empty" && env -i PATH="$work/tool:$dotnet_root:/usr/bin:/bin" HOME="$work/home" DOTNET_ROOT="$dotnet_root" DOTNET_NOLOGO=1 \
    DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false ${ONNXRUNTIME_LIB:+ONNXRUNTIME_LIB="$ONNXRUNTIME_LIB"} "$@")
}

echo "== install"
as_new_user dotnet tool install onnx-lowrank --tool-path "$work/tool" --configfile "$work/NuGet.config"
as_new_user onnx-lowrank --version

echo "== onnx-lowrank digits-cnn.onnx small.onnx"
as_new_user onnx-lowrank "$repository/models/digits-cnn.onnx" small.onnx \
  --calib "$repository/models/digits-calib" --labels "$repository/models/digits-calib/labels.npy"

before=$(wc -c <models/digits-cnn.onnx) after=$(wc -c <"$work/empty/small.onnx")
[ "$(ls "$work/empty")" = small.onnx ] || { echo "check-tool: it left more than its output: $(ls "$work/empty")" >&2; exit 1; }
[ "$after" -lt $((before / 4)) ] || { echo "check-tool: $after bytes of $before are not a quarter" >&2; exit 1; }
echo "== ok: $before bytes became $after"
