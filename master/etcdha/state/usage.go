package state

import "github.com/millrace/millrace/master/etcdha/member"

// Usage tells what the database of this master's own member takes; nothing of an outside etcd.
func (s *State) Usage() member.Usage {
	if m := s.started(); m != nil {
		return m.Usage()
	}
	return member.Usage{}
}
