package main

import (
	"testing"

	"github.com/millrace/millrace/jobs/jobstest"
)

func TestImports(t *testing.T) {
	rows := jobstest.Run(t, job(), nil, "package a\nimport (\"fmt\"; \"os\")\n", "package b\nimport \"fmt\"\n")
	jobstest.Equal(t, rows, jobstest.Row{"fmt", int64(2)}, jobstest.Row{"os", int64(1)})
}
