# For downloads: a mirror that is away for a moment must not cost the whole run. Source it, then call `retry`.

retry() {  # run a command, up to three times with a pause that grows; its last status
  local attempt status=0
  for attempt in 1 2 3; do
    status=0
    "$@" && return
    status=$?
    [ "$attempt" -lt 3 ] || break
    echo "failed with status $status, attempt $attempt of 3, again in $((attempt * ${RETRY_PAUSE_S:-10})) s: $*" >&2
    sleep "$((attempt * ${RETRY_PAUSE_S:-10}))"
  done
  return "$status"
}
