package millrace

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// stuckMaster has one job, whose commit was decided and does not end.
type stuckMaster struct {
	wire.Service
	cancels int
}

func (m *stuckMaster) Watch(ctx context.Context, args *wire.WatchArgs) (*wire.JobStatus, error) {
	select {
	case <-time.After(args.Wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return &wire.JobStatus{ID: args.Job, State: wire.Committing, Output: "s3://b/out", Version: args.Version + 1, Warnings: []string{"access denied"}}, nil
}

func (m *stuckMaster) Cancel(context.Context, *wire.CancelArgs) (*wire.CancelReply, error) {
	m.cancels++
	return &wire.CancelReply{State: wire.Committing}, nil
}

// Who interrupts a command whose job cannot be cancelled any more waits half a minute for its end, and is then told what holds it up
// and what became of the output.
func TestInterruptedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, pipe := &stuckMaster{}, wire.Pipe()
		sctx, end := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- wire.NewServer(m, wire.ServerOptions{}).Serve(sctx, pipe) }()
		c, err := wire.Dial(t.Context(), []string{pipe.Addr().String()}, wire.ClientOptions{Role: wire.RoleClient, Dial: pipe.Dial})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(ErrInterrupted) })
		begun, shown := time.Now(), 0
		s, err := Follow(ctx, c, "job1", true, func(*JobStatus) { shown++ })
		if took := time.Since(begun); took < time.Minute+endWithin || took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
		if !errors.Is(err, ErrInterrupted) || s == nil || m.cancels != 1 || shown == 0 {
			t.Errorf("got %+v, %v after %d cancels", s, err, m.cancels)
		}
		for _, text := range []string{"job1", "access denied", "s3://b/out", "--overwrite"} {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not in the error: %v", text, err)
			}
		}
		c.Close()
		end()
		<-served
	})
}
