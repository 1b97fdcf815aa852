package etcdha

import (
	"slices"
	"strings"
	"testing"
)

// Proves that etcd is talked to without TLS on this machine only, and that every mistake is named with its remedy.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    External
		want string // the endpoints, or a part of the error after "!"
	}{
		{External{Endpoints: []string{"127.0.0.1:2379", "localhost:2380", "[::1]:2381"}}, "http://127.0.0.1:2379 http://localhost:2380 http://[::1]:2381"},
		{External{Endpoints: []string{"https://etcd-1:2379", "etcd-2:2379"}}, "https://etcd-1:2379 https://etcd-2:2379"},
		{External{}, "!--etcd HOST:PORT"},
		{External{Endpoints: []string{"etcd-1:2379"}}, "!--etcd-ca"},
		{External{Endpoints: []string{"127.0.0.1:2379", "http://10.0.0.1:2379"}}, "!--etcd-ca"},
		{External{Endpoints: []string{"https://a:1", "http://127.0.0.1:2"}}, "!make it https://"},
		{External{Endpoints: []string{"etcd-1"}}, "!HOST:PORT"},
		{External{Endpoints: []string{":2379"}}, "!HOST:PORT"},
		{External{Endpoints: []string{"ftp://a:1"}}, "!ftp://"},
		{External{Endpoints: []string{"a:1"}, Cert: "c"}, "!--etcd-key"},
		{External{Endpoints: []string{"a:1"}, CA: "no-such-file"}, "!--etcd-ca"},
		{External{Endpoints: []string{"a:1"}, CA: "dial_test.go"}, "!no certificate"},
		{External{Endpoints: []string{"a:1"}, Cert: "dial_test.go", Key: "dial_test.go"}, "!--etcd-cert"},
	} {
		got, err := c.e.config()
		if part, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%+v: got %v, want an error with %q", c.e, err, part)
			}
		} else if err != nil || !slices.Equal(got.Endpoints, strings.Fields(c.want)) {
			t.Errorf("%+v: got %v, %v, want %s", c.e, got.Endpoints, err, c.want)
		} else if secure := strings.HasPrefix(c.want, "https"); (got.TLS != nil) != secure {
			t.Errorf("%+v: TLS %v, want %v", c.e, got.TLS != nil, secure)
		}
	}
}
