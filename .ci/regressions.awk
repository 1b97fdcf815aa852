# Reads benchstat's CSV of a baseline and a new measurement, and names the benchmarks that became more than 10 % slower or
# that allocate more. A machine may be slower than the baseline's as a whole: the median of all ratios is taken for that, and
# a benchmark counts as slower by what it is beyond it. Differences that benchstat finds no evidence for are left out. With
# strict set, a regression is exit code 1.

BEGIN { FS = ","; most = 1.10 }

/^pkg: / { pkg = $0; sub(/^pkg: github.com\/millrace\/millrace\//, "", pkg); next }
$1 == "" && $6 == "vs base" { unit = $2; next }
$1 == "" || $1 == "geomean" || NF < 7 { next }

unit == "sec/op" && $2 > 0 && $4 > 0 {
	ratio[++n] = $4 / $2
	name[n] = pkg " " $1
	sure[n] = $6 != "~"
}
unit == "allocs/op" && $2 != "" && $4 > $2 && $6 != "~" { more[++m] = sprintf("%s %s: %d allocations instead of %d", pkg, $1, $4, $2) }

END {
	if (!n) { print "FAIL: no benchmark is in both measurements"; exit 1 }
	for (i = 1; i <= n; i++) { # n is small: sorting by insertion needs no function that only some awks have
		for (j = i; j > 1 && sorted[j - 1] > ratio[i]; j--) sorted[j] = sorted[j - 1]
		sorted[j] = ratio[i]
	}
	drift = sorted[int((n + 1) / 2)]
	printf "compared %d benchmarks with the baseline; the median takes %.2f times as long on this machine now\n", n, drift
	for (i = 1; i <= n; i++) {
		if (!sure[i] || ratio[i] <= most * drift) continue
		printf "SLOWER: %s: %.0f %%\n", name[i], 100 * (ratio[i] / drift - 1)
		found++
	}
	for (i = 1; i <= m; i++) { print "ALLOCATES MORE: " more[i]; found++ }
	if (!found) print "ok: none is more than 10 % slower, none allocates more"
	if (found && strict) exit 1
}
