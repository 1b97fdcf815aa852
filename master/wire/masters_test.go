package wire

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"testing"
)

// workersAndClients are the roles that a master serves that has no others.
func workersAndClients(r Role) (now, ever bool) {
	return r == RoleWorker || r == RoleClient, r == RoleWorker || r == RoleClient
}

func (e *echo) Meet(_ context.Context, a *MeetArgs) (*MeetReply, error) {
	return answer[MeetArgs, MeetReply](e, a)
}

func (e *echo) Join(_ context.Context, a *JoinArgs) (*JoinReply, error) {
	return answer[JoinArgs, JoinReply](e, a)
}

// Proves that every field of what masters say to each other arrives, also before there is anything for workers and clients.
func TestMasters(t *testing.T) {
	t.Parallel()
	e := &echo{}
	for _, svc := range []Service{e, nil} {
		l, _ := serve(t, svc, ServerOptions{Masters: e})
		c := dial(t, l, ClientOptions{Role: RoleMaster})
		carry(t, e, c.Meet)
		carry(t, e, c.Join)
	}
	if calls := reflect.TypeFor[MasterService]().NumMethod(); calls != 2 {
		t.Errorf("a MasterService has %d calls, this test makes 2: add the new one", calls)
	}
}

// Proves that masters may call nothing else, and others nothing of theirs; and that one without the service refuses masters.
func TestMastersAreApart(t *testing.T) {
	t.Parallel()
	e := &echo{}
	l, _ := serve(t, e, ServerOptions{Masters: e})
	master, client := dial(t, l, ClientOptions{Role: RoleMaster}), dial(t, l, ClientOptions{Role: RoleClient})
	if _, err := master.List(t.Context(), &ListArgs{}); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("a master lists jobs: %v, want ErrUnknownCall", err)
	}
	if _, err := client.Meet(t.Context(), &MeetArgs{}); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("a client meets a master: %v, want ErrUnknownCall", err)
	}
	l, _ = serve(t, e, ServerOptions{})
	if _, err := Dial(t.Context(), []string{"pipe"}, ClientOptions{Role: RoleMaster, Dial: l.Dial}); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("a master without the service is met: %v, want ErrUnknownCall", err)
	}
}

// Proves that a master that is not yet one of a cluster gives workers and clients no verdict, whatever cluster they know: what it
// said would be taken for good.
func TestNoVerdictBeforeTheCluster(t *testing.T) {
	t.Parallel()
	s := NewServer(nil, ServerOptions{Masters: &echo{}})
	for _, role := range []Role{RoleWorker, RoleClient} {
		for _, cluster := range []ClusterID{{}, {7}} {
			conn := &script{in: bytes.NewReader(preamble{1, 2, uint8(role), cluster}.encode())}
			if _, _, err := welcomePeer(conn, ClusterID{}, maxVersion, s.serves); !errors.Is(err, ErrNotLeader) || conn.out.Len() > 0 {
				t.Errorf("%s of cluster %s: %v, answered % x, want ErrNotLeader and no answer", role, cluster, err, conn.out.Bytes())
			}
		}
	}
	l, _ := serve(t, nil, ServerOptions{Masters: &echo{}})
	_, err := Dial(t.Context(), []string{"pipe"}, ClientOptions{Role: RoleWorker, Cluster: ClusterID{7}, Dial: l.Dial})
	if !errors.Is(err, ErrUnreachable) || !Again(err) {
		t.Errorf("a worker: %v, want an error after which it comes back", err)
	}
}
