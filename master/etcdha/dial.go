package etcdha

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// External is how an etcd that runs elsewhere is reached.
type External struct {
	// Endpoints are its members' client addresses, HOST:PORT or with http:// or https:// before it; at least one.
	Endpoints []string
	// CA is the file of the certificates that its members' must be signed by, PEM. "": those that this machine trusts.
	CA string
	// Cert and Key are the files of the client certificate and its key, PEM. Both or neither. They are read anew for each
	// connection, so that they may be renewed while the master runs.
	Cert, Key string
}

// Without traffic the connection is tried after keepaliveTime, the shortest that the library takes, and given up when
// nothing comes back for keepaliveTimeout.
const (
	dialTimeout      = 5 * time.Second
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
)

// Dial returns a client of an etcd that runs elsewhere. It does not wait for a connection: New does. Without TLS it talks to
// this machine only.
func Dial(e External) (*clientv3.Client, error) {
	c, err := e.config()
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", strings.Join(e.Endpoints, ", "), err)
	}
	return clientv3.New(c)
}

func (e External) config() (clientv3.Config, error) {
	c := clientv3.Config{
		DialTimeout:          dialTimeout,
		DialKeepAliveTime:    keepaliveTime,
		DialKeepAliveTimeout: keepaliveTimeout,
		PermitWithoutStream:  true,
		Logger:               zap.NewNop(), // whatever goes wrong is in an error, too
		DialOptions:          []grpc.DialOption{grpc.WithChainUnaryInterceptor(failFast)},
	}
	secure := e.CA != "" || e.Cert != "" || e.Key != ""
	for _, endpoint := range e.Endpoints {
		if strings.HasPrefix(endpoint, "https://") {
			secure = true
		}
	}
	for _, endpoint := range e.Endpoints {
		address, err := checkEndpoint(endpoint, secure)
		if err != nil {
			return c, err
		}
		c.Endpoints = append(c.Endpoints, address)
	}
	if len(c.Endpoints) == 0 {
		return c, errors.New("no endpoint is given: --etcd HOST:PORT[,HOST:PORT...]")
	}
	if !secure {
		return c, nil
	}
	var err error
	c.TLS, err = e.tls()
	return c, err
}

// failFast makes a call fail when no connection comes about, with the reason. The library would wait until the call's context
// ends and then say no more than that, also of a wrong certificate.
func failFast(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, cc, append(o, grpc.WaitForReady(false))...)
}

// checkEndpoint checks an endpoint and returns it with its scheme.
func checkEndpoint(endpoint string, secure bool) (string, error) {
	scheme, address, found := strings.Cut(endpoint, "://")
	if !found {
		scheme, address = "http", endpoint
		if secure {
			scheme = "https"
		}
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil || host == "" || port == "":
		return "", fmt.Errorf("endpoint %q: HOST:PORT is expected, with http:// or https:// before it or not", endpoint)
	case scheme == "http" && secure:
		return "", fmt.Errorf("endpoint %q is without TLS, and another is with it or certificates are given (--etcd-ca, --etcd-cert): make it https://", endpoint)
	case scheme == "http" && !isLoopback(host):
		return "", fmt.Errorf("endpoint %q is on another machine and without TLS: give --etcd-ca FILE, and --etcd-cert FILE and --etcd-key FILE "+
			"if it asks for a client certificate", endpoint)
	case scheme != "http" && scheme != "https":
		return "", fmt.Errorf("endpoint %q: %s:// is not known, http:// and https:// are", endpoint, scheme)
	}
	return (&url.URL{Scheme: scheme, Host: address}).String(), nil
}

// isLoopback says whether a host is this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tls reads the certificates.
func (e External) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CA != "" {
		pem, err := os.ReadFile(e.CA)
		if err != nil {
			return nil, fmt.Errorf("--etcd-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--etcd-ca: %s holds no certificate in PEM form", e.CA)
		}
	}
	switch {
	case e.Cert == "" && e.Key == "":
		// etcd asks for a certificate only if it must have one. Said here, since of its refusal often no more is heard than
		// that the connection broke.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return nil, errors.New("etcd asks for a client certificate: give --etcd-cert FILE and --etcd-key FILE")
		}
		return c, nil
	case e.Cert == "" || e.Key == "":
		return nil, errors.New("--etcd-cert and --etcd-key are given together or not at all")
	}
	if _, err := e.pair(); err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return e.pair() }
	return c, nil
}

// pair reads the client certificate.
func (e External) pair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(e.Cert, e.Key)
	if err != nil {
		return nil, fmt.Errorf("--etcd-cert %s, --etcd-key %s: %w", e.Cert, e.Key, err)
	}
	return &pair, nil
}
