package main

import (
	"github.com/spf13/pflag"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master"
)

// limitFlags define how much a master takes on. What is more is refused, with the flag's name.
func limitFlags(fs *pflag.FlagSet, l *master.Limits) {
	fs.Var(millrace.AtLeast{N: &l.Jobs, Least: 1}, "max-jobs", "open jobs at a time; more are refused (default 1000)")
	fs.Var(millrace.AtLeast{N: &l.JobsPerUser, Least: 1}, "max-jobs-per-user", "the same, of one user (default 200)")
	fs.Var(millrace.AtLeast{N: &l.Tasks, Least: 1}, "max-tasks", "tasks of all open jobs, some 500 bytes of memory each (default 4000000)")
}
