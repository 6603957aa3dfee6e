# Outlives its parent process briefly, to end the processes and remove the files that the parent leaves
# behind.
# Standard input has one entry per line: "process PID SIGNAL", "group PGID SIGNAL", "directory PATH", "file
# INODE PATH", and "release LINE" with one of these.
# At end of input, including after SIGKILL of the parent, all entries not released are ended or removed.
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
          "" | "$gone") ;;
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
# First, because a file may hold secrets. A file replaced by another process has another inode.
printf '%s' "$kept" | while read -r kind inode path; do
  [ "$kind" = file ] || continue
  read -r found _ <<EOF
$(ls -di -- "$path" 2>/dev/null)
EOF
  [ "$found" = "$inode" ] && rm -f -- "$path"
done
# kill takes a group as a negative number.
processes=$(printf '%s' "$kept" | while read -r kind pid signal; do
  case $kind in
    process) printf '%s %s\n' "$pid" "$signal" ;;
    group) printf '%s %s\n' "-$pid" "$signal" ;;
  esac
done)
printf '%s\n' "$processes" | while read -r pid signal; do
  [ -n "$pid" ] && kill -s "$signal" -- "$pid" 2>/dev/null
done
# Five seconds after the signal, SIGKILL.
printf '%s\n' "$processes" | while read -r pid signal; do
  [ -n "$pid" ] || continue
  tries=0
  while kill -s 0 -- "$pid" 2>/dev/null && [ $tries -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL -- "$pid" 2>/dev/null
done
printf '%s' "$kept" | while IFS= read -r line; do
  case $line in
    directory\ /?*) rm -rf -- "${line#directory }" ;;
  esac
done
