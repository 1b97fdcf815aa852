// Package jobs is what a job's author imports: typed map and reduce functions become a Job that the engine runs.
//
//	type Count struct {
//		Word string
//		N    int64
//	}
//
//	func Map(line string, emit func(word string, n int64)) error {
//		for word := range strings.FieldsSeq(line) {
//			emit(word, 1)
//		}
//		return nil
//	}
//
//	func Reduce(word string, ns jobs.Values[int64], emit func(Count)) error {
//		emit(Count{word, jobs.Total(ns)})
//		return nil
//	}
//
//	var wordcount = jobs.New("wordcount", Map, Reduce, jobs.Combine(jobs.Sum[int64]))
//
// New makes a job of two functions, Define one with parameters, counters and small files for every task (SideInput); the options are Combine, Partition, TotalOrder,
// OrderBy, FixedLength, CSV, Table, Reducers and Doc. NewFrom and MapReduceFrom are for jobs that read several inputs, each with
// a map function of its own. Package jobstest runs a job in memory, for tests; package millrace runs it on files and buckets.
// Words, CutField, FixedCutter and FloatCutter take text apart, faster than a loop over its characters; Sum, Min, Max, Total,
// Count and Fold put values together.
//
// # Rows
//
// A row is a struct. Its exported fields are the columns, in their order; those of an embedded struct join them. A column is
// named as its field in snake case (UserID: user_id), or as a tag says (`column:"name"`; `column:"-"` leaves it out).
//
//	Go                            column
//	string                        utf8; it must be valid UTF-8
//	[]byte                        binary
//	int8 ... int64, uint8 ...     int8 ... int64, uint8 ...
//	int, uint                     int64, uint64
//	float32, float64, bool        float32, float64, bool
//	time.Time                     timestamp[ns] in UTC
//	[]T                           list of T
//	a struct                      struct
//	*T                            T that can be null
//
// A row type that is no struct makes one column, named value.
//
// # The border to the engine
//
// This package knows no master, worker, network, file or Arrow. Its work is one side of the border that Program describes:
// records, keys, values, combiners and rows are typed here, and cross to the engine as batches of bytes. The names around
// Program (Info, Block, Pairs, Columns, Schema, the sources and sinks, AppendPair) are the engine's; a job's author needs
// none of them.
package jobs
