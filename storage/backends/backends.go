// Package backends makes a Store that knows every kind of storage. It is the one place that knows them all; who calls it
// knows none.
package backends

import (
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
)

// Options are the settings of the Store and of its backends. Zero values mean the defaults.
type Options struct {
	Store storage.Options    // its Schemes are set here; those given replace ours
	Local localstore.Options // file://
}

// New makes a Store for file:// URLs and plain paths. It opens nothing yet.
func New(o Options) *storage.Store {
	schemes := map[string]storage.Opener{
		"file": localstore.Opener(o.Local),
	}
	for scheme, open := range o.Store.Schemes {
		schemes[scheme] = open
	}
	o.Store.Schemes = schemes
	return storage.New(o.Store)
}
