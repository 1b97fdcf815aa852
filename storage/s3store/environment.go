package s3store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/ini.v1"
)

// FromEnv finds the service and the credentials where users of AWS tools keep them, in this order: the environment, a web
// identity (AWS_WEB_IDENTITY_TOKEN_FILE), the profile (AWS_PROFILE or default) of ~/.aws/credentials and ~/.aws/config,
// the role of the container or instance. AWS_NO_SIGN_REQUEST=true means no credentials at all. It reads files, and asks
// nobody: a role is looked up when the first request needs it.
func FromEnv() (Options, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // no files then, the environment may do
	}
	o, err := environment{os.Getenv, home}.options()
	if err != nil {
		return Options{}, fmt.Errorf("S3 settings: %w", err)
	}
	return o, nil
}

// environment is what FromEnv reads, so that a test can set it without touching the process's own.
type environment struct {
	get  func(name string) string
	home string
}

func (e environment) options() (Options, error) {
	p, err := e.profile()
	if err != nil {
		return Options{}, err
	}
	o := Options{
		Endpoint:         e.first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		Region:           e.first("AWS_REGION", "AWS_DEFAULT_REGION"),
		CAFile:           e.first("AWS_CA_BUNDLE"),
		MetadataEndpoint: e.first("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
	}
	if o.Endpoint == "" {
		o.Endpoint = p.endpoint
	}
	if o.Region == "" {
		o.Region = p.keys["region"]
	}
	if o.CAFile == "" {
		o.CAFile = p.keys["ca_bundle"]
	}
	return e.credentials(o, p)
}

// credentials adds the first way in that is there.
func (e environment) credentials(o Options, p profile) (Options, error) {
	id, secret := e.get("AWS_ACCESS_KEY_ID"), e.get("AWS_SECRET_ACCESS_KEY")
	switch {
	case e.isOn("AWS_NO_SIGN_REQUEST"):
		o.Anonymous = true
	case id != "" && secret != "":
		o.AccessKey, o.SecretKey, o.SessionToken = id, Secret(secret), Secret(e.get("AWS_SESSION_TOKEN"))
	case id != "" || secret != "":
		return o, errors.New("only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set: set both")
	case e.get("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		o.Role = true
	case p.keys["aws_access_key_id"] != "":
		o.AccessKey = p.keys["aws_access_key_id"]
		o.SecretKey, o.SessionToken = Secret(p.keys["aws_secret_access_key"]), Secret(p.keys["aws_session_token"])
		if o.SecretKey == "" {
			return o, fmt.Errorf("profile %s has aws_access_key_id but no aws_secret_access_key", p.name)
		}
	case p.keys["sso_account_id"] != "" || p.keys["credential_process"] != "":
		o.Profile = p.name
	case p.keys["role_arn"] != "":
		return o, fmt.Errorf("profile %s takes on a role, which is not supported: run eval \"$(aws configure export-credentials --profile %s --format env)\" first", p.name, p.name)
	case e.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || e.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" ||
		!e.isOn("AWS_EC2_METADATA_DISABLED"):
		o.Role = true
	default:
		return o, errNoKeys
	}
	return o, nil
}

func (e environment) first(names ...string) string {
	for _, name := range names {
		if v := e.get(name); v != "" {
			return v
		}
	}
	return ""
}

func (e environment) isOn(name string) bool {
	v := e.get(name)
	return strings.EqualFold(v, "true") || strings.EqualFold(v, "yes") || v == "1"
}

// profile is one profile, both files together.
type profile struct {
	name     string
	keys     map[string]string
	endpoint string
}

// profile reads the chosen profile. Only one that AWS_PROFILE asks for has to be there.
func (e environment) profile() (profile, error) {
	p := profile{name: e.first("AWS_PROFILE", "AWS_DEFAULT_PROFILE"), keys: map[string]string{}}
	asked := p.name != ""
	if !asked {
		p.name = "default"
	}
	config, err := e.load("AWS_CONFIG_FILE", "config")
	if err != nil {
		return p, err
	}
	credentials, err := e.load("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	if err != nil {
		return p, err
	}
	section := "profile " + p.name
	if p.name == "default" && !config.HasSection(section) {
		section = p.name
	}
	if asked && !config.HasSection(section) && !credentials.HasSection(p.name) {
		return p, fmt.Errorf("AWS_PROFILE %s: there is no such profile; there are: %s", p.name,
			strings.Join(profileNames(config, credentials), ", "))
	}
	// The credentials file wins where both have a key.
	maps.Copy(p.keys, config.Section(section).KeysHash())
	maps.Copy(p.keys, credentials.Section(p.name).KeysHash())
	p.endpoint = p.keys["endpoint_url"]
	if name := p.keys["services"]; name != "" {
		if url := nested(config.Section("services "+name).Key("s3"), "endpoint_url"); url != "" {
			p.endpoint = url
		}
	}
	return p, nil
}

// load reads one of the two files. One that is not there is empty. The parser's error is not shown: it quotes the line, which
// may be a key.
func (e environment) load(variable, name string) (*ini.File, error) {
	path := e.get(variable)
	if path == "" {
		if e.home == "" {
			return ini.Empty(), nil
		}
		path = filepath.Join(e.home, ".aws", name)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ini.Empty(), nil
	}
	if err != nil {
		return nil, err
	}
	f, err := ini.LoadSources(ini.LoadOptions{AllowNestedValues: true}, text)
	if err != nil {
		return nil, fmt.Errorf("%s: it is not in the format of AWS tools, [profile] lines and key = value lines", path)
	}
	return f, nil
}

// nested is a setting in the indented lines below a key.
func nested(key *ini.Key, name string) string {
	for _, line := range key.NestedValues() {
		if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func profileNames(config, credentials *ini.File) []string {
	var names []string
	for _, s := range config.SectionStrings() {
		if name, ok := strings.CutPrefix(s, "profile "); ok || s == "default" {
			names = append(names, name)
		}
	}
	for _, s := range credentials.SectionStrings() {
		if s != ini.DefaultSection {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
