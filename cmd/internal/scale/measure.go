package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
)

// figures are what one job of so many tasks cost.
type figures struct {
	Tasks    int
	Planned  time.Duration // the call of Submit
	Mapped   time.Duration // from there to the last map
	CPU      time.Duration // of the master until then
	Workers  time.Duration // CPU of the simulated workers until then
	Reduced  time.Duration // CPU of the master for the reduces and the commit
	Heap     int64         // more than without the job, all maps done
	Peak     int64         // of RSS, in all
	Writes   int           // of etcd until all maps were done
	Bytes    int64         // in use of its database, more than without the job
	File     int64         // of the database, in all
	Log      int64         // of the write-ahead log, in all
	Full     workersSample // assignments at full load
	Paced    workersSample // and at a rate that can be kept up
	Load     time.Duration // of the state, by the next master
	LoadCPU  time.Duration
	Opened   time.Duration // of that, the start of etcd
	RunReads int64         // events of run logs that were read
}

// idleFigures are what connected workers without work cost.
type idleFigures struct {
	Workers int
	CPU     float64 // cores
	Polls   float64 // a second
	RSS     int64
}

func (f figures) tasks() float64 { return float64(f.Tasks) }

// perSecond is a count's rate while the maps ran.
func (f figures) perSecond(n int) float64 { return float64(n) / f.Mapped.Seconds() }

// measureAll measures what the options ask for and prints it.
func measureAll(ctx context.Context, o options, out io.Writer) error {
	r, err := measure(ctx, o)
	if err != nil {
		return err
	}
	if err := r.print(out); err != nil {
		return err
	}
	if missed := r.missed(); o.Strict && len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, ", "))
	}
	return nil
}

func measure(ctx context.Context, o options) (_ *report, err error) {
	if o.Dir, err = os.MkdirTemp("", "millrace-scale-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	r := &report{o: o}
	for _, n := range slices.DeleteFunc(slices.Clone(o.Tasks), func(n int) bool { return n <= 0 }) {
		f, err := measureJob(ctx, o, n)
		if err != nil {
			return nil, fmt.Errorf("%d tasks: %w", n, err)
		}
		r.jobs = append(r.jobs, *f)
	}
	if o.Idle > 0 {
		if r.idle, err = measureIdle(ctx, o); err != nil {
			return nil, fmt.Errorf("%d idle workers: %w", o.Idle, err)
		}
	}
	return r, nil
}

// bed is a master and workers that are measured.
type bed struct {
	o       options
	data    string
	master  *child
	workers *child
	c       *wire.Client
	last    masterSample
}

func (o options) args(name string) []string {
	return []string{
		name, "--dir", o.Dir, "--reducers", strconv.Itoa(o.Reducers), "--workers", strconv.Itoa(o.Workers), "--slots", strconv.Itoa(o.Slots),
		"--splits", strconv.Itoa(o.Splits), "--rate", strconv.Itoa(o.Rate), "--readers", strconv.Itoa(o.Readers), "--profile", o.Profile,
	}
}

// open starts a master and its workers.
func open(ctx context.Context, o options, name string) (b *bed, err error) {
	b = &bed{o: o, data: filepath.Join(o.Dir, name)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.kill())
		}
	}()
	if err := b.lead(ctx); err != nil {
		return b, err
	}
	var ready bool
	if b.workers, err = start(ctx, "workers", &ready, slices.Insert(o.args(workersChild), 1, b.last.Address)...); err != nil {
		return b, err
	}
	return b, nil
}

// lead starts a master on the data directory, and connects to it.
func (b *bed) lead(ctx context.Context) (err error) {
	args := append(b.o.args(masterChild), "--data", b.data)
	if b.master, err = start(ctx, "master", &b.last, args...); err != nil {
		return err
	}
	b.c, err = wire.Dial(ctx, []string{b.last.Address}, wire.ClientOptions{Role: wire.RoleClient, RetryFor: time.Minute})
	return err
}

func (b *bed) sample() (masterSample, error) {
	var s masterSample
	return s, b.master.ask("sample", &s)
}

// kill ends whatever runs.
func (b *bed) kill() error {
	var errs []error
	if b.c != nil {
		errs = append(errs, b.c.Close())
	}
	for _, c := range []*child{b.workers, b.master} {
		if c != nil {
			errs = append(errs, c.kill())
		}
	}
	return errors.Join(errs...)
}

// measureJob measures one job: its maps at full load, then a change of masters, then its reduces and its commit.
func measureJob(ctx context.Context, o options, tasks int) (_ *figures, err error) {
	b, err := open(ctx, o, fmt.Sprint("job-", tasks))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.kill()) }()
	f := &figures{Tasks: tasks}
	if o.Rate > 0 {
		if err := b.paced(ctx, f); err != nil {
			return nil, err
		}
	}
	job, err := b.maps(ctx, f, tasks)
	if err != nil {
		return nil, err
	}
	if err := b.change(ctx, f, job); err != nil {
		return nil, err
	}
	return f, b.reduces(ctx, f, job)
}

// paced measures how long workers wait for tasks that take so long that all of them together ask for o.Rate a second.
func (b *bed) paced(ctx context.Context, f *figures) error {
	var yes bool
	if err := b.workers.ask("paced", &yes); err != nil {
		return err
	}
	job, err := b.submit(ctx, int(float64(b.o.Rate)*b.o.Paced.Seconds()), "paced")
	if err == nil {
		_, err = b.await(ctx, job, mapped)
	}
	if err == nil {
		err = b.workers.ask("sample", &f.Paced)
	}
	if err == nil {
		_, err = b.c.Cancel(ctx, &wire.CancelArgs{Job: job})
	}
	if err == nil {
		_, err = b.await(ctx, job, over)
	}
	if err == nil {
		err = b.workers.ask("full", &yes)
	}
	return err
}

// maps runs the maps of a job at full load.
func (b *bed) maps(ctx context.Context, f *figures, tasks int) (wire.JobID, error) {
	before, err := b.sample()
	if err != nil {
		return "", err
	}
	var seen workersSample
	if err := b.workers.ask("sample", &seen); err != nil {
		return "", err
	}
	begun := time.Now()
	job, err := b.submit(ctx, tasks, "full")
	if err != nil {
		return "", err
	}
	f.Planned = time.Since(begun)
	begun = time.Now()
	if _, err := b.await(ctx, job, mapped); err != nil {
		return "", err
	}
	f.Mapped = time.Since(begun)
	after, err := b.sample()
	if err == nil {
		err = b.workers.ask("sample", &f.Full)
	}
	f.CPU, f.Workers, f.Heap = after.CPU-before.CPU, f.Full.CPU-seen.CPU, after.Heap-before.Heap
	f.Peak, f.Writes, f.Bytes = after.Peak, after.Writes-before.Writes, after.InUse-before.InUse
	f.File, f.Log = after.File, after.Log
	if err == nil {
		err = b.profile(b.master, b.workers)
	}
	return job, err
}

// profile ends the profiles of children, if there are any.
func (b *bed) profile(children ...*child) error {
	for _, c := range children {
		if b.o.Profile == "" {
			break
		}
		if err := c.ask("profile", new(bool)); err != nil {
			return err
		}
	}
	return nil
}

// change kills the master and starts the next one.
func (b *bed) change(ctx context.Context, f *figures, job wire.JobID) error {
	if err := b.c.Close(); err != nil {
		return err
	}
	if err := b.master.kill(); err != nil {
		return err
	}
	begun := time.Now()
	if err := b.lead(ctx); err != nil {
		return err
	}
	f.Opened = b.last.Opened
	s, err := persist(ctx, func() (*wire.JobStatus, error) { return b.c.Watch(ctx, &wire.WatchArgs{Job: job}) })
	if err != nil {
		return err
	}
	f.Load = time.Since(begun)
	if s.Map.Done != f.Tasks {
		return fmt.Errorf("the next master knows of %d finished maps of %d", s.Map.Done, f.Tasks)
	}
	next, err := b.sample()
	if err == nil {
		err = b.profile(b.master)
	}
	if err == nil {
		err = b.workers.ask("to "+b.last.Address, new(bool))
	}
	f.LoadCPU = next.CPU
	return err
}

// reduces lets the job come to its end.
func (b *bed) reduces(ctx context.Context, f *figures, job wire.JobID) error {
	before, err := b.sample()
	if err != nil {
		return err
	}
	var yes bool
	if err := b.workers.ask("release", &yes); err != nil {
		return err
	}
	s, err := b.await(ctx, job, over)
	if err != nil {
		return err
	}
	if s.State != wire.Done || s.NumParts != b.o.Reducers {
		return fmt.Errorf("the job ended as %v with %d parts: %s", s.State, s.NumParts, s.Error)
	}
	after, err := b.sample()
	f.Reduced = after.CPU - before.CPU
	if err == nil {
		var seen workersSample
		err = b.workers.ask("sample", &seen)
		f.RunReads = seen.Events
	}
	return err
}

func mapped(s *wire.JobStatus) bool { return s.Map.Done == s.Map.Tasks }

func over(s *wire.JobStatus) bool { return !s.Ended.IsZero() }

// submit submits a job of so many maps.
func (b *bed) submit(ctx context.Context, tasks int, name string) (wire.JobID, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	job := wire.JobID(hex.EncodeToString(id[:]))
	spec := plan.Spec{
		Job: "scale", Info: info(), Inputs: []string{fmt.Sprintf("pretend://%d/in/", tasks)}, Output: filepath.Join(b.o.Dir, fmt.Sprint(name, "-", tasks)),
		Reducers: b.o.Reducers, SplitSize: splitBytes,
	}
	_, err := persist(ctx, func() (*wire.SubmitReply, error) { return b.c.Submit(ctx, &wire.SubmitArgs{Job: job, Spec: spec}) })
	return job, err
}

// await watches a job as a waiting client does, until it is so.
func (b *bed) await(ctx context.Context, job wire.JobID, so func(*wire.JobStatus) bool) (*wire.JobStatus, error) {
	args := &wire.WatchArgs{Job: job, Wait: 100 * time.Millisecond, Pause: 50 * time.Millisecond}
	for {
		select {
		case <-b.workers.gone:
			return nil, fmt.Errorf("the workers are gone: %w", b.workers.err)
		default:
		}
		s, err := persist(ctx, func() (*wire.JobStatus, error) { return b.c.Watch(ctx, args) })
		if err != nil {
			return nil, err
		}
		if so(s) {
			return s, nil
		}
		if !s.Ended.IsZero() {
			return nil, fmt.Errorf("the job ended as %v: %s", s.State, s.Error)
		}
		args.Version = s.Version
	}
}

// measureIdle measures connected workers that have nothing to do.
func measureIdle(ctx context.Context, o options) (_ idleFigures, err error) {
	o.Workers = o.Idle
	b, err := open(ctx, o, "idle")
	if err != nil {
		return idleFigures{}, err
	}
	defer func() { err = errors.Join(err, b.kill()) }()
	f := idleFigures{Workers: o.Idle}
	var seen workersSample
	before, err := b.sample()
	if err == nil {
		err = b.workers.ask("sample", &seen)
	}
	if err != nil {
		return f, err
	}
	begun := time.Now()
	select {
	case <-time.After(o.IdleFor):
	case <-ctx.Done():
		return f, ctx.Err()
	}
	after, err := b.sample()
	if err == nil {
		err = b.workers.ask("sample", &seen)
	}
	took := time.Since(begun)
	f.CPU, f.Polls, f.RSS = (after.CPU-before.CPU).Seconds()/took.Seconds(), float64(seen.Polls)/took.Seconds(), after.RSS
	return f, err
}

// quantile is a value of a list, which it sorts.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
}
