package servers_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage/storagetest/servers"
)

// Each kind of server starts on loopback, refuses strangers, shows a bucket made by MakeBucket, and is gone after Close.
func TestServers(t *testing.T) {
	t.Parallel()
	for kind, start := range map[servers.Kind]func(testing.TB) *servers.Server{
		servers.KindMinIO:     servers.MinIO,
		servers.KindVersityGW: servers.VersityGW,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			if !strings.HasPrefix(s.Endpoint, "http://127.0.0.1:") {
				t.Errorf("endpoint %s: want loopback", s.Endpoint)
			}
			bucket := s.NewBucket(t)
			resp, err := http.Get(s.Endpoint + "/" + bucket + "/key")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("unsigned GET: got %s, want 403", resp.Status)
			}
			if err := s.MakeBucket(bucket); err == nil {
				t.Error("a bucket was made twice")
			}
			if strings.Contains(s.Log(), s.SecretKey) {
				t.Error("the log shows the secret")
			}
			s.Close()
			s.Close() // a second call does nothing
			if resp, err := http.Get(s.Endpoint); err == nil {
				resp.Body.Close()
				t.Error("the server answers after Close")
			}
		})
	}
}

// Two servers of a kind run side by side, each with its own address and credentials.
func TestServersAreSeparate(t *testing.T) {
	t.Parallel()
	a, b := servers.VersityGW(t), servers.VersityGW(t)
	if a.Endpoint == b.Endpoint || a.SecretKey == b.SecretKey {
		t.Errorf("two servers share an address or a secret: %s, %s", a.Endpoint, b.Endpoint)
	}
	bucket := a.NewBucket(t)
	if err := b.MakeBucket(bucket); err != nil {
		t.Errorf("two servers share their data: %v", err)
	}
}

// An unknown kind is an error that names it.
func TestStartUnknown(t *testing.T) {
	t.Parallel()
	_, err := servers.Start(t.Context(), "rados", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), `"rados"`) {
		t.Errorf("got %v, want an error that names the kind", err)
	}
}
