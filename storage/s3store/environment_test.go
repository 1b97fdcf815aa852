package s3store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
)

const (
	testCredentials = `
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = secret/default+1

[work]
aws_access_key_id=AKIAWORK
aws_secret_access_key=secret/work=
aws_session_token=token/work==
`
	testConfig = `
[default]
region = eu-central-1
output = json
s3 =
  addressing_style = path

[profile work]
region = us-west-2
endpoint_url = https://work.example:9000
ca_bundle = /etc/work.pem

[profile lab]
services = lab
aws_access_key_id = AKIALAB
aws_secret_access_key = secret/lab

[services lab]
s3 =
  endpoint_url = http://lab.example:8333

[profile sso]
sso_account_id = 123
sso_role_name = reader
region = eu-west-3

[profile process]
credential_process = /bin/keys

[profile role]
role_arn = arn:aws:iam::123:role/x
source_profile = default

[profile half]
aws_access_key_id = AKIAHALF
`
)

// home writes the two files of AWS tools.
func home(t *testing.T, credentials, config string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"credentials": credentials, "config": config} {
		if err := os.WriteFile(filepath.Join(dir, ".aws", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func from(vars map[string]string, home string) (Options, error) {
	return environment{func(name string) string { return vars[name] }, home}.options()
}

// brief is what the options are, secrets in clear.
func brief(o Options) string {
	s := fmt.Sprintf("%s|%s|%s|%s|%s", o.Endpoint, o.Region, o.AccessKey, string(o.SecretKey), string(o.SessionToken))
	if o.Profile != "" {
		s += "|profile " + o.Profile
	}
	if o.Role {
		s += "|role"
	}
	if o.Anonymous {
		s += "|anonymous"
	}
	if o.CAFile != "" {
		s += "|" + o.CAFile
	}
	return s
}

// Settings come from the environment, then the profile, then the role of the machine, each as AWS tools have it.
func TestFromEnv(t *testing.T) {
	t.Parallel()
	full, empty := home(t, testCredentials, testConfig), t.TempDir()
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env"}
	with := func(base map[string]string, pairs ...string) map[string]string {
		m := map[string]string{}
		for k, v := range base {
			m[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		vars map[string]string
		home string
		want string
	}{
		"keys":                {keys, empty, "||AKIAENV|env|"},
		"keys over profile":   {with(keys, "AWS_SESSION_TOKEN", "tok"), full, "|eu-central-1|AKIAENV|env|tok"},
		"endpoint":            {with(keys, "AWS_ENDPOINT_URL", "http://all:1"), empty, "http://all:1||AKIAENV|env|"},
		"endpoint of s3":      {with(keys, "AWS_ENDPOINT_URL", "http://all:1", "AWS_ENDPOINT_URL_S3", "http://s3:2"), empty, "http://s3:2||AKIAENV|env|"},
		"region":              {with(keys, "AWS_DEFAULT_REGION", "b"), full, "|b|AKIAENV|env|"},
		"region over default": {with(keys, "AWS_REGION", "a", "AWS_DEFAULT_REGION", "b"), full, "|a|AKIAENV|env|"},
		"default profile":     {nil, full, "|eu-central-1|AKIADEFAULT|secret/default+1|"},
		"profile":             {with(nil, "AWS_PROFILE", "work"), full, "https://work.example:9000|us-west-2|AKIAWORK|secret/work=|token/work==|/etc/work.pem"},
		"endpoint over work":  {with(nil, "AWS_PROFILE", "work", "AWS_ENDPOINT_URL", "http://x", "AWS_CA_BUNDLE", "/b.pem"), full, "http://x|us-west-2|AKIAWORK|secret/work=|token/work==|/b.pem"},
		"endpoint of service": {with(nil, "AWS_PROFILE", "lab"), full, "http://lab.example:8333||AKIALAB|secret/lab|"},
		"single sign-on":      {with(nil, "AWS_PROFILE", "sso"), full, "|eu-west-3||||profile sso"},
		"process":             {with(nil, "AWS_PROFILE", "process"), full, "|||||profile process"},
		"files elsewhere":     {with(nil, "AWS_SHARED_CREDENTIALS_FILE", filepath.Join(full, ".aws", "credentials")), empty, "||AKIADEFAULT|secret/default+1|"},
		"web identity":        {with(nil, "AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), full, "|eu-central-1||||role"},
		"instance":            {nil, empty, "|||||role"},
		"container":           {with(nil, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x", "AWS_EC2_METADATA_DISABLED", "true"), empty, "|||||role"},
		"no home":             {keys, "", "||AKIAENV|env|"},
		"public":              {with(keys, "AWS_NO_SIGN_REQUEST", "YES"), empty, "|||||anonymous"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := from(c.vars, c.home)
			if got := brief(o); err != nil || got != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// Settings that cannot work are errors that say what to do and show no secret.
func TestFromEnvErrors(t *testing.T) {
	t.Parallel()
	full := home(t, testCredentials, testConfig)
	broken := home(t, "[default]\naws_secret_access_key\nwJalrXUtnFEMI/K7MDENG\n", "")
	for name, c := range map[string]struct {
		vars map[string]string
		home string
		want string
	}{
		"unknown profile":   {map[string]string{"AWS_PROFILE": "wrok"}, full, "AWS_PROFILE wrok: there is no such profile; there are: default, half, lab, process, role, sso, work"},
		"half of the keys":  {map[string]string{"AWS_ACCESS_KEY_ID": "AKIA"}, full, "set both"},
		"half a profile":    {map[string]string{"AWS_PROFILE": "half"}, full, "no aws_secret_access_key"},
		"role":              {map[string]string{"AWS_PROFILE": "role"}, full, "export-credentials --profile role"},
		"nothing":           {map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, t.TempDir(), "set AWS_ACCESS_KEY_ID"},
		"file of no format": {nil, broken, "format of AWS tools"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := from(c.vars, c.home)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want it to contain %q", err, c.want)
			}
			if strings.Contains(err.Error(), "wJalr") {
				t.Errorf("error shows a secret: %v", err)
			}
		})
	}
}

// Options that cannot work are refused by New, which names the field and never repeats a password.
func TestOptionErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no keys":            {Options{}, "set AWS_ACCESS_KEY_ID"},
		"no secret":          {Options{AccessKey: "a"}, "AWS_SECRET_ACCESS_KEY"},
		"two ways":           {Options{AccessKey: "a", SecretKey: "hunter2", Role: true}, "more than one of"},
		"no scheme":          {Options{Endpoint: "host:9000", Anonymous: true}, "http:// or https://"},
		"path":               {Options{Endpoint: "http://host/path", Anonymous: true}, "nothing else"},
		"user info":          {Options{Endpoint: "http://me:hunter2@host", Anonymous: true}, "credentials do not belong"},
		"user info, no URL":  {Options{Endpoint: "http://me:hunter2@ho st", Anonymous: true}, "credentials do not belong"},
		"user info, no host": {Options{Endpoint: "me:hunter2@host", Anonymous: true}, "credentials do not belong"},
		"authorities":        {Options{Anonymous: true, CAFile: "/no/such/file"}, "/no/such/file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want it to contain %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error shows a password: %v", err)
			}
		})
	}
	if _, err := New(Options{}); !errors.Is(err, storage.ErrDenied) {
		t.Errorf("no keys: got %v, want ErrDenied", err)
	}
}
