package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	tunDevice = "/dev/net/tun"
	tunName   = "net0"
	mtu       = 65000 // large: each packet costs two system calls
)

// Node is a machine on the network, as far as processes can tell.
type Node struct {
	Name    string
	Address string // an IP address

	ns  *os.File // its network namespace
	tun *os.File
}

// Do calls f on a thread in the node's namespace: what it listens on, dials and starts is on the node. f must do so
// itself, not by goroutines.
func (n *Node) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	defer home.Close()
	if err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter node %s: %w", n.Name, err)
	}
	err = f()
	if e := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); e != nil {
		return errors.Join(err, fmt.Errorf("leave node %s: %w", n.Name, e)) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// newNode makes a namespace, or takes the calling process's if own is set, and lays the cable.
func newNode(t testing.TB, name string, index int, own bool) *Node {
	t.Helper()
	ip := address
	ip[3] = byte(index)
	n := &Node{Name: name, Address: net.IP(ip[:]).String()}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		made <- n.make(own)
	}()
	if err := <-made; err != nil {
		t.Fatalf("node %s: %v", name, err)
	}
	t.Cleanup(func() {
		n.tun.Close()
		n.ns.Close()
	})
	return n
}

func (n *Node) make(own bool) (err error) {
	if !own {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
	}
	if n.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	if n.tun, err = openTUN(); err != nil {
		return err
	}
	return n.configure()
}

func openTUN() (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", tunDevice, err)
	}
	req, err := unix.NewIfreq(tunName)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), tunDevice), nil // only now: the poller takes it as it is
}

// configure gives the device its address and takes that range from the loopback device.
func (n *Node) configure() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback device: %w", err)
	}
	tun, err := netlink.LinkByName(tunName)
	if err != nil {
		return fmt.Errorf("TUN device: %w", err)
	}
	all := func(bits int, ip ...byte) *net.IPNet { return &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, 32)} }
	self := all(32, net.ParseIP(n.Address).To4()...)
	local := netlink.Route{LinkIndex: lo.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST}
	whole, near := local, local
	whole.Dst, near.Dst = all(8, 127, 0, 0, 0), all(24, 127, 0, 0, 0)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"loopback device up", func() error { return netlink.LinkSetUp(lo) }},
		{"device's MTU", func() error { return netlink.LinkSetMTU(tun, mtu) }},
		{"device up", func() error { return netlink.LinkSetUp(tun) }},
		{"route_localnet", func() error {
			return os.WriteFile("/proc/sys/net/ipv4/conf/"+tunName+"/route_localnet", []byte("1"), 0)
		}},
		{"address", func() error { return netlink.AddrAdd(tun, &netlink.Addr{IPNet: self}) }},
		{"loopback route to 127.0.0.0/24", func() error { return netlink.RouteAdd(&near) }},
		{"loopback route to 127.0.0.0/8", func() error { return netlink.RouteDel(&whole) }},
		{"route", func() error {
			return netlink.RouteAdd(&netlink.Route{
				LinkIndex: tun.Attrs().Index, Dst: all(24, address[:]...), Src: self.IP, Scope: unix.RT_SCOPE_LINK,
			})
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}
