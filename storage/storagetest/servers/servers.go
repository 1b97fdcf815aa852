// Package servers runs real S3 servers for tests and demonstrations: MinIO and versitygw, each a child process on a free
// loopback port with a data folder and random credentials of its own.
//
// It does not know s3store: it speaks to a server by environment, arguments and its health page only, so that s3store's
// own tests can use it. The servers are never linked into millrace (MinIO is AGPL): their versions are pinned by the modules
// in testdata/servers, which are built with the go command into the user's cache once per version (build.go).
//
// Called by tests (MinIO, VersityGW) and by the demonstration cluster (Start).
package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Kind is a server that this package can run.
type Kind string

// The kinds, named as their folders in testdata/servers.
const (
	KindMinIO     Kind = "minio"
	KindVersityGW Kind = "versitygw"
)

const (
	startTimeout  = 30 * time.Second      // a start takes 0.2-0.6 s; a loaded machine takes a few times that
	startPoll     = 10 * time.Millisecond // between two looks at the health page
	startAttempts = 5                     // another process may take the port between our choice and the server's bind
	logTail       = 8 << 10               // bytes of a server's log that an error shows
	region        = "us-east-1"
)

// Server is a running S3 server.
type Server struct {
	Endpoint  string // http://127.0.0.1:PORT
	AccessKey string // of the root user
	SecretKey string
	Region    string

	kind    Kind
	data    string // folder of the buckets
	logPath string
	process *process
	close   sync.Once
}

// Start builds the server if this machine has not yet, and runs it with its data and log in dir, until Close. ctx bounds the
// start only. The server dies with this process, on Linux even when this process is killed.
func Start(ctx context.Context, kind Kind, dir string) (*Server, error) {
	how, ok := launchers()[kind]
	if !ok {
		return nil, fmt.Errorf("start server %q: unknown kind", kind)
	}
	binary, err := build(ctx, kind)
	if err != nil {
		return nil, err
	}
	s := &Server{
		AccessKey: "test" + strings.ToLower(rand.Text()[:12]),
		SecretKey: rand.Text(),
		Region:    region,
		kind:      kind,
		data:      filepath.Join(dir, "data"),
		logPath:   filepath.Join(dir, string(kind)+".log"),
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	for range startAttempts {
		if err = s.start(ctx, binary, how); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w\n%s", kind, err, s.Log())
	}
	return s, nil
}

// MakeBucket makes an empty bucket. Both servers keep a bucket as a folder of their data, so no S3 client is needed.
func (s *Server) MakeBucket(name string) error {
	if err := os.Mkdir(filepath.Join(s.data, name), 0o700); err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	return nil
}

// Env is the environment by which AWS tools, and millrace, find this server.
func (s *Server) Env() []string {
	return []string{
		"AWS_ENDPOINT_URL_S3=" + s.Endpoint,
		"AWS_ACCESS_KEY_ID=" + s.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + s.SecretKey,
		"AWS_REGION=" + s.Region,
	}
}

// Log is the end of what the server has written.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logPath)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// Close kills the server and everything it started, and waits for its end. The data stays.
func (s *Server) Close() {
	s.close.Do(s.process.kill)
}

// start runs the server once, on a port that is free now.
func (s *Server) start(ctx context.Context, binary string, how func(*Server, string) launch) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	log, err := os.Create(s.logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	l := how(s, address)
	cmd := exec.Command(binary, l.args...)
	cmd.Env = append(cleanEnv(os.Environ()), l.env...)
	cmd.Dir = filepath.Dir(s.data)
	cmd.Stdout, cmd.Stderr = log, log
	s.Endpoint = "http://" + address
	if s.process, err = startProcess(cmd); err != nil {
		return err
	}
	if err := s.ready(ctx, l); err != nil {
		s.process.kill()
		return err
	}
	return nil
}

// ready waits until the server answers on its health page and its log holds the banner.
func (s *Server) ready(ctx context.Context, l launch) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		case <-s.process.done:
			return errors.New("ended at once")
		case <-tick.C:
		}
		text, err := os.ReadFile(s.logPath)
		if err == nil && bytes.Contains(text, []byte(l.banner)) && healthy(ctx, s.Endpoint+l.health) {
			return nil
		}
	}
}

func healthy(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// freeAddress is a loopback address that nobody listens on at this moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// launch is how a server is run on an address. Either its health page or its banner is its own alone: an answer of another
// server, one that took the port before ours could, must not pass for ours.
type launch struct {
	args, env []string
	health    string // path of the health page
	banner    string // what its log holds once it listens
}

func launchers() map[Kind]func(s *Server, address string) launch {
	return map[Kind]func(s *Server, address string) launch{
		KindMinIO:     launchMinIO,
		KindVersityGW: launchVersityGW,
	}
}

func launchMinIO(s *Server, address string) launch {
	home := filepath.Dir(s.data)
	return launch{
		args: []string{"server", "--address", address, "--certs-dir", filepath.Join(home, "certs"), s.data},
		env: []string{
			"HOME=" + home,
			"MINIO_ROOT_USER=" + s.AccessKey,
			"MINIO_ROOT_PASSWORD=" + s.SecretKey,
			"MINIO_SITE_REGION=" + s.Region,
			"MINIO_BROWSER=off",           // no console, which would listen on a second port
			"MINIO_UPDATE=off",            // no look for a newer version
			"MINIO_CALLHOME_ENABLE=off",   // nothing to the vendor
			"MINIO_SCANNER_SPEED=slowest", // background work would show up in measurements
		},
		health: "/minio/health/ready",
		banner: "API: http://" + address,
	}
}

func launchVersityGW(s *Server, address string) launch {
	health := "/health-" + rand.Text()
	return launch{
		args: []string{"--port", address, "--region", s.Region, "--health", health, "--keep-alive", "--quiet", "posix", s.data},
		env: []string{
			"HOME=" + filepath.Dir(s.data),
			"ROOT_ACCESS_KEY=" + s.AccessKey,
			"ROOT_SECRET_KEY=" + s.SecretKey,
		},
		health: health,
	}
}

// cleanEnv leaves out what could make a server listen elsewhere, call home or use a person's credentials.
func cleanEnv(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case strings.HasPrefix(name, "MINIO_"), strings.HasPrefix(name, "VGW_"), strings.HasPrefix(name, "AWS_"),
			strings.HasPrefix(name, "ROOT_"), strings.HasPrefix(name, "_MINIO"), name == "HOME":
		default:
			kept = append(kept, e)
		}
	}
	return kept
}
