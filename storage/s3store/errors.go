package s3store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/millrace/millrace/storage"
	"github.com/minio/minio-go/v7"
)

// codes are the error codes of S3 that call for a decision, by sentinel. Codes that are not here are judged by their HTTP status.
func codes() map[string]error {
	return map[string]error{
		"NoSuchKey":    storage.ErrNotFound,
		"NoSuchUpload": storage.ErrNotFound,
		"NoSuchBucket": storage.ErrNoBucket,

		"InvalidAccessKeyId": errUnknownKey,
		"XAdminUserNotFound": errUnknownKey, // versitygw, with status 404

		"InvalidBucketName":       storage.ErrBadURL,
		"InvalidURI":              storage.ErrBadURL,
		"KeyTooLongError":         storage.ErrBadURL,
		"XMinioInvalidObjectName": storage.ErrBadURL,

		// Of the parts that make an upload one is gone or another than was written.
		"InvalidPart":      storage.ErrPendingLost,
		"InvalidPartOrder": storage.ErrPendingLost,

		"ConditionalRequestConflict": storage.ErrConflict,
		"OperationAborted":           storage.ErrConflict,

		"SlowDown":             storage.ErrSlowDown,
		"SlowDownRead":         storage.ErrSlowDown,
		"SlowDownWrite":        storage.ErrSlowDown,
		"Throttling":           storage.ErrSlowDown,
		"ThrottlingException":  storage.ErrSlowDown,
		"RequestThrottled":     storage.ErrSlowDown,
		"RequestLimitExceeded": storage.ErrSlowDown,

		"QuotaExceeded":                  storage.ErrNoSpace,
		"XMinioStorageFull":              storage.ErrNoSpace,
		"XMinioAdminBucketQuotaExceeded": storage.ErrNoSpace,

		// The body changed on its way: the server has refused it.
		"BadDigest":                     errDamaged,
		"XMinioContentChecksumMismatch": errDamaged,
		"XAmzContentChecksumMismatch":   errDamaged,
		"XAmzContentSHA256Mismatch":     errDamaged,
		"IncompleteBody":                errDamaged,
		"RequestTimeout":                errDamaged,
	}
}

// errUnknownKey is a refusal of whoever holds this access key, whatever is asked for.
var errUnknownKey = fmt.Errorf("%w: unknown access key", storage.ErrDenied)

// errDamaged is a request that did not arrive as it was sent, and was not done.
var errDamaged = errors.New("damaged on its way")

// hints are what a person does about a refusal.
func hints() map[string]string {
	return map[string]string{
		"XAdminUserNotFound":    "check AWS_ACCESS_KEY_ID or the profile, and that the endpoint is the one they are for",
		"InvalidAccessKeyId":    "check AWS_ACCESS_KEY_ID or the profile, and that the endpoint is the one they are for",
		"SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or the profile",
		"ExpiredToken":          "get new temporary credentials",
		"InvalidToken":          "check AWS_SESSION_TOKEN",
		"RequestTimeTooSkewed":  "set this machine's clock",
		"AccessDenied":          "these credentials lack the permission",
	}
}

// fail turns what minio-go says into what the Store acts on. on412 is what a failed precondition means to the caller.
func (c *Client) fail(ctx context.Context, err error, on412 error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return c.hide(c.classify(err, on412))
}

func (c *Client) classify(err, on412 error) error {
	if errors.Is(err, storage.ErrDenied) {
		return err // of our own credentials
	}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return c.refused(answer, on412)
	}
	return c.unreached(err)
}

// refused judges an answer of the server.
func (c *Client) refused(e minio.ErrorResponse, on412 error) error {
	text := e.Code
	if message := e.Error(); message != "" && message != e.Code {
		text += ": " + strings.TrimSuffix(message, ".")
	}
	if hint := hints()[e.Code]; hint != "" {
		text += ": " + hint
	}
	if e.Region != "" && c.region != "" && e.Region != c.region {
		text += ": the bucket is in another region: set AWS_REGION=" + e.Region
	}
	if sentinel := codes()[e.Code]; sentinel != nil {
		err := fmt.Errorf("%w (%s)", sentinel, text)
		if sentinel == errDamaged {
			return storage.Transient(err)
		}
		return err
	}
	switch status := e.StatusCode; {
	case status == http.StatusPreconditionFailed || e.Code == "PreconditionFailed":
		return fmt.Errorf("%w (%s)", on412, text)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w (%s)", storage.ErrDenied, text)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w (%s)", storage.ErrNotFound, text)
	case status == http.StatusConflict:
		return fmt.Errorf("%w (%s)", storage.ErrConflict, text)
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("%w (%s)", storage.ErrSlowDown, text)
	case status == http.StatusInsufficientStorage:
		return fmt.Errorf("%w (%s)", storage.ErrNoSpace, text)
	case status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented || e.Code == "InternalError":
		return storage.Transient(fmt.Errorf("the server failed (%s)", text))
	default:
		return fmt.Errorf("the server refused (%s)", text)
	}
}

// unreached judges an error that is no answer of the server.
func (c *Client) unreached(err error) error {
	// minio-go's url.Error repeats the request's whole URL, which its caller names anyway.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	unreachable := fmt.Errorf("%w: %s: %w", storage.ErrUnreachable, c.endpoint, err)
	if isTrust(err) {
		return fmt.Errorf("%w: check the scheme of the endpoint, and AWS_CA_BUNDLE for a private authority", unreachable)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return storage.Transient(unreachable)
	}
	if errors.Is(err, errStalled) {
		return storage.Transient(unreachable)
	}
	if isNetwork(err) {
		return storage.Transient(fmt.Errorf("connection to %s broke: %w", c.endpoint, err))
	}
	return err
}

// isTrust tells whether the peer is not who it should be, or does not speak TLS: trying again will not help.
func isTrust(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	return strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// isNetwork tells whether a connection broke, or an answer was cut off.
func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*xml.SyntaxError](err); ok { // an answer cut off in the midst
		return true
	}
	text := err.Error()
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, errStalled) ||
		strings.Contains(text, "EOF") || strings.Contains(text, "Connection closed by foreign host") ||
		strings.HasPrefix(text, "http: ") || strings.HasPrefix(text, "net/http: ") ||
		strings.HasPrefix(text, "readLoopPeekFailLocked") // net/http: the server spoke before it was asked
}

// hide takes secrets out of an error's text, should a server or a proxy have repeated one.
func (c *Client) hide(err error) error {
	text := err.Error()
	for _, s := range c.secrets {
		if s != "" && strings.Contains(text, string(s)) {
			text = strings.ReplaceAll(text, string(s), hidden)
		}
	}
	if text == err.Error() {
		return err
	}
	return &redacted{text, err}
}

// redacted is an error that shows another text. What wraps it prints this text; what looks for sentinels sees the cause.
type redacted struct {
	text  string
	cause error
}

func (e *redacted) Error() string { return e.text }

// Is and As look at the cause without handing it out, whose text would show the secret.
func (e *redacted) Is(target error) bool { return errors.Is(e.cause, target) }

// As is Is for types.
func (e *redacted) As(target any) bool { return errors.As(e.cause, target) }
