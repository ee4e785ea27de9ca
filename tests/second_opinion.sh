#!/usr/bin/env bash
# The tests of store and vault once more, on two implementations of AWS that are not ours, each where it is right:
# ministack for DynamoDB and SQS (it takes KMS ciphertexts that were tampered with), moto for KMS.
#
#   tests/second_opinion.sh FOLDER_OF_MINISTACK FOLDER_OF_MOTO    (the bin folders of their Python environments)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/background.sh
source tests/background.sh

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
