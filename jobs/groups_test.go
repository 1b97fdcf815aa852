package jobs

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

// cutGroups is the plain reference of groups: the pairs of batches, and which of them begin a group.
func cutGroups(batches [][]byte) (keys, values []string, begins []bool, err error) {
	for _, batch := range batches {
		var key, value []byte
		for len(batch) > 0 {
			if key, value, batch, err = CutPair(batch, key); err != nil {
				return keys, values, begins, err
			}
			begins = append(begins, len(keys) == 0 || keys[len(keys)-1] != string(key))
			keys, values = append(keys, string(key)), append(values, string(value))
		}
	}
	return keys, values, begins, nil
}

func checkGroups(t *testing.T, batches [][]byte) {
	t.Helper()
	keys, values, begins, err := cutGroups(batches)
	left := slices.Clone(batches)
	g := &groups{fetch: func() ([]byte, error) {
		if len(left) == 0 {
			return nil, io.EOF
		}
		first := left[0]
		left = left[1:]
		return first, nil
	}}
	for i := 0; ; i++ {
		gotErr := g.advance()
		switch {
		case gotErr != nil || g.ended && i == len(keys):
			if (gotErr != nil) != (err != nil) || i != len(keys) {
				t.Fatalf("%x: %d pairs, error %v, want %d, %v", batches, i, gotErr, len(keys), err)
			}
			return
		case i == len(keys) || g.ended:
			t.Fatalf("%x: a pair %x after %d of %d", batches, g.at, i, len(keys))
		}
		// Before the first group there is no key, which is no group of the empty key.
		begin := !g.same || i == 0
		if string(g.at) != keys[i] || string(g.data) != values[i] || begin != begins[i] {
			t.Fatalf("%x: pair %d is %q: %q, begins %v, want %q: %q, %v", batches, i, g.at, g.data, begin, keys[i], values[i], begins[i])
		}
		g.key, g.same = g.at, true
	}
}

// Whatever the lengths of keys and values, and wherever batches begin, pairs and groups are those that CutPair finds.
func TestGroups(t *testing.T) {
	t.Parallel()
	var list [][]byte
	lengths := []int{0, 1, 2, 7, 8, 9, 125, 126, 127, 128, 129, 20_000}
	for _, k := range lengths {
		var batch []byte
		for i, v := range lengths {
			key, value := []byte(strings.Repeat("k", k)), bytes.Repeat([]byte{byte(i)}, v)
			if i%3 > 0 {
				batch = AppendSame(batch, value)
			} else {
				batch = AppendPair(batch, key, value)
			}
		}
		list = append(list, batch, nil, AppendPair(nil, []byte(strings.Repeat("k", k)), nil))
	}
	checkGroups(t, list)
	whole := slices.Concat(list[:12]...)
	step := 1
	if testing.Short() { // one goroutine: under the race detector a part of the cuts will do
		step = 13
	}
	for cut := 0; cut < len(whole); cut += step {
		checkGroups(t, [][]byte{whole[:cut]})
		checkGroups(t, [][]byte{whole[:cut], whole[cut:]})
	}
}

func FuzzGroups(f *testing.F) {
	f.Add(AppendSame(AppendPair(nil, []byte("key"), []byte("value")), []byte("more")), AppendPair(nil, []byte("key"), nil))
	f.Add(AppendPair(nil, bytes.Repeat([]byte("k"), 200), nil), []byte{0, 1, 1})
	f.Fuzz(func(t *testing.T, first, second []byte) { checkGroups(t, [][]byte{first, second}) })
}

// Of keys that go on behind that of their group, groups are those that begin with the same group's key, wherever batches begin.
func TestOrderedGroups(t *testing.T) {
	t.Parallel()
	keys := []string{"a|", "a|1", "a|1", "a|12", "ab|", "ab|0", "b|" + strings.Repeat("long", 50), "b|" + strings.Repeat("long", 51), "c|"}
	for cuts := range 1 << len(keys) {
		var batches [][]byte
		var batch []byte
		for i, k := range keys {
			if len(batch) > 0 && k == keys[i-1] {
				batch = AppendSame(batch, []byte(k))
			} else {
				batch = AppendPair(batch, []byte(k), []byte(k))
			}
			if cuts>>i&1 == 1 {
				batches, batch = append(batches, batch), nil
			}
		}
		batches = append(batches, batch)
		g := &groups{ordered: true, fetch: func() ([]byte, error) {
			if len(batches) == 0 {
				return nil, io.EOF
			}
			first := batches[0]
			batches = batches[1:]
			return first, nil
		}}
		for i, k := range keys {
			if err := g.advance(); err != nil || g.ended {
				t.Fatal(err, g.ended)
			}
			group := k[:strings.IndexByte(k, '|')+1]
			same := i > 0 && strings.HasPrefix(keys[i-1], group)
			if string(g.data) != k || i > 0 && g.same != same {
				t.Fatalf("cuts %b: pair %q of value %q, same group: %v, want %v", cuts, g.at, g.data, g.same, same)
			}
			g.key = g.at[:len(group)]
		}
	}
}
