package wire

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
)

// decode decodes a message as the first of a connection.
func decode(b []byte, v any, values int) error { return new(gobReader).read(b, v, values) }

// messages are values of several types, full and empty ones in turn.
func messages() []any {
	task := AttemptID{Task: TaskID{Job: "0123456789abcdef0123456789abcdef", Phase: Reduce, Index: 7}, N: 3}
	return []any{
		&PollArgs{},
		&PollArgs{Worker: "w", Seq: 9, Running: []Progress{{Attempt: task, Bytes: 5}}, Holding: []JobID{"a", "b"}},
		&ListArgs{Max: 4},
		&PollArgs{Done: []Outcome{{Attempt: task, Counters: map[string]int64{"x": 1}, Parts: []Part{{Name: "x", Pending: storage.Pending{URL: "u", Size: 1}}}}}},
		&PollReply{},
		&PollReply{Assign: []Task{{Attempt: task, Split: plan.Split{Pieces: []plan.Piece{{Object: plan.Object{URL: "s3://b/k"}, Length: 8}}}}}},
		&ListReply{Jobs: []JobStatus{{ID: "a", Submitted: time.Unix(1, 2).UTC(), Params: map[string]string{"k": "v"}}}},
		&PollReply{Term: 1, Needed: true},
	}
}

// The messages of a connection are the bytes that fresh encoders write, and a kept decoder reads from them what a fresh one
// does.
func TestKeptCoders(t *testing.T) {
	var w gobWriter
	var r gobReader
	for range 3 {
		for i, v := range messages() {
			var want, got bytes.Buffer
			if err := gob.NewEncoder(&want).Encode(v); err != nil {
				t.Fatal(err)
			}
			got.WriteString("before")
			if err := w.write(&got, v); err != nil {
				t.Fatal(err)
			}
			if b := got.Bytes()[len("before"):]; !bytes.Equal(b, want.Bytes()) {
				t.Fatalf("message %d, %T: %d bytes that are not the %d of a fresh encoder", i, v, len(b), want.Len())
			}
			back := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			if err := r.read(want.Bytes(), back, 1000); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, v) {
				t.Fatalf("message %d: read %+v, want %+v", i, back, v)
			}
		}
	}
}

// A decoder that is kept serves a peer whose types are defined otherwise, and none of what is wrong with a frame stays.
func TestKeptDecoderMeetsOtherTypes(t *testing.T) {
	type ListArgs struct { // a newer peer's
		Since string
		Max   int
	}
	other := &ListArgs{Since: "yesterday", Max: 5}
	encode := func(v any) []byte {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(v); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	old, newer := encode(messages()[2]), encode(other)
	var r gobReader
	for i, b := range [][]byte{old, newer, old, old[:len(old)-1], old, newer, newer, bytes.Repeat(newer, 2), newer} {
		args := new(listArgs)
		err := r.read(b, args, 100)
		whole := len(b) == len(old) || len(b) == len(newer)
		if (err == nil) != whole || whole && args.Max != 4 && args.Max != 5 {
			t.Errorf("frame %d: error %v, read %+v", i, err, args)
		}
	}
	// The definitions of one message and the value of the other.
	n, err := definitions(newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.read(old, new(listArgs), 100); err != nil {
		t.Fatal(err)
	}
	if err := r.read(newer[n:], new(listArgs), 100); err == nil {
		t.Error("a value without definitions was read")
	}
}

type listArgs = ListArgs

// What a kept decoder makes of any frame is what a fresh one does.
func FuzzKeptDecoder(f *testing.F) {
	var first bytes.Buffer
	if err := gob.NewEncoder(&first).Encode(messages()[1]); err != nil {
		f.Fatal(err)
	}
	n, err := definitions(first.Bytes())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first.Bytes()[n:], true)
	f.Add(first.Bytes(), false)
	f.Fuzz(func(t *testing.T, b []byte, known bool) {
		if known {
			b = append(bytes.Clone(first.Bytes()[:n]), b...)
		}
		var r gobReader
		if err := r.read(first.Bytes(), new(PollArgs), 1000); err != nil {
			t.Fatal(err)
		}
		got, want := new(PollArgs), new(PollArgs)
		gotErr, wantErr := r.read(b, got, 1000), decode(b, want, 1000)
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("kept: %+v, %v; fresh: %+v, %v", got, gotErr, want, wantErr)
		}
		again := new(PollArgs)
		if err := r.read(first.Bytes(), again, 1000); err != nil || again.Seq != 9 {
			t.Fatalf("after it: %+v, %v", again, err)
		}
	})
}
