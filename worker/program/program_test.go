package program_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/worker/program"
)

type row struct{ Line string }

func job(name string) *jobs.Job {
	return jobs.New(name, func(line string, emit func(string, int64)) error {
		emit(line, 1)
		return nil
	}, func(line string, _ jobs.Values[int64], emit func(row)) error {
		emit(row{line})
		return nil
	})
}

// A registry gives its jobs by name, whatever order they came in, with the one that runs commands, and does not share its list.
func TestJobs(t *testing.T) {
	r, err := program.NewRegistry("1", job("b"), job("c"), job("a"))
	if err != nil {
		t.Fatal(err)
	}
	names := func() (names []string) {
		for _, j := range r.Jobs() {
			names = append(names, j.Name())
		}
		return names
	}
	r.Jobs()[0] = nil
	if got := names(); !slices.Equal(got, []string{"a", "b", "c", "command"}) {
		t.Errorf("got %q", got)
	}
	if j, err := r.Job("b"); err != nil || j.Name() != "b" {
		t.Errorf("got %v, %v", j, err)
	}
	if _, err := r.Job("d"); err == nil || !strings.Contains(err.Error(), "a, b, c") {
		t.Errorf("an unknown job: %v", err)
	}
	if _, err := program.NewRegistry("1", job("a"), job("command")); err == nil || !strings.Contains(err.Error(), `a job is named "command"`) {
		t.Errorf("a job that is named as the one of commands: %v", err)
	}
	if _, err := program.NewRegistry("1", job("a"), job("b"), job("a")); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("two jobs of one name: %v", err)
	}
}

// Code is loaded for specs that this binary's own version made, with parameters that fit; all else is refused by name.
func TestLoad(t *testing.T) {
	r, err := program.NewRegistry("1", job("a"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := program.NewRegistry("2", job("a"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest("a") == other.Digest("a") || r.Digest("a") == r.Digest("b") {
		t.Error("two versions, or two jobs, have one digest")
	}
	if p, err := r.Load(plan.Spec{Job: "a", Program: r.Digest("a")}); err != nil || len(p.Info().Schema.Fields) != 1 {
		t.Errorf("got %v, %v", p, err)
	}
	for want, spec := range map[string]plan.Spec{
		"use the same millrace on both sides": {Job: "a", Program: other.Digest("a")},
		"unknown job":                         {Job: "b", Program: r.Digest("b")},
		"nope":                                {Job: "a", Program: r.Digest("a"), Params: map[string]string{"nope": "1"}},
	} {
		if _, err := r.Load(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// A registry runs a chain's code, states its stages as jobs of their own, and finds their code by "chain/stage".
func TestChain(t *testing.T) {
	stage := job("stage")
	chain := jobs.DefineChain("chain", []*jobs.Job{stage}, func(c *jobs.Chain, _ struct{}) error {
		c.Finish(stage, jobs.Stage{Reducers: 3})
		return nil
	})
	r, err := program.NewRegistry("1", chain, job("a"))
	if err != nil {
		t.Fatal(err)
	}
	spec := plan.Spec{Job: "chain", Program: r.Digest("chain"), Chain: true}
	next, err := r.Advance(spec, nil)
	if err != nil || next.Job != "stage" || !next.Last {
		t.Fatalf("got %+v, %v", next, err)
	}
	s, err := r.Stage(spec, next)
	if err != nil || s.Job != "chain/stage" || len(s.Info.Inputs) != 1 {
		t.Fatalf("got %+v, %v", s, err)
	}
	if p, err := r.Load(s); err != nil || len(p.Info().Schema.Fields) != 1 {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := r.Job("chain/other"); err == nil || !strings.Contains(err.Error(), `no stage "other"`) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Job("nope/stage"); err == nil || !strings.Contains(err.Error(), "unknown job") {
		t.Errorf("got %v", err)
	}
	spec.Program = "another"
	if _, err := r.Advance(spec, nil); err == nil || !strings.Contains(err.Error(), "use the same millrace on both sides") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Advance(plan.Spec{Job: "a", Program: r.Digest("a")}, nil); err == nil || !strings.Contains(err.Error(), "it is no chain") {
		t.Errorf("got %v", err)
	}
}

// The job of commands is the same in binaries of all versions and all programs, since its code is none of theirs: a spec of one is run by
// another, unless what commands are promised differs.
func TestCommand(t *testing.T) {
	one, err := program.NewRegistry("1", job("a"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := program.NewRegistry("2")
	if err != nil {
		t.Fatal(err)
	}
	spec := plan.Spec{Job: plan.Command, Program: one.Digest(plan.Command), Params: map[string]string{"mapper": "cat", "columns": "line:string"}}
	code, err := other.Load(spec)
	if err != nil || !code.Info().MapOnly || code.Info().Schema.Fields[0].Name != "line" {
		t.Errorf("got %v, %v", code, err)
	}
	spec.Program = "command 0"
	if _, err := other.Load(spec); err == nil || !strings.Contains(err.Error(), "command 0, this one runs command 1") {
		t.Errorf("another contract: %v", err)
	}
	if again, err := program.NewRegistry("3", one.Jobs()...); err != nil || len(again.Jobs()) != 2 {
		t.Errorf("a registry of another's jobs: %v", err)
	}
	if j, err := one.Job(plan.Command); err != nil || j.Doc() == "" || len(j.Params()) != 5 {
		t.Errorf("got %v, %v", j, err)
	}
}
