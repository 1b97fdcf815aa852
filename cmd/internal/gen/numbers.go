package gen

import (
	"math/rand/v2"
	"strconv"
)

const maxNumber = int64(len("18446744073709551615\n"))

// fillNumbers fills dst with lines of a number each.
func fillNumbers(dst []byte, _ int64, rnd *rand.PCG) int {
	out := dst[:0]
	for int64(len(dst)-len(out)) >= maxNumber {
		out = append(strconv.AppendUint(out, rnd.Uint64(), 10), '\n')
	}
	return len(out)
}
