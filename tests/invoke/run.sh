#!/usr/bin/env bash
# Invokes one function of each kind with its sample event: cargo-lambda's Runtime API, our emulators, real binaries.
#
#   tests/invoke/run.sh [FOLDER WITH THE BINARIES]
#
# Needs cargo-lambda. `cargo lambda watch` would build each function by itself at its first call; here they are built.
set -euo pipefail
cd "$(dirname "$0")/../.."
binaries=${1:-target/debug}
if ! command -v cargo-lambda >/dev/null; then
    echo "cargo-lambda is missing: pip install cargo-lambda" >&2
    exit 1
fi
folder=$(mktemp -d)
port=19000
started=()
finish() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

"$binaries/calweave" --emulators-only --memory --allow-loopback-feeds >"$folder/variables" 2>"$folder/emulators.log" &
started+=($!)
# The last variable that is printed; until then the file is not whole.
wait_for() {
    for _ in $(seq 300); do
        "$@" 2>/dev/null && return
        sleep 0.1
    done
    echo "waited in vain: $*" >&2
    cat "$folder"/*.log >&2
    exit 1
}
wait_for grep -q VAULT_TABLE "$folder/variables"
# shellcheck disable=SC1091
source "$folder/variables"

cargo lambda watch --only-lambda-apis --invoke-address 127.0.0.1 --invoke-port "$port" >"$folder/watch.log" 2>&1 &
started+=($!)
wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"

passed=0 failed=0
# Name, sample event, and what the answer must contain.
invoke() {
    AWS_LAMBDA_RUNTIME_API="http://127.0.0.1:$port/.rt/$1" AWS_LAMBDA_FUNCTION_NAME="$1" AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256 \
        AWS_LAMBDA_FUNCTION_VERSION='$LATEST' "$binaries/$1" >"$folder/$1.log" 2>&1 &
    started+=($!)
    local answer
    answer=$(timeout 60 cargo lambda invoke "$1" --invoke-address 127.0.0.1 --invoke-port "$port" --data-file "$2" 2>&1) || true
    if grep -q -- "$3" <<<"$answer"; then
        passed=$((passed + 1))
        echo "ok  $1 answers events/$(basename "$2")"
    else
        failed=$((failed + 1))
        echo "FAILED  $1 with $2: $answer"
        cat "$folder/$1.log"
    fi
}
invoke health events/health.json '"statusCode":200'
invoke auth events/auth.json '"statusCode":201'
invoke sync_worker events/sync_worker.json '"batchItemFailures":\[\]'
invoke refresh_feeds events/refresh_feeds.json '"items":0'
invoke cleanup_expired events/cleanup_expired.json '"items":0'
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
