package member

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// tinyQuota is full after some dozen large values.
const tinyQuota = 4 << 20

// fillBytes is the length of the values that fill writes.
const fillBytes = 200_000

// fill writes large values until etcd takes no more.
func fill(t *testing.T, m *Member, key func(i int) string) {
	t.Helper()
	value := strings.Repeat("x", fillBytes)
	for i := range 1000 {
		_, err := m.Client().Put(t.Context(), key(i), value)
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the quota is never reached")
}

// A database that is full of what was overwritten takes writes again by itself, and has lost nothing.
func TestFullOfHistory(t *testing.T) {
	t.Parallel()
	o := fast(t)
	o.Quota = tinyQuota
	m := start(t, t.TempDir(), o)
	m.lookEvery = 10 * time.Millisecond
	put(t, m, "/kept")
	fill(t, m, func(int) string { return "/same" })
	run(t, m.Run)
	eventually(t, "it takes writes again", func() bool {
		_, err := m.Client().Put(t.Context(), "/new", "1")
		return err == nil
	})
	if a := m.etcd.Server.Alarms(); len(a) > 0 {
		t.Errorf("still raised: %v", a)
	}
	for _, key := range []string{"/kept", "/same", "/new"} {
		wantKey(t, m, key)
	}
}

// A member whose database was full when it ended takes writes as soon as it has started, also if the alarm is that of a member that
// there never was in this cluster, as after a restored snapshot.
func TestStartFull(t *testing.T) {
	t.Parallel()
	path, o := t.TempDir(), fast(t)
	o.Quota = tinyQuota
	m := start(t, path, o)
	fill(t, m, func(int) string { return "/same" })
	req := &etcdserverpb.AlarmRequest{MemberID: 12345, Action: etcdserverpb.AlarmRequest_ACTIVATE, Alarm: etcdserverpb.AlarmType_NOSPACE}
	if _, err := m.etcd.Server.Alarm(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	stop(t, m)
	put(t, start(t, path, o), "/new")
}

// A database that is full of what is needed stays closed for writes until there is room, and the error says what to do: what is deleted
// makes room.
func TestFullOfData(t *testing.T) {
	t.Parallel()
	o := fast(t)
	o.Quota = tinyQuota
	m := start(t, t.TempDir(), o)
	own := alarm{uint64(m.etcd.Server.MemberID()), etcdserverpb.AlarmType_NOSPACE}
	keys := 0
	next := func(int) string { keys++; return fmt.Sprint("/", keys) }
	var err error
	for range 20 { // the file may be full before its pages are
		fill(t, m, next)
		if err = m.heal(t.Context(), own); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "--data-quota") {
		t.Errorf("without anything to free: %v, want ErrFull with the remedy", err)
	}
	if _, err := m.Client().Put(t.Context(), "/new", "1"); !errors.Is(err, rpctypes.ErrNoSpace) || !slices.Equal(m.due(map[alarm]int{}), []alarm{own}) {
		t.Errorf("a write to a full database: %v, alarms %v", err, m.etcd.Server.Alarms())
	}
	// How much is written beyond the quota before etcd sees it depends on when it looks: what stays is counted from the quota.
	for i := range keys - tinyQuota/2/fillBytes {
		if _, err := m.Client().Delete(t.Context(), fmt.Sprint("/", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.heal(t.Context(), own); err != nil {
		t.Errorf("after all but half a quota was deleted: %v", err)
	}
	put(t, m, "/new")
}

// A member that dies with its alarm raised, or is removed, does not keep the others from writing: the one of them that leads ends the
// alarm. One that was found corrupt keeps its alarm for as long as it is a member.
func TestAlarmOfTheDead(t *testing.T) {
	t.Parallel()
	members := startAll(t, t.TempDir(), freePeers(t, 3), fast(t))
	dead := uint64(members[2].etcd.Server.MemberID())
	corrupt := alarm{uint64(members[1].etcd.Server.MemberID()), etcdserverpb.AlarmType_CORRUPT}
	raised := []alarm{{dead, etcdserverpb.AlarmType_NOSPACE}, {12345, etcdserverpb.AlarmType_NOSPACE}, {12345, etcdserverpb.AlarmType_CORRUPT}, corrupt}
	for _, a := range raised {
		req := &etcdserverpb.AlarmRequest{MemberID: a.member, Action: etcdserverpb.AlarmRequest_ACTIVATE, Alarm: a.kind}
		if _, err := members[2].etcd.Server.Alarm(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, members[2])
	for _, m := range members[:2] {
		m.lookEvery = 10 * time.Millisecond
		run(t, m.Run)
	}
	eventually(t, "only the alarm of the corrupt member stands", func() bool {
		a := members[0].etcd.Server.Alarms()
		return len(a) == 1 && a[0].MemberID == corrupt.member
	})
	if _, err := members[0].client.AlarmDisarm(t.Context(), &clientv3.AlarmMember{MemberID: corrupt.member, Alarm: corrupt.kind}); err != nil {
		t.Fatal(err)
	}
	put(t, members[0], "/a")
}
