# For scripts that start servers: `source` it. What stands in `started` is stopped, and `folder` removed, at the end.
folder=$(mktemp -d)
started=()
finish() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

# Runs a command until it succeeds; the server that was started last must live as long.
wait_for() {
    for _ in $(seq 3000); do
        kill -0 "${started[-1]}" 2>/dev/null || break
        "$@" 2>/dev/null && return
        sleep 0.1
    done
    echo "waited in vain: $*" >&2
    cat "$folder"/*.log >&2
    exit 1
}

# Waits for a server on this port of 127.0.0.1.
listening() {
    wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$1"
}
