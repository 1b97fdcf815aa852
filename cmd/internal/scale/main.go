// Command scale measures what a master costs under load: a real one, in a process of its own, with a thousand simulated
// workers that talk to it over real connections and end their tasks at once, and a job of a million of them. It prints the
// master's CPU and memory for each task, what its etcd takes, how long workers wait for tasks, how long the next master
// takes to load the state, and whether all this is linear; and it says which of the targets are met. With --idle it measures
// connected workers that have nothing to do. `make bench-scale` runs it.
//
// It starts itself as the master and as the workers, which it talks to in lines of JSON (child.go). It knows the master by
// its options and its wire only; what is simulated is the input, of which only the listing is real (pretend.go), and the work
// (worker.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/jobs"
)

func main() {
	o := defaults()
	o.define(pflag.CommandLine)
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := o.run(ctx, pflag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// options says what is measured.
type options struct {
	Tasks    []int // map tasks of each job, one job after the other
	Reducers int
	Workers  int
	Slots    int           // of each worker
	Splits   int           // splits of each input object
	Rate     int           // assignments a second while latency is measured at a rate that can be kept up; 0: not measured
	Paced    time.Duration // for how long
	Idle     int           // workers without work; 0: not measured
	IdleFor  time.Duration
	Readers  int // of the reduce tasks, how many read the whole run log; -1: all
	Strict   bool
	Profile  string // folder for CPU and heap profiles of the masters and the workers
	Data     string // folder of a master
	Dir      string // of everything, in children
}

func defaults() options {
	return options{
		Tasks: []int{10_000, 100_000, 1_000_000}, Reducers: 1000, Workers: 1000, Slots: 8, Splits: 100,
		Rate: 5000, Paced: 10 * time.Second, Idle: 10_000, IdleFor: 20 * time.Second, Readers: -1,
	}
}

func (o *options) define(fs *pflag.FlagSet) {
	fs.IntSliceVar(&o.Tasks, "tasks", o.Tasks, "map tasks of each job, over which the curve is drawn; 0 leaves jobs out")
	fs.IntVar(&o.Reducers, "reducers", o.Reducers, "reduce tasks of each job")
	fs.IntVar(&o.Workers, "workers", o.Workers, "simulated workers")
	fs.IntVar(&o.Slots, "slots", o.Slots, "slots of each worker")
	fs.IntVar(&o.Splits, "splits", o.Splits, "splits of each input object")
	fs.IntVar(&o.Rate, "rate", o.Rate, "assignments a second at which waiting is measured beside full load; 0 leaves it out")
	fs.DurationVar(&o.Paced, "paced", o.Paced, "for how long that is")
	fs.IntVar(&o.Idle, "idle", o.Idle, "connected workers without work; 0 leaves them out")
	fs.DurationVar(&o.IdleFor, "idle-for", o.IdleFor, "for how long they are measured")
	fs.IntVar(&o.Readers, "readers", o.Readers, "how many reduce tasks read the whole run log; -1: all of them")
	fs.BoolVar(&o.Strict, "strict", false, "fail when a target is missed")
	fs.StringVar(&o.Profile, "profile", "", "folder for CPU and heap profiles of the masters and the workers")
	fs.StringVar(&o.Dir, "dir", "", "of a child: where everything lies")
	fs.StringVar(&o.Data, "data", "", "of a master: its data directory")
	for _, name := range []string{"dir", "data"} {
		_ = fs.MarkHidden(name) // fails only for an unknown name
	}
}

// Children are this program again, under these names.
const (
	masterChild  = "master"
	workersChild = "workers"
)

func (o options) run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return measureAll(ctx, o, os.Stdout)
	case len(args) == 1 && args[0] == masterChild:
		return serveMaster(ctx, o, os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == workersChild:
		return serveWorkers(ctx, o, args[1], os.Stdin, os.Stdout)
	}
	return errors.New("no arguments are taken: see --help")
}

// info is what the job's program would say of itself.
func info() jobs.Info { return jobs.Info{Inputs: make([]jobs.Input, 1)} }
