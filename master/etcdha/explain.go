package etcdha

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusals are etcd's errors after which nothing will be written any more, and it is pointless to try again at once. Nothing was written
// either, except with ErrNoSpace: the first write beyond the quota is done, and answered by that.
var refusals = []error{
	rpctypes.ErrNoSpace, rpctypes.ErrCorrupt,
	rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrAuthFailed, rpctypes.ErrUserNotFound,
	rpctypes.ErrPermissionNotGranted, rpctypes.ErrAuthNotEnabled,
	rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps, rpctypes.ErrDuplicateKey, rpctypes.ErrEmptyKey,
	rpctypes.ErrCompacted,
}

// refused says whether etcd has refused a request, so that it cannot be done later.
func refused(err error) bool { return isOneOf(err, refusals) }

// permanent says whether trying again is of no use until a person has done something about it.
func permanent(err error) bool {
	return refused(err) && !isOneOf(err, []error{rpctypes.ErrNoSpace, rpctypes.ErrCorrupt, rpctypes.ErrCompacted})
}

func isOneOf(err error, those []error) bool {
	for _, e := range those {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// explain says what an error of etcd means and what to do.
func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	if advice := s.advice(err); advice != "" {
		return fmt.Errorf("%s: %w", advice, err)
	}
	return err
}

func (s *Store) advice(err error) string {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace) && s.inProcess():
		return "the master's database is full and takes no writes: it frees what is not needed by itself; if it stays full (its log says so), " +
			"start the masters with a larger --data-quota"
	case errors.Is(err, rpctypes.ErrCorrupt) && s.inProcess():
		return "a master has found its data corrupt, and nothing is written: the masters' logs name it: stop it, empty its data directory, and start it again"
	case errors.Is(err, rpctypes.ErrNoSpace):
		return "the etcd database is full and takes no writes: compact it (etcdctl compact), defragment it (etcdctl defrag), " +
			"disarm the alarm (etcdctl alarm disarm), and raise --quota-backend-bytes if that is not enough"
	case errors.Is(err, rpctypes.ErrCorrupt):
		return "a member of etcd has found its data corrupt and takes no writes: replace that member (etcdctl alarm list names it)"
	case isOneOf(err, []error{rpctypes.ErrPermissionDenied, rpctypes.ErrPermissionNotGranted}):
		return fmt.Sprintf("the user of etcd may not: it needs reading and writing below %[1]s "+
			"(etcdctl role grant-permission ROLE --prefix=true readwrite %[1]s)", s.k.prefix)
	case isOneOf(err, []error{rpctypes.ErrUserEmpty, rpctypes.ErrAuthFailed, rpctypes.ErrUserNotFound}):
		return "etcd knows users and this is none of them: give a client certificate whose common name is that of a user"
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return "one write is longer than etcd takes (its --max-request-bytes, 1.5 MiB unless set): bulk belongs into the storage"
	case errors.Is(err, rpctypes.ErrTooManyOps):
		return "etcd's --max-txn-ops is below its default of 128: raise it"
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return "the lease has run out"
	case errors.Is(err, rpctypes.ErrCompacted):
		return "etcd has forgotten that revision"
	case isOneOf(err, []error{context.DeadlineExceeded, rpctypes.ErrTimeout}): // the second when our deadline passed amid etcd's work
		return "etcd did not answer in time" + s.whereToLook()
	case isOneOf(err, []error{rpctypes.ErrNoLeader, rpctypes.ErrLeaderChanged, rpctypes.ErrTimeoutDueToLeaderFail,
		rpctypes.ErrTimeoutDueToConnectionLost}):
		return "etcd has no leader" + s.whereToLook()
	case status.Code(err) == codes.Unavailable:
		return "etcd is not reached" + s.whereToLook()
	}
	return ""
}

// inProcess says whether etcd is inside of the masters, where etcdctl does not reach it.
func (s *Store) inProcess() bool { return len(s.c.Endpoints()) == 0 }

// whereToLook is what to check when etcd does not do its work.
func (s *Store) whereToLook() string {
	at := ""
	if e := s.c.Endpoints(); len(e) > 0 {
		at = " at " + strings.Join(e, ", ")
	}
	return at + ": more than half of its members must run, reach each other and have disks that answer"
}
