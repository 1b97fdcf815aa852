package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// sifted is what one text gives, and how its records end.
type sifted struct {
	pairs    []string // "key=value"
	rejected []string // "offset:bytes"
	records  int64
}

// emitFields emits the fields of a record one after the other, and fails at one with a mark: '!' is an error, '?' a panic, '#' a key of
// which the partition is out of range, and '%' such a one whose panic the function recovers.
func emitFields(fields []string, emit func(string, int64)) error {
	for i, f := range fields {
		switch {
		case strings.Contains(f, "!"):
			return errors.New("marked")
		case strings.Contains(f, "?"):
			panic("marked")
		case strings.Contains(f, "%"):
			func() {
				defer func() { _ = recover() }()
				emit("#", 0)
			}()
			return nil
		}
		emit(f, int64(i))
	}
	return nil
}

// plainSift is the reference: it takes the text apart with the plain readers and looks for marks.
func plainSift(text string, csv, header bool) (out sifted, cuts []int, ok bool) {
	type part struct {
		begin, end int
		fields     []string
		bad        bool
	}
	var parts []part
	switch {
	case csv:
		bom := len(text) - len(strings.TrimPrefix(text, "\ufeff"))
		want := -1
		for i, r := range plainCSV(text[bom:]) {
			if header && i == 0 {
				if r.fault != 0 {
					return out, nil, false
				}
				want = len(r.fields)
				cuts = append(cuts, bom+r.next)
				continue
			}
			parts = append(parts, part{bom + r.begin, bom + r.next, r.fields, r.fault != 0 || want >= 0 && len(r.fields) != want})
		}
	default:
		for _, p := range plainLines([]byte(text)) {
			end := len(text)
			if n := strings.IndexByte(text[p.begin:], '\n'); n >= 0 {
				end = p.begin + n + 1
			}
			parts = append(parts, part{p.begin, end, strings.Split(p.line, ","), false})
		}
	}
	for _, p := range parts {
		out.records++
		cuts = append(cuts, p.end)
		if p.bad || slices.ContainsFunc(p.fields, func(f string) bool { return strings.ContainsAny(f, "!?#%") }) {
			raw, ended := strings.CutSuffix(text[p.begin:p.end], "\n")
			if ended {
				raw = strings.TrimSuffix(raw, "\r")
			}
			out.rejected = append(out.rejected, fmt.Sprintf("%d:%q", p.begin, raw))
			continue
		}
		for i, f := range p.fields {
			out.pairs = append(out.pairs, fmt.Sprintf("%q=%d", f, i))
		}
	}
	return out, cuts, true
}

// keptPairs is a PairSink that decodes, and spoils what it was given.
type keptPairs struct {
	pairs  *[]string
	values coder[int64]
}

func (s keptPairs) Put(b Pairs) (Pairs, error) {
	for rest := b.Data; len(rest) > 0; {
		key, value, after, err := CutPair(rest, nil)
		if err != nil {
			return b, err
		}
		n, err := s.values.decode(value)
		if err != nil {
			return b, err
		}
		*s.pairs = append(*s.pairs, fmt.Sprintf("%q=%d", key, n))
		rest = after
	}
	clear(b.Data)
	return Pairs{Data: b.Data[:0], Partitions: b.Partitions[:0]}, nil
}

// keptRejects is a RowSink for records set aside.
type keptRejects struct{ rows *[]string }

func (s keptRejects) Put(c Columns) error {
	rows, err := readAll[Rejected](Block{Schema: RejectedSchema(), Columns: c})
	for _, r := range rows {
		*s.rows = append(*s.rows, fmt.Sprintf("%d:%q", r.Offset, r.Bytes))
	}
	return err
}

// Whatever text, marks and blocks: the good records of it, and no others, give their pairs once and in their order.
func FuzzSift(f *testing.F) {
	f.Add("a,b\r\nc!,d\n\n?,e\nf,g", uint8(1), uint64(1))
	f.Add("\ufeffid,x\n1,\"a\n!\"\n\n\r\n2\n3,\"q\"x\n4,#\n5,y\n%,1\nz,z\n", uint8(3), uint64(2))
	f.Add("!\n!\n\n!,%\n#\nok\n%\nok", uint8(0), uint64(3))
	f.Add("%,a\n\n%,b\nx,\"y\n", uint8(5), uint64(4))
	partition := func(key string, n int) int {
		if strings.Contains(key, "#") {
			return n
		}
		return 0
	}
	reduce := func(string, Values[int64], func(string)) error { return nil }
	cells := func(c Cells, emit func(string, int64)) error { return emitFields(slices.Clone(c.Values), emit) }
	values, err := codec.Value(reflect.TypeFor[int64]())
	if err != nil {
		f.Fatal(err)
	}
	programs := map[string]*Job{}
	for _, combine := range []bool{false, true} {
		opts := []Option{Partition(partition)}
		if combine { // never two pairs of a key: the order stays
			opts = append(opts, Combine(func(a, b int64) int64 { return a*1000 + b }))
		}
		with := func(o Option) []Option { return append([]Option{o}, opts...) }
		programs[fmt.Sprint(false, false, combine)] = New("lines", func(l string, emit func(string, int64)) error {
			return emitFields(strings.Split(l, ","), emit)
		}, reduce, opts...)
		programs[fmt.Sprint(true, false, combine)] = New("cells", cells, reduce, with(CSV(CSVOptions{NoHeader: true}))...)
		programs[fmt.Sprint(true, true, combine)] = New("cells", cells, reduce, with(CSV(CSVOptions{}))...)
	}
	f.Fuzz(func(t *testing.T, text string, flags uint8, seed uint64) {
		csv, header, combine := flags&1 > 0, flags&3 == 3, flags&4 > 0
		want, cuts, ok := plainSift(text, csv, header)
		if !ok {
			return
		}
		rnd := rand.New(rand.NewPCG(seed, 1))
		var in blockList
		head, at := []byte(nil), 0
		for i, end := range append(cuts, len(text)) {
			if end > at && (end == len(text) || rnd.IntN(3) == 0) {
				in = append(in, Block{URL: "mem://t", Offset: int64(at), Data: []byte(text[at:end]), Header: head})
				at = end
			}
			if i == 0 && csv {
				head = []byte(text[:end])
			}
		}
		var got sifted
		task := &Task{Reducers: 1, MaxRejected: 1 << 40, Memory: []int64{-1, 0}[flags>>2&1]}
		task.Sinks.Rejected = keptRejects{&got.rejected}
		prog, err := programs[fmt.Sprint(csv, header, combine)].Bind(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := prog.Map(context.Background(), task, &in, keptPairs{&got.pairs, newCoder[int64](values)}); err != nil {
			t.Fatal(err)
		}
		if combine {
			got.pairs, want.pairs = combineAll(got.pairs, nil), combineAll(want.pairs, func(a, b int64) int64 { return a*1000 + b })
		}
		if !slices.Equal(got.pairs, want.pairs) || !slices.Equal(got.rejected, want.rejected) || task.Records != want.records {
			t.Errorf("%q, flags %d, seed %d: %d records\npairs    %v\nrejected %v\nwant %d records\npairs    %v\nrejected %v",
				text, flags, seed, task.Records, got.pairs, got.rejected, want.records, want.pairs, want.rejected)
		}
	})
}

// combineAll sorts pairs, and combines those of a key.
func combineAll(pairs []string, combine func(a, b int64) int64) (out []string) {
	values := map[string]int64{}
	for _, p := range pairs {
		cut := strings.LastIndexByte(p, '=')
		var n int64
		fmt.Sscan(p[cut+1:], &n)
		if old, ok := values[p[:cut]]; ok {
			n = combine(old, n)
		}
		values[p[:cut]] = n
	}
	for k, n := range values {
		out = append(out, fmt.Sprintf("%s=%d", k, n))
	}
	slices.Sort(out)
	return out
}
