package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/builtin"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/etcdha/state"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
)

// The jobs below do what no job that ships does. A cluster of processes carries them as this test's own binary, which is a master
// or a worker when its first argument says so (TestMain); under the race detector these processes are watched as well.

// registry is the jobs that a cluster of these tests knows.
func registry() (*program.Registry, error) {
	return program.NewRegistry(millrace.Version, append(builtin.All(), sidesJob(), longLines(), bothWays(), pacedJob())...)
}

// runProcess is a process of a cluster, with the flags of the millrace command. It ends with its standard input.
func runProcess(kind string, args []string) int {
	fs := pflag.NewFlagSet(kind, pflag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:0", "")
	data := fs.String("data-dir", "", "")
	lease := fs.Duration("lease", clusterLease, "")
	masters := fs.StringSlice("master", nil, "")
	slots := fs.Int("slots", 1, "")
	memory := fs.Int64("memory", clusterMemory, "")
	temp := fs.String("temp-dir", "", "")
	drain := fs.Duration("drain", 0, "")
	protocol := fs.Uint16("protocol", 0, "")
	fs.Bool("with-parent", true, "")
	err := fs.Parse(args)
	term, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
		stop()
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	reg, regErr := registry()
	if err = errors.Join(err, regErr); err == nil && kind == "master" {
		err = runMaster(term, reg, *listen, *data, *lease, log)
	} else if err == nil {
		err = runWorker(ctx, term, *masters, *protocol, worker.Options{
			Programs: reg, Store: backends.New(backends.Options{}), Slots: *slots, Memory: *memory, TempDir: *temp, Listen: *listen, Drain: *drain, Log: log,
		})
	}
	if err != nil && ctx.Err() == nil && term.Err() == nil {
		log.Error(err.Error())
		return 1
	}
	return 0
}

func runMaster(ctx context.Context, reg *program.Registry, listen, data string, lease time.Duration, log *slog.Logger) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	st, err := state.Open(ctx, state.Options{DataDir: data, Log: log})
	if err != nil {
		return err
	}
	m, err := master.New(master.Options{
		Store: backends.New(backends.Options{}), Backend: st, Election: st, Programs: reg, Log: log,
		Scheduler: sched.Options{Lease: lease}, Server: wire.ServerOptions{Cluster: st.Cluster()},
	})
	if err == nil {
		fmt.Println(l.Addr())
		err = m.Run(ctx, l)
	}
	return errors.Join(err, st.Close())
}

// runWorker drains the worker when term ends. protocol is the highest version that it speaks, 0 for the newest.
func runWorker(ctx, term context.Context, masters []string, protocol uint16, o worker.Options) error {
	defer runtime.KeepAlive(worker.LimitMemory(o.Memory))
	c, err := wire.Dial(ctx, masters, wire.ClientOptions{Role: wire.RoleWorker, RetryFor: clusterReady, Protocol: protocol})
	if err != nil {
		return err
	}
	defer c.Close()
	o.Master = c
	if err := withDisk(ctx, &o); err != nil {
		return err
	}
	w, err := worker.New(o)
	if err != nil {
		return err
	}
	defer context.AfterFunc(term, w.Drain)()
	return w.Run(ctx)
}

// tally is a row of the jobs below.
type tally struct {
	Word string
	N    int64
}

// sidesJob counts words, in total order. The maps put long words beside, the reduces those that are rare, and a third output has rows of both.
func sidesJob() *jobs.Job {
	return jobs.Define("sides", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		long, rare, both := jobs.Side[tally](t, "long"), jobs.Side[string](t, "rare"), jobs.Side[tally](t, "both")
		lines, words, once := t.Counter("lines"), t.Counter("words"), t.Counter("rare words")
		return jobs.MapReduce(func(l jobs.Line, emit func(string, int64)) error {
			lines.Add(1)
			for w := range strings.FieldsSeq(l.Text) {
				words.Add(1)
				emit(w, 1)
				if len(w) > 12 {
					long.Emit(tally{w, l.Offset})
					both.Emit(tally{w, -1})
				}
			}
			return nil
		}, func(w string, ns jobs.Values[int64], emit func(tally)) error {
			n := jobs.Total(ns)
			if n == 1 {
				once.Add(1)
				rare.Emit(w)
			}
			if n%1000 == 7 {
				both.Emit(tally{w, n})
			}
			emit(tally{w, n})
			return nil
		}, jobs.Combine(jobs.Sum[int64]), jobs.TotalOrder()), nil
	})
}

// longLines has no reduce function: it keeps the lines of 60 bytes and more, and puts the others' lengths beside.
func longLines() *jobs.Job {
	return jobs.Define("long-lines", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		short := jobs.Side[int64](t, "short")
		kept, others := t.Counter("kept"), t.Counter("others")
		return jobs.MapOnly(func(l jobs.Line, emit func(tally)) error {
			if len(l.Text) < 60 {
				others.Add(1)
				short.Emit(int64(len(l.Text)))
				return nil
			}
			kept.Add(1)
			emit(tally{l.Text, l.Offset})
			return nil
		}), nil
	})
}

// pacedJob counts lines at a pace that is no matter of processors: each line takes its map a fixed time, and each key
// its reduce.
func pacedJob() *jobs.Job {
	type pace struct {
		Map    int `param:"map" help:"milliseconds a line"`
		Reduce int `param:"reduce" help:"milliseconds a key"`
	}
	return jobs.Define("paced", func(_ *jobs.Task, p pace) (jobs.Code, error) {
		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
			spend(time.Duration(p.Map) * time.Millisecond)
			emit(line, 1)
			return nil
		}, func(line string, ns jobs.Values[int64], emit func(tally)) error {
			spend(time.Duration(p.Reduce) * time.Millisecond)
			emit(tally{line, jobs.Total(ns)})
			return nil
		}), nil
	})
}

// spend is work of a given length that takes no processor: it waits, but time in which the process was stopped does not count. One that
// runs a twentieth of the time needs twenty times as long.
func spend(work time.Duration) {
	const tick, stopped = 2 * time.Millisecond, 50 * time.Millisecond
	for work > 0 {
		begun := time.Now()
		<-time.After(min(tick, work))
		if took := time.Since(begun); took < stopped {
			work -= took
		}
	}
}

// bothWays is a chain whose last stage has two inputs: it counts words, and lines by their first word, and puts the two numbers of a
// word together.
func bothWays() *jobs.Job {
	sum := func(w string, ns jobs.Values[int64], emit func(tally)) error {
		emit(tally{w, jobs.Total(ns)})
		return nil
	}
	words := jobs.New("words", func(line string, emit func(string, int64)) error {
		for w := range strings.FieldsSeq(line) {
			emit(w, 1)
		}
		return nil
	}, sum, jobs.Combine(jobs.Sum[int64]))
	firsts := jobs.New("firsts", func(line string, emit func(string, int64)) error {
		for w := range strings.FieldsSeq(line) {
			emit(w, 1)
			break
		}
		return nil
	}, sum, jobs.Combine(jobs.Sum[int64]))
	type two struct {
		Word          string
		Times, Firsts int64
	}
	of := func(sign int64) func(tally, func(string, int64)) error {
		return func(r tally, emit func(string, int64)) error {
			emit(r.Word, sign*r.N)
			return nil
		}
	}
	together := jobs.Define("together", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		led := t.Counter("words that lead a line")
		return jobs.MapReduceFrom(jobs.Inputs(jobs.From("words", of(1), jobs.Table()), jobs.From("firsts", of(-1), jobs.Table())),
			func(w string, ns jobs.Values[int64], emit func(two)) error {
				row := two{Word: w}
				for n := range ns.All() {
					if n > 0 {
						row.Times += n
						continue
					}
					row.Firsts -= n
					led.Add(1)
				}
				emit(row)
				return nil
			}), nil
	})
	return jobs.DefineChain("both-ways", []*jobs.Job{words, firsts, together}, func(c *jobs.Chain, _ struct{}) error {
		w, f := c.Run(words, jobs.Stage{Reducers: 3}), c.Run(firsts, jobs.Stage{Reducers: 2})
		c.Finish(together, jobs.Stage{From: []*jobs.Done{w, f}, Reducers: 3})
		return nil
	})
}
