# Reads the output of `go test -v` and shows what a person wants to see: a line per package, all that a failed test or a
# build wrote, and at the end which tests were left out and a line for the whole. It exits with 1 if strict is set and a test
# was left out for another reason than that the machine does not permit it; that a test failed is the exit code of go test
# itself.

/^=== (RUN|CONT|NAME|PAUSE) / { name = $3; next }

/^ *--- (PASS|FAIL|SKIP): / {
	if ($2 == "PASS:") passed++
	if ($2 == "FAIL:") { failed++; print; printf "%s", said[$3]; fflush() }
	delete said[$3]
	name = $3 # what follows is this test's, until the next mark
	next
}

/^ok / { packages++; print; fflush(); reset(); next }
/^FAIL\t/ { broken++; print; fflush(); reset(); next }
/^(PASS|FAIL|\?.*\[no test files\]|\t.*coverage: )/ { next }

# A panic, a race or a timeout: all of it.
/^(panic: |fatal error: |WARNING: DATA RACE|SIG[A-Z]+: )/ { loud = 1 }
loud || name == "" { print; fflush(); next }

{
	said[name] = said[name] $0 "\n"
	if (i = index($0, "LEFT OUT: ")) left_out[substr($0, i)] = 1
}

END {
	n = 0
	for (line in left_out) { print line; n++; if (line !~ /^LEFT OUT: no permission: /) gaps++ }
	if (broken || failed) {
		printf "FAIL: packages %d, tests %d; ok: packages %d. The whole output: %s\n", broken, failed, packages, log_file
	} else if (packages) {
		printf "ok: packages %d, tests %d, left out %d\n", packages, passed, n
	}
	if (strict && gaps) { print "FAIL: tests were left out: see above"; exit 1 }
}

function reset() { name = ""; loud = 0; delete said }
