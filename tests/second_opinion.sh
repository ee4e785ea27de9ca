#!/usr/bin/env bash
# The tests of store and vault once more, on two implementations of AWS that are not ours, each where it is right:
# ministack for DynamoDB and SQS (it takes KMS ciphertexts that were tampered with), moto for KMS.
#
#   tests/second_opinion.sh FOLDER_OF_MINISTACK FOLDER_OF_MOTO    (the bin folders of their Python environments)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
started=()
finish() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

# Waits for the server that was started last.
listening() {
    for _ in $(seq 300); do
        kill -0 "${started[-1]}" && (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.2
    done
    echo "nothing listens on $1" >&2
    cat "$folder"/*.log >&2
    return 1
}

BIND_HOST=127.0.0.1 GATEWAY_PORT=18201 IOT_MTLS_ENABLED=0 AWS_ENDPOINT_URL=http://127.0.0.1:18201 SERVICES=dynamodb,kms,sqs \
    "$1/ministack" >"$folder/ministack.log" 2>&1 &
started+=($!)
listening 18201
"$2/moto_server" -H 127.0.0.1 -p 18202 >"$folder/moto.log" 2>&1 &
started+=($!)
listening 18202

# A filter that finds nothing is no success.
tests() {
    local report
    report=$(cargo test --locked -p tests --test all -- "$@" 2>&1) || { echo "$report" && exit 1; }
    grep '^test result' <<<"$report"
    ! grep -q ' 0 passed' <<<"$report"
}

echo "== DynamoDB and SQS of ministack"
# Only dynoxide counts capacity exactly.
CALWEAVE_TEST_AWS_ENDPOINT=http://127.0.0.1:18201 tests \
    journeys::accounts journeys::feeds journeys::isolation journeys::windows simulations --skip a_window_costs
echo "== KMS of moto"
CALWEAVE_TEST_AWS_ENDPOINT=http://127.0.0.1:18202 tests journeys::vault
