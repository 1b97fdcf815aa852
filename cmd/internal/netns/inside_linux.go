package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// insideEnv is set in the process that runs inside.
const insideEnv = "MILLRACE_TEST_NETNS"

// Inside runs the calling test again, alone, in a process with a user and a network namespace of its own, and returns true
// there. In the calling process it returns false when that has ended, with its output and verdict: the test returns then. env
// is added to the environment of that process, which reaches no other machine: what must be built or fetched is done before.
// Where namespaces are not permitted the test is left out, with a reason that continuous integration takes for none of its gaps.
func Inside(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	if err := permitted(); err != nil {
		t.Skipf("LEFT OUT: no permission: network namespaces: %v", err)
	}
	limit := "0"
	if d, ok := t.Deadline(); ok {
		limit = (time.Until(d) - time.Second).String() // it shows its goroutines itself
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout="+limit)
	if testing.Short() {
		cmd.Args = append(cmd.Args, "-test.short")
	}
	cmd.Env = append(append(os.Environ(), insideEnv+"=1"), env...)
	cmd.SysProcAttr = apart()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe() // what it starts ends with its standard input: it must have one that ends
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Run()
	stdin.Close()
	for line := range strings.Lines(out.String()) {
		t.Log(strings.TrimSuffix(line, "\n"))
	}
	if err != nil {
		t.Fatalf("in its own network: %v", err)
	}
	return false
}

// apart starts a process as root of a new user namespace, with a network of its own.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// permitted tries what Inside and New need.
func permitted() error {
	f, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	f.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.SysProcAttr = apart()
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("start a process in a namespace: %w", err), errors.New(string(out)))
	}
	return nil
}
