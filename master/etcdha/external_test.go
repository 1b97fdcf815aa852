package etcdha

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/millrace/millrace/master/journal"
)

// authority signs the certificates of a test and writes them as files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca")
	return a
}

// issue makes a certificate for a name and this machine, and the files name.pem and name.key. The first one signs the rest.
func (a *authority) issue(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	parent, signer := a.cert, a.key
	if parent == nil {
		c.IsCA, c.BasicConstraintsValid = true, true
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{a.file(name + ".pem"): {Type: "CERTIFICATE", Bytes: der}, a.file(name + ".key"): {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// external tells how the member is reached by a user.
func (a *authority) external(e *embed.Etcd, user string) External {
	x := External{Endpoints: []string{e.Clients[0].Addr().String()}, CA: a.file("ca.pem")}
	if user != "" {
		x.Cert, x.Key = a.file(user+".pem"), a.file(user+".key")
	}
	return x
}

// Proves that an etcd with mutual TLS and users is used by a user who may read and write the prefix and nothing else, for all
// that a Store does; and that one who may not, and one without a certificate, are told what is missing.
func TestExternal(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for _, name := range []string{"server", "root", "millrace", "stranger"} {
		a.issue(name)
	}
	e := ownMember(t, func(c *embed.Config) {
		c.ListenClientUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
		c.AdvertiseClientUrls = c.ListenClientUrls
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = a.file("server.pem"), a.file("server.key")
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = a.file("ca.pem"), true
		c.ClientTLSInfo.SkipClientSANVerify = true
	})
	allow(t, clientOf(t, e))

	dial := func(user string) *clientv3.Client {
		t.Helper()
		c, err := Dial(a.external(e, user))
		if err != nil {
			t.Fatalf("Dial as %s: %v", user, err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	s := openOn(t, dial("millrace"), Options{Prefix: "/ours/", batch: testBatch})
	term := lead(t, s)
	write(t, s, term, journal.Entry{Job: "a", Records: records("x")}, journal.Entry{Job: "b", Records: records("x")})
	fill(t, s, "long", long)
	for job, with := range map[journal.JobID][][]byte{"long": records("short"), "b": nil} {
		if err := s.Replace(t.Context(), term.N, job, with); err != nil {
			t.Error(err)
		}
	}
	if holder, err := s.Claim(t.Context(), term.N, "out", "a"); err != nil || holder != "a" {
		t.Error(holder, err)
	}
	if err := s.Release(t.Context(), term.N, "out", "a"); err != nil {
		t.Error(err)
	}
	next := campaign(t, openOn(t, dial("millrace"), Options{Prefix: "/ours/"}))
	resign(t, term)
	term = <-next
	if got := contents(t, s); got != "a/0[x] long/0[short]" || term.N != 2 {
		t.Errorf("in term %d the journal holds %s", term.N, got)
	}
	resign(t, term)

	if _, err := New(t.Context(), dial("stranger"), Options{Prefix: "/ours/"}); err == nil || !strings.Contains(err.Error(), "readwrite /ours/") {
		t.Errorf("a user without rights: %v", err)
	}
	if _, err := New(t.Context(), dial("millrace"), Options{}); err == nil || !strings.Contains(err.Error(), "readwrite /millrace/") {
		t.Errorf("another prefix: %v", err)
	}
	if _, err := New(t.Context(), dial(""), Options{Prefix: "/ours/"}); err == nil || !strings.Contains(err.Error(), "give --etcd-cert FILE") {
		t.Errorf("without a certificate: %v", err)
	}
}

// allow switches users on: millrace may use its prefix, stranger nothing.
func allow(t *testing.T, c *clientv3.Client) {
	t.Helper()
	step := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"root", "millrace", "stranger"} {
		step(c.UserAddWithOptions(t.Context(), user, "", &clientv3.UserAddOptions{NoPassword: true}))
	}
	step(c.RoleAdd(t.Context(), "root"))
	step(c.UserGrantRole(t.Context(), "root", "root"))
	step(c.RoleAdd(t.Context(), "ours"))
	step(c.RoleGrantPermission(t.Context(), "ours", "/ours/", end("/ours/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	step(c.UserGrantRole(t.Context(), "millrace", "ours"))
	step(c.AuthEnable(t.Context()))
}
