#!/usr/bin/env bash
# Runs one function of each kind with its sample event: cargo-lambda's Runtime API, our emulators, real binaries.
#
# Needs cargo-lambda. Each function is built at its first call, as for anybody who uses `cargo lambda watch`.
set -euo pipefail
cd "$(dirname "$0")/../.."
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

cargo run --quiet --locked -- --emulators-only --memory --allow-loopback-feeds >"$folder/variables" 2>"$folder/emulators.log" &
started+=($!)
# The last variable that is printed; until then the file is not whole.
wait_for() {
    for _ in $(seq 3000); do
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

cargo lambda watch --ignore-changes --invoke-address 127.0.0.1 --invoke-port "$port" >"$folder/watch.log" 2>&1 &
started+=($!)
wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"

passed=0 failed=0
# Name, sample event, and what the answer must contain.
invoke() {
    local answer
    answer=$(timeout 900 cargo lambda invoke "$1" --invoke-address 127.0.0.1 --invoke-port "$port" --data-file "$2" 2>&1) || true
    if grep -q -- "$3" <<<"$answer"; then
        passed=$((passed + 1))
        echo "ok  $1 answers events/$(basename "$2")"
    else
        failed=$((failed + 1))
        echo "FAILED  $1 with $2: $answer"
        tail -n 40 "$folder/watch.log"
    fi
}
invoke health events/health.json '"statusCode":200'
invoke auth events/auth.json '"statusCode":201'
invoke sync_worker events/sync_worker.json '"batchItemFailures":\[\]'
invoke refresh_feeds events/refresh_feeds.json '"items":0'
invoke cleanup_expired events/cleanup_expired.json '"items":0'
if curl --silent --max-time 60 "http://127.0.0.1:$port/api/v1/health/ready" | grep -q '"status":"ready"'; then
    passed=$((passed + 1))
    echo "ok  the routes of Cargo.toml lead to it over HTTP"
else
    failed=$((failed + 1))
    echo "FAILED  GET /api/v1/health/ready"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
