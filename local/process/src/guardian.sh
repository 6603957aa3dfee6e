# Outlives the process that started it by a moment, to end what that process would leave behind.
# Standard input: "process PID SIGNAL", "directory PATH", "release PID" and "release PATH", a line each.
# When it closes - however the writer ended, by SIGKILL too - what was not released is ended or removed.
trap '' INT TERM HUP QUIT PIPE
kept=
newline='
'
while IFS= read -r line; do
  case $line in
    release\ *)
      gone=${line#release }
      rest=
      while IFS= read -r entry; do
        case $entry in
          "" | "process $gone "* | "directory $gone") ;;
          *) rest=$rest$entry$newline ;;
        esac
      done <<EOF
$kept
EOF
      kept=$rest
      ;;
    *) kept=$kept$line$newline ;;
  esac
done
printf '%s' "$kept" | while read -r kind pid signal; do
  [ "$kind" = process ] && kill -s "$signal" "$pid" 2>/dev/null
done
# A process that is asked to end gets five seconds, then it is made to.
printf '%s' "$kept" | while read -r kind pid signal; do
  [ "$kind" = process ] || continue
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL "$pid" 2>/dev/null
done
printf '%s' "$kept" | while IFS= read -r line; do
  case $line in
    directory\ /?*) rm -rf -- "${line#directory }" ;;
  esac
done
