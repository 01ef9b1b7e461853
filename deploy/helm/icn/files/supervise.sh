# supervise PROGRAM ARGUMENTS: run it, hand on what ends it, and call `changed` after a file mounted in one of the folders
# of FOLLOWED was replaced. `changed` may use $server, the program's process; where it fails it is called again.

stamp() {
	for folder in $FOLLOWED; do readlink "$folder/..data" || true; done
}

follow() {
	seen=$(stamp)
	while sleep 5; do
		now=$(stamp)
		if [ "$now" != "$seen" ] && changed; then seen=$now; fi
	done
}

supervise() {
	"$@" &
	server=$!
	trap 'kill -TERM $server' TERM
	trap 'kill -INT $server' INT
	follow &
	follower=$!
	code=0
	wait $server || code=$?
	# A signal ends the wait before the program ends, or while it does: what the shell knows by then is asked for again.
	while [ $code -gt 128 ]; do
		known=0
		wait $server 2>/dev/null || known=$?
		if [ $known = 127 ]; then break; fi
		code=$known
		kill -0 $server 2>/dev/null || break
	done
	kill $follower 2>/dev/null || true
	exit $code
}
