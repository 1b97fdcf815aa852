package s3store

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

const (
	defaultEndpoint = "https://s3.amazonaws.com" // minio-go turns it into the region's
	// defaultStall is how long a peer may be silent. S3 answers in well under a second; a loaded server that is still
	// alive has been seen to take ten.
	defaultStall = 30 * time.Second
	// defaultCompletion is how long an answer to CompleteMultipartUpload may take: some servers copy the parts then.
	defaultCompletion = 5 * time.Minute
	// defaultIdle keeps a connection for every call that a worker of many slots has under way; opening one costs a round
	// trip, two with TLS.
	defaultIdle = 256
)

// Options say where an S3 service is and how to be let in. FromEnv fills them as AWS tools do. Of AccessKey, Profile, Role and
// Anonymous exactly one is set.
type Options struct {
	Endpoint string // scheme://host[:port]; default AWS. Buckets of other endpoints are addressed by path
	Region   string // default: asked of the service, once per bucket
	CAFile   string // PEM file of certificate authorities to trust for https; default the system's

	AccessKey    string // fixed credentials
	SecretKey    Secret
	SessionToken Secret // of temporary credentials; may be empty
	Profile      string // a profile of ~/.aws whose keys come from single sign-on or a credential process
	Role         bool   // the role of this pod, container or instance
	Anonymous    bool   // unsigned requests, for public buckets

	MetadataEndpoint string // of the instance's role; default AWS's link-local address

	Stall       time.Duration // longest silence of a peer (default 30 s)
	Completion  time.Duration // longest wait for the answer of a completion (default 5 min)
	Connections int           // idle connections kept (default 256)
}

// Secret is a string that no verb, log or encoder shows.
type Secret string

const hidden = "***"

// Format prints *** for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// String is *** or, for no secret, nothing.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// MarshalText hides the secret from encoders. It cannot be read back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// fill copies o with the defaults in, or names the first bad field.
func (o Options) fill() (Options, error) {
	if o.Endpoint == "" {
		o.Endpoint = defaultEndpoint
	}
	if _, err := parseEndpoint(o.Endpoint); err != nil {
		return o, err
	}
	ways := 0
	for _, set := range []bool{o.AccessKey != "", o.Profile != "", o.Role, o.Anonymous} {
		if set {
			ways++
		}
	}
	switch {
	case ways == 0:
		return o, errNoKeys
	case ways > 1:
		return o, errors.New("more than one of AccessKey, Profile, Role and Anonymous is set")
	case o.AccessKey != "" && o.SecretKey == "":
		return o, errors.New("there is an access key but no secret key: set AWS_SECRET_ACCESS_KEY")
	}
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Completion <= 0 {
		o.Completion = defaultCompletion
	}
	if o.Connections <= 0 {
		o.Connections = defaultIdle
	}
	return o, nil
}

// parseEndpoint takes an endpoint apart. Its errors do not repeat one that may hold a password.
func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || strings.Contains(endpoint, "@"):
		return nil, errors.New("endpoint: it is no scheme://host[:port]; credentials do not belong in it but in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %s: want http:// or https:// before the host", endpoint)
	case u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("endpoint %s: want scheme://host[:port] and nothing else", endpoint)
	}
	return u, nil
}
