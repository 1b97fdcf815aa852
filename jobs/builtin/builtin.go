// Package builtin lists the jobs that ship with millrace. It is the one place that knows them all.
package builtin

import (
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/access"
	"github.com/millrace/millrace/jobs/countdistinct"
	"github.com/millrace/millrace/jobs/distinct"
	"github.com/millrace/millrace/jobs/grep"
	"github.com/millrace/millrace/jobs/histogram"
	"github.com/millrace/millrace/jobs/invertedindex"
	"github.com/millrace/millrace/jobs/join"
	"github.com/millrace/millrace/jobs/kmeans"
	"github.com/millrace/millrace/jobs/links"
	"github.com/millrace/millrace/jobs/pagerank"
	"github.com/millrace/millrace/jobs/quantiles"
	"github.com/millrace/millrace/jobs/secondarysort"
	"github.com/millrace/millrace/jobs/sessions"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/jobs/stats"
	"github.com/millrace/millrace/jobs/termvector"
	"github.com/millrace/millrace/jobs/topk"
	"github.com/millrace/millrace/jobs/wordcount"
)

// All returns the jobs that ship, by name.
func All() []*jobs.Job {
	return []*jobs.Job{
		access.Job(),
		countdistinct.Job(),
		distinct.Job(),
		grep.Job(),
		histogram.Job(),
		invertedindex.Job(),
		join.Job(),
		kmeans.Job(),
		links.Job(),
		pagerank.Job(),
		quantiles.Job(),
		secondarysort.Job(),
		sessions.Job(),
		sortrecords.Job(),
		stats.Job(),
		termvector.Job(),
		topk.Job(),
		wordcount.Job(),
	}
}
