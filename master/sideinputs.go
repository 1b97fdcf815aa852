package master

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// pinSideInputs looks the side inputs of a job up: each must be one file, of no more than its bytes. What tasks read later is what
// was found here. Those of commands are the files that lie beside them.
func pinSideInputs(ctx context.Context, st *storage.Store, job string, files []jobs.SideFile) ([]plan.SideInput, error) {
	var pinned []plan.SideInput
	for _, f := range files {
		o, err := st.Stat(ctx, f.URL)
		if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadURL) {
			err = fmt.Errorf("%w: name one file or object that is there", err)
		}
		if err != nil && job == plan.Command {
			return nil, fmt.Errorf("--file %s: %w, and that workers see under this name, too: on a cluster of several machines an s3:// object", f.Name, err)
		}
		if err != nil {
			return nil, fmt.Errorf("parameter %s: side input: %w", f.Name, err)
		}
		if o.Size > f.Max && job == plan.Command {
			return nil, fmt.Errorf("--file %s: %s has %v, more than the %v that it may have, since each worker holds all of it", f.Name, o.URL, jobs.Size(o.Size), jobs.Size(f.Max))
		}
		if o.Size > f.Max {
			return nil, fmt.Errorf("parameter %s: side input %s: %v are more than the %v that it may have, since each worker holds all of it: "+
				"make it an input of its own, in a job that joins, or let the job's code allow more", f.Name, o.URL, jobs.Size(o.Size), jobs.Size(f.Max))
		}
		pinned = append(pinned, plan.SideInput{Name: f.Name, URL: o.URL, Size: o.Size, ETag: o.ETag})
	}
	return pinned, nil
}

// sameSideInputs compares side inputs as they are with what they were. The error names the first that has changed.
func sameSideInputs(now, was []plan.SideInput) error {
	for i, o := range was {
		if i >= len(now) || now[i].Name != o.Name || now[i].URL != o.URL {
			return fmt.Errorf("the job no longer reads the side input %s, %s: the program has changed since", o.Name, o.URL)
		}
		if n := now[i]; n.Size != o.Size || n.ETag != o.ETag {
			return fmt.Errorf("side input %s: %s has changed since: it has %d bytes and ETag %s, had %d and %s", o.Name, o.URL, n.Size, n.ETag, o.Size, o.ETag)
		}
	}
	if len(now) > len(was) {
		return fmt.Errorf("the job reads the side input %s, which it did not then: the program has changed since", now[len(was)].URL)
	}
	return nil
}

// chainSideInputs says whether what a stage found is what its chain was submitted with: all stages must read the same.
func chainSideInputs(stage, chain []plan.SideInput) error {
	for _, c := range chain {
		i := slices.IndexFunc(stage, func(s plan.SideInput) bool { return s.URL == c.URL })
		if i >= 0 && (stage[i].Size != c.Size || stage[i].ETag != c.ETag) {
			return fmt.Errorf("input changed during the job: side input %s is not what the chain began with: run it again when nothing writes to it", c.URL)
		}
	}
	return nil
}

// manifestSideInputs are side inputs as a manifest has them.
func manifestSideInputs(list []plan.SideInput) (out []manifest.SideInput) {
	for _, s := range list {
		out = append(out, manifest.SideInput{Name: s.Name, URL: s.URL, Size: s.Size, ETag: s.ETag})
	}
	return out
}
