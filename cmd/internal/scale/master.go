package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/etcdha/state"
	"github.com/millrace/millrace/master/wire"
)

// masterSample is what a master has used so far.
type masterSample struct {
	Address string
	CPU     time.Duration
	Heap    int64 // bytes in use after a collection, and what it was without a job
	RSS     int64
	Peak    int64         // of RSS
	Writes  int           // that etcd has carried, for the journal and for the term
	InUse   int64         // bytes of etcd's database
	File    int64         // of its file
	Log     int64         // of its write-ahead log's files
	Opened  time.Duration // etcd, at the start
}

// serveMaster is the child that is the master. It says its address, and then samples when it is asked to.
func serveMaster(ctx context.Context, o options, in io.Reader, out io.Writer) (err error) {
	files, err := manyFiles()
	if err != nil {
		return err
	}
	begun := time.Now()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})) // a term that is lost, say
	st, err := state.Open(ctx, state.Options{DataDir: o.Data, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	opened := time.Since(begun)
	profile, err := startProfile(o, masterChild)
	if err != nil {
		return err
	}
	m, err := master.New(master.Options{
		Store: newStore(o.Splits), Backend: st, Election: st, Log: log,
		Server: wire.ServerOptions{
			MaxConns: files, MaxConnsPerIP: files, MaxCalls: files,
			Report: func(i wire.Incident) { fmt.Fprintln(os.Stderr, "master:", i.Remote, i.Op, i.Err, string(i.Stack)) },
		},
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Run(ctx, l) })
	g.Go(func() error { return st.Run(ctx) })
	g.Go(func() error {
		defer cancel()
		words := map[string]func(string) (any, error){
			"sample":  func(string) (any, error) { return sampleMaster(o, st) },
			"profile": func(string) (any, error) { return true, profile() },
		}
		if err := say(out, masterSample{Address: l.Addr().String(), Opened: opened}); err != nil {
			return err
		}
		return obey(ctx, in, out, words)
	})
	return g.Wait()
}

func sampleMaster(o options, st *state.State) (s masterSample, err error) {
	if s.CPU, err = used(); err != nil { // before the collection, which is ours
		return s, err
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap = int64(m.HeapAlloc)
	s.RSS, s.Peak = memory()
	u := st.Usage()
	s.Writes, s.InUse, s.File = int(u.Writes), u.InUse, u.File
	s.Log, err = filesIn(filepath.Join(o.Data, "etcd", "member", "wal"))
	return s, err
}

// filesIn is how many bytes the files of a folder have.
func filesIn(folder string) (n int64, err error) {
	list, err := os.ReadDir(folder)
	for _, e := range list {
		if info, err := e.Info(); err == nil { // or it was removed just now
			n += info.Size()
		}
	}
	return n, err
}

// startProfile begins a CPU profile of a child, if one is wanted; what it returns ends that and writes one of the heap.
func startProfile(o options, child string) (end func() error, err error) {
	if o.Profile == "" {
		return func() error { return nil }, nil
	}
	name := filepath.Join(o.Profile, fmt.Sprintf("%s-%d", child, os.Getpid()))
	cpu, err := os.Create(name + ".cpu")
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(name + ".heap")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		runtime.GC()
		return errors.Join(pprof.WriteHeapProfile(heap), heap.Close(), cpu.Close())
	}, nil
}
