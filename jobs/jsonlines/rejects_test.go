package jsonlines_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/jsonlines"
)

// oneBlock yields a block once.
type oneBlock struct{ blocks []jobs.Block }

func (s *oneBlock) Next() (b jobs.Block, err error) {
	if len(s.blocks) == 0 {
		return b, io.EOF
	}
	b, s.blocks = s.blocks[0], s.blocks[1:]
	return b, nil
}

// kept keeps what an attempt gives.
type kept struct {
	pairs    []byte
	rejected []string
}

type rejects struct{ *kept }

func (k *kept) Put(b jobs.Pairs) (jobs.Pairs, error) {
	k.pairs = append(k.pairs, b.Data...)
	return jobs.Pairs{}, nil
}

func (r rejects) Put(c jobs.Columns) error {
	rows, err := jobstest.Decode(jobs.RejectedSchema(), c)
	for _, row := range rows {
		r.rejected = append(r.rejected, fmt.Sprintf("%d %s: %.24s", row[1], row[4], row[5]))
	}
	return err
}

// Lines that are no JSON, or do not fit the type, are set aside with their bytes, and the others give what they give alone.
func TestRejectedLines(t *testing.T) {
	t.Parallel()
	type event struct {
		User string `json:"user"`
		N    int64  `json:"n"`
	}
	m := func(e event, emit func(string, int64)) error { emit(e.User, e.N); return nil }
	record := func(r jsonlines.Record[event], emit func(string, int64)) error { return m(r.Value, emit) }
	reduce := func(string, jobs.Values[int64], func(string)) error { return nil }
	lines := []string{
		`{"user":"ann","n":1}`, `{"user":"ann"`, `{"user":"bob","n":2}`, ` `, `null`, `{"user":"bob","n":"x"}`, `{"user":"bob","n":3,"n":4}`,
		"{\"user\":\"\xff\"}", `{"user":"ann","n":9}`, `{"user":"last"}}`,
	}
	bad := []int{1, 4, 5, 6, 7, 9}
	var all, good, want = strings.Join(lines, "\n"), "", []string{}
	for i, at := 0, 0; i < len(lines); i++ {
		if len(bad) > 0 && bad[0] == i {
			bad = bad[1:]
			want = append(want, fmt.Sprintf("%d %s: decode json: ", at, lines[i]))
		} else {
			good += lines[i] + "\n"
		}
		at += len(lines[i]) + 1
	}
	for name, job := range map[string]*jobs.Job{
		"combined": jobs.New("j", jsonlines.Map(m), reduce, jobs.Combine(jobs.Sum[int64])),
		"direct":   jobs.New("j", jsonlines.MapRecord(record), reduce),
	} {
		run := func(text string, limit int64) (*kept, *jobs.Task) {
			prog, err := job.Bind(nil)
			if err != nil {
				t.Fatal(err)
			}
			k := new(kept)
			task := &jobs.Task{Reducers: 1, MaxRejected: limit, Sinks: jobs.Sinks{Rejected: rejects{k}}}
			in := &oneBlock{[]jobs.Block{{URL: "mem://in", Data: []byte(text)}}}
			if err := prog.Map(context.Background(), task, in, k); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return k, task
		}
		clean, _ := run(good, 0)
		got, task := run(all, 6)
		if !bytes.Equal(got.pairs, clean.pairs) || len(got.pairs) == 0 {
			t.Errorf("%s: pairs are %q, without bad lines %q", name, got.pairs, clean.pairs)
		}
		if task.Rejected != 6 || task.Records != int64(len(lines)) || len(got.rejected) != len(want) {
			t.Fatalf("%s: %d of %d records are rejected: %q", name, task.Rejected, task.Records, got.rejected)
		}
		for i, w := range want {
			if !strings.HasPrefix(got.rejected[i], w) {
				t.Errorf("%s: rejected is %q, want %q", name, got.rejected[i], w)
			}
		}
	}
}
