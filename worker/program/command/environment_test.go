package command

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// environmentOf runs env as a command, and returns what it shows.
func environmentOf(t *testing.T, run func(p *Program, task *jobs.Task) error, p Params) map[string]string {
	t.Helper()
	task, rows := taskIn(t.TempDir()), &rowSink{}
	task.Sinks.Rows = rows
	p.Columns = "line:string"
	if err := run(program(t, p), task); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, line := range rows.text {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	return got
}

// A command's environment has what it needs and what Hadoop's scripts read, the same on each machine, and nothing else of the worker's:
// no credentials.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "MILLRACE_MASTER", "GOOGLE_APPLICATION_CREDENTIALS", "LC_ALL", "SECRET", "PYTHONPATH"} {
		t.Setenv(name, "secret")
	}
	t.Setenv("LANG", "tr_TR")
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("HOME", "/nowhere")
	mapping := func(p *Program, task *jobs.Task) error {
		in := &blocks{list: []jobs.Block{{URL: "s3://b/in put", Offset: 12, Data: []byte("a\n")}}}
		return p.Map(t.Context(), task, in, nil)
	}
	got := environmentOf(t, mapping, Params{Mapper: "env | sort"})
	shells := []string{"PWD", "OLDPWD", "SHLVL", "_"}
	want := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": "/nowhere", "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0",
		"mapreduce_task_ismap": "true", "mapred_task_is_map": "true", "mapreduce_task_partition": "7", "mapred_task_partition": "7",
		"mapreduce_job_reduces": "0", "mapred_reduce_tasks": "0",
		"mapreduce_map_input_file": "s3://b/in put", "map_input_file": "s3://b/in put", "mapreduce_map_input_start": "12", "map_input_start": "12",
		"stream_map_output_field_separator": "\t", "stream_map_input_field_separator": "\t", "stream_num_map_output_key_fields": "1",
		"stream_reduce_output_field_separator": "\t", "stream_reduce_input_field_separator": "\t",
	}
	if got["TMPDIR"] == "" || got["TMPDIR"] != got["PWD"] {
		t.Errorf("TMPDIR is %q, the folder %q", got["TMPDIR"], got["PWD"])
	}
	delete(got, "TMPDIR")
	for _, name := range shells {
		delete(got, name)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the environment is\n%q\nwant\n%q", got, want)
	}
	reducing := func(p *Program, task *jobs.Task) error {
		return p.Reduce(t.Context(), task, &pairSource{}, task.Sinks.Rows)
	}
	got = environmentOf(t, reducing, Params{Mapper: "cat", Reducer: "env"})
	if got["mapreduce_task_ismap"] != "false" || got["mapreduce_job_reduces"] != "2" || got["map_input_file"] != "" {
		t.Errorf("the reducer's environment is %q", got)
	}
}

// Where lines read from amid a compressed object begin, nobody knows.
func TestInputStartUnknown(t *testing.T) {
	t.Parallel()
	p := program(t, Params{Mapper: `echo "$map_input_file,$map_input_start"`})
	task, rows := taskIn(t.TempDir()), &rowSink{}
	task.Sinks.Rows = rows
	if err := p.Map(t.Context(), task, &blocks{list: []jobs.Block{{URL: "mem://x", Offset: 5, From: 100, Data: []byte("a\n")}}}, nil); err != nil {
		t.Fatal(err)
	}
	if len(rows.text) != 1 || rows.text[0] != "mem://x," {
		t.Errorf("got %q", rows.text)
	}
}

// The files lie beside each command, under their names, can be executed and not changed; each run has a folder of its own, where nothing
// of the one before is.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	task, rows := taskIn(dir), &rowSink{}
	task.Sinks.Rows = rows
	task.Side = jobs.NewSideData([]byte("#!/bin/sh\n. ./lib.sh\nhello\n"), []byte("hello() { ls | tr '\\n' ' '; echo; touch left; }\n"))
	p := program(t, Params{Mapper: "./run", Columns: "line:string", Files: "s3://b/run.sh#run,/x/lib.sh"})
	in := &blocks{list: []jobs.Block{{URL: "mem://1", Data: []byte("a\n")}, {URL: "mem://2", Data: []byte("b\n")}}}
	if err := p.Map(t.Context(), task, in, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"lib.sh run ", "lib.sh run "}; !slices.Equal(rows.text, want) {
		t.Errorf("got %q, want %q", rows.text, want)
	}
	if info, err := os.Stat(filepath.Join(dir, filesFolder, "run")); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "run-*")); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	info := p.Info()
	if want := []jobs.SideFile{{Name: "run", URL: "s3://b/run.sh", Max: jobs.DefaultSideInput}, {Name: "lib.sh", URL: "/x/lib.sh", Max: jobs.DefaultSideInput}}; !slices.Equal(info.SideInputs, want) {
		t.Errorf("the side inputs are %+v", info.SideInputs)
	}
	task.Side = nil
	p = program(t, Params{Mapper: "cat", Files: "x"})
	task.Scratch = func() (string, error) { return t.TempDir(), nil }
	if err := p.Map(t.Context(), task, block("mem://1", "a\n"), nil); err == nil || !strings.Contains(err.Error(), "write the commands' files: the engine gives them no bytes") {
		t.Errorf("got %v", err)
	}
}

// Folders that may not be written to are removed with the others. (Of root's they always may.)
func TestReadOnlyFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	task := taskIn(dir)
	task.Sinks.Rows = &rowSink{}
	p := program(t, Params{Mapper: "mkdir -p a/b; touch a/b/c; chmod 500 a/b a; chmod 000 a/b"})
	if err := p.Map(t.Context(), task, block("mem://1", "a\n"), nil); err != nil {
		t.Fatal(err)
	}
	empty(t, dir)
}
