package command

import (
	"cmp"
	"os"
	"strconv"

	"github.com/millrace/millrace/jobs"
)

// defaultPath is where commands are looked for if the worker's own environment does not say.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// variables are an environment in the making.
type variables []string

func (v *variables) set(value string, names ...string) {
	for _, name := range names {
		*v = append(*v, name+"="+value)
	}
}

// environment is the whole environment of a command. Of the worker's own it has PATH and HOME alone: what else is there, its
// credentials first of all, is none of the command's business. Locale, time zone and Python's hash seed are the same on every machine,
// since what a command writes must not depend on which worker runs it.
//
// Scripts read Hadoop's variables by the names that it has had since version 2, and by the older ones.
func (p *place) environment(t *jobs.Task, mapping bool, more ...string) []string {
	var v variables
	v.set(cmp.Or(os.Getenv("PATH"), defaultPath), "PATH")
	if home := os.Getenv("HOME"); home != "" {
		v.set(home, "HOME")
	}
	v.set("C.UTF-8", "LANG")
	v.set("UTC", "TZ")
	v.set("0", "PYTHONHASHSEED")
	v.set(strconv.FormatBool(mapping), "mapreduce_task_ismap", "mapred_task_is_map")
	v.set(strconv.Itoa(t.Index), "mapreduce_task_partition", "mapred_task_partition")
	reducers := max(t.Reducers, 0)
	if p.mapOnly {
		reducers = 0
	}
	v.set(strconv.Itoa(reducers), "mapreduce_job_reduces", "mapred_reduce_tasks")
	v.set("\t", "stream_map_output_field_separator", "stream_map_input_field_separator",
		"stream_reduce_output_field_separator", "stream_reduce_input_field_separator")
	v.set("1", "stream_num_map_output_key_fields")
	return append(v, more...)
}
