# What the scripts say and how they fail: sourced, never run.
# Progress goes to stderr, so that a script's own result can be piped.

if [ -t 2 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
else bold='' green='' red='' dim='' plain=''; fi

# step TEXT: what is being done now.
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2; }

# done_with TEXT: what has been reached.
done_with() { printf '%s ok%s %s\n' "$green" "$plain" "$*" >&2; }

# fail TEXT: one clear line that says what to do, and the end.
fail() { printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }

# usage: the comment at the head of the running script, for scripts that stand in the current folder's scripts/.
usage() { sed -n '2,/^set/{/^set/d;s/^#$//;s/^# //;p;}' "scripts/${0##*/}"; }

# no_arguments ARGUMENT...: for scripts that take none but --help.
no_arguments() {
  case "${1:-}" in
    '') ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option $1 (scripts/${0##*/} --help)" ;;
  esac
}

# quietly TEXT COMMAND...: run COMMAND with its seconds counted on one line; only when it fails, the end of its
# output as well: $shown_lines lines, 40 if that is not set.
quietly() {
  local text=$1 log started status=0 shown=0
  shift
  log=$(mktemp)
  started=$SECONDS
  set -m  # a process group of its own, so that Ctrl-C reaches what the command has started as well
  "$@" >"$log" 2>&1 </dev/null &
  local child=$!
  set +m
  trap 'kill -- "-$child" 2>/dev/null; rm -f "$log"; exit 130' INT TERM
  while kill -0 "$child" 2>/dev/null; do
    if [ -t 2 ]; then
      printf '\r%s==>%s %s %s%ss%s' "$bold" "$plain" "$text" "$dim" "$((SECONDS - started))" "$plain" >&2
    elif [ $((SECONDS - started)) -ge $((shown + 30)) ]; then
      shown=$((SECONDS - started))
      printf '    %s: %ss so far\n' "$text" "$shown" >&2
    fi
    sleep 0.2
  done
  wait "$child" || status=$?
  trap - INT TERM
  [ -t 2 ] && printf '\r\e[K' >&2
  if [ "$status" -ne 0 ]; then
    tail -n "${shown_lines:-40}" "$log" >&2
    rm -f "$log"
    printf '%sfailed%s %s (after %ss, exit status %s)\n' "$red" "$plain" "$text" "$((SECONDS - started))" "$status" >&2
    return "$status"
  fi
  rm -f "$log"
  done_with "$text ($((SECONDS - started))s)"
}
