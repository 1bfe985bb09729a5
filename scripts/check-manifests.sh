#!/usr/bin/env bash
# Checks examples/kubernetes against Kubernetes' API as TypeScript types (npm's kubernetes-types, made of its OpenAPI): names, types, and nothing that is unknown there.
# Then runs the pods' commands here, one after the other, on the demo model. Needs npm, and the program built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cd "$folder"
npm install --silent --no-fund --no-audit kubernetes-types@1.30.0 typescript@5 yaml@2 >/dev/null
cat >manifests.mjs <<'JS'
import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "yaml";
const [root, ...names] = process.argv.slice(2);
for (const name of names) {
  const manifest = parse(readFileSync(`${root}/examples/kubernetes/${name}.yaml`, "utf8"));
  writeFileSync(`${name}.ts`, `import { ${manifest.kind} } from "kubernetes-types/${manifest.apiVersion}";\n`
    + `export const manifest: ${manifest.kind} = ${JSON.stringify(manifest, null, 2)};\n`);
  const [container] = manifest.spec.template.spec.containers;
  writeFileSync(`${name}.sh`, container.command[2]);
  writeFileSync(`${name}.count`, `${manifest.spec.completions ?? 1}`);
}
JS
node manifests.mjs "$root" calibrate compress
npx tsc --noEmit --strict --skipLibCheck calibrate.ts compress.ts
sed 's/"parallelism"/"paralelism"/' calibrate.ts >wrong.ts
if npx tsc --noEmit --strict --skipLibCheck wrong.ts >/dev/null; then echo "the check does not see a wrong name" >&2; exit 1; fi
echo "calibrate.yaml, compress.yaml: are what the API knows"

export PATH=$root/artifacts/bin/OnnxLowRank.Cli/release:$PATH
mkdir -p data
cp "$root/models/digits-cnn.onnx" data/in.onnx
ln -s "$root/models/digits-calib" data/calib
for ((index = 0; index < $(cat calibrate.count); index++)); do
  JOB_COMPLETION_INDEX=$index /bin/sh -c "$(sed "s#/data/#$folder/data/#g; s#--threads [0-9]*#& -q#" calibrate.sh)"
done
/bin/sh -c "$(sed "s#/data/#$folder/data/#g; s#--threads [0-9]*#& -q --no-timing#" compress.sh)"
ls -l data/out.onnx data/stats | head -n 4
