package millrace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
)

// ErrDiffers is a replayed task whose result is not the one that the job had.
var ErrDiffers = errors.New("the task gives another result than it gave then: its functions depend on more than their input, or the program has changed since")

// TaskSource tells what running a task of a job again takes, for `replay`. ok is false if name is not for it to know.
type TaskSource func(ctx context.Context, name, task string) (_ *wire.TaskReply, ok bool, err error)

// replayed is a task to run again, and what it gave before.
type replayed struct {
	job    wire.JobID
	spec   plan.Spec
	listed []plan.Object
	count  int
	digest string
	was    *wire.TaskReply          // from a master
	parts  map[string]manifest.Part // from an output, by the names in it
}

// ReplayCommand is the command replay over the jobs of reg. masters, unless nil, is asked for what is no output; flags
// defines its flags.
func ReplayCommand(name string, reg *program.Registry, masters TaskSource, flags func(*cobra.Command)) *cobra.Command {
	var o Options
	what, use := "a finished output", "replay OUTPUT TASK"
	examplesOf := []string{"replay /tmp/words map-00003", "replay s3://out/words reduce-00001 -o /tmp/again"}
	if masters != nil {
		what, use = "a job of a cluster, running or ended, or a finished output", "replay ID|OUTPUT TASK"
		examplesOf = append(examplesOf, "replay 0f843ea0 map-00003 --master 127.0.0.1:7800")
	}
	c := &cobra.Command{
		Use:   use,
		Short: "Run one task of a job again, here in this process",
		Long: "Run one task of " + what + " again, in this process, with the same input, parameters and code, and compare the result. TASK is its name as " +
			"logs print it: map-00003, reduce-00001. An input that has changed since is an error.\n\n" +
			"A map task leaves its run in the folder -o, a reduce task its part. For a reduce task all map tasks run again first, and keep only the pairs " +
			"of its partition. A task that fails fails here as it did there, with its stack.\n\n" +
			"Under a debugger, with one task at a time:\n  dlv exec $(which " + name + ") -- replay OUTPUT TASK --slots 1\n" +
			"and there, for example, break at the map function of your package before continue. Build with -gcflags='all=-N -l' to see all variables.",
		Example: examples(name, examplesOf...),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return Usage(fmt.Errorf("%s: no task: write %s", c.CommandPath(), c.UseLine()))
			}
			return Arguments(2, "task")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.Store = backends.New(backends.Options{})
			r, err := findReplay(c.Context(), o.Store, masters, args[0], args[1])
			if err != nil {
				return err
			}
			return r.run(c.Context(), reg, o, args[1])
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	if flags != nil {
		flags(c)
	}
	fs.StringVarP(&o.Output, "output", "o", "", "folder for the run or part (default: a new one among the temporary files)")
	fs.Var(AtLeast{&o.Slots, 1}, "slots", "map tasks at a time, for a reduce task (default: the CPUs)")
	SizeFlag(fs, &o.Memory, "memory", "memory for buffers (default: half of what there is)")
	fs.StringVar(&o.TempDir, "temp-dir", "", "folder for runs and spills (default: the system's)")
	return c
}

// findReplay asks the masters or reads the output's manifest.
func findReplay(ctx context.Context, st *storage.Store, masters TaskSource, name, task string) (*replayed, error) {
	if masters != nil {
		if t, ok, err := masters(ctx, name, task); ok || err != nil {
			if err != nil {
				return nil, err
			}
			r := &replayed{job: t.Job, spec: t.Spec, listed: t.Listed, count: t.Objects, digest: t.Digest, was: t}
			r.consult(ctx, st)
			return r, nil
		}
	}
	if _, err := storage.ParseURL(name); err != nil {
		return nil, Usage(fmt.Errorf("output: %w", err))
	}
	out, err := output.Open(ctx, st, name)
	if err != nil {
		return nil, err
	}
	m := out.Manifest
	spec, listed, err := master.SpecOf(m)
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", out.URL, err)
	}
	return &replayed{job: wire.JobID(m.ID), spec: spec, listed: listed, count: m.Inputs.Objects, digest: m.Inputs.Digest, parts: partsOf(m)}, nil
}

// consult takes what the manifest of a committed job tells beyond its master, if it is there still.
func (r *replayed) consult(ctx context.Context, st *storage.Store) {
	if r.was.State != wire.Done {
		return
	}
	out, err := output.Open(ctx, st, r.spec.Output)
	if err != nil || out.Manifest.ID != string(r.job) {
		return // it was removed or replaced: what the master tells will do
	}
	if _, listed, err := master.SpecOf(out.Manifest); err == nil {
		r.listed, r.parts = listed, partsOf(out.Manifest)
	}
}

// run runs the task and says what came of it.
func (r *replayed) run(ctx context.Context, reg *program.Registry, o Options, name string) error {
	code, err := reg.Load(r.spec)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	r.spec.Info = code.Info()
	p, err := master.Replan(ctx, o.Store, r.spec, r.listed, r.count, r.digest)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	task, err := master.TaskOf(p, name)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	task.Job = r.job
	made := ""
	if o.Output == "" {
		if made, err = os.MkdirTemp("", "millrace-replay-"); err != nil {
			return fmt.Errorf("replay: make a folder: %w", err)
		}
		o.Output = made
	}
	folder, err := storage.ParseURL(o.Output)
	if err != nil {
		return Usage(fmt.Errorf("--output: %w", err))
	}
	o.fill()
	defer runtime.KeepAlive(worker.LimitMemory(o.Memory))
	begun := time.Now()
	engine := worker.Options{Programs: reg, Allow: plan.AllowAll(), Store: o.Store, Slots: o.Slots, Memory: o.Memory, TempDir: o.TempDir}
	out, err := worker.Replay(ctx, engine, p, task, strings.TrimRight(folder.String(), "/"))
	if err != nil {
		if made != "" { // nothing lies there
			err = errors.Join(err, os.RemoveAll(made))
		}
		return fmt.Errorf("replay %w", err)
	}
	view := console.Replayed{Job: r.spec.Job, ID: r.job, Task: task, Outcome: out, Maps: p.Maps, Took: time.Since(begun), Verdicts: r.verdicts(out)}
	if task.Phase == wire.Map {
		view.Pieces = p.Split(task.Index).Pieces
	}
	if err := console.Replay(os.Stdout, view); err != nil {
		return err
	}
	if !view.Same() {
		return fmt.Errorf("replay %s: %w", name, ErrDiffers)
	}
	return nil
}

// partsOf are the parts of a manifest and of its side outputs.
func partsOf(m *manifest.Manifest) map[string]manifest.Part {
	out := map[string]manifest.Part{}
	for _, p := range m.Parts {
		out[p.Name] = p
	}
	for _, o := range m.Outputs {
		for _, p := range o.Parts {
			out[p.Name] = p
		}
	}
	return out
}

// verdicts compare a result with the one before.
func (r *replayed) verdicts(out *wire.Outcome) map[string]console.Verdict {
	v := map[string]console.Verdict{}
	if out.Map != nil && r.was != nil && r.was.Checksum != 0 {
		v[""] = console.Verdict{Known: true, Same: out.Map.Checksum == r.was.Checksum, Of: "the run that the master selected", Was: fmt.Sprintf("%016x", r.was.Checksum)}
	}
	compare := func(p wire.Part, of string, size int64, crc uint32) {
		same := p.Pending.Size == size && p.Pending.CRC32C == crc
		v[p.Name] = console.Verdict{Known: true, Same: same, Of: of, Was: fmt.Sprintf("%08x of %d bytes", crc, size)}
	}
	for _, p := range out.Parts {
		if was, ok := r.parts[p.Name]; ok {
			compare(p, "the part in the manifest", was.Bytes, was.CRC32C)
			continue
		}
		if r.was == nil {
			continue
		}
		for _, was := range r.was.Parts {
			if was.Name == p.Name {
				compare(p, "the part that the master selected", was.Pending.Size, was.Pending.CRC32C)
			}
		}
	}
	return v
}
