//go:build linux

package servers_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage/storagetest/servers"
)

// childDir is set for the child process of TestDiesWithParent, to its folder.
const childDir = "MILLRACE_TEST_CHILD_DIR"

// TestMain is also the child of TestDiesWithParent: it starts a server, tells its address and waits to be killed.
func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := servers.Start(context.Background(), servers.KindVersityGW, dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.Endpoint)
	select {}
}

// A server does not outlive the process that started it, even one that is killed and can clean up nothing.
func TestDiesWithParent(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "http://")
	if err != nil || !ok {
		cmd.Process.Kill()
		t.Fatalf("the child said %q, %v; want an endpoint", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it was killed
	limit := time.Now().Add(10 * time.Second)
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(limit) {
			t.Fatal("the server outlives its parent")
		}
	}
}
