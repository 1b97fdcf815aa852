package s3store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/s3store"
)

// No verb, encoder or logger shows a secret of the options.
func TestSecretIsHidden(t *testing.T) {
	t.Parallel()
	o := s3store.Options{AccessKey: "AKIA", SecretKey: testSecret, SessionToken: testSecret}
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&text, verb+verb+"\n", o, o.SecretKey)
	}
	if err := json.NewEncoder(&text).Encode(o); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&text, nil)).Info("test", "o", o, "secret", o.SecretKey)
	slog.New(slog.NewJSONHandler(&text, nil)).Info("test", "o", o, "secret", o.SecretKey)
	if strings.Contains(text.String(), testSecret) || strings.Contains(text.String(), fmt.Sprintf("%x", testSecret)) {
		t.Errorf("a secret is shown:\n%s", text.String())
	}
	if s := s3store.Secret(""); fmt.Sprint(s) != "" {
		t.Errorf("no secret prints as %q", fmt.Sprint(s))
	}
}

// An error does not show a secret even when a server repeats the request it got.
func TestSecretIsHiddenInErrors(t *testing.T) {
	t.Parallel()
	endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>Odd</Code><Message>token %s, key %s</Message></Error>", r.Header.Get("X-Amz-Security-Token"), testSecret)
	})
	err := read(t.Context(), bucketAt(t, endpoint, func(o *s3store.Options) { o.SessionToken = "sesame-token" }), -1, "")
	if !errors.Is(err, storage.ErrDenied) || !strings.Contains(err.Error(), "token ***, key ***") {
		t.Errorf("got %v, want ErrDenied with both secrets hidden", err)
	}
}

// Real servers refuse wrong credentials as ErrDenied, with a remedy and without the secret, and a missing bucket as ErrNoBucket,
// whatever the call.
func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	for name, start := range starters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			bucket := s.NewBucket(t)
			wrongSecret, wrongKey := options(s), options(s)
			wrongSecret.SecretKey, wrongKey.AccessKey = testSecret, "AKIAWRONG"
			for call, do := range calls {
				for _, o := range []s3store.Options{wrongSecret, wrongKey} {
					err := do(t.Context(), client(t, o).Bucket(bucket))
					if !errors.Is(err, storage.ErrDenied) || storage.IsTransient(err) || !strings.Contains(err.Error(), "check AWS_") {
						t.Errorf("%s: got %v, want ErrDenied with a remedy", call, err)
					}
					if err != nil && strings.Contains(err.Error(), string(o.SecretKey)) {
						t.Errorf("%s: the error shows the secret", call)
					}
				}
				err := do(t.Context(), client(t, options(s)).Bucket("no-such-bucket"))
				if !errors.Is(err, storage.ErrNoBucket) && !(call == "complete" || call == "part") {
					t.Errorf("%s: got %v, want ErrNoBucket", call, err)
				}
				if err == nil || storage.IsTransient(err) {
					t.Errorf("%s in a missing bucket: got %v, want a final error", call, err)
				}
			}
			if err := read(t.Context(), client(t, options(s)).Bucket("no-such-bucket"), 0, ""); !errors.Is(err, storage.ErrNoBucket) {
				t.Errorf("describe: got %v, want ErrNoBucket", err)
			}
			if err := read(t.Context(), client(t, wrongKey).Bucket(bucket), 0, ""); !errors.Is(err, storage.ErrDenied) {
				t.Errorf("describe with a wrong key: got %v, want ErrDenied", err)
			}
		})
	}
}

// metadata answers as an instance's metadata service and counts how often it is asked.
func metadata(t *testing.T, asked *int) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, _ *http.Request) {
		*asked++
		io.WriteString(w, "metadata-token")
	})
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "role") })
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/role", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"ASIAROLE","SecretAccessKey":"%s","Token":"role-token","Expiration":%q}`,
			testSecret, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// The instance's role signs requests, is asked for once, and is never asked for when there are fixed keys. Where there is none
// the error says what to set.
func TestRole(t *testing.T) {
	t.Parallel()
	asked, authorized := 0, ""
	role := metadata(t, &asked)
	endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
		authorized = r.Header.Get("Authorization") + " " + r.Header.Get("X-Amz-Security-Token")
		object(3, nil, 200, "abc")(w, r)
	})
	if err := read(t.Context(), bucketAt(t, endpoint, func(o *s3store.Options) { o.MetadataEndpoint = role }), -1, ""); err != nil || asked != 0 {
		t.Errorf("fixed keys: %v, asked %d times", err, asked)
	}
	useRole := func(o *s3store.Options) { o.AccessKey, o.SecretKey, o.Role, o.MetadataEndpoint = "", "", true, role }
	b := bucketAt(t, endpoint, useRole)
	for range 3 {
		if err := read(t.Context(), b, -1, ""); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(authorized, "Credential=ASIAROLE/") || !strings.Contains(authorized, "role-token") || asked != 1 {
		t.Errorf("role: signed with %q, asked %d times", authorized, asked)
	}
	none := serve(t, refuse(404, "x"))
	err := read(t.Context(), bucketAt(t, endpoint, useRole, func(o *s3store.Options) { o.MetadataEndpoint = none }), -1, "")
	if !errors.Is(err, storage.ErrDenied) || storage.IsTransient(err) || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID") {
		t.Errorf("no role: got %v, want a final ErrDenied with a remedy", err)
	}
}

// Anonymous requests carry no signature.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			t.Errorf("signed: %s", a)
		}
		object(3, nil, 200, "abc")(w, r)
	})
	b := bucketAt(t, endpoint, func(o *s3store.Options) { o.AccessKey, o.SecretKey, o.Anonymous = "", "", true })
	if err := read(t.Context(), b, -1, ""); err != nil {
		t.Error(err)
	}
}

// The opener reads the settings when the first bucket is opened, once.
func TestOpener(t *testing.T) {
	t.Parallel()
	read := 0
	open := s3store.Opener(func() (s3store.Options, error) {
		read++
		return s3store.Options{Endpoint: "http://127.0.0.1:1", Anonymous: true}, nil
	})
	if read != 0 {
		t.Error("the settings were read before a bucket was opened")
	}
	for _, name := range []string{"a-bucket", "b-bucket"} {
		if _, err := open(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if read != 1 {
		t.Errorf("the settings were read %d times, want once", read)
	}
	broken := s3store.Opener(func() (s3store.Options, error) { return s3store.Options{}, nil })
	if _, err := broken(t.Context(), "a-bucket"); !errors.Is(err, storage.ErrDenied) {
		t.Errorf("no settings: got %v, want ErrDenied", err)
	}
}
