// Package shuffle carries pairs from map attempts to reduce attempts. The Writer of a map attempt sorts pairs under a
// memory budget and makes one run of them; the Server hands out a worker's runs section by section; the Reader of a reduce
// attempt fetches its section of every run and merges them. The mapper and the reducer of package worker call it.
//
// It knows pairs as bytes (package jobs has their encoding) and runs by their URL. It knows no job's code but the combine
// function it is given, no scheduler and no RPC: which runs to read is told to the Reader by its caller.
//
//	batches -> entries -> sort -> spilled runs -> merge (combine) -> run -> HTTP -> section -> merge -> batches
//
// Order: within a run, pairs are sorted by (partition, key), equal keys in the order of emission; merged, equal keys come
// in the order of the map tasks. A run's bytes depend on the pairs and their order alone: not on the memory budget, on when
// it spilled, or on how the pairs were batched (given a combine function that is associative and commutative).
package shuffle
