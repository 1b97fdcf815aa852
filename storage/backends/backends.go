// Package backends makes a Store that knows every kind of storage. It is the one place that knows them all; who calls it
// knows none.
package backends

import (
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/s3store"
)

// Options are the settings of the Store and of its backends. Zero values mean the defaults.
type Options struct {
	Store storage.Options    // its Schemes are set here; those given replace ours
	Local localstore.Options // file://
	// S3 gives the settings of s3://, when the first bucket is opened (default s3store.FromEnv).
	S3 func() (s3store.Options, error)
}

// New makes a Store for file:// URLs, plain paths and s3:// URLs. It opens nothing yet.
func New(o Options) *storage.Store {
	if o.S3 == nil {
		o.S3 = s3store.FromEnv
	}
	schemes := map[string]storage.Opener{
		"file": localstore.Opener(o.Local),
		"s3":   s3store.Opener(o.S3),
	}
	for scheme, open := range o.Store.Schemes {
		schemes[scheme] = open
	}
	o.Store.Schemes = schemes
	return storage.New(o.Store)
}
