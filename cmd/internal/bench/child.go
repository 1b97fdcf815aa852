package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"
)

// endDelay is how long a child may take to cancel its job before it is killed.
const endDelay = 20 * time.Second

// sample is one run of a child.
type sample struct {
	wall, cpu      time.Duration
	mapped, reduce time.Duration // from the start to the end of the phase
	rss            int64
	bytes          int64 // that the job says it read
}

// run runs a child to its end. When ctx ends the child is interrupted, so that it cancels its job.
func run(ctx context.Context, binary string, args []string) (sample, error) {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endDelay
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return sample{}, err
	}
	forgetPeak()
	var s sample
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	last := s.watch(stderr, begun)
	err = cmd.Wait()
	s.wall = time.Since(begun)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w: %s", strings.Join(args[:2], " "), err, last)
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	s.rss = peakRSS(cmd.ProcessState)
	var summary struct {
		State string
		Bytes int64
	}
	if err := json.Unmarshal(stdout.Bytes(), &summary); err != nil || summary.State != "committed" {
		return sample{}, fmt.Errorf("%s: the job ended as %q, %w", strings.Join(args[:2], " "), summary.State, err)
	}
	s.bytes = summary.Bytes
	return s, nil
}

// forgetPeak makes this process small and has Linux forget how large it was: a child's largest memory begins with that of
// the process that started it. Where it fails, a child's memory is stated too high.
func forgetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// watch reads a child's messages to their end, of which the last line is returned, and notes when it says that a phase is
// done. It learns of that by looking some 20 times a second.
func (s *sample) watch(stderr io.Reader, begun time.Time) (last string) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		last = lines.Text()
		switch {
		case strings.HasPrefix(last, "map done:"):
			s.mapped = time.Since(begun)
		case strings.HasPrefix(last, "reduce done:"):
			s.reduce = time.Since(begun)
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // a line too long for the scanner must not block the child
	return last
}

// result states a run in numbers for people. A phase whose end was not seen ended with the next one.
func (s sample) result(job, input string, size int64, runs int, readMBps float64) *Result {
	r := &Result{
		Job: job, Input: input, Bytes: size, Runs: runs,
		Seconds: s.wall.Seconds(), CPU: s.cpu.Seconds(), PeakRSS: s.rss,
		MBps: rate(size, s.wall), PerCPU: rate(size, s.cpu),
	}
	reduce := s.reduce
	if reduce == 0 {
		reduce = s.wall
	}
	mapped := s.mapped
	if mapped == 0 {
		mapped = reduce
	}
	wall := s.wall.Seconds()
	r.Shares = Shares{Map: mapped.Seconds() / wall, Reduce: (reduce - mapped).Seconds() / wall, Commit: (s.wall - reduce).Seconds() / wall}
	r.OfRead = r.MBps / readMBps
	return r
}
