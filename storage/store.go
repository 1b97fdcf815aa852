package storage

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Opener makes the Backend of one host, that is, of one bucket. The Store calls it once per host and keeps the result.
type Opener func(ctx context.Context, host string) (Backend, error)

// Options are the Store's limits. Zero values mean the defaults.
type Options struct {
	Schemes map[string]Opener // what each URL scheme stands for

	// Attempts is how often a call is tried in all, and a read or listing resumed without progress (default 8: with the
	// default pauses some 6 s on average, enough for a server's restart or a burst of SlowDown).
	Attempts   int
	Backoff    time.Duration // bound of the first pause (default 100 ms); it doubles with each attempt
	MaxBackoff time.Duration // bound of all pauses (default 5 s)

	// CallTimeout ends one try of a call that gives no answer (default 5 min, for the largest parts on slow lines).
	CallTimeout time.Duration
	// IdleTimeout ends one try of a read or listing that brings nothing (default 1 min).
	IdleTimeout time.Duration

	// Parallel is how many calls Expand has under way (default 16: listing waits for round trips, not for this machine).
	Parallel int

	Sleep func(ctx context.Context, d time.Duration) error // default: a timer; tests count pauses here
	Rand  func() float64                                   // in [0, 1), default math/rand/v2; jitter
}

// Store reads and writes objects of any scheme. It is safe for concurrent use and holds no goroutines.
type Store struct {
	o Options

	mu    sync.Mutex
	hosts map[hostID]*host
}

type hostID struct{ scheme, host string }

// host is one opened backend. Its lock lets one caller open it while the others wait.
type host struct {
	mu      sync.Mutex
	backend Backend
}

// New makes a Store. It opens nothing: backends are opened when a URL first names them.
func New(o Options) *Store {
	o.Schemes = maps.Clone(o.Schemes)
	o.Attempts = orDefault(o.Attempts, 8)
	o.Backoff = orDefault(o.Backoff, 100*time.Millisecond)
	o.MaxBackoff = orDefault(o.MaxBackoff, 5*time.Second)
	o.CallTimeout = orDefault(o.CallTimeout, 5*time.Minute)
	o.IdleTimeout = orDefault(o.IdleTimeout, time.Minute)
	o.Parallel = orDefault(o.Parallel, 16)
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return &Store{o: o, hosts: map[hostID]*host{}}
}

func orDefault[N int | time.Duration](n, def N) N {
	if n <= 0 {
		return def
	}
	return n
}

// target is where a call goes.
type target struct {
	URL
	b Backend
}

// at names another object of the same backend.
func (t target) at(key string) string { return URL{t.Scheme, t.Host, key}.String() }

// open parses a URL and opens its backend. The error names op and the URL.
func (s *Store) open(ctx context.Context, op, url string) (target, error) {
	u, err := ParseURL(url)
	if err != nil {
		return target{}, fmt.Errorf("%s: %w", op, err)
	}
	b, err := s.backend(ctx, op, u)
	return target{u, b}, err
}

// Backend opens what stands behind a URL, for who examines a backend itself; everyone else calls the Store's methods.
func (s *Store) Backend(ctx context.Context, url string) (Backend, URL, error) {
	t, err := s.open(ctx, "open", url)
	return t.b, t.URL, err
}

// object is open for a URL that must name one object.
func (s *Store) object(ctx context.Context, op, url string) (target, error) {
	t, err := s.open(ctx, op, url)
	if err == nil && (t.Key == "" || strings.HasSuffix(t.Key, "/")) {
		return t, fail(op, t.String(), 1, fmt.Errorf("%w: it names a folder, not an object", ErrBadURL))
	}
	return t, err
}

func (s *Store) backend(ctx context.Context, op string, u URL) (Backend, error) {
	opener, ok := s.o.Schemes[u.Scheme]
	if !ok {
		known := slices.Sorted(maps.Keys(s.o.Schemes))
		return nil, fmt.Errorf("%s: %w: unknown scheme %q: known are a plain path and %s", op, ErrBadURL,
			u.Scheme+"://", strings.Join(known, "://, ")+"://")
	}
	h := s.host(hostID{u.Scheme, u.Host})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.backend != nil {
		return h.backend, nil
	}
	var b Backend
	err := s.do(ctx, op, u.String(), func(ctx context.Context) (err error) {
		b, err = opener(ctx, u.Host)
		return err
	})
	if err == nil {
		h.backend = b
	}
	return b, err
}

func (s *Store) host(id hostID) *host {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[id]
	if h == nil {
		h = &host{}
		s.hosts[id] = h
	}
	return h
}
