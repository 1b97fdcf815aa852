package etcdha

import "time"

// While a master is a candidate it has nothing to do, finds etcd quick, and takes a short lease. If leading is then more than its machine
// can do at once, renewals come too late, and the term is lost; in the next one workers ask for much of what they have been told already,
// so that it is lost, too, and so on. So who loses a term for want of renewals, and has lost another shortly before, has twice as long
// a lease next time. When renewals are quick for a while, that becomes shorter again: see shorten.go.

// losses are the terms of a Store that were lost for want of renewals. Store.mu guards it.
type losses struct {
	any    bool
	last   time.Duration // by Options.now
	length time.Duration // of the next lease, at least; 0: any
}

// note takes such a loss in, of a term that had a lease so long. longest is how long a lease may be.
func (l *losses) note(now, lease, longest time.Duration) {
	l.length = 0
	if l.recent(now) {
		l.length = min(2*lease, longest)
	}
	l.any, l.last = true, now
}

func (l *losses) recent(now time.Duration) bool { return l.any && now-l.last < calmFor }

// wanted is how long a lease must be at the least that is taken now.
func (l *losses) wanted(now time.Duration) time.Duration {
	if !l.recent(now) {
		return 0
	}
	return l.length
}

// wanted is the same for the next term that begins here.
func (s *Store) wanted() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.losses.wanted(s.o.now())
}
