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
# shellcheck source=tests/background.sh
source tests/background.sh
port=19000

cargo run --quiet --locked -- --emulators-only --memory --allow-loopback-feeds >"$folder/variables" 2>"$folder/emulators.log" &
started+=($!)
# The last variable that is printed; until then the file is not whole.
wait_for grep -q VAULT_TABLE "$folder/variables"
# shellcheck disable=SC1091
source "$folder/variables"

cargo lambda watch --ignore-changes --invoke-address 127.0.0.1 --invoke-port "$port" >"$folder/watch.log" 2>&1 &
started+=($!)
listening "$port"

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
invoke webhooks events/webhooks.json '"statusCode":204'
for event in $(grep -l aws.scheduler events/*.json); do invoke "$(basename "$event" .json)" "$event" '"items":0'; done
if curl --silent --max-time 60 "http://127.0.0.1:$port/api/v1/health/ready" | grep -q '"status":"ready"'; then
    passed=$((passed + 1))
    echo "ok  the routes of Cargo.toml lead to it over HTTP"
else
    failed=$((failed + 1))
    echo "FAILED  GET /api/v1/health/ready"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
