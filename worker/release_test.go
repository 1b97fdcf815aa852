package worker

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/worker/shuffle"
)

// What runs hold for a reduce task is given back when the master has selected its part, and not before.
func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		var text strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&text, "w%05d\n", i)
		}
		if err := r.o.Store.Put(t.Context(), "mem://b/large", []byte(text.String()), false); err != nil {
			t.Fatal(err)
		}
		m, red := mapTask("count", 0), reduceTask("count", 0)
		p := &m.Split.Pieces[0]
		p.URL, p.Size, p.Length = "mem://b/large", int64(text.Len()), int64(text.Len())
		var selects atomic.Bool
		assigned := false
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if !assigned {
				assigned = true
				return assign(m, red), nil
			}
			if selects.Load() {
				return &wire.PollReply{Selected: []wire.AttemptID{red.Attempt}, Needed: true}, nil
			}
			return nil, nil
		})
		r.start()
		o := r.outcome(m)
		run := shuffle.Run{URL: o.Map.URL, Size: o.Map.Size, Checksum: o.Map.Checksum}
		open := func() error {
			opened, err := r.runs.Opener(r.runURL, r.o.Store).Open(t.Context(), run, 0, 0)
			if err != nil {
				return err
			}
			return opened.Body.Close()
		}
		r.script.publish(o)
		let(3 * time.Second)
		if o := r.outcome(red); o.Failure != nil || o.Parts[0].Rows != 20_000 {
			t.Fatalf("the reduce reports %+v, %+v", o, o.Failure)
		}
		if err := open(); err != nil {
			t.Errorf("before the part is selected: %v", err)
		}
		selects.Store(true)
		let(3 * time.Second)
		selects.Store(false)
		let(3 * time.Second)
		if err := open(); !errors.Is(err, shuffle.ErrNoRun) {
			t.Errorf("when the part is selected: error %v, want ErrNoRun", err)
		}
		r.stop()
	})
}
