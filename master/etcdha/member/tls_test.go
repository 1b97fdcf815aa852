package member

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes an authority's certificate, and one for server and client on these hosts that it has signed, with its key.
func certify(t *testing.T, dir string, hosts []net.IP) TLS {
	t.Helper()
	authorityKey, authority, der := sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	key, _, leaf := sign(t, &x509.Certificate{
		IPAddresses: hosts, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, authority, authorityKey)
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := TLS{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{files.CA, "CERTIFICATE", der}, {files.Cert, "CERTIFICATE", leaf}, {files.Key, "EC PRIVATE KEY", keyDER}} {
		if err := writeFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// sign makes a key and a certificate for it, signed by the parent or by itself.
func sign(t *testing.T, c, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "millrace test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, made, der
}

// Members with certificates of one authority are a cluster, and talk to nobody who has none, or one of another authority.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	peers := freePeers(t, 3)
	hosts := []net.IP{net.IPv4(127, 0, 0, 1)} // they are called from there: etcd looks at that, too
	for _, p := range peers {
		host, _, err := net.SplitHostPort(p.Address)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, net.ParseIP(host))
	}
	o := fast(t)
	o.TLS = certify(t, t.TempDir(), hosts)
	members := startAll(t, t.TempDir(), peers, o)
	put(t, members[0], "/a")
	wantKey(t, members[2], "/a")

	other := certify(t, t.TempDir(), hosts)
	foreign, err := tls.LoadX509KeyPair(other.Cert, other.Key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(o.TLS.Cert, o.TLS.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		in    bool
	}{{"no certificate", nil, false}, {"another authority's", []tls.Certificate{foreign}, false}, {"a member's", []tls.Certificate{own}, true}} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: c.certs}} // whom it meets is known
		r, err := (&http.Client{Transport: transport}).Get("https://" + peers[0].Address + "/members")
		if err == nil {
			r.Body.Close()
		}
		transport.CloseIdleConnections()
		if c.in != (err == nil) || err != nil && !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("%s: %v, want to be let in: %v", c.name, err, c.in)
		}
	}
	if r, err := http.Get("http://" + peers[0].Address + "/members"); err == nil {
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			t.Error("a peer without TLS is answered")
		}
	}
}
