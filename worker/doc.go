// Package worker is the data plane: a worker polls the master for tasks, runs them in slots, serves the runs that its map
// tasks made, and reports.
//
// mapper.go and reducer.go are the two task bodies, readable top to bottom as the algorithm; sampler.go is the third,
// small one. worker.go is the process: its options, its slots and its end. poll.go is the conversation with the master.
//
// A worker decides nothing: what it runs, for which job and until when comes from the master. What it writes to an output
// is a pending upload that only the master can make visible, so a worker that is cut off and comes back changes nothing.
package worker
