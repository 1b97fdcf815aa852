package state

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/master/etcdha/member"
)

// ParseMasters reads the list of masters that each of them is told: three or five of HOST:PORT, where workers and clients find
// them, or HOST:PORT/PEERPORT, with the port where they find each other; that is PORT+1 unless stated.
func ParseMasters(list []string) ([]member.Peer, error) {
	if n := len(list); n != 3 && n != 5 {
		return nil, fmt.Errorf("%d masters: give three, of which one may fail, or five, of which two may: a cluster goes on while more than half of its masters do", n)
	}
	var masters []member.Peer
	used := map[string]string{} // which master listens at an address
	for _, entry := range list {
		p, err := parseMaster(entry)
		if err != nil {
			return nil, err
		}
		for _, at := range []string{p.Name, p.Address} {
			if other, ok := used[at]; ok {
				return nil, fmt.Errorf("masters %s and %s: both would listen at %s: a master takes the port after its own as well, or the one in HOST:PORT/PEERPORT", other, p.Name, at)
			}
			used[at] = p.Name
		}
		masters = append(masters, p)
	}
	slices.SortFunc(masters, func(a, b member.Peer) int { return strings.Compare(a.Name, b.Name) })
	return masters, nil
}

func parseMaster(entry string) (p member.Peer, err error) {
	address, peer, stated := strings.Cut(entry, "/")
	host, port, err := net.SplitHostPort(address)
	n, nerr := strconv.ParseUint(port, 10, 16)
	if err != nil || nerr != nil || host == "" || n == 0 {
		return p, fmt.Errorf("master %s: write HOST:PORT or HOST:PORT/PEERPORT, as in 127.0.0.1:7800", entry)
	}
	if !stated {
		peer = strconv.FormatUint(n+1, 10)
	}
	if m, err := strconv.ParseUint(peer, 10, 16); err != nil || m == 0 {
		return p, fmt.Errorf("master %s: %s is no port for other masters: state another, as in %s/7801", entry, peer, address)
	}
	return member.Peer{Name: address, Address: net.JoinHostPort(host, peer)}, nil
}

// texts are masters as they are told to others.
func texts(masters []member.Peer) (list []string) {
	for _, p := range masters {
		_, port, _ := net.SplitHostPort(p.Address) // parseMaster made it
		list = append(list, p.Name+"/"+port)
	}
	return list
}
