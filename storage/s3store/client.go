package s3store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/minio/minio-go/v7"
)

const (
	dialTimeout = 10 * time.Second
	idleTimeout = time.Minute // servers close idle connections after a few minutes; ours must go first
	// writeBuffer and readBuffer are for headers and small bodies: large ones are copied past them.
	writeBuffer = 64 << 10
	readBuffer  = 64 << 10
)

// Client is an S3 service and the connections to it. Its buckets share them.
type Client struct {
	core     *minio.Core
	endpoint string
	region   string   // as set; empty when the service tells it
	secrets  []Secret // never to be shown
}

// New makes a client. It sends nothing yet.
func New(o Options) (*Client, error) {
	o, err := o.fill()
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	u, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	transport, err := newTransport(o)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:      newCredentials(o),
		Secure:     u.Scheme == "https",
		Transport:  &watchdog{base: transport, stall: o.Stall, completion: o.Completion},
		Region:     o.Region,
		MaxRetries: 1, // the Store tries again: it knows which calls may be repeated
	})
	if err != nil {
		return nil, fmt.Errorf("s3: endpoint %s: %w", o.Endpoint, err)
	}
	core.SetAppInfo("millrace", "1")
	return &Client{core: core, endpoint: o.Endpoint, region: o.Region, secrets: []Secret{o.SecretKey, o.SessionToken}}, nil
}

// Opener is the storage.Opener of the service that options describes. options is called when the first bucket is opened: who
// reads only local files must not stumble over broken S3 settings.
func Opener(options func() (Options, error)) storage.Opener {
	client := sync.OnceValues(func() (*Client, error) {
		o, err := options()
		if err != nil {
			return nil, err
		}
		return New(o)
	})
	return func(_ context.Context, bucket string) (storage.Backend, error) {
		c, err := client()
		if err != nil {
			return nil, err
		}
		return c.Bucket(bucket), nil
	}
}

// Bucket is the Backend of a bucket. Whether the bucket is there shows with its first use.
func (c *Client) Bucket(name string) storage.Backend { return &bucket{client: c, name: name} }

// String names the endpoint.
func (c *Client) String() string { return c.endpoint }

// newTransport keeps connections for parallel calls and changes no bodies.
func newTransport(o Options) (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: o.Connections,
		IdleConnTimeout:     idleTimeout,
		WriteBufferSize:     writeBuffer,
		ReadBufferSize:      readBuffer,
		// An object that was stored compressed must arrive as it is: sizes and ranges are those of the bytes stored.
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if o.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities: %s holds no PEM certificate", o.CAFile)
	}
	return t, nil
}
