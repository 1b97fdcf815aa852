package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestClusterMasters proves that a cluster of three masters goes on at once when the one that leads is killed, which is started
// again at its address; that Ctrl-C leaves no process and no file; and that the next cluster on the same folder knows the jobs.
func TestClusterMasters(t *testing.T) {
	addrs, err := masterAddresses(ownHost()+":0", 3)
	must(t, err)
	t.Parallel() // not before: a process that another test starts just then would hold these ports a little longer
	args := []string{"--masters", "3", "--workers", "1", "--listen", addrs[0], "--data-dir", t.TempDir() + "/new"}
	ids := []string{strings.Repeat("1a", 16), strings.Repeat("2b", 16)}
	submit := func(t *testing.T, c *cluster, id string) {
		t.Helper()
		write(t, c.dir+"/in.txt", "a b a\n")
		r := c.cli(t, 0, "submit", "wordcount", "in.txt", "-o", "out-"+id, "--id", id, "--wait")
		if !strings.Contains(r.out, "output     2 rows") {
			t.Errorf("submit: %+v", r)
		}
	}
	t.Run("one dies", func(t *testing.T) {
		c := startCluster(t, args...)
		if c.addr != strings.Join(addrs, ",") {
			t.Errorf("it prints the masters %s, want %v", c.addr, addrs)
		}
		submit(t, c, ids[0])
		cl := c.client(t)
		leader := cl.Master()
		killed := c.masterAt(t, leader)
		must(t, syscall.Kill(killed, syscall.SIGKILL))
		submit(t, c, ids[1])
		name := fmt.Sprintf("master-%d", 1+indexOf(t, addrs, leader))
		c.waitFor(t, &c.stderr, name+" ended (signal: killed): starting another")
		c.await(t, "master again at "+leader, func() bool {
			pid := c.masterAt(t, leader)
			return pid != 0 && pid != killed && dials(leader)
		})
	})
	t.Run("next", func(t *testing.T) {
		c := startCluster(t, args...)
		for _, id := range ids {
			if got := c.cli(t, 0, "status", id).out; !strings.Contains(got, "wordcount committed") {
				t.Errorf("status of a job of the cluster before:\n%s", got)
			}
		}
	})
}

// ownHost is a loopback address for one test, so that no other takes its ports.
func ownHost() string { return fmt.Sprintf("127.%d.%d.%d", 1+rand.N(250), rand.N(250), 1+rand.N(250)) }

func indexOf(t *testing.T, list []string, s string) int {
	t.Helper()
	for i := range list {
		if list[i] == s {
			return i
		}
	}
	t.Fatalf("%s is not among %v", s, list)
	return 0
}

// masterAt returns the id of the cluster's master that listens at an address, 0 if none runs.
func (c *cluster) masterAt(t *testing.T, addr string) int {
	for _, pid := range c.processes(t) {
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.Contains(args, []byte("\x00master\x00")) && bytes.Contains(args, []byte("\x00--listen\x00"+addr+"\x00")) {
			return pid
		}
	}
	return 0
}

func dials(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// TestMasterAddresses proves that masters get every second port from the first on, chosen or given, and that a port in use is
// an error that names it, also if it is one where masters talk to each other. It is not parallel: a process that another test
// starts between fork and exec holds the ports that were tried here.
func TestMasterAddresses(t *testing.T) {
	host := ownHost()
	chosen, err := masterAddresses(host+":0", 5)
	must(t, err)
	given, err := masterAddresses(chosen[0], 5)
	must(t, err)
	_, text, err := net.SplitHostPort(chosen[0])
	must(t, err)
	first, err := strconv.Atoi(text)
	must(t, err)
	for i := range 5 {
		want := fmt.Sprintf("%s:%d", host, first+2*i)
		if chosen[i] != want || given[i] != want {
			t.Errorf("master %d: chosen %s, given %s, want %s", i, chosen[i], given[i], want)
		}
	}
	used := fmt.Sprintf("%s:%d", host, first+3)
	l, err := net.Listen("tcp", used)
	must(t, err)
	defer l.Close()
	want := fmt.Sprintf("listen on %s: ", used)
	if got, err := masterAddresses(chosen[0], 3); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("got %v, %v, want an error with %q and --listen", got, err, want)
	}
	if _, err := masterAddresses(chosen[0], 1); err != nil {
		t.Errorf("what one master takes is free: %v", err)
	}
}
