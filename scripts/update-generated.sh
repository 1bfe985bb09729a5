#!/usr/bin/env bash
# Makes again what is generated from the program and committed: the help in docs/VERB.md, and OnnxLowRank/PublicApi.txt. Tests compare them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dotnet build -c Release -v q OnnxLowRank.Tests
UPDATE_GENERATED=1 dotnet test -c Release --no-build --filter-class '*.HelpTests' --filter-class '*.PublicApiTests'
git diff --stat -- docs OnnxLowRank/PublicApi.txt
