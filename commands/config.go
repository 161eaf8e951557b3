package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A config is the configuration file. It is strict: an unknown key is an error
// that names the line and the nearest key.
type config struct {
	Current  string              `yaml:"current,omitempty"`
	Contexts map[string]*profile `yaml:"contexts,omitempty"`
	CDN      map[string]*cdn     `yaml:"cdn,omitempty"`

	path  string
	lines map[string]int // line of each value, by "contexts.prod.url"
}

// A profile is one context: a cache, how to get in, and what may be done to it.
type profile struct {
	URL       string `yaml:"url,omitempty"`
	ReadOnly  bool   `yaml:"read_only,omitempty"`
	Protected bool   `yaml:"protected,omitempty"`

	NeverDelete []string `yaml:"never_delete,omitempty"` // patterns of keys that no command deletes

	PasswordEnv     string `yaml:"password_env,omitempty"`
	PasswordFile    string `yaml:"password_file,omitempty"`
	PasswordCommand string `yaml:"password_command,omitempty"`

	SentinelPasswordEnv     string `yaml:"sentinel_password_env,omitempty"`
	SentinelPasswordFile    string `yaml:"sentinel_password_file,omitempty"`
	SentinelPasswordCommand string `yaml:"sentinel_password_command,omitempty"`
}

// A secret is one of three places a password is kept. It is read when it is
// used and never stored or shown.
type secret struct{ env, file, command string }

func (p *profile) password() secret {
	return secret{p.PasswordEnv, p.PasswordFile, p.PasswordCommand}
}

func (p *profile) sentinelPassword() secret {
	return secret{p.SentinelPasswordEnv, p.SentinelPasswordFile, p.SentinelPasswordCommand}
}

// source names the place, without the secret; "" when there is none.
func (s secret) source() string {
	switch {
	case s.env != "":
		return "environment variable " + s.env
	case s.file != "":
		return "file " + s.file
	case s.command != "":
		return "command " + s.command
	}
	return ""
}

// read fetches a password.
func (s secret) read(ctx context.Context, env *Env) (string, error) {
	return s.fetch(ctx, env, "password")
}

// places is how many places are named: more than one is a mistake.
func (s secret) places() (n int) {
	for _, place := range []string{s.env, s.file, s.command} {
		if place != "" {
			n++
		}
	}
	return n
}

// fetch brings the secret, which errors call by the name what. One newline at
// its end is not part of it.
func (s secret) fetch(ctx context.Context, env *Env, what string) (string, error) {
	switch {
	case s.env != "":
		value := env.Getenv(s.env)
		if value == "" {
			return "", fmt.Errorf("%s: the environment variable %s is not set", what, s.env)
		}
		return value, nil
	case s.file != "":
		data, err := os.ReadFile(expandHome(env, s.file))
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	case s.command != "":
		name, arg := "sh", "-c"
		if runtime.GOOS == "windows" {
			name, arg = "cmd", "/c"
		}
		cmd := exec.CommandContext(ctx, name, arg, s.command)
		cmd.Stdin, cmd.Stderr = env.In, env.Err
		cmd.WaitDelay = time.Second // for what it left running with our pipe in its hands
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s: the command %q failed: %w", what, s.command, err)
		}
		return strings.TrimRight(string(out), "\r\n"), nil
	}
	return "", nil
}

func expandHome(env *Env, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(env.Getenv("HOME"), rest)
	}
	return path
}

// configPath is CACHECTL_CONFIG, or config.yaml at the XDG place.
func configPath(env *Env) (string, error) {
	if path := env.Getenv("CACHECTL_CONFIG"); path != "" {
		return path, nil
	}
	if dir := env.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) { // the specification has relative ones ignored
		return filepath.Join(dir, "cachectl", "config.yaml"), nil
	}
	home := env.Getenv("HOME")
	if home == "" {
		return "", errors.New("no place for a configuration: neither HOME nor XDG_CONFIG_HOME is set")
	}
	return filepath.Join(home, ".config", "cachectl", "config.yaml"), nil
}

// loadConfig reads the configuration. A missing file is an empty one.
func loadConfig(env *Env) (*config, error) {
	path, err := configPath(env)
	if err != nil {
		return &config{Contexts: map[string]*profile{}}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := parseConfig(data)
	if err != nil {
		return nil, &usageError{fmt.Errorf("%s: %w", path, err)}
	}
	c.path = path
	return c, nil
}

func parseConfig(data []byte) (*config, error) {
	c := &config{lines: make(map[string]int)}
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one YAML document in it")
	}
	if len(root.Content) > 0 {
		if err := c.check(root.Content[0], reflect.TypeFor[config](), ""); err != nil {
			return nil, err
		}
		if err := root.Content[0].Decode(c); err != nil {
			return nil, errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: unmarshal errors:   "))
		}
	}
	if c.Contexts == nil {
		c.Contexts = make(map[string]*profile)
	}
	return c, c.validate()
}

// check compares the keys below node with the fields of t, and remembers lines.
func (c *config) check(node *yaml.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if node.Kind != yaml.MappingNode {
		if t.Kind() == reflect.Struct || t.Kind() == reflect.Map {
			if node.Tag == "!!null" {
				return nil
			}
			return fmt.Errorf("line %d: %s must be a mapping", node.Line, orElse(path, "the configuration"))
		}
		return nil
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if seen[key.Value] {
			return fmt.Errorf("line %d: %q is there twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		below := strings.TrimPrefix(path+"."+key.Value, ".")
		c.lines[below] = key.Line
		next := t
		switch t.Kind() {
		case reflect.Map:
			next = t.Elem()
		case reflect.Struct:
			field, err := fieldFor(t, key)
			if err != nil {
				return err
			}
			next = field
		}
		if err := c.check(value, next, below); err != nil {
			return err
		}
	}
	return nil
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// fieldFor finds the type of the field that key names.
func fieldFor(t reflect.Type, key *yaml.Node) (reflect.Type, error) {
	var known []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == key.Value && name != "" {
			return f.Type, nil
		}
		if name != "" {
			known = append(known, name)
		}
	}
	if near := render.Nearest(key.Value, known); near != "" {
		return nil, fmt.Errorf("line %d: unknown key %q, did you mean %q?", key.Line, key.Value, near)
	}
	return nil, fmt.Errorf("line %d: unknown key %q: known are %s", key.Line, key.Value, strings.Join(known, ", "))
}

func (c *config) validate() error {
	for name, p := range c.Contexts {
		line := c.lines["contexts."+name]
		if p == nil || p.URL == "" {
			return fmt.Errorf("line %d: context %q has no url", line, name)
		}
		for _, pattern := range p.NeverDelete {
			if err := backends.CheckGlob(pattern); err != nil || pattern == "" {
				return fmt.Errorf("line %d: context %q: never_delete: %q is no pattern", c.lines["contexts."+name+".never_delete"], name, pattern)
			}
		}
		for _, s := range []secret{p.password(), p.sentinelPassword()} {
			if s.places() > 1 {
				return fmt.Errorf("line %d: context %q has more than one place for a password", line, name)
			}
		}
	}
	if err := c.validateCDN(); err != nil {
		return err
	}
	if _, ok := c.Contexts[c.Current]; c.Current != "" && !ok {
		return fmt.Errorf("line %d: current is %q, which is no context", c.lines["current"], c.Current)
	}
	return nil
}

// names lists the contexts in order.
func (c *config) names() []string {
	var names []string
	for name := range c.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// edit changes the file through its YAML tree, so that comments and order
// stay, and replaces it in one step: a reader sees the old file or the new one.
func (c *config) edit(change func(root *yaml.Node) error) error {
	if c.path == "" {
		return errors.New("no place for a configuration: neither HOME nor XDG_CONFIG_HOME is set")
	}
	data, err := os.ReadFile(c.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return err
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}, HeadComment: doc.HeadComment, FootComment: doc.FootComment}
	}
	if err := change(doc.Content[0]); err != nil {
		return err
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return err
	}
	if _, err := parseConfig(out.Bytes()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	return replaceFile(c.path, 0o600, func(w io.Writer) error {
		_, err := w.Write(out.Bytes())
		return err
	})
}

// member finds the value of key in a mapping, and adds an empty one where it
// is missing and kind is not 0.
func member(mapping *yaml.Node, key string, kind yaml.Kind) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			value := mapping.Content[i+1]
			if value.Tag == "!!null" && kind != 0 { // "contexts:" with nothing behind it
				value.Kind, value.Tag, value.Value = kind, "", ""
			}
			return value
		}
	}
	if kind == 0 {
		return nil
	}
	value := &yaml.Node{Kind: kind}
	name := &yaml.Node{}
	name.SetString(key)
	mapping.Content = append(mapping.Content, name, value)
	return value
}

// setMember gives key a scalar value, or removes it when value is nil.
func setMember(mapping *yaml.Node, key string, value any) error {
	if value == nil {
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			if mapping.Content[i].Value == key {
				mapping.Content = slices.Delete(mapping.Content, i, i+2)
				return nil
			}
		}
		return nil
	}
	old := member(mapping, key, yaml.ScalarNode)
	comment := old.LineComment
	if err := old.Encode(value); err != nil {
		return err
	}
	old.LineComment = comment
	return nil
}
