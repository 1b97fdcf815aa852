package s3store

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// metadataDial and metadataTimeout bound the look for an instance's role. It is on the same host, or there is none and
	// packets to it are lost; then a person is waiting for an error.
	metadataDial    = time.Second
	metadataTimeout = 2 * time.Second
	stsTimeout      = 10 * time.Second // bound of an exchange of tokens, which is a call over the internet
)

// errNoKeys is for someone who has set up nothing.
var errNoKeys = fmt.Errorf("%w: no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_NO_SIGN_REQUEST=true for a public bucket", storage.ErrDenied)

// newCredentials makes the keeper of the credentials that o asks for. It asks nobody yet.
func newCredentials(o Options) *credentials.Credentials {
	switch {
	case o.Anonymous:
		return credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	case o.AccessKey != "":
		return credentials.NewStaticV4(o.AccessKey, string(o.SecretKey), string(o.SessionToken))
	case o.Profile != "":
		return credentials.New(named{&credentials.FileAWSCredentials{Profile: o.Profile}, "profile " + o.Profile})
	default:
		return credentials.New(named{newRole(o), "role of this pod, container or instance"})
	}
}

// newRole is the role of where this process runs. The library looks at AWS_WEB_IDENTITY_TOKEN_FILE and
// AWS_CONTAINER_CREDENTIALS_* first and asks the instance's metadata service if there is neither.
func newRole(o Options) *credentials.IAM {
	role := &credentials.IAM{Endpoint: o.MetadataEndpoint, Region: o.Region}
	e := environment{get: os.Getenv}
	if e.first("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" {
		role.Endpoint = ""
		role.Client = &http.Client{Timeout: stsTimeout}
		return role
	}
	dialer := &net.Dialer{Timeout: metadataDial}
	// No proxy: the address means something on this host only.
	role.Client = &http.Client{Timeout: metadataTimeout, Transport: &http.Transport{DialContext: dialer.DialContext}}
	return role
}

// named is a source of credentials whose errors say what it is and are ErrDenied.
type named struct {
	credentials.Provider
	name string
}

// RetrieveWithCredContext gets the credentials.
func (n named) RetrieveWithCredContext(c *credentials.CredContext) (credentials.Value, error) {
	v, err := n.Provider.RetrieveWithCredContext(c)
	if err != nil {
		return v, fmt.Errorf("%w (%s: %v)", errNoKeys, n.name, err)
	}
	return v, nil
}
