package shuffle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/runfile"
)

// through puts sorted pairs through a combiner whose batches have the given limit, and returns the run.
func through(t *testing.T, pairs []pair, limit, blockSize int) []byte {
	t.Helper()
	var run bytes.Buffer
	out := &output{run: runfile.NewWriter(&run, 3), blockSize: blockSize, maxPair: 1 << 20}
	to := &sink{out: out, combiner: &combiner{out: out, combine: sum, limit: limit}}
	for i, p := range pairs {
		same := i > 0 && pairs[i-1].key == p.key && pairs[i-1].partition == p.partition
		if err := to.add(p.partition, []byte(p.key), []byte(p.value), same); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := to.close(); err != nil {
		t.Fatal(err)
	}
	return run.Bytes()
}

// Every pattern of up to 8 pairs over 3 keys in 2 partitions, combined in batches of any size, gives each key once with the
// sum of its values. (sum itself fails for a key that comes with one value only.)
func TestCombinerExhaustive(t *testing.T) {
	t.Parallel()
	zero := func(p pair) int { return p.partition }
	for n := range 9 {
		for pattern := range 1 << (2 * min(n, 6)) {
			var pairs []pair
			for i := range n {
				pairs = append(pairs, pair{i * 2 / max(n, 1), string(rune('a' + pattern>>(2*(i%6))&3)), string(binary.AppendUvarint(nil, uint64(i)))})
			}
			pairs = reference(pairs, zero)
			want := referenceSum(pairs, zero)
			for _, limit := range []int{1, 8, 1000} {
				if got := readPairs(t, through(t, pairs, limit, 1000)); !slices.Equal(got, want) {
					t.Fatalf("%v, limit %d: got %v, want %v", pairs, limit, got, want)
				}
			}
		}
	}
}

// The limit of a combiner's batches does not show in the run.
func TestCombinerLimitIsInvisible(t *testing.T) {
	t.Parallel()
	partition := func(p pair) int { return len(p.key) % 3 }
	pairs := reference(counts(randomPairs(20, 3000)), partition)
	want := through(t, pairs, 1<<20, 500)
	for _, limit := range []int{1, 10, 100, 1000, 5000} {
		if got := through(t, pairs, limit, 500); !bytes.Equal(got, want) {
			t.Errorf("limit %d: another run", limit)
		}
	}
}

// A block is cut before the pair that would take it over the size, its first pair spells out its key, and a pair larger
// than a block has one of its own.
func TestOutputCuts(t *testing.T) {
	t.Parallel()
	var run bytes.Buffer
	out := &output{run: runfile.NewWriter(&run, 2), blockSize: 20, maxPair: 100}
	for i, p := range []pair{
		{0, "key", "12345"}, {0, "key", "12345678"}, // 10 and 10 bytes: full
		{0, "key", "1"},                      // 6: in a block of its own, with its key
		{0, "long", strings.Repeat("x", 50)}, // 56
		{1, "key", "1"},                      // another partition
	} {
		if err := out.add(p.partition, []byte(p.key), []byte(p.value), i == 1 || i == 2); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.add(1, []byte("key"), make([]byte, 100), false); err == nil || !strings.Contains(err.Error(), "105 bytes") {
		t.Errorf("a pair over the limit: %v", err)
	}
	if _, err := out.close(); err != nil {
		t.Fatal(err)
	}
	index, _, err := runfile.ReadIndex(bytes.NewReader(run.Bytes()), int64(run.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var sizes []string
	for p, s := range index {
		r := runfile.NewReader(bytes.NewReader(run.Bytes()[s.Offset:][:s.Length]), s)
		for {
			block, pairs, err := r.Next(nil)
			if err != nil {
				break
			}
			if _, _, _, err := jobs.CutPair(block, nil); err != nil {
				t.Errorf("a block's first pair: %v", err)
			}
			sizes = append(sizes, fmt.Sprint(p, ":", len(block), "/", pairs))
		}
	}
	if want := []string{"0:20/2", "0:6/1", "0:56/1", "1:6/1"}; !slices.Equal(sizes, want) {
		t.Errorf("blocks %v, want %v", sizes, want)
	}
}

// A key whose combined value grows costs a bounded number of times its size: with a partial result beyond the batch limit,
// each further value once went through the combine function with the whole of it.
func TestCombinerLongValueIsLinear(t *testing.T) {
	t.Parallel()
	const values, size, limit = 4000, 100, 1 << 10
	var combined int64
	concat := func(in, out []byte) ([]byte, error) {
		combined += int64(len(in))
		var key, value, whole []byte
		var err error
		for len(in) > 0 {
			if key, value, in, err = jobs.CutPair(in, key); err != nil {
				return nil, err
			}
			whole = append(whole, value...)
		}
		return jobs.AppendPair(out, key, whole), nil
	}
	var run bytes.Buffer
	out := &output{run: runfile.NewWriter(&run, 1), blockSize: 1 << 20, maxPair: 1 << 20}
	to := &sink{out: out, combiner: &combiner{out: out, combine: concat, limit: limit}}
	for i := range values {
		if err := to.add(0, []byte("hot"), bytes.Repeat([]byte{byte(i)}, size), i > 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := to.close(); err != nil {
		t.Fatal(err)
	}
	// Doubling from the limit on: each byte goes through about as often as the value doubles.
	if most := int64(values*size) * 16; combined > most {
		t.Errorf("%d bytes of values took %d bytes through the combine function, want at most %d", values*size, combined, most)
	}
}
