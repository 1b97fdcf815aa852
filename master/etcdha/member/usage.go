package member

// Usage is what a member's database takes.
type Usage struct {
	File   int64  // bytes of its file, which keeps what it once needed
	InUse  int64  // bytes of that which hold something, history that has not been compacted included
	Writes uint64 // that etcd has carried in all, renewals of terms included: each is an entry of its log, and an fsync at the most
}

// Usage tells what the member's database takes now.
func (m *Member) Usage() Usage {
	b := m.etcd.Server.Backend()
	return Usage{File: b.Size(), InUse: b.SizeInUse(), Writes: m.etcd.Server.AppliedIndex()}
}
