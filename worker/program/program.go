// Package program is how a job's code is brought to a worker. Behind jobs.Program all ways look the same to the engine. There are
// two: in process, jobs that are compiled into the binary; and commands of the submitter's (package command).
package program

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/worker/program/command"
)

// Registry is the jobs that a binary carries. One of them, command.Name, is every binary's.
type Registry struct {
	jobs    []*jobs.Job
	version string
}

// NewRegistry makes a registry of the jobs of a binary of that version. Two jobs of one name are an error.
func NewRegistry(version string, list ...*jobs.Job) (*Registry, error) {
	r := &Registry{jobs: slices.Clone(list), version: version}
	if !slices.Contains(list, command.Job()) { // it is among the jobs of another registry
		r.jobs = append(r.jobs, command.Job())
	}
	slices.SortFunc(r.jobs, func(a, b *jobs.Job) int { return strings.Compare(a.Name(), b.Name()) })
	for i := 1; i < len(r.jobs); i++ {
		if r.jobs[i].Name() == r.jobs[i-1].Name() {
			if r.jobs[i].Name() == command.Name {
				return nil, fmt.Errorf("a job is named %q, as the one that runs commands: give it another name", command.Name)
			}
			return nil, fmt.Errorf("two jobs are named %q: give each a name of its own", r.jobs[i].Name())
		}
	}
	return r, nil
}

// Jobs returns the jobs, by name.
func (r *Registry) Jobs() []*jobs.Job { return slices.Clone(r.jobs) }

// Job returns the job of that name, or the stage that "chain/stage" names, or an error that lists the names there are.
func (r *Registry) Job(name string) (*jobs.Job, error) {
	if chain, stage := jobs.SplitStage(name); stage != "" {
		return r.stage(chain, stage)
	}
	names := make([]string, len(r.jobs))
	for i, j := range r.jobs {
		if j.Name() == name {
			return j, nil
		}
		names[i] = j.Name()
	}
	return nil, fmt.Errorf("unknown job %q: this program carries %s", name, strings.Join(names, ", "))
}

func (r *Registry) stage(chain, name string) (*jobs.Job, error) {
	j, err := r.Job(chain)
	if err != nil {
		return nil, err
	}
	for _, s := range j.Stages() {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("job %s has no stage %q", chain, name)
}

// Advance returns the stage that a chain runs next: see jobs.Job.Advance.
func (r *Registry) Advance(spec plan.Spec, done []jobs.StageResult) (*jobs.StageSpec, error) {
	if err := r.mine(spec); err != nil {
		return nil, err
	}
	j, err := r.Job(spec.Job)
	if err != nil {
		return nil, err
	}
	return j.Advance(spec.Params, done)
}

// Stage states a stage of a chain as a job of its own.
func (r *Registry) Stage(chain plan.Spec, s *jobs.StageSpec) (plan.Spec, error) {
	name := chain.Job + "/" + s.Job
	j, err := r.Job(name)
	if err != nil {
		return plan.Spec{}, err
	}
	code, err := j.Bind(s.Params)
	if err != nil {
		return plan.Spec{}, err
	}
	return plan.Spec{Job: name, Params: s.Params, Program: r.Digest(name), Info: code.Info()}, nil
}

// Digest identifies the code of a job of this binary. A worker runs only tasks whose digest is its own, so that two
// versions of a job are never mixed. Of commands it is what they are promised: their code is none of the binary's.
func (r *Registry) Digest(job string) string {
	if job == command.Name {
		return command.Contract
	}
	return "builtin " + job + " " + r.version
}

// Load returns the code of a spec's job, bound to its parameters.
func (r *Registry) Load(spec plan.Spec) (jobs.Program, error) {
	if err := r.mine(spec); err != nil {
		return nil, err
	}
	j, err := r.Job(spec.Job)
	if err != nil {
		return nil, err
	}
	return j.Bind(spec.Params)
}

// mine says whether a spec is of this program's own version.
func (r *Registry) mine(spec plan.Spec) error {
	if want := r.Digest(spec.Job); spec.Program != want {
		return fmt.Errorf("job %s was submitted by another version of its program (%s, this one runs %s): use the same millrace on both sides", spec.Job, spec.Program, want)
	}
	return nil
}
