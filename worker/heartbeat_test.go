package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// With nothing to say a worker polls as often as it likes, less often when the master asks for that, and never less often than
// it may; it goes back to its own pace as soon as the master no longer asks.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		told := []time.Duration{0, 4 * time.Second, 300 * time.Millisecond, time.Hour, -time.Hour, 0}
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if i := int(args.Seq) - 1; i < len(told) {
				time.Sleep(args.Wait)
				return &wire.PollReply{Heartbeat: told[i]}, nil
			}
			return nil, nil
		})
		r.start()
		let(time.Minute)
		for i, want := range []time.Duration{r.o.Poll, r.o.Poll, 4 * time.Second, r.o.Poll, maxHeartbeat, r.o.Poll, r.o.Poll} {
			if got := r.script.polls[i].Wait; got != want {
				t.Errorf("poll %d waits for %v, want %v", i+1, got, want)
			}
		}
		r.stop()
	})
}
