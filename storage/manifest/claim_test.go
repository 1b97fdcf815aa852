package manifest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A claim comes back, also one of a newer version; what is none is an error, whatever it is.
func TestClaim(t *testing.T) {
	t.Parallel()
	c := Claim{Job: "0123", Cluster: "abcd", Host: "node", Since: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC), Process: &Process{Machine: "m", PID: 7, Start: "9"}}
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseClaim(b)
	c.Version = 1
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v, %v", got, err)
	}
	if by := got.By(); by != "job 0123 of cluster abcd on node has claimed it since 2026-03-04 05:06:07 UTC" {
		t.Errorf("by %s", by)
	}
	if by := (Claim{Job: "x", Since: c.Since}).By(); by != "job x has claimed it since 2026-03-04 05:06:07 UTC" {
		t.Errorf("by %s", by)
	}
	if newer, err := ParseClaim([]byte(`{"version":2,"job":"x","more":[1]}`)); err != nil || newer.Job != "x" {
		t.Errorf("a newer one: %+v, %v", newer, err)
	}
	for _, text := range []string{"", "{}", "[]", `{"version":1}`, `{"job":"x"}`, "{" + strings.Repeat(" ", MaxClaim)} {
		if _, err := ParseClaim([]byte(text)); !errors.Is(err, ErrNoClaim) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// FuzzClaim: what is taken for a claim can be written again.
func FuzzClaim(f *testing.F) {
	f.Add([]byte(`{"version":1,"job":"x","since":"2026-03-04T05:06:07Z","process":{"pid":3}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseClaim(b)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil {
			return // a time that JSON cannot hold
		}
		if _, err := ParseClaim(again); err != nil && len(again) <= MaxClaim {
			t.Errorf("%q: %v", again, err)
		}
	})
}
