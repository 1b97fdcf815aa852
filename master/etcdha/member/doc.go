// Package member runs the etcd member that lives inside of a master, in a folder of its own. It knows nothing of jobs, of the
// journal's keys or of who leads: etcdha gets its client. It is the only importer of etcd's server, and command millrace is the
// only program that imports it, so that workers and users' programs link no etcd.
//
// # The data directory
//
// A folder with mode 0700 that one process uses at a time:
//
//	millrace.json  Identity: the format, who this master is, and the cluster it belongs to
//	lock           held by the process that uses the folder (flock)
//	etcd/          etcd's own files
//	snapshot.new   for a moment, while a snapshot is made
//	restore.new/   while a snapshot is restored
//
// A folder that holds other things is refused, and so is one of another format.
//
// # Who can reach it
//
// There is no client listener: the master talks to its member in process. A member that is alone listens nowhere. Members of a
// cluster listen for each other, on loopback or with mutual TLS; whoever can talk to that port can change everything.
package member
