// Package master is the control plane of a millrace cluster: it takes jobs from clients, cuts their input into tasks,
// hands these to workers that poll, and makes the output visible, once, when all of them are done.
//
// A Process (process.go) serves all the time. It leads in turn with others: while it does, a Master (master.go) is at work, made
// anew from the journal for each term, and else it tells who leads.
//
// What to do next is decided by package sched alone. A Master carries it out: one goroutine (loop.go) feeds events to
// the scheduler, makes its records durable in the journal, and then performs its effects. The rest is the two faces of
// net/rpc (workers.go, clients.go), planning and checking a submitted job (submit.go), and the commit protocol (commit.go).
//
// A job that this master cannot go on with, since its plan is out of reach (parked.go) or another version of millrace wrote what it does
// not understand (versions.go), waits for a master that can, and the others go on.
//
// It never runs a job's code, never reads an input's bytes and never sees a key. Worker and master meet only in master/wire.
package master
