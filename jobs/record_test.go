package jobs_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// Lines hold a block's lines, each once: All gives them one after the other, At the one that a byte lies in, with its end.
// They are counted as records.
func TestLines(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a\r\n\nb c\n\r\nlone\rcr\n", "last\r", "\n", "x", "\r\n\r", ""} {
		var all, at []jobs.Line
		m := func(l jobs.Lines, _ func(string, int64)) error {
			all = slices.AppendSeq(all, l.All())
			for next := 0; next < len(l.Text); {
				line, after := l.At(next)
				for i := next; i < after; i++ {
					if again, n := l.At(i); again != line || n != after {
						t.Errorf("%q, byte %d: %v until %d, and from %d %v until %d", text, i, again, n, next, line, after)
					}
				}
				at, next = append(at, line), after
			}
			return nil
		}
		prog := bind(t, jobs.New("job", m, func(string, jobs.Values[int64], func(int64)) error { return nil }))
		task := &jobs.Task{Reducers: 1}
		in := blocks{{URL: "u", Offset: 100, Data: []byte(text)}}
		if err := prog.Map(context.Background(), task, &in, new(pairs)); err != nil {
			t.Fatal(err)
		}
		var want []jobs.Line
		offset := int64(100)
		for line := range strings.Lines(text) {
			end := line
			if cut, ok := strings.CutSuffix(line, "\n"); ok {
				end = strings.TrimSuffix(cut, "\r")
			}
			want = append(want, jobs.Line{URL: "u", Offset: offset, Text: end})
			offset += int64(len(line))
		}
		if !slices.Equal(all, want) || !slices.Equal(at, want) || task.Records != int64(len(want)) {
			t.Errorf("%q: %d records, all %v, at %v; want %v", text, task.Records, all, at, want)
		}
	}
}
