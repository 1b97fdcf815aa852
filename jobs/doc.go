// Package jobs is what a job's author imports: typed map and reduce functions become a Job that the engine runs.
//
// It knows no master, worker, network, file or Arrow. Its work is one side of the border that Program describes: records,
// keys, values, combiners and rows are typed here, and cross to the engine as batches of bytes.
package jobs
